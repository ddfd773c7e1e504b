//! Scalars as their types in Go take them, and in the form in which Go writes them.

use crate::node::{Bits, Node};
use api::time::{Instant, format_duration, parse_duration};
use api::{Quantity, Tree};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Why a scalar was not taken.
pub(super) enum Refusal {
    /// The wrong type; decoding goes on. Describes the value.
    Mismatch(String),
    /// The wrong type within a type of its own (a time, an amount), which ends decoding. The second is Go's type.
    Abort(String, &'static str),
    /// A malformed value; decoding goes on.
    Malformed(String),
    /// A malformed value of a type of its own, which ends decoding.
    Fatal(String),
}

fn wrong(node: &Node, what: &str, literal: &str) -> Refusal {
    match node {
        Node::Time | Node::MicroTime | Node::Duration => Refusal::Abort(what.to_owned(), "string"),
        Node::IntOrString => Refusal::Abort(what.to_owned(), "int32"),
        Node::Quantity => match Quantity::parse(literal) {
            Err(e) => Refusal::Fatal(e.to_string()),
            Ok(_) => Refusal::Mismatch(what.to_owned()),
        },
        _ => Refusal::Mismatch(what.to_owned()),
    }
}

pub(super) fn boolean(node: &Node, value: bool) -> Result<Tree, Refusal> {
    match node {
        Node::Bool | Node::Any | Node::Raw(_) | Node::Either(_) => Ok(Tree::Bool(value)),
        _ => Err(wrong(node, "bool", if value { "true" } else { "false" })),
    }
}

pub(super) fn integer(node: &Node, value: i64) -> Result<Tree, Refusal> {
    match node {
        Node::Int(bits) if bits.holds(value) => Ok(Tree::Int(value)),
        Node::Int(_) => Err(Refusal::Mismatch(format!("number {value}"))),
        Node::IntOrString if Bits::Signed32.holds(value) => Ok(Tree::Int(value)),
        Node::IntOrString => Err(Refusal::Abort(format!("number {value}"), "int32")),
        Node::Float | Node::Any | Node::Raw(_) => Ok(Tree::Int(value)),
        Node::Quantity => quantity(&value.to_string()),
        _ => Err(wrong(node, "number", "")),
    }
}

pub(super) fn float(node: &Node, value: f64) -> Result<Tree, Refusal> {
    match node {
        Node::Float | Node::Any | Node::Raw(_) => Ok(Tree::Float(value)),
        Node::Int(_) => Err(Refusal::Mismatch(format!("number {}", Tree::Float(value).to_json_text()))),
        Node::IntOrString => Err(Refusal::Abort(format!("number {}", Tree::Float(value).to_json_text()), "int32")),
        Node::Quantity => quantity(&Tree::Float(value).to_json_text()),
        _ => Err(wrong(node, "number", "")),
    }
}

fn quantity(text: &str) -> Result<Tree, Refusal> {
    Quantity::canonical(text.trim()).map(Tree::Text).map_err(|e| Refusal::Fatal(e.to_string()))
}

fn instant(text: &str, micro: bool) -> Result<Tree, Refusal> {
    let parsed = if micro { Instant::parse_micro(text) } else { Instant::parse(text) };
    let instant = parsed.map_err(|e| Refusal::Fatal(e.to_string()))?;
    Ok(match (instant.is_zero(), micro) {
        (true, _) => Tree::Null,
        // A time in UTC without a fraction is canonical: 20 characters.
        (false, false) if text.len() == 20 && text.ends_with('Z') => Tree::text(text),
        (false, true) => Tree::Text(instant.to_micro_text()),
        (false, false) => Tree::Text(instant.to_text()),
    })
}

fn bytes(text: &str) -> Result<Tree, Refusal> {
    // Go's decoder skips line ends inside base64.
    let plain = text.contains(['\r', '\n']).then(|| text.replace(['\r', '\n'], ""));
    let plain = plain.as_deref().unwrap_or(text);
    match STANDARD.decode(plain) {
        Ok(_) => Ok(Tree::text(plain)),
        Err(e) => Err(Refusal::Malformed(format!("illegal base64 data at input byte {}", offset(plain, &e)))),
    }
}

/// The byte at which Go reports broken base64.
fn offset(text: &str, error: &base64::DecodeError) -> usize {
    match error {
        base64::DecodeError::InvalidByte(at, _) | base64::DecodeError::InvalidLastSymbol(at, _) => *at,
        base64::DecodeError::InvalidLength(_) | base64::DecodeError::InvalidPadding => text.len() / 4 * 4,
    }
}

pub(super) fn text(node: &Node, value: &str) -> Result<Tree, Refusal> {
    match node {
        Node::Quantity => quantity(value),
        Node::Time => instant(value, false),
        Node::MicroTime => instant(value, true),
        Node::Duration => match parse_duration(value) {
            Ok(nanos) => Ok(Tree::Text(format_duration(nanos))),
            Err(e) => Err(Refusal::Fatal(e.to_string())),
        },
        Node::Bytes => bytes(value),
        Node::Text | Node::IntOrString | Node::Any | Node::Raw(_) => Ok(Tree::text(value)),
        Node::Either(_) => Ok(Tree::text(value)),
        _ => Err(Refusal::Mismatch("string".to_owned())),
    }
}
