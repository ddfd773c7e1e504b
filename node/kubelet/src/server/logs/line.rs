//! Lines of a container's log: `TIME STREAM TAG CONTENT`, where the tag says whether the line goes on in the next one.
//! The format is CRI's; `k8s.io/cri-client/pkg/logs` reads it the same way.

use super::options::{Options, Wants};
use jiff::Timestamp;

/// One line of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// When it was written, as the file has it.
    pub time: &'a str,
    /// Whether it is of the error output.
    pub stderr: bool,
    /// Whether what was written ends here; else it goes on in the stream's next line.
    pub full: bool,
    /// What was written, without the end of the line.
    pub content: &'a [u8],
}

impl<'a> Line<'a> {
    /// Reads a line with or without its end; `None` when it is none.
    #[must_use]
    pub fn parse(bytes: &'a [u8]) -> Option<Line<'a>> {
        let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        let (time, rest) = word(bytes)?;
        let (stream, rest) = word(rest)?;
        let (tags, content) = word(rest)?;
        let stderr = match stream {
            b"stdout" => false,
            b"stderr" => true,
            _ => return None,
        };
        let time = std::str::from_utf8(time).ok().filter(|time| looks_like_time(time))?;
        Some(Line { time, stderr, full: tags.split(|b| *b == b':').next() != Some(b"P"), content })
    }
}

/// Whether the line that begins so goes on in the next one. Works on the first bytes of a line alone.
#[must_use]
pub fn goes_on(head: &[u8]) -> bool {
    let tag = word(head).and_then(|(_, rest)| word(rest)).map(|(_, rest)| rest);
    tag.is_some_and(|tag| tag.starts_with(b"P ") || tag.starts_with(b"P:"))
}

/// Bytes in which the tag of a line is found: a time with nanoseconds and offset, a stream, a tag, and blanks.
pub const HEAD_BYTES: usize = 64;

fn word(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|b| *b == b' ')?;
    Some((&bytes[..end], &bytes[end + 1..]))
}

fn looks_like_time(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() >= 20 && bytes[4] == b'-' && bytes[10] == b'T' && bytes[..4].iter().all(u8::is_ascii_digit)
}

/// The time with nine digits of fraction, so that columns line up; engines leave zeros at the end out.
fn fixed(time: &str) -> String {
    let (seconds, rest) = time.split_at(19);
    let digits = rest.strip_prefix('.').map_or(0, |rest| rest.bytes().take_while(u8::is_ascii_digit).count());
    let (fraction, offset) = if digits > 0 { (&rest[1..=digits], &rest[1 + digits..]) } else { ("", rest) };
    format!("{seconds}.{fraction:0<9}{offset}")
}

/// Makes of lines what the client gets.
#[derive(Debug)]
pub struct Printer {
    timestamps: bool,
    since: Option<Timestamp>,
    wants: Wants,
    left: u64,
    fresh: bool,
}

impl Printer {
    /// A printer of what is asked for.
    #[must_use]
    pub fn new(options: &Options) -> Printer {
        let left = options.limit.unwrap_or(u64::MAX);
        Printer { timestamps: options.timestamps, since: options.since, wants: options.wants, left, fresh: true }
    }

    /// Whether all bytes that were asked for have been written.
    #[must_use]
    pub fn done(&self) -> bool {
        self.left == 0
    }

    /// Appends what the client gets of a line of the file. What is no line is left out.
    pub fn print(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let Some(line) = Line::parse(bytes) else {
            return tracing::debug!(bytes = bytes.len(), "a line of a log cannot be read");
        };
        if !self.wanted(&line) {
            return;
        }
        if self.timestamps && self.fresh {
            self.put(fixed(line.time).as_bytes(), out);
            self.put(b" ", out);
        }
        self.put(line.content, out);
        if line.full {
            self.put(b"\n", out);
        }
        self.fresh = line.full;
    }

    fn wanted(&self, line: &Line<'_>) -> bool {
        let stream = match self.wants {
            Wants::All => true,
            Wants::Stdout => !line.stderr,
            Wants::Stderr => line.stderr,
        };
        stream && self.since.is_none_or(|since| line.time.parse::<Timestamp>().is_ok_and(|time| time >= since))
    }

    fn put(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let fits = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
        out.extend_from_slice(&bytes[..fits]);
        self.left -= fits as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &[&str] = &[
        "2026-01-02T03:04:05.5Z stdout F one\n",
        "2026-01-02T03:04:06.123456789Z stderr F two\n",
        "2026-01-02T03:04:07Z stdout P thr\n",
        "2026-01-02T03:04:07.000000001+02:00 stdout F ee\n",
        "no line\n",
        "2026-01-02T03:04:09Z stdout F \n",
    ];

    fn check(options: &Options) -> String {
        let (mut printer, mut out) = (Printer::new(options), Vec::new());
        LOG.iter().for_each(|line| printer.print(line.as_bytes(), &mut out));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn lines_are_put_together_again() {
        assert_eq!(check(&Options::default()), "one\ntwo\nthree\n\n");
    }

    #[test]
    fn times_have_nine_digits_and_stand_before_whole_lines() {
        let wants = "2026-01-02T03:04:05.500000000Z one\n2026-01-02T03:04:06.123456789Z two\n\
                     2026-01-02T03:04:07.000000000Z three\n2026-01-02T03:04:09.000000000Z \n";
        assert_eq!(check(&Options { timestamps: true, ..Options::default() }), wants);
    }

    #[test]
    fn streams_times_and_bytes_are_cut() {
        assert_eq!(check(&Options { wants: Wants::Stderr, ..Options::default() }), "two\n");
        assert_eq!(check(&Options { wants: Wants::Stdout, ..Options::default() }), "one\nthree\n\n");
        let since = Some("2026-01-02T03:04:07Z".parse().unwrap());
        assert_eq!(check(&Options { since, ..Options::default() }), "thr\n");
        assert_eq!(check(&Options { limit: Some(6), ..Options::default() }), "one\ntw");
    }

    #[test]
    fn the_tag_is_found_in_the_head_of_a_line() {
        assert!(goes_on(b"2026-01-02T03:04:07Z stdout P thr"));
        assert!(goes_on(b"2026-01-02T03:04:07Z stdout P:x thr"));
        assert!(!goes_on(b"2026-01-02T03:04:07Z stdout F P "));
        assert!(!goes_on(b"2026-01-02T03:04:07Z std"));
    }
}
