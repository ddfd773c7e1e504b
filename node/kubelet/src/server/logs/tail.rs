//! Where the last lines of a log begin, found from its end without reading the rest.

use super::line::{HEAD_BYTES, goes_on};

/// Counts lines backwards. It is fed pieces of a file from the last to the first, and then, if more lines are wanted,
/// those of the file before it.
#[derive(Debug)]
pub struct Tail {
    wanted: u64,
    seen: u64,
    /// Where the lines that were counted begin.
    start: u64,
    /// Whether a line comes after the one that is looked at: then one that goes on is the beginning of that one.
    followed: bool,
    /// The bytes that follow the next piece, as many as a tag is found in.
    head: Vec<u8>,
}

impl Tail {
    /// Looks for that many lines.
    #[must_use]
    pub fn new(wanted: u64) -> Tail {
        Tail { wanted, seen: 0, start: 0, followed: false, head: Vec::new() }
    }

    /// Begins with a file of that many bytes.
    pub fn file(&mut self, length: u64) {
        self.start = length;
        self.head.clear();
    }

    /// Takes the piece of the file that stands at `at`, right before the one that was taken last. Answers where in the
    /// file the wanted lines begin; `None`: that is further ahead, or in the file before.
    pub fn feed(&mut self, piece: &[u8], at: u64) -> Option<u64> {
        let mut end = piece.len();
        while let Some(newline) = piece[..end].iter().rposition(|b| *b == b'\n') {
            if let Some(found) = self.line(piece, newline + 1, at) {
                return Some(found);
            }
            end = newline;
        }
        if at == 0 {
            return self.line(piece, 0, 0);
        }
        let head: Vec<u8> = piece.iter().chain(&self.head).copied().take(HEAD_BYTES).collect();
        self.head = head;
        None
    }

    /// A line begins in the piece at `index` and reaches to `self.start`.
    fn line(&mut self, piece: &[u8], index: usize, at: u64) -> Option<u64> {
        let begins = at + index as u64;
        if begins == self.start {
            return None;
        }
        let head: Vec<u8> = piece[index..].iter().chain(&self.head).copied().take(HEAD_BYTES).collect();
        let head = head.split(|b| *b == b'\n').next().unwrap_or_default();
        let counts = !(self.followed && goes_on(head));
        self.followed = true;
        if counts {
            self.seen += 1;
            if self.seen > self.wanted {
                return Some(self.start);
            }
        }
        self.start = begins;
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "2026-01-02T03:04:05Z stdout F one\n\
                       2026-01-02T03:04:05Z stdout P tw\n\
                       2026-01-02T03:04:05Z stdout P -\n\
                       2026-01-02T03:04:05Z stdout F o\n\
                       2026-01-02T03:04:05Z stderr F \n\
                       2026-01-02T03:04:05Z stdout P fo\n";

    /// The wanted lines of a file that is read in pieces of `size` bytes; `None` when it has fewer.
    fn last(tail: &mut Tail, log: &str, size: usize) -> Option<String> {
        tail.file(log.len() as u64);
        let mut end = log.len();
        while end > 0 {
            let at = end.saturating_sub(size);
            if let Some(start) = tail.feed(&log.as_bytes()[at..end], at as u64) {
                return Some(log[usize::try_from(start).unwrap()..].to_owned());
            }
            end = at;
        }
        None
    }

    fn contents(log: &str) -> String {
        log.lines().map(|line| line.splitn(4, ' ').nth(3).unwrap()).collect::<Vec<_>>().join("|")
    }

    #[test]
    fn the_last_lines_are_found_however_the_file_is_cut() {
        for size in [1, 7, 33, 64, 1000] {
            let check = |wanted| last(&mut Tail::new(wanted), LOG, size).map(|log| contents(&log));
            assert_eq!(check(0).as_deref(), Some(""), "{size}");
            assert_eq!(check(1).as_deref(), Some("fo"), "{size}");
            assert_eq!(check(2).as_deref(), Some("|fo"), "{size}");
            assert_eq!(check(3).as_deref(), Some("tw|-|o||fo"), "{size}");
            assert_eq!(check(4), None, "{size}");
            assert_eq!(check(9), None, "{size}");
        }
    }

    #[test]
    fn a_line_that_is_not_whole_yet_is_one() {
        let log = "2026-01-02T03:04:05Z stdout F one\n2026-01-02T03:04:05Z stdout F tw";
        assert_eq!(last(&mut Tail::new(1), log, 10).as_deref(), Some("2026-01-02T03:04:05Z stdout F tw"));
    }

    #[test]
    fn counting_goes_on_in_the_file_before() {
        let mut tail = Tail::new(3);
        assert_eq!(last(&mut tail, "2026-01-02T03:04:06Z stdout F b\n2026-01-02T03:04:06Z stdout F c\n", 9), None);
        let before = "2026-01-02T03:04:05Z stdout F 0\n2026-01-02T03:04:05Z stdout P a\n";
        assert_eq!(last(&mut tail, before, 9).map(|log| contents(&log)), None);
        assert_eq!(last(&mut tail, "2026-01-02T03:04:04Z stdout F x\n", 9).as_deref(), Some(""));
    }

    #[test]
    fn an_empty_file_has_no_lines() {
        assert_eq!(last(&mut Tail::new(1), "", 9), None);
    }
}
