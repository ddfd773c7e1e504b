//! What services that reach out of the machine are told of the world there: the proxy and the trusted authorities. Pure.

use crate::config::Config;
use crate::config::keys::{PROXY_HTTP, PROXY_HTTPS, PROXY_NOT, list};
use crate::phases::{hostname::HOST_NAME, trust};

/// The services that fetch images.
const OUTWARD: &[&str] = &["containerd", "docker"];
/// Reached without a proxy: the machine, its cluster, the emulator's network and the host.
const NEVER_BY_PROXY: &[&str] = &[
    "localhost",
    "127.0.0.0/8",
    "::1",
    "10.250.0.0/24",
    "10.244.0.0/16",
    "10.96.0.0/16",
    "10.0.2.0/24",
    ".svc",
    ".cluster.local",
    HOST_NAME,
];

/// More environment for a service.
pub fn environment(service: &str, config: &Config) -> Vec<(&'static str, String)> {
    if !OUTWARD.contains(&service) {
        return Vec::new();
    }
    let mut all = proxies(config);
    all.push(("SSL_CERT_FILE", trust::BUNDLE.to_owned()));
    all
}

/// Both spellings: programs differ in which one they read.
fn proxies(config: &Config) -> Vec<(&'static str, String)> {
    let (http, https) = (config.text(&PROXY_HTTP), config.text(&PROXY_HTTPS));
    if http.is_empty() && https.is_empty() {
        return Vec::new();
    }
    let not = NEVER_BY_PROXY.iter().copied().chain(list(config.text(&PROXY_NOT)));
    let not = not.collect::<Vec<_>>().join(",");
    [
        ("HTTP_PROXY", http),
        ("http_proxy", http),
        ("HTTPS_PROXY", https),
        ("https_proxy", https),
        ("NO_PROXY", &not),
        ("no_proxy", &not),
    ]
    .into_iter()
    .filter(|(_, value)| !value.is_empty())
    .map(|(name, value)| (name, value.to_owned()))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Source;

    #[test]
    fn the_proxy_is_told_to_those_who_fetch_with_the_cluster_left_out() {
        let pairs = [("skerry.proxy.https", "http://host.skerry.internal:3128"), ("skerry.proxy.not", "corp.example")];
        let pairs = pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let (config, complaints) = Config::merge(vec![(Source::FwCfg, pairs)]);
        assert_eq!(complaints, []);
        let told = environment("docker", &config);
        let of = |name: &str| told.iter().find(|(n, _)| *n == name).map(|(_, value)| value.as_str());
        assert_eq!(of("https_proxy"), Some("http://host.skerry.internal:3128"));
        assert_eq!(of("HTTP_PROXY"), None);
        let not = of("NO_PROXY").unwrap();
        assert!(not.contains(".svc,.cluster.local,") && not.ends_with(",corp.example"), "{not}");
        assert_eq!(environment("node", &config), []);
        assert_eq!(proxies(&Config::default()), []);
    }
}
