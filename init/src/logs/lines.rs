//! Cuts a stream of bytes into lines of bounded length. Pure.

/// The longest line kept in one piece, in bytes; a longer one is cut into several.
pub const LINE_BYTES_MAX: usize = 8 * 1024;

/// What has arrived since the last line end.
#[derive(Default)]
pub struct Lines {
    partial: Vec<u8>,
}

impl Lines {
    /// Takes the next bytes and returns the lines that they complete, without their line ends.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut complete = Vec::new();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (piece, ends) = match piece.strip_suffix(b"\n") {
                Some(piece) => (piece, true),
                None => (piece, false),
            };
            let mut rest = piece;
            while self.partial.len() + rest.len() > LINE_BYTES_MAX {
                let (now, later) = rest.split_at(LINE_BYTES_MAX - self.partial.len());
                self.partial.extend_from_slice(now);
                complete.push(std::mem::take(&mut self.partial));
                rest = later;
            }
            self.partial.extend_from_slice(rest);
            if ends {
                complete.push(std::mem::take(&mut self.partial));
            }
        }
        complete
    }

    /// What is left at the end of the stream.
    pub fn rest(self) -> Option<Vec<u8>> {
        (!self.partial.is_empty()).then_some(self.partial)
    }
}

/// Whether a line tells of the end of a program: Go's and Rust's panics, Go's run-time errors, fatal log levels.
pub fn is_fatal(line: &str) -> bool {
    const MARKS: &[&str] = &["panic:", "panicked at", "fatal error:", "level=fatal", "\"level\":\"fatal\"", "FATAL"];
    MARKS.iter().any(|mark| line.contains(mark))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_out_whole_however_the_bytes_arrive() {
        let text = b"one\ntwo\n\nthree";
        for size in 1..text.len() {
            let mut lines = Lines::default();
            let mut got: Vec<Vec<u8>> = text.chunks(size).flat_map(|piece| lines.push(piece)).collect();
            got.extend(lines.rest());
            assert_eq!(got, [b"one".to_vec(), b"two".to_vec(), Vec::new(), b"three".to_vec()]);
        }
    }

    #[test]
    fn a_line_without_end_is_cut_and_loses_nothing() {
        let mut lines = Lines::default();
        let got = lines.push(&vec![b'x'; 3 * LINE_BYTES_MAX + 5]);
        assert_eq!(got.iter().map(Vec::len).collect::<Vec<_>>(), [LINE_BYTES_MAX; 3]);
        assert_eq!(lines.rest().map(|rest| rest.len()), Some(5));
    }

    #[test]
    fn last_words_are_recognised() {
        assert!(is_fatal("thread 'main' panicked at src/main.rs:1:1:"));
        assert!(is_fatal("time=… level=fatal msg=\"no disk\""));
        assert!(!is_fatal("level=error msg=\"try again\""));
    }
}
