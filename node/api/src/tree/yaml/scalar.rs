//! What a plain scalar means: the rules of go-yaml v2, which are those of YAML 1.1 with Go's number syntax.

use crate::tree::Tree;

/// The value of a scalar. `tag` is the suffix of a core tag (`str`, `int`, …), if one was written.
pub(super) fn resolve(text: &str, plain: bool, tag: Option<&str>) -> Result<Tree, String> {
    let as_string = match tag {
        Some(tag) => tag == "str",
        None => !plain,
    };
    if as_string {
        return Ok(Tree::text(text));
    }
    let value = if plain || tag.is_some() { meaning(text) } else { Tree::text(text) };
    let fits = match (tag, &value) {
        (Some("float"), Tree::Int(whole)) => {
            #[allow(clippy::cast_precision_loss, reason = "the tag asks for a float")]
            return Ok(Tree::Float(*whole as f64));
        }
        (Some("int"), Tree::Int(_)) | (Some("float"), Tree::Float(_)) => true,
        (Some("bool"), Tree::Bool(_)) | (Some("null"), Tree::Null) => true,
        (Some("int" | "float" | "bool" | "null"), _) => false,
        _ => true,
    };
    if fits { Ok(value) } else { Err(format!("cannot decode `{text}` as a !!{}", tag.unwrap_or_default())) }
}

fn meaning(text: &str) -> Tree {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Tree::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => return Tree::Bool(true),
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return Tree::Bool(false);
        }
        _ => {}
    }
    match text.as_bytes()[0] {
        b'0'..=b'9' | b'+' | b'-' | b'.' => number(text).unwrap_or_else(|| Tree::text(text)),
        _ => Tree::text(text),
    }
}

fn number(text: &str) -> Option<Tree> {
    if is_date(text) {
        return None;
    }
    let plain = text.replace('_', "");
    if let Some(whole) = integer(&plain) {
        return Some(whole);
    }
    if !is_float(&plain) {
        return None;
    }
    plain.parse::<f64>().ok().filter(|f| f.is_finite()).map(Tree::Float)
}

/// Timestamps stay text.
fn is_date(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() > 4 && bytes[..4].iter().all(u8::is_ascii_digit) && bytes[4] == b'-'
}

/// Go's `ParseInt` with base 0.
fn integer(text: &str) -> Option<Tree> {
    let negative = text.starts_with('-');
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (digits, base) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (&digits[2..], 16),
        [b'0', b'o' | b'O', ..] => (&digits[2..], 8),
        [b'0', b'b' | b'B', ..] => (&digits[2..], 2),
        [b'0', _, ..] => (&digits[1..], 8),
        _ => (digits, 10),
    };
    if digits.starts_with(['+', '-']) {
        return None;
    }
    let magnitude = u64::from_str_radix(digits, base).ok()?;
    let signed = i128::from(magnitude) * if negative { -1 } else { 1 };
    #[allow(clippy::cast_precision_loss, reason = "beyond 64 bits signed the tree has floats")]
    match i64::try_from(signed) {
        Ok(value) => Some(Tree::Int(value)),
        Err(_) if negative => None,
        Err(_) => Some(Tree::Float(magnitude as f64)),
    }
}

/// `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`
fn is_float(text: &str) -> bool {
    let digits = |t: &str| t.bytes().take_while(u8::is_ascii_digit).count();
    let text = text.strip_prefix(['-', '+']).unwrap_or(text);
    let whole = digits(text);
    let mut rest = &text[whole..];
    let mut fraction = 0;
    if let Some(after) = rest.strip_prefix('.') {
        fraction = digits(after);
        rest = &after[fraction..];
    }
    if whole == 0 && fraction == 0 {
        return false;
    }
    match rest.strip_prefix(['e', 'E']) {
        None => rest.is_empty(),
        Some(exponent) => {
            let exponent = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
            !exponent.is_empty() && digits(exponent) == exponent.len()
        }
    }
}
