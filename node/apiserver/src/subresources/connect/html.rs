//! Pages that are proxied: the addresses in their tags are rewritten while the page flows by. Text is left alone; only a
//! tag is held back until it is whole.

use super::rewrite::Place;
use crate::reply::{Body, BoxError};
use bytes::Bytes;
use futures_util::StreamExt;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;

/// Bytes of one tag at most; a longer one is passed on as it is.
const TAG_BYTES_MAX: usize = 64 * 1024;
/// Attributes whose value is an address.
const ATTRIBUTES: [&str; 15] = [
    "action",
    "background",
    "cite",
    "classid",
    "codebase",
    "data",
    "formaction",
    "href",
    "icon",
    "longdesc",
    "manifest",
    "poster",
    "profile",
    "src",
    "usemap",
];
/// Tags whose content is no HTML.
const RAW: [&str; 4] = ["script", "style", "textarea", "title"];

/// The body with its addresses rewritten.
pub fn rewritten(body: Body, place: Place) -> Body {
    let start = (body.into_data_stream(), Some(Rewriter::new(place)));
    let frames = futures_util::stream::unfold(start, |(mut source, rewriter)| async move {
        let mut rewriter = rewriter?;
        Some(match source.next().await {
            Some(Ok(bytes)) => {
                let out = rewriter.feed(&bytes);
                (Ok(Frame::data(Bytes::from(out))), (source, Some(rewriter)))
            }
            Some(Err(error)) => (Err::<_, BoxError>(error), (source, None)),
            None => (Ok(Frame::data(Bytes::from(rewriter.finish()))), (source, None)),
        })
    });
    StreamBody::new(frames).boxed_unsync()
}

/// Rewrites a page piece by piece.
struct Rewriter {
    place: Place,
    /// A tag that is not whole yet.
    held: Vec<u8>,
    /// The quote that the tag is in the middle of.
    quote: Option<u8>,
    /// The tag in whose raw content we are.
    raw: Option<&'static str>,
}

impl Rewriter {
    fn new(place: Place) -> Self {
        Self { place, held: Vec::new(), quote: None, raw: None }
    }

    fn feed(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(bytes.len());
        for &byte in bytes {
            if self.held.is_empty() {
                if byte == b'<' {
                    self.held.push(byte)
                } else {
                    out.push(byte)
                }
                continue;
            }
            if byte == b'<' && self.quote.is_none() && !self.held.starts_with(b"<!--") {
                // What was held was no tag.
                out.append(&mut self.held);
            }
            self.held.push(byte);
            if self.held.len() > TAG_BYTES_MAX {
                out.append(&mut self.held);
                self.quote = None;
            } else if self.whole(byte) {
                let tag = std::mem::take(&mut self.held);
                out.append(&mut self.tag(tag));
            }
        }
        out
    }

    fn finish(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.held)
    }

    /// Whether `byte` ended what is held.
    fn whole(&mut self, byte: u8) -> bool {
        if self.held.starts_with(b"<!--") {
            return self.held.len() >= 7 && self.held.ends_with(b"-->");
        }
        if self.held.len() == 2 && !(byte.is_ascii_alphabetic() || matches!(byte, b'/' | b'!' | b'?')) {
            return true;
        }
        if self.raw.is_some() && self.held.len() == 2 && byte != b'/' {
            return true;
        }
        match (self.quote, byte) {
            (None, b'"' | b'\'') => self.quote = Some(byte),
            (Some(quote), byte) if byte == quote => self.quote = None,
            (None, b'>') => return true,
            _ => {}
        }
        false
    }

    fn tag(&mut self, tag: Vec<u8>) -> Vec<u8> {
        let Ok(text) = std::str::from_utf8(&tag) else { return tag };
        let name: String = text
            .trim_start_matches(['<', '/'])
            .chars()
            .take_while(char::is_ascii_alphanumeric)
            .map(|c| c.to_ascii_lowercase())
            .collect();
        if let Some(raw) = self.raw {
            if text.starts_with("</") && name == raw {
                self.raw = None;
            }
            return tag;
        }
        if !text.starts_with('<') || text.starts_with("</") || name.is_empty() {
            return tag;
        }
        if !text.ends_with("/>") {
            self.raw = RAW.into_iter().find(|raw| *raw == name);
        }
        attributes(text, &self.place).into_bytes()
    }
}

/// The tag with the addresses in its attributes rewritten.
fn attributes(tag: &str, place: &Place) -> String {
    let mut out = String::with_capacity(tag.len());
    let mut rest = tag;
    while let Some(at) = rest.find('=') {
        let (before, after) = rest.split_at(at);
        let name = before.trim_end().rsplit(|c: char| c.is_whitespace() || c == '/').next().unwrap_or_default();
        let blank = after.len() - 1 - after[1..].trim_start().len();
        let (lead, value) = after.split_at(1 + blank);
        let (open, end) = match value.chars().next() {
            Some(quote @ ('"' | '\'')) => (1, value[1..].find(quote).map_or(value.len(), |end| end + 1)),
            _ => (0, value.find(|c: char| c.is_whitespace() || c == '>').unwrap_or(value.len())),
        };
        out.push_str(before);
        out.push_str(lead);
        out.push_str(&value[..open]);
        if ATTRIBUTES.iter().any(|known| known.eq_ignore_ascii_case(name)) {
            out.push_str(&place.rewrite(&value[open..end]));
        } else {
            out.push_str(&value[open..end]);
        }
        out.push_str(&value[end..end + usize::from(open == 1 && end < value.len())]);
        rest = &value[end + usize::from(open == 1 && end < value.len())..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> Place {
        Place { prefix: "/p/proxy".to_owned(), backend: "10.0.0.1:80".to_owned(), host: "api".to_owned() }
    }

    fn check(page: &str, wants: &str) {
        let whole = {
            let mut rewriter = Rewriter::new(place());
            [rewriter.feed(page.as_bytes()), rewriter.finish()].concat()
        };
        let mut rewriter = Rewriter::new(place());
        let mut single: Vec<u8> = page.as_bytes().iter().flat_map(|byte| rewriter.feed(&[*byte])).collect();
        single.append(&mut rewriter.finish());
        assert_eq!(String::from_utf8(whole).unwrap(), wants);
        assert_eq!(String::from_utf8(single).unwrap(), wants, "byte by byte");
    }

    #[test]
    fn addresses_in_tags_are_rewritten() {
        check(r#"<a href="/rewriteme">test</a>"#, r#"<a href="/p/proxy/rewriteme">test</a>"#);
        check("<IMG alt='a>b' SRC = '/x.png'/>", "<IMG alt='a>b' SRC = '/p/proxy/x.png'/>");
        check("<link href=/a.css rel=x>", "<link href=/p/proxy/a.css rel=x>");
        check(r#"<form action="/go" data-src="/k"><p>"#, r#"<form action="/p/proxy/go" data-src="/k"><p>"#);
        check("<script src=/a.js></script>", "<script src=/p/proxy/a.js></script>");
    }

    #[test]
    fn what_is_no_tag_stays() {
        for page in [
            "1 < 2 and \"quoted",
            "<!-- <a href='/x'> -->",
            "<!DOCTYPE html><p class=\"a\">é</p>",
            "<script>if (a<b) x='<a href=\"/x\">';</script>",
            "<a href=\"relative\">",
            "<a href=\"/unfinished",
        ] {
            check(page, page);
        }
    }
}
