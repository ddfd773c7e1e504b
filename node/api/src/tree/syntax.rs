//! What is wrong with a text that is no JSON, in the words of Go's `encoding/json`: clients and people compare and
//! search them. It must not build a value; a text without a fault here may still be too deep for the decoder.

/// Nesting at which Go gives up.
const DEPTH_MAX: usize = 10_000;

const END: &str = "unexpected end of JSON input";

/// What is wrong with a JSON text; nothing when it is one JSON value.
#[must_use]
pub fn json_fault(bytes: &[u8]) -> Option<String> {
    Scan { bytes, at: 0, open: Vec::new() }.run().err()
}

/// What may come next.
enum Next {
    Value,
    ValueOrClose,
    KeyOrClose,
    Key,
    AfterValue,
}

struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
    /// The open objects (`{`) and arrays (`[`).
    open: Vec<u8>,
}

impl Scan<'_> {
    fn run(&mut self) -> Result<(), String> {
        let mut next = Next::Value;
        loop {
            self.spaces();
            let Some(&c) = self.bytes.get(self.at) else {
                let whole = matches!(next, Next::AfterValue) && self.open.is_empty();
                return if whole { Ok(()) } else { Err(END.to_owned()) };
            };
            next = match next {
                Next::ValueOrClose if c == b']' => self.close(),
                Next::KeyOrClose if c == b'}' => self.close(),
                Next::Value | Next::ValueOrClose => self.value(c)?,
                Next::Key | Next::KeyOrClose => self.key(c)?,
                Next::AfterValue => self.after_value(c)?,
            };
        }
    }

    fn spaces(&mut self) {
        while self.bytes.get(self.at).is_some_and(|c| matches!(c, b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    fn close(&mut self) -> Next {
        self.at += 1;
        self.open.pop();
        Next::AfterValue
    }

    fn value(&mut self, c: u8) -> Result<Next, String> {
        match c {
            b'{' | b'[' => {
                if self.open.len() >= DEPTH_MAX {
                    return Err(self.wrong("exceeded max depth"));
                }
                self.open.push(c);
                self.at += 1;
                return Ok(if c == b'{' { Next::KeyOrClose } else { Next::ValueOrClose });
            }
            b'"' => self.string()?,
            b'-' | b'0'..=b'9' => self.number()?,
            b't' => self.literal("true")?,
            b'f' => self.literal("false")?,
            b'n' => self.literal("null")?,
            _ => return Err(self.wrong("looking for beginning of value")),
        }
        Ok(Next::AfterValue)
    }

    fn key(&mut self, c: u8) -> Result<Next, String> {
        if c != b'"' {
            return Err(self.wrong("looking for beginning of object key string"));
        }
        self.string()?;
        self.spaces();
        match self.peek()? {
            b':' => self.at += 1,
            _ => return Err(self.wrong("after object key")),
        }
        Ok(Next::Value)
    }

    fn after_value(&mut self, c: u8) -> Result<Next, String> {
        match (self.open.last(), c) {
            (Some(b'{'), b'}') | (Some(b'['), b']') => return Ok(self.close()),
            (Some(b'{'), b',') => self.at += 1,
            (Some(_), b',') => {
                self.at += 1;
                return Ok(Next::Value);
            }
            (Some(b'{'), _) => return Err(self.wrong("after object key:value pair")),
            (Some(_), _) => return Err(self.wrong("after array element")),
            (None, _) => return Err(self.wrong("after top-level value")),
        }
        Ok(Next::Key)
    }

    fn string(&mut self) -> Result<(), String> {
        self.at += 1;
        loop {
            match self.peek()? {
                b'"' => {
                    self.at += 1;
                    return Ok(());
                }
                b'\\' => {
                    self.at += 1;
                    self.escape()?;
                }
                0..0x20 => return Err(self.wrong("in string literal")),
                _ => self.at += 1,
            }
        }
    }

    fn escape(&mut self) -> Result<(), String> {
        match self.peek()? {
            b'b' | b'f' | b'n' | b'r' | b't' | b'\\' | b'/' | b'"' => self.at += 1,
            b'u' => {
                self.at += 1;
                for _ in 0..4 {
                    if !self.peek()?.is_ascii_hexdigit() {
                        return Err(self.wrong("in \\u hexadecimal character escape"));
                    }
                    self.at += 1;
                }
            }
            _ => return Err(self.wrong("in string escape code")),
        }
        Ok(())
    }

    fn number(&mut self) -> Result<(), String> {
        if self.peek()? == b'-' {
            self.at += 1;
        }
        match self.peek()? {
            b'0' => self.at += 1,
            b'1'..=b'9' => self.digits(),
            _ => return Err(self.wrong("in numeric literal")),
        }
        if self.bytes.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.must_digits("after decimal point in numeric literal")?;
        }
        if matches!(self.bytes.get(self.at), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek()?, b'+' | b'-') {
                self.at += 1;
            }
            self.must_digits("in exponent of numeric literal")?;
        }
        Ok(())
    }

    fn must_digits(&mut self, place: &str) -> Result<(), String> {
        if !self.peek()?.is_ascii_digit() {
            return Err(self.wrong(place));
        }
        self.digits();
        Ok(())
    }

    fn digits(&mut self) {
        while self.bytes.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
    }

    fn literal(&mut self, word: &str) -> Result<(), String> {
        self.at += 1;
        for wanted in word.bytes().skip(1) {
            if self.peek()? != wanted {
                return Err(self.wrong(&format!("in literal {word} (expecting '{}')", char::from(wanted))));
            }
            self.at += 1;
        }
        Ok(())
    }

    fn peek(&self) -> Result<u8, String> {
        self.bytes.get(self.at).copied().ok_or_else(|| END.to_owned())
    }

    /// The byte here, and where it does not belong.
    fn wrong(&self, place: &str) -> String {
        format!("invalid character {} {place}", quoted(self.bytes[self.at]))
    }
}

/// A byte in quotes, as Go shows it: taken for a character of its own.
fn quoted(byte: u8) -> String {
    match byte {
        b'\'' => "'\\''".to_owned(),
        b'"' => "'\"'".to_owned(),
        b'\\' => "'\\\\'".to_owned(),
        7 => "'\\a'".to_owned(),
        8 => "'\\b'".to_owned(),
        11 => "'\\v'".to_owned(),
        12 => "'\\f'".to_owned(),
        b'\n' => "'\\n'".to_owned(),
        b'\r' => "'\\r'".to_owned(),
        b'\t' => "'\\t'".to_owned(),
        0..0x20 | 0x7f => format!("'\\x{byte:02x}'"),
        0x80..=0xa0 | 0xad => format!("'\\u00{byte:02x}'"),
        _ => format!("'{}'", char::from(byte)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_json_text_has_no_fault() {
        for text in [r#" {"a":[1,-2.5e+3,true,null,"\u00e9\n"],"b":{}} "#, "[]", "0", "\"x\""] {
            assert_eq!(json_fault(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn a_fault_is_told_in_the_words_of_go() {
        let cases: &[(&[u8], &str)] = &[
            (b"", "unexpected end of JSON input"),
            (b"{\"a\":", "unexpected end of JSON input"),
            (b"hello", "invalid character 'h' looking for beginning of value"),
            (b"nil", "invalid character 'i' in literal null (expecting 'u')"),
            (b"{a", "invalid character 'a' looking for beginning of object key string"),
            (b"{\"a\" 1", "invalid character '1' after object key"),
            (b"{\"a\":1 \"b\"", "invalid character '\"' after object key:value pair"),
            (b"{\"a\":1,}", "invalid character '}' looking for beginning of object key string"),
            (b"[1 2]", "invalid character '2' after array element"),
            (b"[1,]", "invalid character ']' looking for beginning of value"),
            (b"{} x", "invalid character 'x' after top-level value"),
            (b"01", "invalid character '1' after top-level value"),
            (b"-x", "invalid character 'x' in numeric literal"),
            (b"1.x", "invalid character 'x' after decimal point in numeric literal"),
            (b"1ex", "invalid character 'x' in exponent of numeric literal"),
            (b"\"\n", "invalid character '\\n' in string literal"),
            (b"\"\\q", "invalid character 'q' in string escape code"),
            (b"\"\\u00g", "invalid character 'g' in \\u hexadecimal character escape"),
            (b"i\xb7", "invalid character 'i' looking for beginning of value"),
            (b"\xb7", "invalid character '\u{b7}' looking for beginning of value"),
        ];
        for (text, fault) in cases {
            assert_eq!(json_fault(text).as_deref(), Some(*fault), "{}", String::from_utf8_lossy(text));
        }
    }
}
