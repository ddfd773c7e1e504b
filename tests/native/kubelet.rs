//! The kubelet's API beside a control plane, with one pod whose container is a process of this machine: its commands run
//! here, its log is a file, its network is the machine's.

mod engine;

use crate::plane::Plane;
use api::{Tree, tree};
use client::{Client, Credentials, HttpsTransport};
use k8s_openapi::api::core::v1::Pod;
use kubelet::server::{Container, Running, Sandbox, Settings, State, View};
use pki::authority::{Authority, Pair, Purpose};
use pki::template::San;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// The pod's name; its container is called `main`.
pub const POD: &str = "box";

/// What the kubelet is shown.
struct Shown {
    pod: Arc<Pod>,
    log: PathBuf,
    state: Mutex<State>,
    changes: watch::Sender<u64>,
}

impl View for Shown {
    fn pods(&self) -> Vec<Arc<Pod>> {
        vec![self.pod.clone()]
    }

    fn running(&self, namespace: &str, name: &str) -> Option<Running> {
        let container = Container {
            name: "main".to_owned(),
            id: "c1".to_owned(),
            attempt: 0,
            state: *self.state.lock().expect("a state"),
            log: self.log.clone(),
        };
        (namespace == "default" && name == POD).then(|| Running {
            pod: self.pod.clone(),
            sandbox: Some(Sandbox { id: "s1".to_owned(), network: None, cgroup: None }),
            containers: vec![container],
        })
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}

/// A node of one pod.
pub struct Node {
    pub plane: Plane,
    /// The node's address, which is not a loopback one where the machine has another.
    pub address: IpAddr,
    /// The port of its kubelet.
    pub port: u16,
    shown: Arc<Shown>,
    stop: CancellationToken,
}

/// An address of this machine that others could reach; proxies lead to no other.
fn own_address() -> IpAddr {
    let route = UdpSocket::bind("0.0.0.0:0").and_then(|socket| {
        // Nothing is sent: this only asks which address would be used.
        socket.connect("192.0.2.1:9")?;
        socket.local_addr()
    });
    route.map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |address| address.ip())
}

fn status(address: IpAddr) -> Tree {
    tree!({
        "phase": "Running",
        "podIP": (address.to_string()),
        "podIPs": [{"ip": (address.to_string())}],
        "conditions": [{"type": "Ready", "status": "True"}],
        "containerStatuses": [{
            "name": "main", "image": "box", "imageID": "", "ready": true, "started": true, "restartCount": 0,
            "containerID": "fake://c1", "state": {"running": {"startedAt": "2026-01-02T03:04:05Z"}}
        }]
    })
}

impl Node {
    /// Starts a control plane and a kubelet, and makes the Node and the Pod.
    pub async fn start() -> Node {
        let plane = Plane::start();
        let address = own_address();
        let listener = TcpListener::bind((address, 0)).await.expect("a port");
        let port = listener.local_addr().expect("its address").port();
        let path = |path: &str| format!("/api/v1/{path}");
        plane.call("POST", &path("nodes"), Some(&tree!({"metadata": {"name": "n1"}}))).await;
        let node = tree!({"status": {
            "addresses": [{"type": "InternalIP", "address": (address.to_string())}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": (i64::from(port))}},
            // Nobody renews it, and no test outlives it.
            "conditions": [{"type": "Ready", "status": "True", "lastHeartbeatTime": "2099-01-01T00:00:00Z"}]
        }});
        plane.call("PATCH", &path("nodes/n1/status"), Some(&node)).await;
        plane.until(&path("namespaces/default/serviceaccounts/default"), |code, _| code == 200).await;
        let pod = tree!({
            "metadata": {"name": POD, "labels": {"app": POD}},
            "spec": {"nodeName": "n1", "containers": [{"name": "main", "image": "box", "stdin": true, "tty": false}]}
        });
        plane.call("POST", &path("namespaces/default/pods"), Some(&pod)).await;
        let status = tree!({"status": (status(address))});
        let pod = plane.call("PATCH", &path(&format!("namespaces/default/pods/{POD}/status")), Some(&status)).await;
        // The node authorizes its clients by asking; upstream's node authorizer would let it.
        let binding = tree!({
            "metadata": {"name": "nodes"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:node"},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "system:nodes"}]
        });
        plane.call("POST", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", Some(&binding)).await;
        let shown = Arc::new(Shown {
            pod: Arc::new(serde_json::from_slice(&pod.to_json()).expect("a pod")),
            log: plane.folder.path().join("logs/0.log"),
            state: Mutex::new(State::Running),
            changes: watch::Sender::new(0),
        });
        std::fs::create_dir(plane.folder.path().join("logs")).expect("a folder");
        std::fs::write(&shown.log, "").expect("a log");
        let stop = CancellationToken::new();
        let (settings, client) = (settings(&plane, address), node_client(&plane));
        let engine = engine::start(stop.clone()).await;
        tokio::spawn(kubelet::server::serve(listener, settings, client, shown.clone(), engine, stop.clone()));
        Node { plane, address, port, shown, stop }
    }

    /// Writes a line to the container's log, as an engine does.
    pub fn log(&self, stream: &str, tag: &str, content: &str) {
        let mut file = std::fs::File::options().append(true).create(true).open(&self.shown.log).expect("the log");
        let now = jiff::Timestamp::now();
        file.write_all(format!("{now} {stream} {tag} {content}\n").as_bytes()).expect("a line");
    }

    /// Moves the log away, as rotation does.
    pub fn rotate(&self) {
        let old = self.shown.log.with_extension("log.20260102-030405");
        std::fs::rename(&self.shown.log, old).expect("rotation");
    }

    /// The container ends.
    pub fn end(&self) {
        *self.shown.state.lock().expect("a state") = State::Exited;
        self.shown.changes.send_modify(|n| *n += 1);
    }

    /// `kubectl` as the administrator; `websockets` says what its streams go over.
    pub fn kubectl(&self, websockets: bool, arguments: &[&str]) -> tokio::process::Command {
        let mut command = tokio::process::Command::new("kubectl");
        command
            .args(arguments)
            .env("KUBECONFIG", self.plane.folder.path().join("kubeconfig"))
            .env("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", websockets.to_string())
            .env("KUBECTL_PORT_FORWARD_WEBSOCKETS", websockets.to_string())
            .kill_on_drop(true);
        command
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn pem(plane: &Plane, file: &str) -> Vec<u8> {
    std::fs::read(plane.folder.path().join("data/pki").join(file)).expect("a file of the cluster's keys")
}

fn settings(plane: &Plane, address: IpAddr) -> Settings {
    let pair = Pair::from_pem(&pem(plane, "ca.pem")).expect("the authority");
    let authority = Authority::from_pair(pair).expect("the authority");
    let names = vec![San::Ip(address)];
    let own = authority.issue("system:node:n1", &["system:nodes"], names, Purpose::Server, SystemTime::now());
    let slot = pki::tls::Slot::new(&own.expect("a certificate")).expect("a certificate");
    let clock = Arc::new(jiff::Timestamp::now);
    Settings::new("n1", Arc::new(slot), authority.certificate(), PathBuf::from("/"), clock).expect("settings")
}

/// A client with the node's own user.
fn node_client(plane: &Plane) -> Client {
    let own = pem(plane, "kubelet.pem");
    let authority = CertificateDer::from_pem_slice(&pem(plane, "ca.crt")).expect("a certificate");
    let chain = vec![CertificateDer::from_pem_slice(&own).expect("a certificate")];
    let key = PrivateKeyDer::from_pem_slice(&own).expect("a key");
    let credentials = Credentials::Certificate(chain, key);
    let transport = HttpsTransport::new("127.0.0.1", plane.port, vec![authority], credentials).expect("a transport");
    Client::new(Arc::new(transport), "kubelet")
}
