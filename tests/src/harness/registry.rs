//! A registry on this host's loopback, as the machine's users have them: one image, a certificate of a private authority,
//! a password. And a proxy before it, which leads wherever it is asked to go to this registry.

use anyhow::{Context, Result, anyhow};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// The registry's name as a proxy is asked for it; nobody else knows it.
pub const NAME: &str = "registry.example.test";
/// Who may fetch.
pub const USER: (&str, &str) = ("puller", "open sesame");
/// How long one read of a conversation may take; the machine is emulated.
const SILENCE: Duration = Duration::from_secs(60);
/// Bytes of a request's head at most.
const HEAD_BYTES_MAX: u64 = 64 << 10;
/// The media type of the image's description.
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// What was asked for, in order.
type Log = Arc<Mutex<Vec<String>>>;

/// A registry that serves until the program ends.
pub struct Registry {
    /// Its port on 127.0.0.1.
    pub port: u16,
    /// The port of the proxy before it.
    pub proxy: u16,
    /// The authority that its certificate is signed by, PEM.
    pub authority: String,
    log: Log,
}

/// An image as a registry keeps it.
struct Shelf {
    manifest: String,
    blobs: BTreeMap<String, Vec<u8>>,
}

impl Registry {
    /// Serves the image of an archive that has the OCI layout, under any name and tag.
    ///
    /// # Errors
    /// When the archive cannot be read or no port is free.
    pub fn serve(archive: &Path) -> Result<Registry> {
        let shelf = Arc::new(Shelf::read(archive)?);
        let (authority, config) = certificates()?;
        let log = Log::default();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("a port for the registry")?;
        let port = listener.local_addr()?.port();
        let heard = log.clone();
        serve(listener, move |stream| {
            let tls = ServerConnection::new(config.clone()).map_err(io::Error::other)?;
            shelf.answer(&mut BufReader::new(StreamOwned::new(tls, stream)), &heard)
        });
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("a port for the proxy")?;
        let proxy = listener.local_addr()?.port();
        let heard = log.clone();
        serve(listener, move |stream| lead(stream, port, &heard));
        Ok(Registry { port, proxy, authority, log })
    }

    /// What was asked for so far: `proxy HOST:PORT`, `anonymous PATH` or `USER PATH`.
    pub fn log(&self) -> Vec<String> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn note(log: &Log, line: String) {
    log.lock().unwrap_or_else(PoisonError::into_inner).push(line);
}

/// A thread for each connection. One that breaks off concerns nobody else.
fn serve(listener: TcpListener, converse: impl Fn(TcpStream) -> io::Result<()> + Clone + Send + 'static) {
    thread::spawn(move || {
        for stream in listener.incoming().map_while(io::Result::ok) {
            let converse = converse.clone();
            thread::spawn(move || stream.set_read_timeout(Some(SILENCE)).and_then(|()| converse(stream)));
        }
    });
}

/// Method, path and fields of a request.
fn head(reader: &mut impl BufRead) -> io::Result<(String, String, BTreeMap<String, String>)> {
    let mut reader = reader.take(HEAD_BYTES_MAX);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split_whitespace().map(str::to_owned);
    let (Some(method), Some(path)) = (words.next(), words.next()) else {
        return Err(io::ErrorKind::UnexpectedEof.into());
    };
    let mut fields = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        match line.trim_end().split_once(':') {
            Some((name, value)) => fields.insert(name.to_ascii_lowercase(), value.trim().to_owned()),
            None => return Ok((method, path, fields)),
        };
    }
}

/// The proxy: a tunnel to the registry, whoever was asked for.
fn lead(stream: TcpStream, port: u16, log: &Log) -> io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let (method, target, _) = head(&mut reader)?;
    note(log, format!("proxy {target}"));
    let mut near = stream;
    if method != "CONNECT" {
        return near.write_all(b"HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    }
    let mut far = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    near.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
    let (mut back_from, mut back_to) = (far.try_clone()?, near.try_clone()?);
    let back = thread::spawn(move || io::copy(&mut back_from, &mut back_to));
    io::copy(&mut reader, &mut far)?;
    far.shutdown(std::net::Shutdown::Write)?;
    back.join().map_err(|_| io::Error::other("the way back panicked"))?.map(drop)
}

impl Shelf {
    fn read(archive: &Path) -> Result<Shelf> {
        let file = std::fs::File::open(archive).with_context(|| format!("opening {}", archive.display()))?;
        let (mut index, mut blobs) = (Value::Null, BTreeMap::new());
        for entry in tar::Archive::new(file).entries()? {
            let mut entry = entry?;
            let path = entry.path()?.display().to_string();
            let mut content = Vec::new();
            entry.read_to_end(&mut content)?;
            match path.strip_prefix("blobs/sha256/") {
                Some(hash) => _ = blobs.insert(format!("sha256:{hash}"), content),
                None if path == "index.json" => index = serde_json::from_slice(&content)?,
                None => {}
            }
        }
        let manifest = index["manifests"][0]["digest"].as_str();
        Ok(Shelf { manifest: manifest.ok_or_else(|| anyhow!("no image in {}", archive.display()))?.to_owned(), blobs })
    }

    /// Answers requests of one connection until it ends.
    fn answer(&self, stream: &mut BufReader<impl Read + Write>, log: &Log) -> io::Result<()> {
        let password = format!("Basic {}", STANDARD.encode(format!("{}:{}", USER.0, USER.1)));
        loop {
            let (method, path, fields) = head(stream)?;
            let knows = fields.get("authorization") == Some(&password);
            note(log, format!("{} {path}", if knows { USER.0 } else { "anonymous" }));
            let (code, more, body) = if knows {
                self.find(&path)
            } else {
                ("401 Unauthorized", "WWW-Authenticate: Basic realm=\"test\"\r\n".to_owned(), &[][..])
            };
            let length = body.len();
            let out = stream.get_mut();
            write!(out, "HTTP/1.1 {code}\r\n{more}Content-Length: {length}\r\n\r\n")?;
            if method != "HEAD" {
                out.write_all(body)?;
            }
            out.flush()?;
        }
    }

    /// What lies at a path: status, fields, body.
    fn find(&self, path: &str) -> (&'static str, String, &[u8]) {
        let path = path.split('?').next().unwrap_or(path);
        if path == "/v2/" {
            return ("200 OK", String::new(), b"{}");
        }
        let last = path.rsplit('/').next().unwrap_or_default();
        let (digest, kind) = match path.contains("/manifests/") {
            true if last.starts_with("sha256:") => (last, MANIFEST),
            true => (self.manifest.as_str(), MANIFEST),
            false => (last, "application/octet-stream"),
        };
        match self.blobs.get(digest) {
            Some(body) => ("200 OK", format!("Content-Type: {kind}\r\nDocker-Content-Digest: {digest}\r\n"), body),
            None => ("404 Not Found", String::new(), b""),
        }
    }
}

/// A private authority, and the registry's settings with a certificate of it.
fn certificates() -> Result<(String, Arc<ServerConfig>)> {
    let mut own = CertificateParams::new(Vec::<String>::new())?;
    own.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate()?;
    let authority = own.self_signed(&key)?.pem();
    let issuer = Issuer::new(own, key);
    let names = vec![NAME.to_owned(), "host.skerry.internal".to_owned(), "localhost".to_owned()];
    let key = KeyPair::generate()?;
    let certificate = CertificateParams::new(names)?.signed_by(&key, &issuer)?;
    let secret = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let config = config.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], secret)?;
    Ok((authority, Arc::new(config)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shelf_answers_by_tag_and_by_digest_and_only_who_knows_the_password() {
        let shelf =
            Shelf { manifest: "sha256:a".to_owned(), blobs: BTreeMap::from([("sha256:a".to_owned(), b"m".to_vec())]) };
        for (path, code) in [
            ("/v2/", "200 OK"),
            ("/v2/x/y/manifests/v1", "200 OK"),
            ("/v2/x/manifests/sha256:a?ns=z", "200 OK"),
            ("/v2/x/manifests/sha256:b", "404 Not Found"),
            ("/v2/x/blobs/sha256:a", "200 OK"),
        ] {
            assert_eq!(shelf.find(path).0, code, "{path}");
        }
        let both = |words: &str| {
            struct Both(io::Cursor<Vec<u8>>, Vec<u8>);
            impl Read for Both {
                fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                    self.0.read(buffer)
                }
            }
            impl Write for Both {
                fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                    self.1.write(bytes)
                }
                fn flush(&mut self) -> io::Result<()> {
                    Ok(())
                }
            }
            let request = format!("GET /v2/ HTTP/1.1\r\nHost: x\r\n{words}\r\n");
            let mut stream = BufReader::new(Both(io::Cursor::new(request.into_bytes()), Vec::new()));
            let log = Log::default();
            shelf.answer(&mut stream, &log).unwrap_err();
            let said = log.lock().unwrap()[0].clone();
            (String::from_utf8(stream.into_inner().1).unwrap(), said)
        };
        let (answer, said) = both("");
        assert!(answer.starts_with("HTTP/1.1 401") && said == "anonymous /v2/", "{answer} {said}");
        let (answer, said) = both("Authorization: Basic cHVsbGVyOm9wZW4gc2VzYW1l\r\n");
        assert!(answer.starts_with("HTTP/1.1 200") && said == "puller /v2/", "{answer} {said}");
    }

    #[test]
    fn the_certificate_is_of_the_authority_and_tls_is_spoken() {
        assert!(certificates().unwrap().0.contains("BEGIN CERTIFICATE"));
    }
}
