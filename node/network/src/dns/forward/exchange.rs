//! One question to one resolver: UDP from a fresh port with a fresh id, TCP when the answer does not fit.
//!
//! It must not know of other resolvers, retries or caches.

use super::cache::Key;
use crate::dns::message::UDP_BYTES_MAX;
use hickory_proto::op::{Edns, Message, MessageType, Query};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

/// How long a resolver may take over UDP. A resolver with the name in its cache answers within milliseconds; one that
/// has to ask around gets the client's next try.
pub const UDP_WAIT: Duration = Duration::from_millis(1500);
/// How long the exchange over TCP may take: several round trips.
pub const TCP_WAIT: Duration = Duration::from_secs(2);
/// Packets that are not the answer which are read past: a guesser gets no more tries than these for one question.
pub const STRAY_PACKETS_MAX: usize = 32;

/// Asks.
///
/// # Errors
/// `TimedOut` for silence; otherwise what went wrong, a refused connection for example.
pub async fn ask(resolver: SocketAddr, key: &Key) -> io::Result<Message> {
    let question = question(key);
    let wire = question.to_vec().map_err(io::Error::other)?;
    let answer = match timeout(UDP_WAIT, by_udp(resolver, &question, &wire)).await {
        Ok(answer) => answer?,
        Err(_) => return Err(io::Error::new(io::ErrorKind::TimedOut, "no answer over UDP")),
    };
    if !answer.metadata.truncation {
        return Ok(answer);
    }
    match timeout(TCP_WAIT, by_tcp(resolver, &question, &wire)).await {
        Ok(Ok(whole)) => Ok(whole),
        // What came over UDP is true and marked as incomplete: better than nothing.
        Ok(Err(error)) => {
            tracing::debug!(%error, %resolver, "a resolver truncates and does not serve TCP");
            Ok(answer)
        }
        Err(_) => Ok(answer),
    }
}

fn question(key: &Key) -> Message {
    // The library draws the id from a generator that cannot be guessed.
    let mut question = Message::query();
    question.metadata.recursion_desired = true;
    question.metadata.checking_disabled = key.checking_disabled;
    let mut query = Query::query(key.name.clone(), key.asked);
    query.set_query_class(key.class);
    question.add_query(query);
    let mut edns = Edns::new();
    edns.set_max_payload(UDP_BYTES_MAX).set_version(0).set_dnssec_ok(key.dnssec_ok);
    question.edns = Some(edns);
    question
}

async fn by_udp(resolver: SocketAddr, question: &Message, wire: &[u8]) -> io::Result<Message> {
    let any = if resolver.is_ipv4() { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { IpAddr::V6(Ipv6Addr::UNSPECIFIED) };
    // Port 0: the kernel picks one at random. Connected: packets of others do not reach us, and a closed port shows.
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(resolver).await?;
    socket.send(wire).await?;
    let mut buffer = vec![0u8; usize::from(u16::MAX)];
    for _ in 0..STRAY_PACKETS_MAX {
        let read = socket.recv(&mut buffer).await?;
        if let Ok(answer) = Message::from_vec(&buffer[..read])
            && answers(&answer, question)
        {
            return Ok(answer);
        }
    }
    Err(io::Error::new(io::ErrorKind::InvalidData, "only packets that are not the answer"))
}

async fn by_tcp(resolver: SocketAddr, question: &Message, wire: &[u8]) -> io::Result<Message> {
    let mut stream = TcpStream::connect(resolver).await?;
    let length = u16::try_from(wire.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes()[..], wire].concat()).await?;
    let length = stream.read_u16().await?;
    let mut buffer = vec![0u8; usize::from(length)];
    stream.read_exact(&mut buffer).await?;
    let answer = Message::from_vec(&buffer).map_err(io::Error::other)?;
    if answers(&answer, question) {
        return Ok(answer);
    }
    Err(io::Error::new(io::ErrorKind::InvalidData, "another answer than the one asked for"))
}

/// Whether this is the answer to that question and not to another, or a forgery.
fn answers(answer: &Message, question: &Message) -> bool {
    answer.metadata.message_type == MessageType::Response
        && answer.metadata.id == question.metadata.id
        && answer.queries == question.queries
}
