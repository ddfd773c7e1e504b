//! Which entries of a Docker configuration are for an image, as upstream's `pkg/credentialprovider/keyring.go` matches
//! them. Pure.

use crate::cri::v1::AuthConfig;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// The registry of images that name none, as Docker's configuration calls it.
const DEFAULT: &str = "index.docker.io";

/// The credentials for an image, the most specific first. `wrapped` is the newer form of the configuration, with
/// `auths` around its entries.
///
/// # Errors
/// When it is no JSON.
pub fn credentials(bytes: &[u8], wrapped: bool, image: &str) -> serde_json::Result<Vec<AuthConfig>> {
    let whole: Value = serde_json::from_slice(bytes)?;
    let entries = if wrapped { &whole["auths"] } else { &whole };
    let all = entries.as_object().into_iter().flatten();
    let mut known: Vec<(String, AuthConfig)> = all.map(|(key, entry)| (place(key), credential(entry))).collect();
    known.sort_by(|a, b| b.0.cmp(&a.0));
    let found: Vec<AuthConfig> =
        known.iter().filter(|(key, _)| matches(key, image)).map(|(_, credential)| credential.clone()).collect();
    if !found.is_empty() || !is_default(image) {
        return Ok(found);
    }
    Ok(known.into_iter().filter(|(key, _)| key == DEFAULT).map(|(_, credential)| credential).collect())
}

/// Host and path of an entry's name. The versions of Docker's interface stand for the host alone.
fn place(key: &str) -> String {
    let bare = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
    let (host, path) = bare.split_once('/').map_or((bare, ""), |(host, path)| (host, path));
    let path = ["v1/", "v2/"].iter().find_map(|version| path.strip_prefix(version)).unwrap_or(path);
    if path.is_empty() { host.to_owned() } else { format!("{host}/{path}") }
}

/// Without a server's address: the engine would compare it with the host that it asks, and Docker's own registry has
/// two names.
fn credential(entry: &Value) -> AuthConfig {
    let text = |field: &str| entry[field].as_str().unwrap_or_default().to_owned();
    let (mut username, mut password) = (text("username"), text("password"));
    let decoded = STANDARD.decode(text("auth")).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    if let Some((user, word)) = decoded.as_deref().and_then(|text| text.split_once(':')) {
        (username, password) = (user.to_owned(), word.trim_end_matches('\0').to_owned());
    }
    AuthConfig { username, password, ..AuthConfig::default() }
}

/// Whether an entry is for an image: the same port, as many labels in the host, of which each may hold `*`, and a path
/// that the image's begins with.
fn matches(key: &str, image: &str) -> bool {
    let split = |text: &str| -> (Vec<String>, String, String) {
        let (host, path) = text.split_once('/').unwrap_or((text, ""));
        let (host, port) = host.rsplit_once(':').unwrap_or((host, ""));
        (host.split('.').map(str::to_owned).collect(), port.to_owned(), path.to_owned())
    };
    let ((wanted, port, prefix), (host, image_port, path)) = (split(key), split(image));
    port == image_port
        && wanted.len() == host.len()
        && path.starts_with(&prefix)
        && wanted.iter().zip(&host).all(|(pattern, label)| fits(pattern.as_bytes(), label.as_bytes()))
}

fn fits(pattern: &[u8], label: &[u8]) -> bool {
    match (pattern.split_first(), label.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) => (0..=label.len()).any(|skipped| fits(rest, &label[skipped..])),
        (Some((b'?', rest)), Some((_, label))) => fits(rest, label),
        (Some((letter, rest)), Some((other, label))) => letter == other && fits(rest, label),
        _ => false,
    }
}

/// Whether an image is fetched from Docker's own registry.
fn is_default(image: &str) -> bool {
    match image.split_once('/') {
        None => true,
        Some((first, _)) => first == "docker.io" || first == DEFAULT || !first.contains(['.', ':']),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &[u8] = br#"{"auths": {"https://index.docker.io/v1/": {"auth": "aHViOnNlY3JldA=="},
        "r.example:5000": {"username": "u", "password": "p"}, "r.example:5000/team": {"username": "t", "password": "p"},
        "*.cloud.example": {"username": "c", "password": "p"}}}"#;

    /// The users that are tried for an image, in order.
    fn check(image: &str, users: &[&str]) {
        let found = credentials(CONFIG, true, image).unwrap();
        assert_eq!(found.iter().map(|auth| auth.username.as_str()).collect::<Vec<_>>(), users, "{image}");
        // The engine drops credentials whose server has another name than the host that it asks.
        assert!(found.iter().all(|auth| auth.server_address.is_empty()));
    }

    #[test]
    fn an_entry_counts_for_its_registry_and_path_alone() {
        check("r.example:5000/a:v1", &["u"]);
        check("r.example:5000/team/a", &["t", "u"]);
        check("r.example/a", &[]);
        check("eu.cloud.example/a", &["c"]);
        check("a.eu.cloud.example/a", &[]);
        check("other.example/a", &[]);
    }

    #[test]
    fn images_without_a_registry_are_dockers() {
        for image in ["busybox", "library/busybox:1", "docker.io/library/busybox"] {
            check(image, &["hub"]);
        }
    }

    #[test]
    fn the_older_form_has_its_entries_bare() {
        let config = br#"{"r.example": {"auth": "bWU6c2VjcmV0"}}"#;
        let found = credentials(config, false, "r.example/a").unwrap();
        assert_eq!((found[0].username.as_str(), found[0].password.as_str()), ("me", "secret"));
        assert!(credentials(b"nonsense", true, "a").is_err());
    }
}
