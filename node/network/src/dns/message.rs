//! Packets to questions and replies to packets: EDNS sizes, truncation, what is refused before anybody looks at it.
//!
//! It must not know what names mean.

use hickory_proto::op::{Edns, Message, MessageType, Metadata, OpCode, ResponseCode};

/// The largest UDP answer that we send and ask for, in bytes: the size of DNS Flag Day 2020, which no path fragments.
pub const UDP_BYTES_MAX: u16 = 1232;
/// What a client without EDNS takes, in bytes (RFC 1035, 4.2.1).
pub const UDP_BYTES_PLAIN: u16 = 512;
/// A header, in bytes.
const HEADER_BYTES: usize = 12;

/// What a packet is.
#[derive(Debug)]
pub enum Incoming {
    /// A request with exactly one question.
    Question(Box<Message>),
    /// Not a request that we answer, but one that is told so.
    Reject(Box<Message>),
    /// Nothing to answer: no whole header, or itself an answer (answering those makes loops).
    Drop,
}

/// Reads a packet.
#[must_use]
pub fn read(packet: &[u8]) -> Incoming {
    if packet.len() < HEADER_BYTES || packet[2] & 0x80 != 0 {
        return Incoming::Drop;
    }
    let id = u16::from_be_bytes([packet[0], packet[1]]);
    let Ok(request) = Message::from_vec(packet) else {
        return Incoming::Reject(Box::new(Message::error_msg(id, OpCode::Query, ResponseCode::FormErr)));
    };
    let code = if request.metadata.op_code != OpCode::Query {
        ResponseCode::NotImp
    } else if request.queries.len() != 1 {
        ResponseCode::FormErr
    } else if request.edns.as_ref().is_some_and(|edns| edns.version() > 0) {
        ResponseCode::BADVERS
    } else {
        return Incoming::Question(Box::new(request));
    };
    let mut reply = reply_to(&request);
    reply.metadata.response_code = code;
    Incoming::Reject(Box::new(reply))
}

/// An empty reply to a request: same id, same question, EDNS when the client has it.
#[must_use]
pub fn reply_to(request: &Message) -> Message {
    let mut reply = Message::response(request.metadata.id, request.metadata.op_code);
    reply.metadata = Metadata::response_from_request(&request.metadata);
    reply.metadata.message_type = MessageType::Response;
    reply.metadata.recursion_available = true;
    reply.queries.clone_from(&request.queries);
    if let Some(theirs) = &request.edns {
        let mut edns = Edns::new();
        edns.set_max_payload(UDP_BYTES_MAX).set_version(0);
        edns.set_dnssec_ok(theirs.flags().dnssec_ok);
        reply.edns = Some(edns);
    }
    reply
}

/// How many bytes of UDP the client takes.
#[must_use]
pub fn udp_limit(request: &Message) -> usize {
    let theirs = request.edns.as_ref().map_or(UDP_BYTES_PLAIN, Edns::max_payload);
    usize::from(theirs.clamp(UDP_BYTES_PLAIN, UDP_BYTES_MAX))
}

/// Writes a reply in at most `limit` bytes. What only helps is left out first; then as many answers stay as fit, with
/// the mark that there are more. `None` when it cannot be written at all.
#[must_use]
pub fn write(mut reply: Message, limit: usize) -> Option<Vec<u8>> {
    let whole = encode(&reply)?;
    if whole.len() <= limit {
        return Some(whole);
    }
    reply.additionals.clear();
    let without = encode(&reply)?;
    if without.len() <= limit {
        return Some(without);
    }
    reply.metadata.truncation = true;
    reply.authorities.clear();
    let answers = std::mem::take(&mut reply.answers);
    let (mut fits, mut too_many) = (0, answers.len() + 1);
    let mut best = encode(&reply)?;
    while too_many - fits > 1 {
        let middle = fits.midpoint(too_many);
        reply.answers = answers[..middle].to_vec();
        let bytes = encode(&reply)?;
        if bytes.len() <= limit {
            (fits, best) = (middle, bytes);
        } else {
            too_many = middle;
        }
    }
    Some(best)
}

fn encode(message: &Message) -> Option<Vec<u8>> {
    match message.to_vec() {
        Ok(bytes) => Some(bytes),
        Err(error) => {
            tracing::warn!(%error, id = message.metadata.id, "a DNS reply could not be written");
            None
        }
    }
}
