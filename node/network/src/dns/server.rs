//! The sockets: packets in, `Responder`, packets out.
//!
//! It must not know what names mean or who else is asked.

use super::answer::{Answer, Reply, answer};
use super::forward::{Forwarder, Key};
use super::message::{Incoming, read, reply_to, udp_limit, write};
use super::question::{Place, place};
use super::records::Records;
use crate::metrics::{DNS_REQUESTS, DNS_RESPONSES, DNS_SECONDS};
use ::metrics::Values;
use arc_swap::ArcSwap;
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{Name, RecordType};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

/// How long a question about the cluster waits for the first complete picture; a "no such name" before it would be a
/// lie that clients keep. Below the five seconds of C libraries.
pub const SYNC_WAIT: Duration = Duration::from_secs(3);
/// UDP questions that wait for others at once; more are told that we cannot. Each holds a message and a task.
pub const WAITING_MAX: usize = 2048;
/// TCP connections at once; more wait in the kernel's queue.
pub const CONNECTIONS_MAX: usize = 256;
/// How long a TCP connection may be silent, and how long a client may take to read: CoreDNS's own times are 10 s.
pub const TCP_IDLE: Duration = Duration::from_secs(10);
/// How CoreDNS names the server of the usual port in its metrics.
const SERVER: &str = "dns://:53";
/// The types that are counted apart.
const TYPES: &[RecordType] = &[
    RecordType::A,
    RecordType::AAAA,
    RecordType::CNAME,
    RecordType::MX,
    RecordType::NS,
    RecordType::PTR,
    RecordType::SOA,
    RecordType::SRV,
    RecordType::TXT,
];
/// A pause after the kernel refused a connection (no more descriptors), so that the refusal does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Turns questions into replies.
pub struct Responder {
    records: Arc<ArcSwap<Records>>,
    synced: watch::Receiver<bool>,
    forwarder: Arc<Forwarder>,
    turn: AtomicUsize,
    metrics: Arc<Values>,
}

/// How a question came.
#[derive(Clone, Copy)]
struct Came {
    proto: &'static str,
    client: SocketAddr,
    at: Instant,
}

impl Came {
    fn now(proto: &'static str, client: SocketAddr) -> Came {
        Came { proto, client, at: Instant::now() }
    }
}

impl Responder {
    /// Answers from `records` once `synced` is true, and from others; counts in `metrics`.
    #[must_use]
    pub fn new(
        records: Arc<ArcSwap<Records>>,
        synced: watch::Receiver<bool>,
        forwarder: Arc<Forwarder>,
        metrics: Arc<Values>,
    ) -> Responder {
        Responder { records, synced, forwarder, turn: AtomicUsize::new(0), metrics }
    }

    /// Counts a question with its reply.
    fn count(&self, request: &Message, reply: &Message, came: Came) {
        let zone = self.records.load().zone.to_string();
        let ours =
            request.queries.first().is_some_and(|q| place(q.name(), &self.records.load().zone) != Place::Foreign);
        let zone = if ours { zone.as_str() } else { "." };
        let asked = request.queries.first().map(|query| query.query_type());
        // Types that nobody uses share one label, or anybody could make labels without end.
        let kind = match asked {
            Some(kind) if TYPES.contains(&kind) => kind.to_string(),
            _ => "other".to_owned(),
        };
        let family = if came.client.ip().to_canonical().is_ipv4() { "1" } else { "2" };
        let code = match reply.metadata.response_code {
            ResponseCode::NoError => "NOERROR",
            ResponseCode::NXDomain => "NXDOMAIN",
            ResponseCode::ServFail => "SERVFAIL",
            ResponseCode::FormErr => "FORMERR",
            ResponseCode::NotImp => "NOTIMP",
            ResponseCode::Refused => "REFUSED",
            _ => "other",
        };
        let plugin = if ours { "kubernetes" } else { "forward" };
        self.metrics.count(&DNS_REQUESTS, &[SERVER, zone, "", came.proto, family, &kind]);
        self.metrics.count(&DNS_RESPONSES, &[SERVER, zone, "", code, plugin]);
        self.metrics.observe(&DNS_SECONDS, &[SERVER, zone, ""], came.at.elapsed().as_secs_f64());
    }

    /// The reply, if it needs nobody else.
    #[must_use]
    pub fn at_once(&self, request: &Message) -> Option<Message> {
        let records = self.records.load();
        let query = request.queries.first()?;
        if !*self.synced.borrow() && place(query.name(), &records.zone) != Place::Foreign {
            return None;
        }
        match answer(&records, query) {
            Answer::Reply(reply) => Some(self.ours(request, reply)),
            Answer::Refuse => Some(failed(request, ResponseCode::Refused)),
            Answer::Forward => {
                let known = self.forwarder.known(&key(request, query.name(), query.query_type()))?;
                Some(theirs(request, Vec::new(), &known))
            }
            Answer::Chain { .. } => None,
        }
    }

    /// The reply, however long it takes; there always is one.
    pub async fn respond(&self, request: &Message) -> Message {
        let Some(query) = request.queries.first() else { return failed(request, ResponseCode::FormErr) };
        if place(query.name(), &self.records.load().zone) != Place::Foreign {
            let mut synced = self.synced.clone();
            if !matches!(timeout(SYNC_WAIT, synced.wait_for(|known| *known)).await, Ok(Ok(_))) {
                return failed(request, ResponseCode::ServFail);
            }
        }
        let now = answer(&self.records.load(), query);
        match now {
            Answer::Reply(reply) => self.ours(request, reply),
            Answer::Refuse => failed(request, ResponseCode::Refused),
            Answer::Forward => {
                let answer = self.forwarder.resolve(key(request, query.name(), query.query_type())).await;
                theirs(request, Vec::new(), &answer)
            }
            Answer::Chain { answers, target } => {
                let answer = self.forwarder.resolve(key(request, &target, query.query_type())).await;
                theirs(request, answers, &answer)
            }
        }
    }

    fn ours(&self, request: &Message, reply: Reply) -> Message {
        let mut message = reply_to(request);
        message.metadata.authoritative = true;
        message.metadata.response_code = reply.code;
        message.answers = reply.answers;
        message.authorities = reply.authorities;
        message.additionals = reply.additionals;
        if message.answers.len() > 1 && matches!(message.answers[0].record_type(), RecordType::A | RecordType::AAAA) {
            // Clients take the first address: each is first in turn, as CoreDNS's `loadbalance`.
            let turn = self.turn.fetch_add(1, Ordering::Relaxed) % message.answers.len();
            message.answers.rotate_left(turn);
        }
        message
    }
}

fn key(request: &Message, name: &Name, asked: RecordType) -> Key {
    Key {
        name: name.to_lowercase(),
        asked,
        class: hickory_proto::rr::DNSClass::IN,
        dnssec_ok: request.edns.as_ref().is_some_and(|edns| edns.flags().dnssec_ok),
        checking_disabled: request.metadata.checking_disabled,
    }
}

fn failed(request: &Message, code: ResponseCode) -> Message {
    let mut message = reply_to(request);
    message.metadata.response_code = code;
    message
}

fn theirs(request: &Message, mut answers: Vec<hickory_proto::rr::Record>, answer: &Message) -> Message {
    let mut message = reply_to(request);
    message.metadata.response_code = answer.metadata.response_code;
    message.metadata.authentic_data = answer.metadata.authentic_data;
    message.metadata.truncation = answer.metadata.truncation;
    answers.extend(answer.answers.iter().cloned());
    message.answers = answers;
    message.authorities.clone_from(&answer.authorities);
    message.additionals.clone_from(&answer.additionals);
    message
}

/// Serves UDP until told to stop.
pub async fn udp(socket: UdpSocket, responder: Arc<Responder>, stop: CancellationToken) {
    let socket = Arc::new(socket);
    let waiting = Arc::new(Semaphore::new(WAITING_MAX));
    let mut buffer = vec![0u8; usize::from(u16::MAX)];
    loop {
        let received = tokio::select! {
            () = stop.cancelled() => return,
            received = socket.recv_from(&mut buffer) => received,
        };
        let (length, client) = match received {
            Ok(received) => received,
            // A client's closed port is told to the next call.
            Err(error) => {
                tracing::debug!(%error, "a DNS packet could not be received");
                continue;
            }
        };
        let came = Came::now("udp", client);
        let (reply, limit) = match read(&buffer[..length]) {
            Incoming::Drop => continue,
            Incoming::Reject(reply) => (*reply, udp_limit(&Message::query())),
            Incoming::Question(request) => match responder.at_once(&request) {
                Some(reply) => {
                    responder.count(&request, &reply, came);
                    (reply, udp_limit(&request))
                }
                None => match waiting.clone().try_acquire_owned() {
                    Err(_) => (failed(&request, ResponseCode::ServFail), udp_limit(&request)),
                    Ok(permit) => {
                        let (socket, responder) = (socket.clone(), responder.clone());
                        let until = stop.clone();
                        tokio::spawn(async move {
                            let _permit = permit;
                            tokio::select! {
                                () = until.cancelled() => (),
                                reply = responder.respond(&request) => {
                                    responder.count(&request, &reply, came);
                                    send(&socket, client, reply, udp_limit(&request)).await;
                                }
                            }
                        });
                        continue;
                    }
                },
            },
        };
        send(&socket, client, reply, limit).await;
    }
}

async fn send(socket: &UdpSocket, client: SocketAddr, reply: Message, limit: usize) {
    let Some(bytes) = write(reply, limit) else { return };
    if let Err(error) = socket.send_to(&bytes, client).await {
        tracing::debug!(%error, %client, "a DNS reply could not be sent");
    }
}

/// Serves TCP until told to stop.
pub async fn tcp(listener: TcpListener, responder: Arc<Responder>, stop: CancellationToken) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(slot) = slots.clone().acquire_owned().await else { return };
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, client)) => {
                let (responder, until) = (responder.clone(), stop.clone());
                tokio::spawn(async move {
                    let _slot = slot;
                    let ended = tokio::select! {
                        () = until.cancelled() => return,
                        ended = converse(stream, client, &responder) => ended,
                    };
                    if let Err(error) = ended {
                        tracing::debug!(%error, %client, "a DNS connection ended");
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a DNS connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Question after question until the client closes or is silent.
async fn converse(mut stream: TcpStream, client: SocketAddr, responder: &Responder) -> io::Result<()> {
    loop {
        let Ok(length) = timeout(TCP_IDLE, stream.read_u16()).await else { return Ok(()) };
        let length = match length {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            length => length?,
        };
        let mut packet = vec![0u8; usize::from(length)];
        timeout(TCP_IDLE, stream.read_exact(&mut packet)).await??;
        let reply = match read(&packet) {
            Incoming::Drop => return Ok(()),
            Incoming::Reject(reply) => *reply,
            Incoming::Question(request) => {
                let came = Came::now("tcp", client);
                let reply = match responder.at_once(&request) {
                    Some(reply) => reply,
                    None => responder.respond(&request).await,
                };
                responder.count(&request, &reply, came);
                reply
            }
        };
        let Some(bytes) = write(reply, usize::from(u16::MAX)) else { return Ok(()) };
        let length = u16::try_from(bytes.len()).map_err(io::Error::other)?;
        timeout(TCP_IDLE, stream.write_all(&[&length.to_be_bytes()[..], &bytes].concat())).await??;
    }
}

#[cfg(test)]
mod tests;
