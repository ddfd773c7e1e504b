//! A running `node` without a kubelet, and how the tests talk to it. All waiting happens here, with a deadline.

use api::Tree;
use bytes::Bytes;

use client::{Credentials, HttpsTransport, Transport};
use http_body_util::BodyExt;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long anything is waited for. Generous: the machine may be busy with a build.
const WAIT_MAX: Duration = Duration::from_secs(60);
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The built program, beside the test's own.
pub fn program() -> PathBuf {
    let own = std::env::current_exe().expect("the path of the test");
    let folder = own.parent().and_then(Path::parent).expect("target/<profile>/deps");
    let program = folder.join("node");
    assert!(program.exists(), "{} is missing: cargo build -p node", program.display());
    program
}

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port()
}

/// A control plane of its own, in a folder of its own.
pub struct Plane {
    pub folder: tempfile::TempDir,
    pub port: u16,
    child: Child,
}

impl Plane {
    /// Starts one and waits until it has written its kubeconfig.
    pub fn start() -> Plane {
        let folder = tempfile::tempdir().expect("a folder");
        let port = free_port();
        let child = spawn(folder.path(), port);
        let mut plane = Plane { folder, port, child };
        plane.wait_until_up();
        plane
    }

    /// Kills it as a power cut would, and starts it again on the same folder.
    pub fn cut_power_and_restart(&mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ended");
        std::fs::remove_file(self.kubeconfig()).expect("it was written");
        self.child = spawn(self.folder.path(), self.port);
        self.wait_until_up();
    }

    fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join("kubeconfig")
    }

    fn wait_until_up(&mut self) {
        let end = Instant::now() + WAIT_MAX;
        while !self.kubeconfig().exists() {
            if let Some(status) = self.child.try_wait().expect("its state") {
                panic!("node ended with {status}; its log: {}", self.log());
            }
            assert!(Instant::now() < end, "node did not come up; its log: {}", self.log());
            std::thread::sleep(LOOK_EVERY);
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// A way in with the administrator's certificate.
    fn transport(&self, credentials: Credentials) -> HttpsTransport {
        let text = std::fs::read(self.folder.path().join("data/pki/ca.crt")).expect("the authority's certificate");
        let authority = CertificateDer::from_pem_slice(&text).expect("a certificate");
        HttpsTransport::new("127.0.0.1", self.port, vec![authority], credentials).expect("a transport")
    }

    /// The administrator's entry in the kubeconfig.
    pub fn entry(&self) -> pki::kubeconfig::Entry {
        let text = std::fs::read_to_string(self.kubeconfig()).expect("the kubeconfig");
        pki::kubeconfig::read(&text, "skerry").expect("a kubeconfig").expect("the context skerry")
    }

    /// The administrator's credentials.
    pub fn admin(&self) -> Credentials {
        let entry = self.entry();
        let chain = vec![CertificateDer::from_pem_slice(entry.certificate.as_bytes()).expect("a certificate")];
        let key = PrivateKeyDer::from_pem_slice(entry.key.as_bytes()).expect("a key");
        Credentials::Certificate(chain, key)
    }

    /// One request; the answer's code and object.
    pub async fn call_as(&self, who: Credentials, method: &str, path: &str, body: Option<&Tree>) -> (u16, Tree) {
        let mut request = http::Request::new(Bytes::from(body.map(Tree::to_json).unwrap_or_default()));
        *request.method_mut() = method.parse().expect("a method");
        *request.uri_mut() = path.parse().expect("a path");
        let kind = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
        request.headers_mut().insert(http::header::CONTENT_TYPE, kind.parse().expect("a media type"));
        let transport = self.transport(who);
        let answer = transport.call(request).await.expect("an answer");
        let code = answer.status().as_u16();
        let bytes = answer.into_body().collect().await.expect("a whole body").to_bytes();
        (code, Tree::from_json(&bytes).map(|decoded| decoded.tree).unwrap_or_default())
    }

    /// As [`Plane::call_as`] the administrator; anything but success fails the test.
    pub async fn call(&self, method: &str, path: &str, body: Option<&Tree>) -> Tree {
        let (code, object) = self.call_as(self.admin(), method, path, body).await;
        assert!(code < 300, "{method} {path}: {code} {}", object.to_json_text());
        object
    }

    /// Looks again and again until an object is as wished.
    pub async fn until(&self, path: &str, wished: impl Fn(u16, &Tree) -> bool) -> Tree {
        let end = Instant::now() + WAIT_MAX;
        loop {
            let (code, object) = self.call_as(self.admin(), "GET", path, None).await;
            if wished(code, &object) {
                return object;
            }
            assert!(Instant::now() < end, "{path} never became as wished: {code} {}", object.to_json_text());
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

impl Drop for Plane {
    fn drop(&mut self) {
        // Both fail only when it has ended already, which the test has told by then.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts the program on a folder and port.
fn spawn(folder: &Path, port: u16) -> Child {
    let log = std::fs::File::options().create(true).append(true).open(folder.join("log")).expect("a log");
    Command::new(program())
        .args(["--no-kubelet", "--port", &port.to_string()])
        .arg("--data")
        .arg(folder.join("data"))
        .arg("--kubeconfig-out")
        .arg(folder.join("kubeconfig"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .expect("node starts")
}
