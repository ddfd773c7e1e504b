//! The whole server over real sockets on 127.0.0.1, fed by an API server in memory.

use crate::dns::message::UDP_BYTES_MAX;
use crate::dns::{Config, run};
use client::fake::Fake;
use hickory_proto::op::{Edns, Message, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};
use k8s_openapi::api::core::v1::{Namespace, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use serde_json::json;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

const DEADLINE: Duration = Duration::from_secs(20);

struct Running {
    api: Fake,
    address: SocketAddr,
    _stop: tokio_util::sync::DropGuard,
    _folder: tempfile::TempDir,
}

async fn start(endpoints: u8) -> Running {
    let api = Fake::new();
    api.put::<Namespace>(&serde_json::from_value(json!({"metadata": {"name": "a"}})).expect("a namespace"));
    let service = json!({"metadata": {"name": "web", "namespace": "a"}, "spec": {"clusterIP": "None"}});
    api.put::<Service>(&serde_json::from_value(service).expect("a service"));
    let all: Vec<_> = (1..=endpoints).map(|n| json!({"addresses": [format!("10.244.0.{n}")]})).collect();
    let slice = json!({"metadata": {"name": "web-1", "namespace": "a", "labels": {"kubernetes.io/service-name": "web"}},
        "addressType": "IPv4", "endpoints": all});
    api.put::<EndpointSlice>(&serde_json::from_value(slice).expect("a slice"));
    // A port that is free now; both protocols need the same one.
    let probe = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = probe.local_addr().expect("an address");
    drop(probe);
    let folder = tempfile::tempdir().expect("a folder");
    let config = Config {
        addresses: vec![IpAddr::V4(Ipv4Addr::LOCALHOST)],
        port: address.port(),
        resolv_conf: folder.path().join("resolv.conf"),
        ..Config::default()
    };
    let stop = CancellationToken::new();
    let (ready, mut known) = watch::channel(false);
    tokio::spawn(run(config, api.client(), ready, stop.clone()));
    timeout(DEADLINE, known.wait_for(|ready| *ready)).await.expect("in time").expect("it runs");
    Running { api, address, _stop: stop.drop_guard(), _folder: folder }
}

fn question(name: &str, edns: Option<u16>) -> Message {
    let mut message = Message::query();
    message.add_query(Query::query(Name::from_str(name).expect("a name"), RecordType::A));
    message.edns = edns.map(|size| {
        let mut edns = Edns::new();
        edns.set_max_payload(size);
        edns
    });
    message
}

async fn by_udp(to: SocketAddr, packet: &[u8]) -> (Message, usize) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
    socket.send_to(packet, to).await.expect("sent");
    let mut buffer = [0u8; 65535];
    let length = timeout(DEADLINE, socket.recv(&mut buffer)).await.expect("in time").expect("a reply");
    (Message::from_vec(&buffer[..length]).expect("a message"), length)
}

fn wire(message: &Message) -> Vec<u8> {
    message.to_vec().expect("bytes")
}

#[tokio::test]
async fn udp_answers_with_the_id_and_the_question() {
    let running = start(1).await;
    let asked = question("web.a.svc.cluster.local.", None);
    let (reply, _) = by_udp(running.address, &wire(&asked)).await;
    assert_eq!(reply.metadata.id, asked.metadata.id);
    assert_eq!(reply.queries, asked.queries);
    assert!(reply.metadata.authoritative && reply.metadata.recursion_available);
    assert_eq!(reply.answers[0].data, RData::A(Ipv4Addr::new(10, 244, 0, 1).into()));
    assert!(reply.edns.is_none(), "no EDNS for who has none");
    let (reply, _) = by_udp(running.address, &wire(&question("x.a.svc.cluster.local.", Some(4096)))).await;
    assert_eq!(reply.metadata.response_code, ResponseCode::NXDomain);
    assert_eq!(reply.edns.expect("EDNS").max_payload(), UDP_BYTES_MAX);
}

#[tokio::test]
async fn what_does_not_fit_is_truncated_and_tcp_has_it_all() {
    let running = start(200).await;
    let asked = wire(&question("web.a.svc.cluster.local.", None));
    let (reply, length) = by_udp(running.address, &asked).await;
    assert!(reply.metadata.truncation && length <= 512 && reply.answers.len() > 20, "{length} bytes");
    let (reply, length) = by_udp(running.address, &wire(&question("web.a.svc.cluster.local.", Some(65535)))).await;
    assert!(reply.metadata.truncation && length <= usize::from(UDP_BYTES_MAX) && length > 1000, "{length} bytes");
    let mut stream = TcpStream::connect(running.address).await.expect("a connection");
    for _ in 0..3 {
        stream.write_all(&[&(asked.len() as u16).to_be_bytes()[..], &asked].concat()).await.expect("sent");
        let length = timeout(DEADLINE, stream.read_u16()).await.expect("in time").expect("a length");
        let mut buffer = vec![0u8; usize::from(length)];
        stream.read_exact(&mut buffer).await.expect("a reply");
        let reply = Message::from_vec(&buffer).expect("a message");
        assert!(!reply.metadata.truncation);
        assert_eq!(reply.answers.len(), 200);
    }
}

#[tokio::test]
async fn nonsense_is_named_and_answers_are_not_answered() {
    let running = start(1).await;
    let (reply, _) = by_udp(running.address, b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\xff\xff").await;
    assert_eq!((reply.metadata.id, reply.metadata.response_code), (0x1234, ResponseCode::FormErr));
    let mut update = question("web.a.svc.cluster.local.", None);
    update.metadata.op_code = OpCode::Notify;
    assert_eq!(by_udp(running.address, &wire(&update)).await.0.metadata.response_code, ResponseCode::NotImp);
    let none = Message::query();
    assert_eq!(by_udp(running.address, &wire(&none)).await.0.metadata.response_code, ResponseCode::FormErr);
    // An answer and a short packet bring nothing back: the reply that comes is the one to the third packet.
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
    let mut answer = question("web.a.svc.cluster.local.", None).into_response();
    answer.metadata.id = 1;
    let mut last = question("web.a.svc.cluster.local.", None);
    last.metadata.id = 2;
    for packet in [wire(&answer), b"short".to_vec(), wire(&last)] {
        socket.send_to(&packet, running.address).await.expect("sent");
    }
    let mut buffer = [0u8; 512];
    let length = timeout(DEADLINE, socket.recv(&mut buffer)).await.expect("in time").expect("a reply");
    assert_eq!(Message::from_vec(&buffer[..length]).expect("a message").metadata.id, 2);
}

#[tokio::test]
async fn a_change_in_the_api_is_a_change_of_the_answer() {
    let running = start(1).await;
    let service = json!({"metadata": {"name": "new", "namespace": "a"},
        "spec": {"clusterIP": "10.96.0.9", "ports": [{"port": 80}]}});
    running.api.put::<Service>(&serde_json::from_value(service).expect("a service"));
    let asked = wire(&question("new.a.svc.cluster.local.", None));
    let seen = async {
        while by_udp(running.address, &asked).await.0.answers.is_empty() {
            tokio::task::yield_now().await;
        }
    };
    timeout(DEADLINE, seen).await.expect("the new Service is answered");
}

#[tokio::test]
async fn the_service_of_the_dns_is_made_and_a_foreign_name_without_resolvers_fails_at_once() {
    let running = start(1).await;
    let (reply, _) = by_udp(running.address, &wire(&question("www.example.com.", None))).await;
    assert_eq!(reply.metadata.response_code, ResponseCode::ServFail);
    let made = async {
        while running.api.all::<EndpointSlice>().len() < 2 {
            tokio::task::yield_now().await;
        }
    };
    timeout(DEADLINE, made).await.expect("Service and slice appear");
    let service = running.api.all::<Service>().into_iter().find(|s| s.metadata.name.as_deref() == Some("kube-dns"));
    let spec = service.expect("kube-dns").spec.expect("a spec");
    assert_eq!(spec.cluster_ip.as_deref(), Some("127.0.0.1"));
}
