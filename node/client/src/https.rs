//! `HttpsTransport`: the way to an API server elsewhere, over TLS with a client certificate or a bearer token. One
//! HTTP/2 connection carries all requests; a server without HTTP/2 gets one HTTP/1.1 connection per request.
//!
//! It must not know any kind.

use crate::transport::{Answer, BoxError, Transport, TransportError};
use bytes::Bytes;
use http::header::{AUTHORIZATION, HOST, HeaderValue};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

/// How long TCP and TLS may take to come up.
pub const CONNECT_WAIT: Duration = Duration::from_secs(10);
/// Silence after which a ping asks whether the server still lives, as client-go's 30 s.
pub const PING_AFTER: Duration = Duration::from_secs(30);
/// How long the answer to that ping may take, as client-go's 15 s.
pub const PING_WAIT: Duration = Duration::from_secs(15);

/// Who the transport speaks for.
pub enum Credentials {
    /// A client certificate with its chain and key.
    Certificate(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>),
    /// A bearer token.
    Token(String),
    /// Nobody.
    Anonymous,
}

/// Requests over TLS to one server.
pub struct HttpsTransport {
    /// `host:port`.
    address: String,
    server: ServerName<'static>,
    tls: TlsConnector,
    authorization: Option<HeaderValue>,
    shared: tokio::sync::Mutex<Option<http2::SendRequest<Full<Bytes>>>>,
}

enum Connection {
    Shared(http2::SendRequest<Full<Bytes>>),
    Single(http1::SendRequest<Full<Bytes>>),
}

impl HttpsTransport {
    /// A way to `host:port` whose certificate the given authorities sign.
    ///
    /// # Errors
    /// When the host is no server name or the certificate and key do not fit.
    pub fn new(
        host: &str,
        port: u16,
        authorities: Vec<CertificateDer<'static>>,
        credentials: Credentials,
    ) -> Result<HttpsTransport, TransportError> {
        let failed = |why: BoxError| TransportError::new(format!("preparing a connection to {host}:{port}"), why);
        let mut roots = rustls::RootCertStore::empty();
        for authority in authorities {
            roots.add(authority).map_err(|why| failed(why.into()))?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|why| failed(why.into()))?
            .with_root_certificates(roots);
        let mut authorization = None;
        let mut config = match credentials {
            Credentials::Certificate(chain, key) => {
                builder.with_client_auth_cert(chain, key).map_err(|why| failed(why.into()))?
            }
            Credentials::Token(token) => {
                let mut value = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|why| failed(why.into()))?;
                value.set_sensitive(true);
                authorization = Some(value);
                builder.with_no_client_auth()
            }
            Credentials::Anonymous => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let server = ServerName::try_from(host.to_owned()).map_err(|why| failed(why.into()))?;
        let address = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
        let tls = TlsConnector::from(Arc::new(config));
        Ok(HttpsTransport { address, server, tls, authorization, shared: tokio::sync::Mutex::default() })
    }

    async fn dial(&self) -> Result<TlsStream<TcpStream>, BoxError> {
        let tcp = TcpStream::connect(&self.address).await?;
        tcp.set_nodelay(true)?;
        Ok(self.tls.connect(self.server.clone(), tcp).await?)
    }

    async fn connect(&self) -> Result<Connection, BoxError> {
        let stream = tokio::time::timeout(CONNECT_WAIT, self.dial()).await.map_err(|_| "no answer in time")??;
        if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
            let (sender, connection) = http2::Builder::new(TokioExecutor::new())
                .timer(TokioTimer::new())
                .keep_alive_interval(PING_AFTER)
                .keep_alive_timeout(PING_WAIT)
                .handshake(TokioIo::new(stream))
                .await?;
            self.drive(connection);
            Ok(Connection::Shared(sender))
        } else {
            let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
            self.drive(connection);
            Ok(Connection::Single(sender))
        }
    }

    fn drive(&self, connection: impl Future<Output = Result<(), hyper::Error>> + Send + 'static) {
        let address = self.address.clone();
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%address, %error, "a connection to the API server ended");
            }
        });
    }

    /// The shared connection if it lives, else a new one.
    async fn connection(&self) -> Result<Connection, BoxError> {
        let mut shared = self.shared.lock().await;
        if let Some(sender) = shared.as_ref()
            && !sender.is_closed()
        {
            return Ok(Connection::Shared(sender.clone()));
        }
        let fresh = self.connect().await?;
        if let Connection::Shared(sender) = &fresh {
            *shared = Some(sender.clone());
        }
        Ok(fresh)
    }

    async fn send(&self, request: http::Request<Bytes>) -> Result<http::Response<hyper::body::Incoming>, BoxError> {
        let (mut head, body) = request.into_parts();
        if let Some(value) = &self.authorization {
            head.headers.insert(AUTHORIZATION, value.clone());
        }
        let path = head.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str).to_owned();
        let answer = match self.connection().await? {
            Connection::Shared(mut sender) => {
                head.uri = format!("https://{}{path}", self.address).parse()?;
                sender.send_request(http::Request::from_parts(head, Full::new(body))).await?
            }
            Connection::Single(mut sender) => {
                head.headers.insert(HOST, HeaderValue::from_str(&self.address)?);
                head.uri = path.parse()?;
                sender.send_request(http::Request::from_parts(head, Full::new(body))).await?
            }
        };
        Ok(answer)
    }
}

impl Transport for HttpsTransport {
    fn call(&self, request: http::Request<Bytes>) -> Answer<'_> {
        Box::pin(async move {
            let what = format!("{} {} at {}", request.method(), request.uri().path(), self.address);
            let answer = self.send(request).await.map_err(|why| TransportError::new(what, why))?;
            Ok(answer.map(|body| body.map_err(BoxError::from).boxed_unsync()))
        })
    }
}
