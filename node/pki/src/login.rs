//! The one-time code that wins the first kubeconfig: code, proofs, and the rules of the window in which it counts.
//!
//! The code never travels. The client sends a signing request with its proof; the machine answers with the certificate,
//! its authority and its own proof. Both proofs cover the request and the authority, so whoever stands between them with
//! another authority has nothing that fits. A code has 80 random bits: a proof that was listened to does not give it away.

use crate::key::random;
use anyhow::{Result, bail};
use ring::hmac;
use std::time::Duration;
use zeroize::Zeroizing;

/// Letters of a code: Crockford's base 32, without the letters that look like others.
const LETTERS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// Letters in a code, five bits each.
const CODE_LETTERS: usize = 16;
/// Letters between two dashes.
const GROUP: usize = 4;
/// How long after boot a code counts.
pub const WINDOW: Duration = Duration::from_secs(10 * 60);
/// Attempts that may come at once; one failed typing or two must not cost a wait.
pub const BURST: u32 = 5;
/// Time after which one more attempt is allowed.
pub const REFILL: Duration = Duration::from_secs(2);

const _: () = assert!(CODE_LETTERS * 5 >= 80, "a proof must not give the code away to a search");

/// A one-time code. It is not shown by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Code(Zeroizing<String>);

impl std::fmt::Debug for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Code(..)")
    }
}

impl Code {
    /// A new code from the system's random source.
    ///
    /// # Errors
    /// When the random source fails.
    pub fn generate() -> Result<Self> {
        let bytes = random::<CODE_LETTERS>()?;
        Ok(Self(Zeroizing::new(bytes.iter().map(|byte| char::from(LETTERS[usize::from(byte % 32)])).collect())))
    }

    /// Reads a code as a person types it: case, dashes and blanks do not matter, O is 0, I and L are 1.
    ///
    /// # Errors
    /// When a letter cannot be part of a code, or there are too few or too many.
    pub fn parse(text: &str) -> Result<Self> {
        let mut code = Zeroizing::new(String::with_capacity(CODE_LETTERS));
        for letter in text.chars().filter(|c| *c != '-' && !c.is_whitespace()) {
            let letter = match letter.to_ascii_uppercase() {
                'O' => '0',
                'I' | 'L' => '1',
                other => other,
            };
            if !letter.is_ascii() || !LETTERS.contains(&(letter as u8)) {
                bail!(
                    "a login code has no letter {letter:?}; it consists of digits and capital letters without I, L, O, U"
                );
            }
            if code.len() == CODE_LETTERS {
                bail!("the login code is too long; it has {CODE_LETTERS} letters");
            }
            code.push(letter);
        }
        if code.len() < CODE_LETTERS {
            bail!("the login code has {} of {CODE_LETTERS} letters", code.len());
        }
        Ok(Self(code))
    }

    /// The code in groups, as it is shown and typed.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        let groups: Vec<&str> =
            self.0.as_bytes().chunks(GROUP).map(|group| std::str::from_utf8(group).expect("ASCII letters")).collect();
        Zeroizing::new(groups.join("-"))
    }
}

/// Whose proof it is; one side's proof is none of the other's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Whoever wants a kubeconfig.
    Client,
    /// The machine.
    Machine,
}

fn context(side: Side, code: &Code, csr: &[u8], authority: &[u8]) -> (hmac::Key, Vec<u8>) {
    let label: &[u8] = match side {
        Side::Client => b"skerry login 1 client",
        Side::Machine => b"skerry login 1 machine",
    };
    let mut message = Vec::with_capacity(label.len() + csr.len() + authority.len() + 24);
    for part in [label, csr, authority] {
        // Lengths first, so that no two different pairs give the same bytes.
        message.extend_from_slice(&(part.len() as u64).to_be_bytes());
        message.extend_from_slice(part);
    }
    (hmac::Key::new(hmac::HMAC_SHA256, code.0.as_bytes()), message)
}

/// The proof that `side` knows `code`, over the request and the authority's certificate, both DER.
#[must_use]
pub fn prove(side: Side, code: &Code, csr: &[u8], authority: &[u8]) -> Vec<u8> {
    let (key, message) = context(side, code, csr, authority);
    hmac::sign(&key, &message).as_ref().to_vec()
}

/// Whether `proof` is what [`prove`] gives; takes the same time for every wrong proof.
#[must_use]
pub fn verify(side: Side, code: &Code, csr: &[u8], authority: &[u8], proof: &[u8]) -> bool {
    let (key, message) = context(side, code, csr, authority);
    hmac::verify(&key, &message, proof).is_ok()
}

/// Why a login is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The window is over.
    #[error("the login code has expired; restart the machine for a new one")]
    Expired,
    /// Another request was granted.
    #[error("the login code was used already; restart the machine for a new one")]
    Used,
    /// Too many attempts.
    #[error("too many attempts; try again in {0:?}")]
    TooMany(Duration),
    /// The proof does not fit the code, the request and this machine's authority.
    #[error("the login code is wrong, or this is not the machine that it belongs to")]
    Wrong,
}

/// The window in which a code counts. Times are those of one monotonic clock, which every call passes in.
#[derive(Debug)]
pub struct Window {
    code: Code,
    opened: Duration,
    tokens: u32,
    refilled: Duration,
    granted: Option<Vec<u8>>,
}

impl Window {
    /// Opens the window at `now`.
    #[must_use]
    pub fn open(code: Code, now: Duration) -> Self {
        Self { code, opened: now, tokens: BURST, refilled: now, granted: None }
    }

    /// Judges an attempt at `now`: the machine's proof when it is granted. After that only the same request is granted
    /// again, because an answer may be lost on its way; it is worth nothing to anyone without its key.
    ///
    /// # Errors
    /// See [`Refused`].
    pub fn attempt(&mut self, now: Duration, csr: &[u8], authority: &[u8], proof: &[u8]) -> Result<Vec<u8>, Refused> {
        if now.saturating_sub(self.opened) >= WINDOW {
            return Err(Refused::Expired);
        }
        self.refill(now);
        if self.tokens == 0 {
            return Err(Refused::TooMany((self.refilled + REFILL).saturating_sub(now)));
        }
        self.tokens -= 1;
        if !verify(Side::Client, &self.code, csr, authority, proof) {
            return Err(Refused::Wrong);
        }
        if self.granted.as_ref().is_some_and(|granted| granted != csr) {
            return Err(Refused::Used);
        }
        self.granted = Some(csr.to_vec());
        Ok(prove(Side::Machine, &self.code, csr, authority))
    }

    fn refill(&mut self, now: Duration) {
        let earned = now.saturating_sub(self.refilled).as_nanos() / REFILL.as_nanos();
        let earned = u32::try_from(earned).unwrap_or(BURST);
        if earned == 0 {
            return;
        }
        self.tokens = self.tokens.saturating_add(earned).min(BURST);
        // A full bucket earns nothing while it is full; the next attempt starts the count.
        self.refilled = if self.tokens == BURST { now } else { self.refilled + REFILL * earned };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CSR: &[u8] = b"request";
    const CA: &[u8] = b"authority";

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(1000 + seconds)
    }

    fn window() -> (Window, Vec<u8>) {
        let code = Code::generate().unwrap();
        let proof = prove(Side::Client, &code, CSR, CA);
        (Window::open(code, at(0)), proof)
    }

    #[test]
    fn a_right_proof_is_answered_with_the_machines_own() {
        let (mut window, proof) = window();
        let code = window.code.clone();
        let answer = window.attempt(at(1), CSR, CA, &proof).unwrap();
        assert!(verify(Side::Machine, &code, CSR, CA, &answer));
        assert!(!verify(Side::Client, &code, CSR, CA, &answer), "the answer is no proof of a client");
        assert_ne!(answer, proof);
    }

    #[test]
    fn a_proof_fits_one_code_one_request_and_one_authority() {
        let (_, proof) = window();
        let code = Code::generate().unwrap();
        assert!(!verify(Side::Client, &code, CSR, CA, &proof));
        let mine = prove(Side::Client, &code, CSR, CA);
        assert!(verify(Side::Client, &code, CSR, CA, &mine));
        assert!(!verify(Side::Client, &code, b"other", CA, &mine));
        assert!(!verify(Side::Client, &code, CSR, b"middleman", &mine));
        assert!(!verify(Side::Client, &code, b"requestauth", b"ority", &mine), "parts must not run together");
        assert!(!verify(Side::Client, &code, CSR, CA, &mine[1..]));
    }

    #[test]
    fn a_code_counts_once_but_a_lost_answer_can_be_fetched_again() {
        let (mut window, proof) = window();
        let first = window.attempt(at(1), CSR, CA, &proof).unwrap();
        assert_eq!(window.attempt(at(2), CSR, CA, &proof), Ok(first));
        let other = prove(Side::Client, &window.code.clone(), b"other", CA);
        assert_eq!(window.attempt(at(3), b"other", CA, &other), Err(Refused::Used));
    }

    #[test]
    fn the_window_closes_ten_minutes_after_boot() {
        let (mut window, proof) = window();
        assert_eq!(window.attempt(at(600), CSR, CA, &proof), Err(Refused::Expired));
        assert!(window.attempt(at(599), CSR, CA, &proof).is_ok());
    }

    #[test]
    fn guessing_is_slowed_down_and_never_locks_out_for_long() {
        let (mut window, proof) = window();
        for _ in 0..BURST {
            assert_eq!(window.attempt(at(0), CSR, CA, b"guess"), Err(Refused::Wrong));
        }
        assert_eq!(window.attempt(at(1), CSR, CA, &proof), Err(Refused::TooMany(Duration::from_secs(1))));
        assert!(window.attempt(at(2), CSR, CA, &proof).is_ok());
        assert_eq!(window.attempt(at(3), CSR, CA, &proof), Err(Refused::TooMany(Duration::from_secs(1))));
    }

    #[test]
    fn a_code_is_read_as_people_type_it() {
        let code = Code::generate().unwrap();
        let shown = code.to_text();
        assert_eq!(shown.len(), 19);
        assert_eq!(Code::parse(&shown).unwrap(), code);
        assert_eq!(Code::parse(&format!(" {} ", shown.to_lowercase().replace('-', " "))).unwrap(), code);
        assert_eq!(Code::parse("O0I1-L100-0000-0000").unwrap(), Code::parse("0011-1100-0000-0000").unwrap());
        for wrong in ["", "0000", "0000-0000-0000-000U", "0000-0000-0000-0000-0", "0000-0000-0000-000é"] {
            assert!(Code::parse(wrong).is_err(), "{wrong}");
        }
        assert!(!format!("{code:?}").contains(&*code.0));
    }
}
