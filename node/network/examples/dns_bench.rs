//! Prints how many questions a second the cluster's DNS answers: the pure core alone, and over UDP on 127.0.0.1 with a
//! number of clients. `cargo run --release -p network --example dns_bench`.

use arc_swap::ArcSwap;
use hickory_proto::op::{Message, Query};
use hickory_proto::rr::{Name, RecordType};
use network::dns::answer::answer;
use network::dns::forward::Forwarder;
use network::dns::records::{Face, Port, Records, ServiceRecords};
use network::dns::server::{Responder, udp};
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Instant;
use tokio::net::UdpSocket;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

const SERVICES: u16 = 10_000;
const QUESTIONS: usize = 200_000;
const CLIENTS: usize = 32;

fn cluster() -> anyhow::Result<Records> {
    let mut records = Records::new(Name::from_str("cluster.local.")?, Vec::new());
    records.set_namespace("default", true);
    let start = Instant::now();
    for n in 0..SERVICES {
        let [high, low] = n.to_be_bytes();
        let ports = vec![Port { name: "http".to_owned(), protocol: "tcp".to_owned(), number: 80 }];
        let face = Face::Cluster { addresses: vec![IpAddr::from([10, 96, high, low])], ports };
        records.set_service("default", &format!("web-{n}"), Some(ServiceRecords { face, endpoints: Vec::new() }));
    }
    println!(
        "{:.1} µs to take in one of {SERVICES} Services",
        start.elapsed().as_micros() as f64 / f64::from(SERVICES)
    );
    Ok(records)
}

fn rate(what: &str, count: usize, start: Instant) {
    println!("{:.0} questions a second, {what}", count as f64 / start.elapsed().as_secs_f64());
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let records = cluster()?;
    for name in ["web-7.default.svc.cluster.local.", "www.example.com.default.svc.cluster.local."] {
        let query = Query::query(Name::from_str(name)?, RecordType::A);
        let start = Instant::now();
        for _ in 0..QUESTIONS {
            std::hint::black_box(answer(&records, std::hint::black_box(&query)));
        }
        rate(&format!("pure, {name}"), QUESTIONS, start);
    }
    let socket = UdpSocket::bind("127.0.0.1:0").await?;
    let server = socket.local_addr()?;
    let (_known, synced) = watch::channel(true);
    let responder = Responder::new(Arc::new(ArcSwap::from_pointee(records)), synced, Arc::new(Forwarder::default()));
    tokio::spawn(udp(socket, Arc::new(responder), CancellationToken::new()));
    let start = Instant::now();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            tokio::spawn(async move {
                let socket = UdpSocket::bind("127.0.0.1:0").await?;
                socket.connect(server).await?;
                let mut message = Message::query();
                message.add_query(Query::query(Name::from_str("web-7.default.svc.cluster.local.")?, RecordType::A));
                let packet = message.to_vec()?;
                let mut buffer = [0u8; 1500];
                for _ in 0..QUESTIONS / CLIENTS {
                    socket.send(&packet).await?;
                    socket.recv(&mut buffer).await?;
                }
                anyhow::Ok(())
            })
        })
        .collect();
    for client in clients {
        client.await??;
    }
    rate(&format!("UDP with {CLIENTS} clients who each wait for their answer"), QUESTIONS, start);
    Ok(())
}
