//! A kubeconfig with one cluster and one user: written for upstream's components, read from what `node` writes.

use super::certs::Identity;
use anyhow::{Context, bail};
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use serde_json::{Value, json};
use std::path::Path;

/// What a client needs to reach one API server.
#[derive(Debug, Clone)]
pub struct Access {
    /// Host and port of the server.
    pub authority: String,
    /// The certificate authority, PEM.
    pub ca: String,
    /// Client certificate and key, PEM, when the kubeconfig has them.
    pub certificate: Option<(String, String)>,
    /// Bearer token, when the kubeconfig has one.
    pub token: Option<String>,
}

/// Writes a kubeconfig for a client certificate. JSON is YAML too, so no YAML writer is needed.
///
/// # Errors
/// When the file cannot be written.
pub fn write(path: &Path, server: &str, ca: &str, identity: &Identity) -> anyhow::Result<()> {
    let document = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "judge",
        "clusters": [{"name": "judge", "cluster": {"server": server, "certificate-authority-data": BASE64.encode(ca)}}],
        "users": [{"name": "judge", "user": {
            "client-certificate-data": BASE64.encode(&identity.certificate),
            "client-key-data": BASE64.encode(&identity.key),
        }}],
        "contexts": [{"name": "judge", "context": {"cluster": "judge", "user": "judge"}}],
    });
    std::fs::write(path, format!("{document:#}\n")).with_context(|| format!("write {}", path.display()))
}

/// Reads the first cluster and the first user of a kubeconfig whose credentials are embedded.
///
/// # Errors
/// When the file is absent, is no kubeconfig, or keeps its credentials elsewhere.
pub fn read(path: &Path) -> anyhow::Result<Access> {
    let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    parse(&text).with_context(|| format!("kubeconfig {}", path.display()))
}

fn parse(text: &str) -> anyhow::Result<Access> {
    let document: Value = serde_saphyr::from_str(text).context("not YAML")?;
    let cluster = &document["clusters"][0]["cluster"];
    let user = &document["users"][0]["user"];
    let server = cluster["server"].as_str().context("no server")?;
    let authority = server.strip_prefix("https://").context("the server is not https")?.trim_end_matches('/');
    let ca = decoded(&cluster["certificate-authority-data"])?.context("no certificate-authority-data")?;
    let certificate = decoded(&user["client-certificate-data"])?.zip(decoded(&user["client-key-data"])?);
    let token = user["token"].as_str().map(str::to_owned);
    if certificate.is_none() && token.is_none() {
        bail!("the user has neither an embedded client certificate nor a token");
    }
    Ok(Access { authority: authority.to_owned(), ca, certificate, token })
}

fn decoded(value: &Value) -> anyhow::Result<Option<String>> {
    let Some(text) = value.as_str() else { return Ok(None) };
    let bytes = BASE64.decode(text).context("embedded data is not base64")?;
    Ok(Some(String::from_utf8(bytes).context("embedded data is not PEM")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config");
        let identity = Identity { certificate: "CERT".into(), key: "KEY".into() };
        write(&path, "https://127.0.0.1:6443", "CA", &identity).unwrap();
        let access = read(&path).unwrap();
        assert_eq!(access.authority, "127.0.0.1:6443");
        assert_eq!(access.ca, "CA");
        assert_eq!(access.certificate, Some(("CERT".into(), "KEY".into())));
    }

    #[test]
    fn a_kubeconfig_without_credentials_is_refused() {
        let text =
            "clusters: [{cluster: {server: 'https://h:1', certificate-authority-data: Q0E=}}]\nusers: [{user: {}}]\n";
        let error = parse(text).unwrap_err().to_string();
        assert!(error.contains("neither"), "{error}");
    }
}
