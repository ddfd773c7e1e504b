//! A small HTTP/1.1 client: one request a connection, with time limits, as `curl` would do it.

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long a connection and each of its reads may take. Pods run emulated, next to this program.
const LIMIT: Duration = Duration::from_secs(20);

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The status code.
    pub code: u16,
    /// The body, without spaces around it.
    pub body: String,
}

/// Fetches a path.
pub fn get(server: SocketAddr, path: &str) -> Result<Reply> {
    request(server, "GET", path)
}

/// Posts nothing to a path.
pub fn post(server: SocketAddr, path: &str) -> Result<Reply> {
    request(server, "POST", path)
}

fn request(server: SocketAddr, method: &str, path: &str) -> Result<Reply> {
    let mut stream = TcpStream::connect_timeout(&server, LIMIT)?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.set_write_timeout(Some(LIMIT))?;
    write!(stream, "{method} {path} HTTP/1.1\r\nHost: shop\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    parse(&String::from_utf8_lossy(&bytes)).ok_or_else(|| {
        let text = String::from_utf8_lossy(&bytes);
        Error::new(ErrorKind::InvalidData, format!("no answer: {:?}", text.chars().take(200).collect::<String>()))
    })
}

/// An answer that is whole: with its head, and as long as it says, or chunked to the end.
fn parse(text: &str) -> Option<Reply> {
    let (head, body) = text.split_once("\r\n\r\n")?;
    let code = head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    let field = |name: &str| {
        let mut lines = head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    };
    let body = match field("content-length") {
        Some(length) => (length.parse() == Ok(body.len())).then(|| body.to_owned())?,
        None if field("transfer-encoding") == Some("chunked") => unchunk(body)?,
        None => body.to_owned(),
    };
    Some(Reply { code, body: body.trim().to_owned() })
}

fn unchunk(mut rest: &str) -> Option<String> {
    let mut whole = String::new();
    loop {
        let (length, after) = rest.split_once("\r\n")?;
        let length = usize::from_str_radix(length, 16).ok()?;
        if length == 0 {
            return Some(whole);
        }
        whole.push_str(after.get(..length)?);
        rest = after.get(length..)?.strip_prefix("\r\n")?;
    }
}
