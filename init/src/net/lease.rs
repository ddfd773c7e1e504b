//! The DHCP client as a state machine, by RFC 2131 section 4.4. Pure: time and packets come in, actions go out.

use super::Outer;
use super::packet::{Answer, Kind, Question};
use std::net::Ipv4Addr;
use std::time::Duration;

/// The first wait for an answer. RFC 2131 says four seconds for a shared wire; ours is a virtual one, where the
/// server is the emulator itself and a lost packet is nearly impossible.
const RETRY_FIRST: Duration = Duration::from_millis(500);
/// The longest wait between questions while nobody answers.
const RETRY_LAST: Duration = Duration::from_secs(64);
/// How often a request is repeated before the offer counts as stale.
const REQUESTS_MAX: u32 = 4;
/// The shortest time between two questions while renewing, as RFC 2131 has it.
const RENEW_RETRY_MIN: Duration = Duration::from_secs(60);
/// The shortest lease taken: a server that gives less would keep the machine awake.
const LEASE_MIN: Duration = Duration::from_secs(60);
/// A lease of this many seconds never ends.
const LEASE_FOREVER_S: u32 = u32::MAX;

/// What the shell must do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send this by broadcast.
    Broadcast(Question),
    /// Send this to one server.
    Unicast(Ipv4Addr, Question),
    /// Set the outer link up like this.
    Configure(Outer),
    /// The address is no longer ours.
    Withdraw,
    /// Call `timer` at this time, unless a packet comes first.
    WakeAt(Duration),
}

/// What the client has in hand.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Lease {
    answer: Answer,
    server: Ipv4Addr,
    renew_at: Option<Duration>,
    rebind_at: Duration,
    ends_at: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Selecting,
    Requesting { offer: Answer, server: Ipv4Addr, sent: u32 },
    Bound(Lease),
    Renewing(Lease),
    Rebinding(Lease),
}

/// The client. Times are since any fixed moment.
pub struct Client {
    mac: [u8; 6],
    xid: u32,
    wait: Duration,
    state: State,
}

impl Client {
    /// A client for the card `mac`; `xid` is a random number.
    pub fn new(mac: [u8; 6], xid: u32) -> Client {
        Client { mac, xid, wait: RETRY_FIRST, state: State::Selecting }
    }

    /// The first thing to do, and again after an address was lost.
    pub fn start(&mut self, now: Duration) -> Vec<Action> {
        self.wait = RETRY_FIRST;
        self.state = State::Selecting;
        self.next_transaction();
        vec![Action::Broadcast(self.question(Kind::Discover)), Action::WakeAt(now + self.wait)]
    }

    /// The time of the last `WakeAt` has come.
    pub fn timer(&mut self, now: Duration) -> Vec<Action> {
        match self.state.clone() {
            State::Selecting => {
                self.wait = (self.wait * 2).min(RETRY_LAST);
                vec![Action::Broadcast(self.question(Kind::Discover)), Action::WakeAt(now + self.wait)]
            }
            State::Requesting { sent: REQUESTS_MAX.., .. } => self.start(now),
            State::Requesting { offer, server, sent } => {
                self.wait = (self.wait * 2).min(RETRY_LAST);
                let question = self.request_for(&offer, server);
                self.state = State::Requesting { offer, server, sent: sent + 1 };
                vec![Action::Broadcast(question), Action::WakeAt(now + self.wait)]
            }
            State::Bound(lease) | State::Renewing(lease) | State::Rebinding(lease) => self.keep(now, lease),
        }
    }

    /// A message has come in. One that is not for us or not expected changes nothing.
    pub fn packet(&mut self, now: Duration, answer: Answer) -> Vec<Action> {
        if answer.xid != self.xid || answer.mac != self.mac {
            return Vec::new();
        }
        match (self.state.clone(), answer.kind) {
            (State::Selecting, Kind::Offer) => {
                let Some(server) = answer.server.filter(|_| usable(answer.address)) else { return Vec::new() };
                self.wait = RETRY_FIRST;
                let question = self.request_for(&answer, server);
                self.state = State::Requesting { offer: answer, server, sent: 1 };
                vec![Action::Broadcast(question), Action::WakeAt(now + self.wait)]
            }
            (State::Requesting { server, .. }, Kind::Ack) => self.bind(now, answer, server),
            (State::Renewing(lease) | State::Rebinding(lease), Kind::Ack) => self.bind(now, answer, lease.server),
            (State::Requesting { .. }, Kind::Nak) => self.start(now),
            (State::Renewing(_) | State::Rebinding(_), Kind::Nak) => self.lose(now),
            _ => Vec::new(),
        }
    }

    fn bind(&mut self, now: Duration, answer: Answer, server: Ipv4Addr) -> Vec<Action> {
        if !usable(answer.address) {
            return Vec::new();
        }
        let outer = Outer {
            address: answer.address,
            prefix: answer.prefix,
            gateway: answer.gateway,
            dns: answer.dns.clone(),
            domain: answer.domain.clone(),
        };
        let mut actions = vec![Action::Configure(outer)];
        let lasts = Duration::from_secs(answer.lease_s.into()).max(LEASE_MIN);
        let within = |given: Option<u32>, share: u32| {
            let given = given.map(|s| Duration::from_secs(s.into()));
            given.filter(|t| *t < lasts).unwrap_or(lasts * share / 8)
        };
        // RFC 2131 4.4.5: half of the lease, then seven eighths of it.
        let rebind = within(answer.rebind_s, 7);
        let renew = Some(within(answer.renew_s, 4)).filter(|renew| *renew < rebind);
        let server = answer.server.unwrap_or(server);
        let forever = answer.lease_s == LEASE_FOREVER_S;
        let lease = Lease {
            answer,
            server,
            renew_at: renew.map(|renew| now + renew),
            rebind_at: now + rebind,
            ends_at: now + lasts,
        };
        if !forever {
            actions.push(Action::WakeAt(lease.renew_at.unwrap_or(lease.rebind_at)));
        }
        self.state = State::Bound(lease);
        actions
    }

    /// A moment in the life of a lease has come: renew, ask anybody, or give up.
    fn keep(&mut self, now: Duration, lease: Lease) -> Vec<Action> {
        if now >= lease.ends_at {
            return self.lose(now);
        }
        if matches!(self.state, State::Bound(_)) {
            self.next_transaction();
        }
        let question = Question { own: lease.answer.address, ..self.question(Kind::Request) };
        // RFC 2131 4.4.5: half of what remains, but not less than a minute.
        let retry = |until: Duration| (now + ((until - now) / 2).max(RENEW_RETRY_MIN)).min(until);
        if now >= lease.rebind_at {
            let wake = Action::WakeAt(retry(lease.ends_at));
            self.state = State::Rebinding(lease);
            vec![Action::Broadcast(question), wake]
        } else {
            let actions = vec![Action::Unicast(lease.server, question), Action::WakeAt(retry(lease.rebind_at))];
            self.state = State::Renewing(lease);
            actions
        }
    }

    fn lose(&mut self, now: Duration) -> Vec<Action> {
        let mut actions = vec![Action::Withdraw];
        actions.extend(self.start(now));
        actions
    }

    fn question(&self, kind: Kind) -> Question {
        Question { kind, xid: self.xid, own: Ipv4Addr::UNSPECIFIED, wanted: None, server: None }
    }

    fn request_for(&self, offer: &Answer, server: Ipv4Addr) -> Question {
        Question { wanted: Some(offer.address), server: Some(server), ..self.question(Kind::Request) }
    }

    /// Answers to older questions must not be taken for answers to this one.
    fn next_transaction(&mut self) {
        self.xid = self.xid.wrapping_add(1);
    }
}

/// Whether a machine can have this address.
fn usable(address: Ipv4Addr) -> bool {
    !(address.is_unspecified() || address.is_loopback() || address.is_multicast() || address.is_broadcast())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::packet::answer;
    use crate::net::packet::tests::{MAC, server_bytes};

    const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn says(client: &Client, kind: u8, lease_s: u32) -> Answer {
        answer(&server_bytes(kind, client.xid, lease_s)).unwrap()
    }

    fn bound(lease_s: u32) -> (Client, Vec<Action>) {
        let mut client = Client::new(MAC, 1);
        client.start(s(0));
        let offer = says(&client, 2, lease_s);
        client.packet(s(0), offer);
        let ack = says(&client, 5, lease_s);
        let actions = client.packet(s(0), ack);
        (client, actions)
    }

    #[test]
    fn four_messages_configure_the_link_and_set_the_time_of_renewal() {
        let mut client = Client::new(MAC, 1);
        let actions = client.start(s(0));
        assert!(matches!(&actions[0], Action::Broadcast(q) if q.kind == Kind::Discover));
        let offer = says(&client, 2, 3600);
        let actions = client.packet(s(0), offer);
        let asked = |q: &Question| q.kind == Kind::Request && q.server == Some(SERVER) && q.wanted.is_some();
        assert!(matches!(&actions[0], Action::Broadcast(q) if asked(q)));
        let ack = says(&client, 5, 3600);
        let actions = client.packet(s(0), ack);
        assert!(matches!(&actions[0], Action::Configure(outer) if outer.prefix == 24 && outer.gateway == Some(SERVER)));
        assert_eq!(actions[1], Action::WakeAt(s(1800)));
    }

    #[test]
    fn silence_is_met_with_ever_rarer_questions() {
        let mut client = Client::new(MAC, 1);
        client.start(s(0));
        let waits: Vec<Duration> = (0..9)
            .map(|_| match client.timer(s(0)).as_slice() {
                [Action::Broadcast(_), Action::WakeAt(at)] => *at,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(waits[..3], [s(1), s(2), s(4)]);
        assert_eq!(waits[8], RETRY_LAST);
    }

    #[test]
    fn a_lease_is_renewed_at_half_its_time_then_asked_of_anybody_then_given_up() {
        let (mut client, _) = bound(3600);
        assert!(matches!(&client.timer(s(1800))[0], Action::Unicast(SERVER, q) if !q.own.is_unspecified()));
        assert!(matches!(&client.timer(s(3150))[0], Action::Broadcast(q) if q.kind == Kind::Request));
        let actions = client.timer(s(3600));
        assert_eq!(actions[0], Action::Withdraw);
        assert!(matches!(&actions[1], Action::Broadcast(q) if q.kind == Kind::Discover));
    }

    #[test]
    fn a_renewal_starts_the_lease_anew() {
        let (mut client, _) = bound(3600);
        client.timer(s(1800));
        let ack = says(&client, 5, 3600);
        let actions = client.packet(s(1801), ack);
        assert_eq!(actions[1], Action::WakeAt(s(3601)));
    }

    #[test]
    fn a_refused_renewal_withdraws_the_address_at_once() {
        let (mut client, _) = bound(3600);
        client.timer(s(1800));
        let nak = says(&client, 6, 0);
        assert_eq!(client.packet(s(1801), nak)[0], Action::Withdraw);
    }

    #[test]
    fn what_is_for_another_machine_or_another_question_changes_nothing() {
        let mut client = Client::new(MAC, 1);
        client.start(s(0));
        let offer = says(&client, 2, 60);
        assert_eq!(client.packet(s(0), Answer { xid: 99, ..offer.clone() }), []);
        assert_eq!(client.packet(s(0), Answer { mac: [0; 6], ..offer.clone() }), []);
        assert_eq!(client.packet(s(0), Answer { address: Ipv4Addr::LOCALHOST, ..offer.clone() }), []);
        assert_eq!(client.packet(s(0), Answer { kind: Kind::Ack, ..offer }), []);
    }

    #[test]
    fn a_lease_for_ever_never_wakes_the_machine_and_a_tiny_one_rarely() {
        let (_, actions) = bound(LEASE_FOREVER_S);
        assert_eq!(actions.len(), 1);
        let (_, actions) = bound(1);
        assert_eq!(actions[1], Action::WakeAt(s(30)));
    }

    #[test]
    fn a_stale_offer_leads_back_to_the_start() {
        let mut client = Client::new(MAC, 1);
        client.start(s(0));
        let offer = says(&client, 2, 60);
        client.packet(s(0), offer);
        for _ in 1..REQUESTS_MAX {
            assert!(matches!(&client.timer(s(1))[0], Action::Broadcast(q) if q.kind == Kind::Request));
        }
        assert!(matches!(&client.timer(s(9))[0], Action::Broadcast(q) if q.kind == Kind::Discover));
    }
}
