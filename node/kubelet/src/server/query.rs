//! The query of a URL.

/// Keys and values, in order.
#[derive(Clone, Debug, Default)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Reads `a=1&b=x+y`.
    #[must_use]
    pub fn parse(text: &str) -> Query {
        let pair = |pair: &str| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (unescape(&key.replace('+', " ")), unescape(&value.replace('+', " ")))
        };
        Query(text.split('&').filter(|p| !p.is_empty()).map(pair).collect())
    }

    /// All values of a key.
    pub fn all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(k, _)| k == key).map(|(_, v)| v.as_str())
    }

    /// The first value of a key, if it is not empty.
    #[must_use]
    pub fn text<'a>(&'a self, key: &'a str) -> Option<&'a str> {
        self.all(key).next().filter(|value| !value.is_empty())
    }

    /// A truth value: absent, `false` and `0` are false.
    #[must_use]
    pub fn flag(&self, key: &str) -> bool {
        self.all(key).next().is_some_and(|v| !matches!(v.to_lowercase().as_str(), "false" | "0"))
    }
}

/// Undoes `%xx`; bytes that are no UTF-8 become the replacement character.
#[must_use]
pub fn unescape(text: &str) -> String {
    let bytes = text.as_bytes();
    let hex = |at: usize| bytes.get(at).and_then(|c| char::from(*c).to_digit(16)).and_then(|d| u8::try_from(d).ok());
    let (mut plain, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while at < bytes.len() {
        match (bytes[at], hex(at + 1), hex(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                plain.push(high << 4 | low);
                at += 3;
            }
            (byte, ..) => {
                plain.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&plain).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_read() {
        let query = Query::parse("command=sh&command=a+b%26&input=1&tty=false&x");
        assert_eq!(query.all("command").collect::<Vec<_>>(), ["sh", "a b&"]);
        assert!(query.flag("input") && !query.flag("tty") && query.flag("x") && !query.flag("y"));
        assert_eq!(query.text("x"), None);
    }
}
