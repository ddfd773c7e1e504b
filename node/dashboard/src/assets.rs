//! The files of the page, built by `build.rs` and carried in the program, compressed. They hold no secret: what they
//! show comes from the API, for whoever has a session.

/// One file.
pub struct Asset {
    /// Below the page's root, `assets/index-x.js` for example.
    pub path: &'static str,
    /// Its `ETag`, with the quotes.
    pub tag: &'static str,
    /// Its bytes, gzip: what every browser takes, on plain connections too.
    pub gzip: &'static [u8],
}

/// Every file.
pub const ASSETS: &[Asset] = include!(concat!(env!("OUT_DIR"), "/assets.rs"));

/// The page itself.
pub const INDEX: &str = "index.html";

/// Bytes that all files may have, compressed: what the page may cost an image and a slow link.
pub const TOTAL_BYTES_MAX: usize = 400_000;

/// Where scripts, styles and connections may lead: here, and nowhere else. No script in the page itself, no frame.
/// Attributes of style are let be: browsers write them themselves when somebody types over a selection in the editor.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    style-src-attr 'unsafe-inline'; img-src 'self' data:; font-src 'self'; connect-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Headers of every answer of the dashboard.
pub const HEADERS: &[(&str, &str)] = &[
    ("content-security-policy", CONTENT_SECURITY_POLICY),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("permissions-policy", "camera=(), geolocation=(), microphone=()"),
];

/// Types of files by the end of their names.
const TYPES: &[(&str, &str)] = &[
    (".html", "text/html; charset=utf-8"),
    (".js", "text/javascript; charset=utf-8"),
    (".css", "text/css; charset=utf-8"),
    (".svg", "image/svg+xml"),
];

impl Asset {
    /// A file by its path; the empty one is the page.
    #[must_use]
    pub fn find(path: &str) -> Option<&'static Asset> {
        let path = if path.is_empty() { INDEX } else { path };
        ASSETS.iter().find(|asset| asset.path == path)
    }

    /// Its media type.
    #[must_use]
    pub fn media_type(&self) -> &'static str {
        TYPES.iter().find(|(end, _)| self.path.ends_with(end)).map_or("application/octet-stream", |(_, media)| media)
    }

    /// How long browsers may keep it: files whose names carry a hash of their content for ever, others ask again.
    #[must_use]
    pub fn cache_control(&self) -> &'static str {
        if self.path.starts_with("assets/") { "public, max-age=31536000, immutable" } else { "no-cache" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn text(asset: &Asset) -> String {
        let mut text = String::new();
        flate2::read::GzDecoder::new(asset.gzip).read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn the_whole_page_is_small() {
        let total: usize = ASSETS.iter().map(|asset| asset.gzip.len()).sum();
        let each: Vec<String> = ASSETS.iter().map(|asset| format!("{} {}", asset.path, asset.gzip.len())).collect();
        assert!(total < TOTAL_BYTES_MAX, "{total} bytes: {each:?}");
    }

    #[test]
    fn every_file_has_a_type_that_browsers_take() {
        for asset in ASSETS {
            assert_ne!(asset.media_type(), "application/octet-stream", "{}", asset.path);
        }
    }

    #[test]
    fn the_page_has_no_script_of_its_own_and_asks_nobody_else() {
        let page = text(Asset::find("").unwrap());
        for tag in page.split("<script").skip(1) {
            assert!(tag.contains(" src=\"/dashboard/assets/"), "{tag}");
        }
        assert!(!page.contains("<style") && !page.contains(" style="), "{page}");
        for wrong in ["src=\"http", "href=\"http", "src=\"//", "href=\"//"] {
            assert!(!page.contains(wrong), "{page}");
        }
    }
}
