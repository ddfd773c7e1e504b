//! Channels in WebSocket messages: the first byte of a message (a digit where the rest is base64) says whose it is.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{Buf, Bytes};

/// In version 5 a message on this channel closes the channel named by its second byte.
pub const CLOSE: u8 = 255;
/// The command's input.
pub const STDIN: u8 = 0;
/// The command's output.
pub const STDOUT: u8 = 1;
/// The command's error output.
pub const STDERR: u8 = 2;
/// How the command ended.
pub const ERROR: u8 = 3;
/// The terminal's size.
pub const RESIZE: u8 = 4;

/// A subprotocol.
#[derive(Debug, PartialEq, Eq)]
pub struct Protocol {
    /// Its name in `Sec-WebSocket-Protocol`; empty for a client that names none.
    pub name: &'static str,
    /// Whether messages are text with base64 in it, for browsers.
    pub base64: bool,
    /// Whether the error channel carries a Status; else it carries text, and only when something failed.
    pub status: bool,
    /// Whether a channel can be closed on its own.
    pub close: bool,
}

/// Every subprotocol, the best first. The base64 form of version 4 is spelt as upstream spells it.
pub static PROTOCOLS: [Protocol; 6] = [
    Protocol { name: "v5.channel.k8s.io", base64: false, status: true, close: true },
    Protocol { name: "v4.channel.k8s.io", base64: false, status: true, close: false },
    Protocol { name: "v4.base64.channel.k8s.io", base64: true, status: true, close: false },
    Protocol { name: "channel.k8s.io", base64: false, status: false, close: false },
    Protocol { name: "base64.channel.k8s.io", base64: true, status: false, close: false },
    Protocol { name: "", base64: false, status: false, close: false },
];

/// What is wrong with a message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// No channel in it.
    #[error("a message without a channel")]
    Empty,
    /// The rest is no base64, or the channel no digit.
    #[error("a message that is not base64")]
    Base64,
    /// The message is of the other kind, binary or text.
    #[error("a message of the wrong kind")]
    Kind,
}

/// What a message says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Bytes on a channel.
    Data(u8, Bytes),
    /// The sender is done with a channel.
    Close(u8),
}

/// A message to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Binary.
    Binary(Bytes),
    /// Text.
    Text(String),
}

/// The first of the names that a client offers, in its order, that is known; a client that offers none speaks the
/// nameless one.
#[must_use]
pub fn negotiate(offered: &[&str]) -> Option<&'static Protocol> {
    let known = |name: &str| PROTOCOLS.iter().find(|protocol| protocol.name == name);
    if offered.is_empty() { known("") } else { offered.iter().find_map(|name| known(name.trim())) }
}

impl Protocol {
    /// The message for `event`; `None` for a close that this protocol cannot say.
    #[must_use]
    pub fn encode(&self, event: &Event) -> Option<Message> {
        Some(match event {
            Event::Close(channel) if self.close => Message::Binary(Bytes::copy_from_slice(&[CLOSE, *channel])),
            Event::Close(_) => return None,
            Event::Data(channel, bytes) if self.base64 => {
                Message::Text(format!("{}{}", char::from(b'0' + channel % 10), STANDARD.encode(bytes)))
            }
            Event::Data(channel, bytes) => Message::Binary([&[*channel], bytes.as_ref()].concat().into()),
        })
    }

    /// What a message says.
    ///
    /// # Errors
    /// See [`Fault`].
    pub fn decode(&self, message: Message) -> Result<Event, Fault> {
        match (message, self.base64) {
            (Message::Text(text), true) => {
                let (channel, rest) = text.as_bytes().split_first().ok_or(Fault::Empty)?;
                let channel = channel.checked_sub(b'0').filter(|channel| *channel < 10).ok_or(Fault::Base64)?;
                Ok(Event::Data(channel, STANDARD.decode(rest).map_err(|_| Fault::Base64)?.into()))
            }
            (Message::Binary(mut bytes), false) => {
                let channel = *bytes.first().ok_or(Fault::Empty)?;
                bytes.advance(1);
                match bytes.first() {
                    Some(closed) if self.close && channel == CLOSE => Ok(Event::Close(*closed)),
                    None if self.close && channel == CLOSE => Err(Fault::Empty),
                    _ => Ok(Event::Data(channel, bytes)),
                }
            }
            _ => Err(Fault::Kind),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_protocol_reads_what_it_writes() {
        for protocol in &PROTOCOLS {
            for bytes in [&b""[..], b"hello\n", &[0, 255, 10]] {
                let event = Event::Data(STDERR, Bytes::copy_from_slice(bytes));
                assert_eq!(protocol.decode(protocol.encode(&event).unwrap()), Ok(event), "{protocol:?}");
            }
        }
    }

    #[test]
    fn only_version_5_closes_a_channel() {
        let [v5, v4, ..] = &PROTOCOLS;
        assert_eq!(v5.encode(&Event::Close(STDIN)), Some(Message::Binary(Bytes::from_static(&[255, 0]))));
        assert_eq!(v5.decode(Message::Binary(Bytes::from_static(&[255, 0]))), Ok(Event::Close(STDIN)));
        assert_eq!(v4.encode(&Event::Close(STDIN)), None);
        assert_eq!(
            v4.decode(Message::Binary(Bytes::from_static(&[255, 0]))),
            Ok(Event::Data(255, Bytes::from_static(&[0])))
        );
    }

    #[test]
    fn the_clients_order_decides() {
        let name = |offered: &[&str]| negotiate(offered).map(|protocol| protocol.name);
        assert_eq!(name(&["v5.channel.k8s.io", "v4.channel.k8s.io"]), Some("v5.channel.k8s.io"));
        assert_eq!(name(&["v9.channel.k8s.io", " base64.channel.k8s.io"]), Some("base64.channel.k8s.io"));
        assert_eq!(name(&[]), Some(""));
        assert_eq!(name(&["chat"]), None);
    }

    #[test]
    fn messages_that_say_nothing_are_refused() {
        let [v5, _, base64, ..] = &PROTOCOLS;
        assert_eq!(v5.decode(Message::Binary(Bytes::new())), Err(Fault::Empty));
        assert_eq!(v5.decode(Message::Binary(Bytes::from_static(&[255]))), Err(Fault::Empty));
        assert_eq!(v5.decode(Message::Text("0aGk=".to_owned())), Err(Fault::Kind));
        assert_eq!(base64.decode(Message::Binary(Bytes::from_static(b"0"))), Err(Fault::Kind));
        for text in ["", "xaGk=", "0%%%", "é"] {
            assert!(base64.decode(Message::Text(text.to_owned())).is_err(), "{text}");
        }
    }
}
