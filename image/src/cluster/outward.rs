//! What the host tells its machine of the world outside: its proxies, more certificate authorities, registries without
//! certificates. Taken anew at each start, handed over as files by fw_cfg: a proxy's address may hold a password, which
//! belongs neither on a command line nor into a log.

mod authorities;

use super::Cluster;
use anyhow::{Context, Result};
pub use authorities::NO_AUTHORITIES;
use std::collections::BTreeSet;
use std::path::PathBuf;

/// Name below `opt/skerry/` of fw_cfg, and the file in the cluster's folder.
const HANDED: &[(&str, &str)] = &[
    ("skerry.proxy.http", "proxy.http"),
    ("skerry.proxy.https", "proxy.https"),
    ("skerry.proxy.not", "proxy.not"),
    ("skerry.registry.insecure", "registry.insecure"),
    ("ca.pem", "ca.pem"),
];
/// The host as everything in the machine finds it.
const HOST: &str = "host.skerry.internal";
/// Bytes of a value at most, as init takes it.
const VALUE_BYTES_MAX: usize = 4096;

/// What is handed over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outward {
    values: [String; 4],
    authorities: String,
}

impl Outward {
    /// As this process finds it. `known` are the authorities that the image trusts anyway. Second come warnings: what was
    /// found and cannot be used.
    ///
    /// # Errors
    /// `Refused` for files that `--ca` names.
    pub fn of_host(
        cluster: &Cluster,
        ca: &[PathBuf],
        insecure: &[String],
        known: &BTreeSet<String>,
    ) -> Result<(Outward, Vec<String>)> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
        let (mut values, mut warnings) = proxies(variable);
        values[3] = insecure.join(",");
        authorities::keep_given(cluster, ca)?;
        let (found, unusable) = authorities::of_host(cluster, variable("SSL_CERT_FILE").as_deref(), known)?;
        warnings.extend(unusable);
        Ok((Outward { values, authorities: found }, warnings))
    }

    /// Writes the files that the next machine is given, and removes the others.
    ///
    /// # Errors
    /// When the disk does not take them.
    pub fn write(&self, cluster: &Cluster) -> Result<()> {
        let texts = self.values.iter().chain([&self.authorities]);
        for ((_, file), text) in HANDED.iter().zip(texts) {
            let path = cluster.path(file);
            if text.is_empty() {
                match std::fs::remove_file(&path) {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                        return Err(error).with_context(|| format!("removing {}", path.display()));
                    }
                    _ => {}
                }
            } else {
                pki::folder::replace(&path, text.as_bytes(), 0o600)?;
            }
        }
        Ok(())
    }

    /// What a user may see of it: no password.
    pub fn describe(&self) -> String {
        let [http, https, _, insecure] = &self.values;
        let proxy = if https.is_empty() { http } else { https };
        let mut words = Vec::new();
        if let Some((_, rest)) = proxy.split_once("://") {
            words.push(format!("proxy {}", rest.rsplit_once('@').map_or(rest, |(_, place)| place)));
        }
        if !self.authorities.is_empty() {
            let count = self.authorities.matches("BEGIN CERTIFICATE").count();
            words.push(format!("{count} more certificate authorities"));
        }
        if !insecure.is_empty() {
            words.push(format!("plain HTTP to {insecure}"));
        }
        words.join(", ")
    }
}

/// The files to hand over: name below `opt/skerry/`, and the file in the cluster's folder.
pub fn handed(cluster: &Cluster) -> Vec<(&'static str, &'static str)> {
    HANDED.iter().copied().filter(|(_, file)| cluster.path(file).exists()).collect()
}

/// HTTP, HTTPS and no proxy as the machine needs them; and what cannot be used.
fn proxies(variable: impl Fn(&str) -> Option<String>) -> ([String; 4], Vec<String>) {
    let mut warnings = Vec::new();
    let mut of = |upper: &str, lower: &str| {
        let Some((name, value)) = [upper, lower].into_iter().find_map(|name| Some((name, variable(name)?))) else {
            return String::new();
        };
        as_seen_inside(value.trim()).unwrap_or_else(|| {
            // The value may hold a password.
            warnings.push(format!("{name} is no proxy that the machine can use: write it as http://HOST:PORT"));
            String::new()
        })
    };
    let (http, https) = (of("HTTP_PROXY", "http_proxy"), of("HTTPS_PROXY", "https_proxy"));
    let not = variable("NO_PROXY").or_else(|| variable("no_proxy")).unwrap_or_default();
    let mut not = not.split(',').map(str::trim).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(",");
    if not.len() > VALUE_BYTES_MAX || not.contains(|c: char| c.is_whitespace() || c.is_control()) {
        warnings.push("NO_PROXY is too long or holds blanks: the machine does not follow it".to_owned());
        not.clear();
    }
    if http.is_empty() && https.is_empty() {
        not.clear();
    }
    ([http, https, not, String::new()], warnings)
}

/// A proxy's address seen from the machine: the host's loopback is the host there.
fn as_seen_inside(value: &str) -> Option<String> {
    let (scheme, rest) = value.split_once("://").unwrap_or(("http", value));
    let scheme = scheme.to_ascii_lowercase();
    let scheme = if scheme == "socks5h" { "socks5".to_owned() } else { scheme };
    let good = ["http", "https", "socks5"].contains(&scheme.as_str())
        && value.len() <= VALUE_BYTES_MAX
        && !value.contains(|c: char| c.is_whitespace() || c.is_control());
    let (user, place) = match rest.rsplit_once('@') {
        Some((user, place)) => (format!("{user}@"), place),
        None => (String::new(), rest),
    };
    let place = place.trim_end_matches('/');
    let (host, port) = match place.rsplit_once(':') {
        // The colons of an IPv6 address are inside its brackets.
        Some((host, port)) if !port.contains(']') => (host, format!(":{port}")),
        _ => (place, String::new()),
    };
    if !good || host.is_empty() || !port.trim_start_matches(':').chars().all(|c| c.is_ascii_digit()) {
        return None;
    }
    let is_loopback = host.eq_ignore_ascii_case("localhost")
        || matches!(host, "[::1]" | "0.0.0.0" | "[::]")
        || host.parse::<std::net::Ipv4Addr>().is_ok_and(|address| address.is_loopback());
    let host = if is_loopback { HOST } else { host };
    Some(format!("{scheme}://{user}{host}{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_on_the_hosts_loopback_is_the_host_inside() {
        for (given, inside) in [
            ("http://127.0.0.1:3128", Some("http://host.skerry.internal:3128")),
            ("localhost:3128/", Some("http://host.skerry.internal:3128")),
            ("http://[::1]:8080", Some("http://host.skerry.internal:8080")),
            ("https://a:p%40w@proxy.corp:443", Some("https://a:p%40w@proxy.corp:443")),
            ("http://a:b@127.0.0.5:1", Some("http://a:b@host.skerry.internal:1")),
            ("socks5h://localhost:1080", Some("socks5://host.skerry.internal:1080")),
            ("http://[2001:db8::1]", Some("http://[2001:db8::1]")),
            ("ftp://proxy:1", None),
            ("http://", None),
            ("http://a b:1", None),
            ("http://proxy:port", None),
        ] {
            assert_eq!(as_seen_inside(given).as_deref(), inside, "{given}");
        }
    }

    #[test]
    fn variables_of_both_spellings_are_taken_and_a_bad_one_is_named_and_not_shown() {
        let of = |pairs: &[(&str, &str)]| {
            proxies(|name| pairs.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned()))
        };
        let (values, warnings) = of(&[("https_proxy", "http://p:1"), ("NO_PROXY", "a.example, .b ,")]);
        assert_eq!(values[..3], [String::new(), "http://p:1".to_owned(), "a.example,.b".to_owned()]);
        assert!(warnings.is_empty(), "{warnings:?}");
        let (values, warnings) = of(&[("HTTP_PROXY", "ftp://u:hunter2@p:1"), ("no_proxy", "x")]);
        assert_eq!(values, <[String; 4]>::default());
        assert!(warnings[0].contains("HTTP_PROXY") && !warnings[0].contains("hunter2"), "{warnings:?}");
    }

    #[test]
    fn what_is_shown_holds_no_password() {
        let values = ["".to_owned(), "http://u:hunter2@p:1".to_owned(), "x".to_owned(), "r:5000".to_owned()];
        let outward = Outward { values, authorities: "-----BEGIN CERTIFICATE-----".to_owned() };
        assert_eq!(outward.describe(), "proxy p:1, 1 more certificate authorities, plain HTTP to r:5000");
    }

    #[test]
    fn files_are_for_the_owner_and_go_when_nothing_is_to_be_handed_over() {
        let folder = tempfile::tempdir().unwrap();
        let cluster = Cluster { name: "x".to_owned(), folder: folder.path().to_owned() };
        let values = ["http://p:1".to_owned(), String::new(), String::new(), String::new()];
        Outward { values, authorities: String::new() }.write(&cluster).unwrap();
        assert_eq!(handed(&cluster), [("skerry.proxy.http", "proxy.http")]);
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(cluster.path("proxy.http").metadata().unwrap().permissions().mode() & 0o777, 0o600);
        Outward::default().write(&cluster).unwrap();
        assert_eq!(handed(&cluster), []);
    }
}
