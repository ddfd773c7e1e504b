//! A plain HTTPS client for single requests to an API server, with nothing added to what the request says: the judge
//! must see what the server does with exactly these bytes.

use super::kubeconfig::Access;
use anyhow::{Context, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// How long one request may take with its whole answer; a watch is told by its query to end earlier.
const ANSWER_WITHIN: Duration = Duration::from_secs(70);

/// The longest answer that is read: the OpenAPI v2 document of upstream is below 10 MB.
const ANSWER_MAX_BYTES: usize = 32 << 20;

/// Credentials for one API server and where it listens.
#[derive(Clone)]
pub struct Client {
    authority: String,
    token: Option<String>,
    tls: Arc<rustls::ClientConfig>,
}

/// One request.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// The method, in capitals.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Headers besides Host, Authorization and Content-Length.
    pub headers: Vec<(String, String)>,
    /// The body; empty for none.
    pub body: Vec<u8>,
}

impl Request {
    /// A GET that asks for JSON.
    pub fn get(path: &str) -> Request {
        let headers = vec![("Accept".to_owned(), "application/json, */*".to_owned())];
        Request { method: "GET".to_owned(), path: path.to_owned(), headers, body: Vec::new() }
    }
}

/// One answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The media type with its parameters; empty when there is none.
    pub content_type: String,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as text, bad bytes replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Client {
    /// A client with the credentials of a kubeconfig.
    ///
    /// # Errors
    /// When a certificate or key is not PEM.
    pub fn new(access: &Access) -> anyhow::Result<Client> {
        let mut roots = rustls::RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(access.ca.as_bytes()) {
            roots.add(certificate.context("the authority's certificate")?).context("the authority's certificate")?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let builder = builder.context("TLS versions")?.with_root_certificates(roots);
        let tls = match &access.certificate {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(certificate.as_bytes()).collect();
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).context("the client's key")?;
                builder
                    .with_client_auth_cert(chain.context("the client's certificate")?, key)
                    .context("the client's key")?
            }
        };
        Ok(Client { authority: access.authority.clone(), token: access.token.clone(), tls: Arc::new(tls) })
    }

    /// Sends one request over its own connection and reads the whole answer.
    ///
    /// # Errors
    /// When the server cannot be reached, is not trusted, answers too slowly or at too great length.
    pub async fn send(&self, request: &Request) -> anyhow::Result<Answer> {
        let what = || format!("{} https://{}{}", request.method, self.authority, request.path);
        match tokio::time::timeout(ANSWER_WITHIN, self.exchange(request)).await {
            Ok(answer) => answer.with_context(what),
            Err(_) => bail!("{}: no whole answer in {} s", what(), ANSWER_WITHIN.as_secs()),
        }
    }

    async fn exchange(&self, request: &Request) -> anyhow::Result<Answer> {
        let host = self.authority.rsplit_once(':').map_or(self.authority.as_str(), |(host, _)| host);
        let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned()).context("host name")?;
        let stream = TcpStream::connect(&self.authority).await.context("connect")?;
        let stream = TlsConnector::from(self.tls.clone()).connect(name, stream).await.context("TLS handshake")?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let driver = tokio::spawn(connection);
        let mut message = http::Request::builder().method(request.method.as_str()).uri(&request.path);
        message = message.header("Host", &self.authority);
        if let Some(token) = &self.token {
            message = message.header("Authorization", format!("Bearer {token}"));
        }
        for (name, value) in &request.headers {
            message = message.header(name, value);
        }
        let message = message.body(Full::new(Bytes::from(request.body.clone()))).context("build the request")?;
        let answer = sender.send_request(message).await.context("send")?;
        let status = answer.status().as_u16();
        let content_type =
            answer.headers().get("content-type").and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
        let body = Limited::new(answer.into_body(), ANSWER_MAX_BYTES).collect().await;
        let body = body.map_err(|e| anyhow::anyhow!("read the answer: {e}"))?.to_bytes().to_vec();
        driver.abort();
        Ok(Answer { status, content_type, body })
    }
}
