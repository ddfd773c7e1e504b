//! DHCP messages as bytes, by RFC 2131 and RFC 2132. Pure; knows the fields that a client of ours needs.

use std::net::Ipv4Addr;

/// The longest message taken, in bytes: an Ethernet frame's worth.
pub const MESSAGE_BYTES_MAX: usize = 1500;
const COOKIE: [u8; 4] = [99, 130, 83, 99];
/// Where options begin: the fixed part and the cookie.
const OPTIONS_START: usize = 240;
/// Servers may pad to this; old ones drop what is shorter (the minimal BOOTP message).
const MESSAGE_BYTES_MIN: usize = 300;

/// What a message is for (option 53).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Is anybody there?
    Discover = 1,
    /// An address on offer.
    Offer = 2,
    /// May I have it, or keep it?
    Request = 3,
    /// Yes.
    Ack = 5,
    /// No.
    Nak = 6,
}

/// What the client sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Discover or Request.
    pub kind: Kind,
    /// The transaction.
    pub xid: u32,
    /// The address that the client already has and answers on.
    pub own: Ipv4Addr,
    /// The address that the client wants (option 50).
    pub wanted: Option<Ipv4Addr>,
    /// The server whose offer is taken (option 54).
    pub server: Option<Ipv4Addr>,
}

/// What a server says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Offer, Ack or Nak.
    pub kind: Kind,
    /// The transaction.
    pub xid: u32,
    /// The hardware address it is for.
    pub mac: [u8; 6],
    /// The address given.
    pub address: Ipv4Addr,
    /// Who says so.
    pub server: Option<Ipv4Addr>,
    /// The network's prefix length.
    pub prefix: u8,
    /// The first router.
    pub gateway: Option<Ipv4Addr>,
    /// Name servers.
    pub dns: Vec<Ipv4Addr>,
    /// The domain of short names.
    pub domain: Option<String>,
    /// How long the address is given for, in seconds.
    pub lease_s: u32,
    /// When to renew, if the server says, in seconds.
    pub renew_s: Option<u32>,
    /// When to ask anybody, if the server says, in seconds.
    pub rebind_s: Option<u32>,
}

impl Question {
    /// The message's bytes.
    pub fn bytes(&self, mac: [u8; 6], hostname: &str) -> Vec<u8> {
        let mut out = vec![0; OPTIONS_START];
        out[..4].copy_from_slice(&[1, 1, 6, 0]); // a request, Ethernet, addresses of six bytes
        out[4..8].copy_from_slice(&self.xid.to_be_bytes());
        if self.own.is_unspecified() {
            out[10] = 0x80; // answer by broadcast: without an address we hear nothing else
        }
        out[12..16].copy_from_slice(&self.own.octets());
        out[28..34].copy_from_slice(&mac);
        out[236..240].copy_from_slice(&COOKIE);
        let mut option = |code: u8, value: &[u8]| {
            out.push(code);
            out.push(u8::try_from(value.len()).expect("every value here is short"));
            out.extend_from_slice(value);
        };
        option(53, &[self.kind as u8]);
        option(61, &[&[1], mac.as_slice()].concat());
        option(12, &hostname.as_bytes()[..hostname.len().min(63)]);
        if let Some(wanted) = self.wanted {
            option(50, &wanted.octets());
        }
        if let Some(server) = self.server {
            option(54, &server.octets());
        }
        option(55, &[1, 3, 6, 15, 51, 54, 58, 59]);
        out.push(255);
        out.resize(out.len().max(MESSAGE_BYTES_MIN), 0);
        out
    }
}

/// Reads a server's message; `None` for anything that is not a well-formed one.
pub fn answer(bytes: &[u8]) -> Option<Answer> {
    let fixed = bytes.get(..OPTIONS_START)?;
    if fixed[..3] != [2, 1, 6] || fixed[236..240] != COOKIE {
        return None;
    }
    let options = Options(&bytes[OPTIONS_START..]);
    let kind = match options.get(53)? {
        [2] => Kind::Offer,
        [5] => Kind::Ack,
        [6] => Kind::Nak,
        _ => return None,
    };
    let mask = options.number(1).unwrap_or(0xffff_ff00);
    let addresses = |code| options.get(code).unwrap_or_default().chunks_exact(4).map(address);
    Some(Answer {
        kind,
        xid: u32::from_be_bytes(fixed[4..8].try_into().ok()?),
        mac: fixed[28..34].try_into().ok()?,
        address: address(&fixed[16..20]),
        server: addresses(54).next(),
        // A mask with holes is not a network.
        prefix: u8::try_from(mask.leading_ones()).ok().filter(|n| mask.count_ones() == u32::from(*n))?,
        gateway: addresses(3).next(),
        dns: addresses(6).collect(),
        domain: options.get(15).and_then(domain),
        lease_s: options.number(51).unwrap_or(0),
        renew_s: options.number(58),
        rebind_s: options.number(59),
    })
}

fn address(bytes: &[u8]) -> Ipv4Addr {
    Ipv4Addr::new(bytes[0], bytes[1], bytes[2], bytes[3])
}

/// A domain name that is safe to write into a file; anything else is dropped.
fn domain(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?.trim_end_matches('\0');
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    (!text.is_empty() && text.len() <= 253 && text.chars().all(plain)).then(|| text.to_owned())
}

/// The options of one message.
struct Options<'a>(&'a [u8]);

impl<'a> Options<'a> {
    /// The first option with this code; stops at the first that is cut short.
    fn get(&self, code: u8) -> Option<&'a [u8]> {
        let mut rest = self.0;
        loop {
            match rest {
                [0, after @ ..] => rest = after,
                [255, ..] | [] | [_] => return None,
                [own, length, after @ ..] => {
                    let value = after.get(..usize::from(*length))?;
                    if *own == code {
                        return Some(value);
                    }
                    rest = &after[value.len()..];
                }
            }
        }
    }

    fn number(&self, code: u8) -> Option<u32> {
        Some(u32::from_be_bytes(self.get(code)?.try_into().ok()?))
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    pub const MAC: [u8; 6] = [0x52, 0x54, 0, 0x12, 0x34, 0x56];

    /// What QEMU's user network answers, put together by hand.
    pub fn server_bytes(kind: u8, xid: u32, lease_s: u32) -> Vec<u8> {
        let mut out = vec![0; OPTIONS_START];
        out[..3].copy_from_slice(&[2, 1, 6]);
        out[4..8].copy_from_slice(&xid.to_be_bytes());
        out[16..20].copy_from_slice(&[10, 0, 2, 15]);
        out[28..34].copy_from_slice(&MAC);
        out[236..240].copy_from_slice(&COOKIE);
        out.extend([53, 1, kind, 54, 4, 10, 0, 2, 2, 1, 4, 255, 255, 255, 0, 3, 4, 10, 0, 2, 2, 0]);
        out.extend([6, 4, 10, 0, 2, 3, 51, 4]);
        out.extend(lease_s.to_be_bytes());
        out.extend([15, 4]);
        out.extend(b"home");
        out.push(255);
        out
    }

    #[test]
    fn a_server_s_offer_is_read_whole() {
        let got = answer(&server_bytes(2, 7, 86400)).unwrap();
        let want = Answer {
            kind: Kind::Offer,
            xid: 7,
            mac: MAC,
            address: Ipv4Addr::new(10, 0, 2, 15),
            server: Some(Ipv4Addr::new(10, 0, 2, 2)),
            prefix: 24,
            gateway: Some(Ipv4Addr::new(10, 0, 2, 2)),
            dns: vec![Ipv4Addr::new(10, 0, 2, 3)],
            domain: Some("home".to_owned()),
            lease_s: 86400,
            renew_s: None,
            rebind_s: None,
        };
        assert_eq!(got, want);
    }

    #[test]
    fn no_cut_or_changed_message_makes_it_panic() {
        let good = server_bytes(5, 7, 60);
        for length in 0..good.len() {
            answer(&good[..length]);
        }
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0xff;
            answer(&bad);
        }
    }

    #[test]
    fn a_mask_with_holes_and_a_foreign_message_are_refused() {
        let mut holes = server_bytes(2, 7, 60);
        let at = holes.windows(4).position(|w| w == [255, 255, 255, 0]).unwrap();
        holes[at] = 0;
        assert_eq!(answer(&holes), None);
        let mut question = server_bytes(2, 7, 60);
        question[0] = 1;
        assert_eq!(answer(&question), None);
    }

    #[test]
    fn a_domain_that_could_inject_lines_is_dropped() {
        assert_eq!(domain(b"a.b\0"), Some("a.b".to_owned()));
        assert_eq!(domain(b"a\nnameserver 6.6.6.6"), None);
    }

    #[test]
    fn a_question_carries_what_a_server_needs() {
        let question = Question {
            kind: Kind::Request,
            xid: 0x0102_0304,
            own: Ipv4Addr::UNSPECIFIED,
            wanted: Some(Ipv4Addr::new(10, 0, 2, 15)),
            server: Some(Ipv4Addr::new(10, 0, 2, 2)),
        };
        let bytes = question.bytes(MAC, "skerry");
        assert!(bytes.len() >= MESSAGE_BYTES_MIN);
        assert_eq!(bytes[4..8], [1, 2, 3, 4]);
        assert_eq!(bytes[10], 0x80);
        let options = Options(&bytes[OPTIONS_START..]);
        assert_eq!(options.get(53), Some([3].as_slice()));
        assert_eq!(options.get(50), Some([10, 0, 2, 15].as_slice()));
        assert_eq!(options.get(54), Some([10, 0, 2, 2].as_slice()));
        assert_eq!(options.get(12), Some(b"skerry".as_slice()));
    }
}
