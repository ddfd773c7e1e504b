//! The way into a cluster over HTTPS: the login by a one-time code, and calls with the administrator's certificate that
//! it won.

use super::Cluster;
use crate::exit::{Code as Exit, Failure};
use anyhow::{Context, Result, anyhow, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pki::csr::SigningRequest;
use pki::kubeconfig::Entry;
use pki::login::{Code, Side, prove, verify};
use serde_json::{Value, json};
use std::io::Read;
use std::time::Duration;
use ureq::http::Response;
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig};
use ureq::{Agent, Body};

/// The administrator's kubeconfig in the cluster's folder.
pub const FILE: &str = "kubeconfig";
/// How long a connection may take; the machine is on this host, but may be emulated.
const CONNECT_WAIT: Duration = Duration::from_secs(10);
/// How long the answer to a login may take: it is signed on a processor that may be emulated.
const LOGIN_WAIT: Duration = Duration::from_secs(30);
/// Bytes of an answer that is read whole.
const ANSWER_BYTES_MAX: u64 = 32 << 20;

/// A cluster's API, with a certificate or without.
#[derive(Clone)]
pub struct Api {
    agent: Agent,
    /// `https://host:port`.
    pub server: String,
}

fn agent(tls: TlsConfig) -> Agent {
    // The machine is reached directly, whatever proxy the environment names. Status codes are answers.
    let config = Agent::config_builder().tls_config(tls).proxy(None).http_status_as_error(false);
    config.timeout_connect(Some(CONNECT_WAIT)).user_agent("skerry").build().new_agent()
}

impl Api {
    /// The API that an entry of a kubeconfig leads to.
    ///
    /// # Errors
    /// When its certificates cannot be read.
    pub fn new(entry: &Entry) -> Result<Api> {
        let read = |text: &str| Certificate::from_pem(text.as_bytes()).context("reading a certificate");
        let key = PrivateKey::from_pem(entry.key.as_bytes()).context("reading the administrator's key")?;
        let own = ClientCert::new_with_certs(&[read(&entry.certificate)?], key);
        let roots = RootCerts::new_with_certs(&[read(&entry.authority)?]);
        let tls = TlsConfig::builder().client_cert(Some(own)).root_certs(roots).build();
        Ok(Api { agent: agent(tls), server: entry.server.clone() })
    }

    /// One without credentials, for tests.
    #[cfg(test)]
    pub fn plain(server: &str) -> Api {
        Api { agent: agent(TlsConfig::builder().build()), server: server.to_owned() }
    }

    /// The API of a cluster of this host, with the credentials in its folder.
    ///
    /// # Errors
    /// `NoCluster` when nobody has logged in yet.
    pub fn of(cluster: &Cluster) -> Result<Api> {
        let entry = entry(cluster)?.ok_or_else(|| {
            Failure::new(Exit::NoCluster, format!("there are no credentials for cluster {:?} yet", cluster.name))
                .advice(format!("skerry start --name {}", cluster.name))
        })?;
        Api::new(&entry)
    }

    /// GET of a path with its query. The body is still on its way.
    ///
    /// # Errors
    /// When the machine cannot be reached, or answers with a failure: then in its words.
    pub fn get(&self, path: &str) -> Result<Response<Body>> {
        told(judge(self.agent.get(format!("{}{path}", self.server)).call(), path))
    }

    /// POST of a body that is read as it is sent.
    ///
    /// # Errors
    /// As [`Api::get`].
    pub fn post(&self, path: &str, media_type: &str, body: &mut dyn Read) -> Result<Response<Body>> {
        let request = self.agent.post(format!("{}{path}", self.server)).content_type(media_type);
        told(judge(request.send(ureq::SendBody::from_reader(&mut { body })), path))
    }

    /// PUT of `length` bytes, which are read as they are sent.
    ///
    /// # Errors
    /// As [`Api::get`].
    pub fn put(&self, path: &str, length: u64, body: &mut dyn Read) -> Result<Response<Body>> {
        let request = self.agent.put(format!("{}{path}", self.server)).content_type("application/octet-stream");
        let request = request.header("content-length", length.to_string());
        judge(request.send(ureq::SendBody::from_reader(&mut { body })), path)
    }

    /// DELETE of a path with its query.
    ///
    /// # Errors
    /// As [`Api::get`].
    pub fn delete(&self, path: &str) -> Result<Response<Body>> {
        told(judge(self.agent.delete(format!("{}{path}", self.server)).call(), path))
    }
}

/// The whole body of an answer as JSON.
///
/// # Errors
/// When it breaks off, is too large, or is none.
pub fn json_of(mut response: Response<Body>) -> Result<Value> {
    let bytes = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec().context("reading an answer")?;
    serde_json::from_slice(&bytes).context("reading an answer as JSON")
}

/// A failure to call as commands end with it: which of them the user can mend.
fn told(answer: Result<Response<Body>>) -> Result<Response<Body>> {
    answer.map_err(|error| match error.downcast_ref::<Answered>().map(|answered| answered.code) {
        None => error.context(
            Failure::new(Exit::NoCluster, "the cluster's API does not answer")
                .advice("skerry status shows how the machine fares"),
        ),
        Some(401 | 403) => error.context(
            Failure::new(Exit::Refused, "the cluster does not take its administrator's certificate any more")
                .advice("skerry stop --power-off and skerry start win a new one"),
        ),
        Some(503) => error.context(
            Failure::new(Exit::NoCluster, "the machine cannot do this now")
                .advice("try again once skerry status says that it is ready"),
        ),
        Some(_) => error,
    })
}

/// An answer that is no failure.
fn judge(answer: Result<Response<Body>, ureq::Error>, path: &str) -> Result<Response<Body>> {
    let mut response = answer.with_context(|| format!("calling {path}"))?;
    if response.status().is_success() {
        return Ok(response);
    }
    let code = response.status().as_u16();
    let text = response.body_mut().with_config().limit(64 << 10).read_to_string().unwrap_or_default();
    let status: Value = serde_json::from_str(&text).unwrap_or_default();
    let message = status["message"].as_str().map_or_else(|| text.trim().to_owned(), str::to_owned);
    Err(anyhow!(Answered { code, message }))
}

/// The machine's answer when it is a failure.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message} (HTTP {code})")]
pub struct Answered {
    /// HTTP's code.
    pub code: u16,
    /// The machine's words.
    pub message: String,
}

/// The credentials in a cluster's folder, if there are any.
///
/// # Errors
/// When the file is damaged.
pub fn entry(cluster: &Cluster) -> Result<Option<Entry>> {
    let path = cluster.path(FILE);
    match std::fs::read_to_string(&path) {
        Ok(text) => pki::kubeconfig::read(&text, &cluster.name).with_context(|| format!("reading {}", path.display())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("reading {}", path.display())),
    }
}

/// Lets the credentials in a cluster's folder, if there are any, lead to another port of this host.
///
/// # Errors
/// When the file is damaged or cannot be written.
pub fn relocate(cluster: &Cluster, port: u16) -> Result<()> {
    let server = format!("https://127.0.0.1:{port}");
    match entry(cluster)? {
        Some(entry) if entry.server != server => {
            let text = pki::kubeconfig::write(&Entry { server, ..entry })?;
            pki::folder::replace(&cluster.path(FILE), text.as_bytes(), 0o600)
        }
        _ => Ok(()),
    }
}

/// Wins an administrator's certificate by a one-time code; `name` becomes that of the entry.
///
/// # Errors
/// `Refused` when the machine does not take the code or cannot prove that it knows it; any other when it cannot be
/// reached.
pub fn login(server: &str, name: &str, code: &Code) -> Result<Entry> {
    // Nobody is believed here: the proofs decide, and they cover the authority that all later connections trust.
    let tls = TlsConfig::builder().disable_verification(true).build();
    let agent = agent(tls);
    let url = format!("{server}/skerry/v1/login");
    let get = agent.get(&url).config().timeout_global(Some(LOGIN_WAIT)).build();
    let answer = json_of(judge(get.call(), "login").map_err(refused)?)?;
    let authority_pem = text(&answer, "authority")?;
    let authority =
        pki::pem::certificates(authority_pem.as_bytes()).context("reading the machine's authority")?.remove(0);
    let key = pki::Key::generate()?;
    let pem = pki::csr::request(&key, name, None, &[])?;
    let request = SigningRequest::from_pem(pem.as_bytes())?;
    let proof = STANDARD.encode(prove(Side::Client, code, &request.der, &authority));
    let body = json!({"request": pem, "proof": proof}).to_string();
    let post = agent.post(&url).config().timeout_global(Some(LOGIN_WAIT)).build().content_type("application/json");
    let answer = json_of(judge(post.send(&body), "login").map_err(refused)?)?;
    let proof = STANDARD.decode(text(&answer, "proof")?).context("reading the machine's proof")?;
    if !verify(Side::Machine, code, &request.der, &authority, &proof) {
        let failure = Failure::new(Exit::Refused, "the machine does not know the code that it was given");
        bail!(failure.advice("another server answers at this address; nothing was changed"));
    }
    let certificate = text(&answer, "certificate")?;
    let given = pki::pem::certificates(certificate.as_bytes()).context("reading the certificate")?.remove(0);
    if !pki::identity::issued_by(&given, &authority)? || pki::identity::public_key(&given)? != key.public_der() {
        bail!("the machine gave a certificate that is not for our key or not by its authority");
    }
    Ok(Entry {
        name: name.to_owned(),
        server: server.to_owned(),
        authority: authority_pem.to_owned(),
        certificate: certificate.to_owned(),
        key: key.to_pem(),
    })
}

fn text<'a>(answer: &'a Value, field: &str) -> Result<&'a str> {
    answer[field].as_str().with_context(|| format!("the machine's answer has no {field}"))
}

/// The machine's refusal as ours; what is no answer of the machine stays.
fn refused(error: anyhow::Error) -> anyhow::Error {
    match error.downcast_ref::<Answered>() {
        Some(answered) if (400..500).contains(&answered.code) => {
            let advice = match answered.code {
                404 => "this is no machine of Skerry, or one that takes no code",
                410 => "restart the machine: each boot has a code of its own, for ten minutes",
                429 => "wait a few seconds, then try again",
                _ => "look at the machine's screen and type the code again",
            };
            anyhow!(Failure::new(Exit::Refused, answered.message.clone()).advice(advice))
        }
        _ => error,
    }
}
