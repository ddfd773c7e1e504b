//! Logins of browsers: a ticket that is good once opens a session, and a session stands for the user who asked for the
//! ticket. Pure: time and chance are parameters, and what a browser's request must look like is `browser`'s business.
//!
//! A session has two halves. The cookie cannot be read by scripts, but goes to every port of 127.0.0.1, where other
//! programs' pages may listen; the page's key is kept by the page in storage of its own origin and sent as a header,
//! which no other origin can do. Neither is worth anything alone.

use crate::browser::{self, Names};
use crate::caller::Caller;
use crate::clock::Random;
use api::Status;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

/// How long a ticket waits for its browser to start.
pub const TICKET_LIFE: Duration = Duration::from_secs(120);
/// Tickets that wait at a time; the oldest gives way. Each is one `skerry dashboard`.
pub const TICKETS_MAX: usize = 16;
/// Sessions at a time; the one unused for longest gives way. Each is one browser.
pub const SESSIONS_MAX: usize = 32;
/// A session that is not used for this long ends. A page that is looked at tells so more often.
pub const IDLE_MAX: Duration = Duration::from_secs(30 * 60);
/// However much it is used, a session ends after a working day.
pub const SESSION_LIFE: Duration = Duration::from_secs(12 * 60 * 60);
/// Random bytes of a ticket and of each half of a session.
const KEY_BYTES: usize = 32;

/// Both halves of a new session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// For the cookie.
    pub cookie: String,
    /// For the page.
    pub page: String,
    /// Whose session it is.
    pub caller: Caller,
}

struct Ticket {
    key: String,
    caller: Caller,
    made: SystemTime,
}

struct Session {
    opened: Opened,
    made: SystemTime,
    used: SystemTime,
}

#[derive(Default)]
struct State {
    tickets: Vec<Ticket>,
    sessions: Vec<Session>,
}

/// The tickets and sessions of a server.
pub struct Sessions {
    names: Names,
    state: Mutex<State>,
}

/// Requests that run beside each other look at the clock in one order and come here in another: by how much at most.
const OVERTAKEN_MAX: Duration = Duration::from_secs(60);

/// Whether a moment is over that began at `since`. A clock that was put back by more than requests overtake each other ends
/// it, too: better a login more.
fn over(since: SystemTime, now: SystemTime, life: Duration) -> bool {
    match now.duration_since(since) {
        Ok(age) => age >= life,
        Err(ahead) => ahead.duration() > OVERTAKEN_MAX,
    }
}

/// Compares in a time that does not tell where the difference is.
fn same(a: &str, b: &str) -> bool {
    a.len() == b.len() && a.bytes().zip(b.bytes()).fold(0, |sum, (a, b)| sum | (a ^ b)) == 0
}

fn key(random: &dyn Random) -> String {
    let mut bytes = [0u8; KEY_BYTES];
    random.fill(&mut bytes);
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Sessions {
    /// No sessions, of a server that browsers reach under these names.
    #[must_use]
    pub fn new(names: Names) -> Sessions {
        Sessions { names, state: Mutex::default() }
    }

    /// The names that browsers reach the server under.
    #[must_use]
    pub fn names(&self) -> &Names {
        &self.names
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A ticket that opens one session of `caller`.
    pub fn ticket(&self, caller: Caller, now: SystemTime, random: &dyn Random) -> String {
        let key = key(random);
        let mut state = self.lock();
        state.tickets.retain(|ticket| !over(ticket.made, now, TICKET_LIFE));
        if state.tickets.len() == TICKETS_MAX {
            state.tickets.remove(0);
        }
        state.tickets.push(Ticket { key: key.clone(), caller, made: now });
        key
    }

    /// Opens a session. The ticket is gone, whatever comes of it.
    ///
    /// # Errors
    /// 401 for a ticket that was used, has run out or never was: they are not told apart.
    pub fn open(&self, ticket: &str, now: SystemTime, random: &dyn Random) -> Result<Opened, Status> {
        let mut state = self.lock();
        let found = state.tickets.iter().position(|waiting| same(&waiting.key, ticket));
        let found = found.map(|at| state.tickets.remove(at)).filter(|found| !over(found.made, now, TICKET_LIFE));
        let Some(found) = found else {
            let why = "this login was used or has run out: ask for a new one by `skerry dashboard`";
            return Err(Status::new(401, "Unauthorized", why));
        };
        state.sessions.retain(|session| session.lives(now));
        if state.sessions.len() == SESSIONS_MAX {
            let unused = (0..SESSIONS_MAX).min_by_key(|at| state.sessions[*at].used).unwrap_or_default();
            state.sessions.remove(unused);
        }
        let opened = Opened { cookie: key(random), page: key(random), caller: found.caller };
        state.sessions.push(Session { opened: opened.clone(), made: now, used: now });
        Ok(opened)
    }

    /// The user of a session, which counts as used now.
    #[must_use]
    pub fn find(&self, cookie: &str, page: &str, now: SystemTime) -> Option<Caller> {
        let mut state = self.lock();
        let session = state.sessions.iter_mut().find(|session| session.is(cookie, page) && session.lives(now))?;
        session.used = session.used.max(now);
        Some(session.opened.caller.clone())
    }

    /// Ends a session, if it is there.
    pub fn close(&self, cookie: &str, page: &str) {
        self.lock().sessions.retain(|session| !session.is(cookie, page));
    }

    /// The user that a request's session stands for; none when the request claims no session.
    ///
    /// # Errors
    /// 403 for a page of another origin or an address that is not ours, 401 for a session that does not hold.
    pub fn caller(
        &self,
        headers: &http::HeaderMap,
        uri: &http::Uri,
        now: SystemTime,
    ) -> Result<Option<Caller>, Status> {
        let Some(page) = browser::page_key(headers) else { return Ok(None) };
        browser::check(headers, uri, &self.names)?;
        let cookies = browser::cookies(headers);
        let found = cookies.iter().find_map(|cookie| self.find(cookie, &page, now));
        found.map(Some).ok_or_else(|| {
            Status::new(401, "Unauthorized", "the session of this page has ended: log in again by `skerry dashboard`")
        })
    }
}

impl Session {
    fn lives(&self, now: SystemTime) -> bool {
        !over(self.made, now, SESSION_LIFE) && !over(self.used, now, IDLE_MAX)
    }

    fn is(&self, cookie: &str, page: &str) -> bool {
        // Both are looked at, so that the time does not tell which was wrong.
        same(&self.opened.cookie, cookie) & same(&self.opened.page, page)
    }
}

#[cfg(test)]
mod tests;
