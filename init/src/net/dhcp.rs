//! Carries out what the DHCP client in `lease` decides: sends, listens, waits, and hands over settings.

use super::Outer;
use super::lease::{Action, Client};
use super::links::Link;
use super::packet::{MESSAGE_BYTES_MAX, answer};
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::time::Instant;

const CLIENT_PORT: u16 = 68;
const SERVER_PORT: u16 = 67;

/// Keeps the outer link's lease for ever; each change of settings is sent to `changes`, `None` when the address is
/// lost. Returns only on an error of the socket or when nobody listens any more.
pub async fn keep(link: &Link, hostname: &str, xid: u32, changes: &mpsc::Sender<Option<Outer>>) -> io::Result<()> {
    // Open only while an answer is awaited: with a lease in hand the machine listens to nobody.
    let mut socket = None;
    let began = Instant::now();
    let mut client = Client::new(link.mac, xid);
    let mut actions = client.start(Duration::ZERO);
    let mut wake = None;
    let mut buffer = [0; MESSAGE_BYTES_MAX];
    loop {
        for action in actions {
            match action {
                Action::Broadcast(question) => {
                    send(opened(&mut socket, link)?, Ipv4Addr::BROADCAST, &question.bytes(link.mac, hostname)).await?;
                }
                Action::Unicast(server, question) => {
                    send(opened(&mut socket, link)?, server, &question.bytes(link.mac, hostname)).await?;
                }
                Action::Configure(outer) => {
                    wake = None;
                    socket = None;
                    if changes.send(Some(outer)).await.is_err() {
                        return Ok(());
                    }
                }
                Action::Withdraw => {
                    if changes.send(None).await.is_err() {
                        return Ok(());
                    }
                }
                Action::WakeAt(at) => wake = Some(began + at),
            }
        }
        let timer = async {
            match wake {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        let received = async {
            match &socket {
                Some(socket) => socket.recv(&mut buffer).await,
                None => std::future::pending().await,
            }
        };
        actions = tokio::select! {
            received = received => match answer(&buffer[..received?]) {
                Some(answer) => client.packet(began.elapsed(), answer),
                None => Vec::new(),
            },
            () = timer => client.timer(began.elapsed()),
        };
    }
}

/// The client's socket, opened when it is not.
fn opened<'a>(socket: &'a mut Option<UdpSocket>, link: &Link) -> io::Result<&'a UdpSocket> {
    let fresh = match socket.take() {
        Some(open) => open,
        None => UdpSocket::from_std(sys::socket::broadcast_udp(&link.name, CLIENT_PORT)?)?,
    };
    Ok(socket.insert(fresh))
}

/// A network that cannot be reached just now is not the end: the client asks again.
async fn send(socket: &UdpSocket, to: Ipv4Addr, bytes: &[u8]) -> io::Result<()> {
    match socket.send_to(bytes, SocketAddrV4::new(to, SERVER_PORT)).await {
        Ok(_) => Ok(()),
        Err(e) if matches!(e.kind(), io::ErrorKind::NetworkUnreachable | io::ErrorKind::NetworkDown) => Ok(()),
        Err(e) => Err(e),
    }
}
