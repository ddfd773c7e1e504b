//! Tickets and sessions: who gets in, and for how long.

use super::*;
use std::sync::atomic::{AtomicU8, Ordering};

/// Bytes that are different each time.
#[derive(Default)]
struct Counter(AtomicU8);

impl Random for Counter {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(self.0.fetch_add(1, Ordering::Relaxed));
    }
}

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000 + seconds)
}

fn who(name: &str) -> Caller {
    Caller::component(name, &["wheel"])
}

struct Setting(Sessions, Counter);

fn setting() -> Setting {
    Setting(Sessions::new(Names::new(["rock"])), Counter::default())
}

impl Setting {
    fn login(&self, name: &str, now: u64) -> Opened {
        let ticket = self.0.ticket(who(name), at(now), &self.1);
        self.0.open(&ticket, at(now), &self.1).unwrap()
    }

    fn user(&self, session: &Opened, now: u64) -> Option<String> {
        self.0.find(&session.cookie, &session.page, at(now)).map(|caller| caller.name().to_owned())
    }
}

#[test]
fn a_session_stands_for_whoever_asked_for_the_ticket() {
    let setting = setting();
    let (ann, bob) = (setting.login("ann", 0), setting.login("bob", 0));
    assert_eq!(setting.user(&ann, 1).as_deref(), Some("ann"));
    assert_eq!(setting.user(&bob, 1).as_deref(), Some("bob"));
    assert_eq!(ann.caller.groups(), ["wheel", "system:authenticated"]);
}

#[test]
fn a_ticket_is_good_once_and_not_for_long() {
    let Setting(sessions, random) = setting();
    let code = |ticket: &str, now| sessions.open(ticket, at(now), &random).map_err(|status| status.code).err();
    let ticket = sessions.ticket(who("ann"), at(0), &random);
    assert_eq!(code(&ticket, 1), None);
    assert_eq!(code(&ticket, 1), Some(401));
    let late = sessions.ticket(who("ann"), at(0), &random);
    assert_eq!(code(&late, TICKET_LIFE.as_secs()), Some(401));
    assert_eq!(code("", 0), Some(401));
}

#[test]
fn half_a_session_is_none() {
    let setting = setting();
    let (ann, bob) = (setting.login("ann", 0), setting.login("bob", 0));
    for (cookie, page) in [(&ann.cookie, &bob.page), (&ann.page, &ann.cookie), (&ann.cookie, &String::new())] {
        assert_eq!(setting.0.find(cookie, page, at(1)), None);
    }
}

#[test]
fn a_session_lives_while_it_is_used_and_a_day_at_most() {
    let setting = setting();
    let session = setting.login("ann", 0);
    let (idle, life) = (IDLE_MAX.as_secs(), SESSION_LIFE.as_secs());
    let mut now = 0;
    while now + idle - 1 < life {
        now += idle - 1;
        assert!(setting.user(&session, now).is_some(), "at {now}");
    }
    assert_eq!(setting.user(&session, life), None);
    let unused = setting.login("ann", 0);
    assert_eq!(setting.user(&unused, idle), None);
}

#[test]
fn requests_may_overtake_each_other_and_a_clock_may_not_go_back() {
    let setting = setting();
    let session = setting.login("ann", 0);
    assert!(setting.user(&session, 200).is_some());
    assert!(setting.user(&session, 199).is_some(), "it looked at the clock before the other and came later");
    assert_eq!(setting.user(&session, 100), None);
}

#[test]
fn a_session_that_was_closed_is_gone() {
    let setting = setting();
    let session = setting.login("ann", 0);
    setting.0.close(&session.cookie, &session.page);
    assert_eq!(setting.user(&session, 1), None);
}

#[test]
fn of_too_many_the_one_unused_for_longest_gives_way() {
    let setting = setting();
    let all: Vec<Opened> = (0..SESSIONS_MAX).map(|_| setting.login("ann", 0)).collect();
    assert!(setting.user(&all[0], 5).is_some());
    let one_more = setting.login("bob", 6);
    assert!(setting.user(&one_more, 7).is_some() && setting.user(&all[0], 7).is_some());
    assert_eq!(all.iter().filter(|session| setting.user(session, 7).is_none()).count(), 1);
    let Setting(sessions, random) = setting;
    let tickets: Vec<String> = (0..=TICKETS_MAX).map(|_| sessions.ticket(who("ann"), at(0), &random)).collect();
    assert!(sessions.open(&tickets[0], at(0), &random).is_err());
    assert!(sessions.open(&tickets[1], at(0), &random).is_ok());
}

#[test]
fn a_request_without_a_page_s_key_claims_no_session() {
    let setting = setting();
    let session = setting.login("ann", 0);
    let uri = http::Uri::from_static("/api/v1/pods");
    let mut headers = http::HeaderMap::new();
    headers.insert(http::header::HOST, "127.0.0.1:6443".parse().unwrap());
    headers.insert(http::header::COOKIE, format!("{}={}", browser::COOKIE, session.cookie).parse().unwrap());
    assert_eq!(setting.0.caller(&headers, &uri, at(1)), Ok(None));
    headers.insert(browser::PAGE_HEADER, session.page.parse().unwrap());
    assert_eq!(setting.0.caller(&headers, &uri, at(1)).unwrap().unwrap().name(), "ann");
    headers.insert(http::header::ORIGIN, "http://evil.example".parse().unwrap());
    assert_eq!(setting.0.caller(&headers, &uri, at(1)).unwrap_err().code, 403);
    headers.remove(http::header::ORIGIN);
    assert_eq!(setting.0.caller(&headers, &uri, at(IDLE_MAX.as_secs() + 1)).unwrap_err().code, 401);
}
