//! As much of a URL as a probe needs, and where a redirect leads. Pure.

use super::super::port::join;
use http::Uri;
use std::fmt;

/// Where a request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// Whether by TLS.
    pub secure: bool,
    /// A name or an address, without brackets.
    pub host: String,
    /// The port, when it is written.
    pub port: Option<u16>,
    /// Path and query, from the slash on.
    pub path: String,
}

/// A probe's path as a request line has it.
pub fn path(text: &str) -> String {
    let slash = if text.starts_with('/') { "" } else { "/" };
    let mut out = slash.to_owned();
    // The fragment stays with the client, and what may not stand in a request line is encoded.
    for byte in text.split('#').next().unwrap_or_default().bytes() {
        match byte {
            b' ' | b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}' | 0..=31 | 127.. => {
                out.push_str(&format!("%{byte:02X}"));
            }
            _ => out.push(char::from(byte)),
        }
    }
    out
}

impl Url {
    /// Whom to connect to.
    pub fn address(&self) -> String {
        join(&self.host, self.port.unwrap_or(if self.secure { 443 } else { 80 }))
    }

    /// What a `Host` header says.
    pub fn authority(&self) -> String {
        match self.port {
            Some(port) => join(&self.host, port),
            None if self.host.contains(':') => format!("[{}]", self.host),
            None => self.host.clone(),
        }
    }

    /// Where a `Location` leads from here; none when it cannot be read.
    pub fn join(&self, location: &str) -> Option<Url> {
        if let Some(rest) = location.strip_prefix("//") {
            return self.join(&format!("{}://{rest}", if self.secure { "https" } else { "http" }));
        }
        if !location.contains("://") {
            let own = self.path.split('?').next().unwrap_or_default();
            let whole = match location.chars().next() {
                Some('/') => location.to_owned(),
                Some('?') => format!("{own}{location}"),
                Some('#') | None => self.path.clone(),
                Some(_) => format!("{}/{location}", own.rsplit_once('/').map_or("", |(folder, _)| folder)),
            };
            return Some(Url { path: path(&whole), ..self.clone() });
        }
        let uri: Uri = location.split('#').next()?.parse().ok()?;
        let secure = match uri.scheme_str()? {
            "http" => false,
            "https" => true,
            _ => return None,
        };
        let host = uri.host()?.trim_matches(['[', ']']).to_owned();
        let whole = uri.path_and_query().map_or("/", |p| p.as_str());
        Some(Url { secure, host, port: uri.port_u16(), path: path(whole) })
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", if self.secure { "https" } else { "http" }, self.authority(), self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_leads_where_a_browser_would_go() {
        let here = Url { secure: false, host: "10.0.0.1".into(), port: Some(80), path: "/a/b?q".into() };
        for (location, wanted) in [
            ("/x?y", "http://10.0.0.1:80/x?y"),
            ("c", "http://10.0.0.1:80/a/c"),
            ("?z", "http://10.0.0.1:80/a/b?z"),
            ("https://[fd00::1]/", "https://[fd00::1]/"),
            ("//other:8080/p", "http://other:8080/p"),
        ] {
            assert_eq!(here.join(location).map(|url| url.to_string()).as_deref(), Some(wanted), "{location}");
        }
        assert_eq!(here.join("ftp://x/"), None);
    }

    #[test]
    fn a_path_is_made_fit_for_a_request_line() {
        assert_eq!(path("healthz?a=b c#d"), "/healthz?a=b%20c");
    }
}
