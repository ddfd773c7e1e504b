//! A machine with its bridge, an outside world, and pods, all as network namespaces; servers and clients in them.

use network::cidr::Cidr;
use network::setup::{self, Setup};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// How long anything here may take; on an idle machine it takes milliseconds.
pub const DEADLINE: Duration = Duration::from_secs(20);
/// How long a client waits for an answer that is not to come.
pub const PATIENCE: Duration = Duration::from_millis(700);

static COUNT: AtomicU32 = AtomicU32::new(0);

pub fn cidr(text: &str) -> Cidr {
    text.parse().unwrap()
}

/// Runs a program and gives its output.
pub fn tool(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap_or_else(|e| panic!("{program} is needed: {e}"));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {told}");
    String::from_utf8(output.stdout).unwrap()
}

fn path(namespace: &str) -> PathBuf {
    Path::new("/run/netns").join(namespace)
}

/// Runs something in a network namespace, on a thread of its own.
pub fn inside<T: Send>(namespace: &str, act: impl FnOnce() -> T + Send) -> T {
    let path = path(namespace);
    std::thread::scope(|scope| {
        let thread = scope.spawn(move || {
            sys::namespace::enter_network(&path).unwrap();
            act()
        });
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// As `inside`, for something that goes on; its thread ends with the test process.
pub fn beside(namespace: &str, act: impl FnOnce() + Send + 'static) -> std::thread::JoinHandle<()> {
    let path = path(namespace);
    std::thread::spawn(move || {
        sys::namespace::enter_network(&path).unwrap();
        act();
    })
}

pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Asks until the answer is right; panics with the last one when the deadline passes.
pub fn until<T: std::fmt::Debug>(what: &str, mut ask: impl FnMut() -> T, right: impl Fn(&T) -> bool) -> T {
    let end = Instant::now() + DEADLINE;
    loop {
        let answer = ask();
        if right(&answer) {
            return answer;
        }
        assert!(Instant::now() < end, "{what}: still {answer:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The machine; its namespaces go when it is dropped.
pub struct Machine {
    /// The machine's namespace.
    pub name: String,
    /// Leases are kept here.
    pub state: tempfile::TempDir,
    namespaces: Vec<String>,
}

impl Drop for Machine {
    fn drop(&mut self) {
        for namespace in &self.namespaces {
            let _ = Command::new("ip").args(["netns", "del", namespace]).status();
        }
    }
}

impl Machine {
    /// A machine that is set up, 10.0.2.15 to the outside (10.0.2.2) and 10.250.0.1 to itself.
    pub fn new() -> Machine {
        assert!(nix::unistd::geteuid().is_root(), "these tests make network namespaces: run them as root");
        let name = format!("skt{}x{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let mut machine = Machine { name: name.clone(), state: tempfile::tempdir().unwrap(), namespaces: Vec::new() };
        machine.namespace(&name);
        let outside = machine.outside();
        machine.namespace(&outside);
        let ip = |arguments: &str| tool("ip", &arguments.split(' ').collect::<Vec<_>>());
        ip(&format!("-n {name} link add eth0 type veth peer name eth0 netns {outside}"));
        ip(&format!("-n {name} link add cluster0 type bridge"));
        for (namespace, link, address) in
            [(&name, "eth0", "10.0.2.15/24"), (&name, "cluster0", "10.250.0.1/24"), (&outside, "eth0", "10.0.2.2/24")]
        {
            ip(&format!("-n {namespace} addr add {address} dev {link}"));
            ip(&format!("-n {namespace} link set {link} up"));
        }
        ip(&format!("-n {name} link set lo up"));
        let setup = Setup {
            bridge: "cni0".to_owned(),
            ranges: vec![cidr("10.244.0.0/24"), cidr("fd00:10:244::/64")],
            known: vec![cidr("10.244.0.0/16"), cidr("10.250.0.0/24"), cidr("fd00:10:244::/56")],
            services: vec![cidr("10.96.0.0/16"), cidr("fd00:10:96::/112")],
        };
        // Twice, as after a restart of `node`.
        for _ in 0..2 {
            inside(&name, || runtime().block_on(setup::apply(&setup)).unwrap());
        }
        machine
    }

    pub fn outside(&self) -> String {
        format!("{}o", self.name)
    }

    fn namespace(&mut self, name: &str) {
        tool("ip", &["netns", "add", name]);
        self.namespaces.push(name.to_owned());
        // Bridged packets pass unfiltered, where the kernel would do otherwise.
        inside(name, || {
            let hook = "/proc/sys/net/bridge/bridge-nf-call-iptables";
            if Path::new(hook).exists() {
                std::fs::write(hook, "0").unwrap();
            }
        });
    }

    /// Runs the plugin as containerd does.
    pub fn cni(&self, command: &str, pod: &str, more: Value) -> Result<Value, Value> {
        let mut config = json!({"cniVersion": "1.1.0", "name": "skerry", "type": "skerry-cni",
            "ranges": ["10.244.0.0/24", "fd00:10:244::/64"], "state": self.state.path()});
        for (field, value) in more.as_object().into_iter().flatten() {
            config[field] = value.clone();
        }
        let mut child = Command::new("ip")
            .args(["netns", "exec", &self.name, env!("CARGO_BIN_EXE_skerry-cni")])
            .env("CNI_COMMAND", command)
            .env("CNI_CONTAINERID", pod)
            .env("CNI_IFNAME", "eth0")
            .env("CNI_NETNS", path(&self.pod_name(pod)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(config.to_string().as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let answer =
            if output.stdout.is_empty() { Value::Null } else { serde_json::from_slice(&output.stdout).unwrap() };
        if output.status.success() { Ok(answer) } else { Err(answer) }
    }

    fn pod_name(&self, pod: &str) -> String {
        format!("{}{pod}", self.name)
    }

    /// A pod with an empty namespace.
    pub fn unattached(&mut self, pod: &str) -> String {
        let name = self.pod_name(pod);
        self.namespace(&name);
        name
    }

    /// A pod on the network.
    pub fn pod(&mut self, pod: &str) -> Pod {
        self.pod_with(pod, json!({}))
    }

    pub fn pod_with(&mut self, pod: &str, more: Value) -> Pod {
        let namespace = self.unattached(pod);
        let added = self.cni("ADD", pod, more).unwrap_or_else(|e| panic!("ADD: {e}"));
        let address = added["ips"][0]["address"].as_str().unwrap().parse::<Cidr>().unwrap().address.to_string();
        Pod { namespace, address, added }
    }

    /// A table as `nft` prints it.
    pub fn nft(&self, family: &str, table: &str) -> Value {
        let arguments = ["netns", "exec", &self.name, "nft", "-j", "list", "table", family, table];
        serde_json::from_str(&tool("ip", &arguments)).unwrap()
    }

    /// How many elements every set of a table has, as `nft` counts them; sets without elements are left out.
    pub fn elements(&self, family: &str, table: &str) -> BTreeMap<String, usize> {
        let listed = self.nft(family, table);
        let all = listed["nftables"].as_array().unwrap().iter();
        let sets = all.filter_map(|one| one.get("set").or_else(|| one.get("map")));
        let count =
            |set: &Value| (set["name"].as_str().unwrap().to_owned(), set["elem"].as_array().map_or(0, Vec::len));
        sets.map(count).filter(|(_, elements)| *elements > 0).collect()
    }
}

pub struct Pod {
    pub namespace: String,
    pub address: String,
    pub added: Value,
}

/// A TCP server that says its name and who called, then repeats every line.
pub fn serve_tcp(namespace: &str, name: &'static str, port: u16) {
    let (ready, is_ready) = std::sync::mpsc::channel();
    beside(namespace, move || {
        let listener = TcpListener::bind(SocketAddr::from((std::net::Ipv6Addr::UNSPECIFIED, port))).unwrap();
        ready.send(()).unwrap();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || -> std::io::Result<()> {
                let peer = stream.peer_addr()?.ip().to_canonical();
                writeln!(stream, "{name} {peer}")?;
                for line in BufReader::new(stream.try_clone()?).lines() {
                    writeln!(stream, "{}", line?)?;
                }
                Ok(())
            });
        }
    });
    is_ready.recv_timeout(DEADLINE).unwrap();
}

/// A UDP server that answers every packet with its name.
pub fn serve_udp(namespace: &str, name: &'static str, port: u16) {
    let (ready, is_ready) = std::sync::mpsc::channel();
    beside(namespace, move || {
        let socket = UdpSocket::bind(("0.0.0.0", port)).unwrap();
        ready.send(()).unwrap();
        let mut packet = [0; 64];
        while let Ok((_, peer)) = socket.recv_from(&mut packet) {
            socket.send_to(name.as_bytes(), peer).unwrap();
        }
    });
    is_ready.recv_timeout(DEADLINE).unwrap();
}

/// Calls a TCP server: its name and the caller as it saw it, or how the call failed.
pub fn call(namespace: &str, to: &str) -> Result<String, std::io::ErrorKind> {
    let to: SocketAddr = to.parse().unwrap();
    inside(namespace, || {
        let stream = TcpStream::connect_timeout(&to, PATIENCE).map_err(|e| e.kind())?;
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).map_err(|e| e.kind())?;
        Ok(line.trim_end().to_owned())
    })
}

/// The name of the server that answered.
pub fn name(namespace: &str, to: &str) -> String {
    match call(namespace, to) {
        Ok(line) => line.split(' ').next().unwrap_or_default().to_owned(),
        Err(kind) => format!("{kind:?}"),
    }
}

/// Asks over UDP from a given port.
pub fn ask_udp(namespace: &str, from: u16, to: &str) -> Option<String> {
    let to: SocketAddr = to.parse().unwrap();
    inside(namespace, || {
        // A program that another test is just starting may hold the last socket for a moment.
        let socket = UdpSocket::bind(("0.0.0.0", from)).ok()?;
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.send_to(b"?", to).ok()?;
        let mut packet = [0; 64];
        let (size, _) = socket.recv_from(&mut packet).ok()?;
        Some(String::from_utf8_lossy(&packet[..size]).into_owned())
    })
}
