//! Field selectors: `path=value`, `path==value`, `path!=value`, joined by commas; `\`, `,` and `=` are escaped by a
//! backslash. The grammar is that of `k8s.io/apimachinery/pkg/fields`.

use super::SelectorError;
use std::fmt;

/// One condition on one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldTerm {
    /// The field's label, such as `metadata.name`.
    pub field: String,
    /// What it is compared with.
    pub value: String,
    /// Whether it must be equal (or else different).
    pub equal: bool,
}

/// A conjunction of conditions on fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSelector(Vec<FieldTerm>);

impl FieldSelector {
    /// Selects every object.
    #[must_use]
    pub fn everything() -> FieldSelector {
        FieldSelector::default()
    }

    /// Selects the objects whose field has this value.
    #[must_use]
    pub fn equal(field: &str, value: &str) -> FieldSelector {
        FieldSelector(vec![FieldTerm { field: field.to_owned(), value: value.to_owned(), equal: true }])
    }

    /// Whether this selects every object.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.0.is_empty()
    }

    /// The conditions, all of which must hold.
    #[must_use]
    pub fn terms(&self) -> &[FieldTerm] {
        &self.0
    }

    /// The same over fields as `rename` calls them.
    #[must_use]
    pub fn renamed(&self, rename: impl Fn(&str) -> String) -> FieldSelector {
        FieldSelector(self.0.iter().map(|t| FieldTerm { field: rename(&t.field), ..t.clone() }).collect())
    }

    /// The value that a field must have, when the selector says so.
    #[must_use]
    pub fn exact(&self, field: &str) -> Option<&str> {
        self.0.iter().find(|t| t.equal && t.field == field).map(|t| t.value.as_str())
    }

    /// Whether an object whose fields are looked up by `value` is selected. An absent field counts as empty.
    pub fn matches<'a>(&self, value: impl Fn(&str) -> Option<&'a str>) -> bool {
        self.0.iter().all(|t| (value(&t.field).unwrap_or_default() == t.value) == t.equal)
    }

    /// Reads the text form.
    ///
    /// # Errors
    /// Names the term that is none.
    pub fn parse(text: &str) -> Result<FieldSelector, SelectorError> {
        split(text).into_iter().filter(|t| !t.is_empty()).map(term).collect::<Result<_, _>>().map(FieldSelector)
    }
}

/// Splits at commas that are not escaped.
fn split(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut escaped) = (Vec::new(), 0, false);
    for (i, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ',' => {
                parts.push(&text[start..i]);
                start = i + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

fn term(text: &str) -> Result<FieldTerm, SelectorError> {
    let mut escaped = false;
    for (i, c) in text.char_indices() {
        let rest = &text[i..];
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ => {
                for (operator, equal) in [("!=", false), ("==", true), ("=", true)] {
                    if let Some(value) = rest.strip_prefix(operator) {
                        let value = unescape(value)?;
                        return Ok(FieldTerm { field: text[..i].to_owned(), value, equal });
                    }
                }
            }
        }
    }
    Err(SelectorError(format!("invalid selector: '{text}'; can't understand '{text}'")))
}

fn unescape(text: &str) -> Result<String, SelectorError> {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(c @ ('\\' | ',' | '=')) => plain.push(c),
                other => {
                    let shown = other.map(String::from).unwrap_or_default();
                    return Err(SelectorError(format!("invalid field selector: invalid escape sequence: \\{shown}")));
                }
            },
            ',' | '=' => return Err(SelectorError(format!("invalid field selector: unescaped {c} in: {text}"))),
            c => plain.push(c),
        }
    }
    Ok(plain)
}

impl fmt::Display for FieldSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, t) in self.0.iter().enumerate() {
            let comma = if i > 0 { "," } else { "" };
            let operator = if t.equal { "=" } else { "!=" };
            let value = t.value.replace('\\', "\\\\").replace(',', "\\,").replace('=', "\\=");
            write!(f, "{comma}{}{operator}{value}", t.field)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_are_read_compared_and_shown() {
        let selector = FieldSelector::parse("metadata.name=a,status.phase!=Failed,x==\\,\\=").unwrap();
        assert_eq!(selector.exact("metadata.name"), Some("a"));
        assert_eq!(selector.to_string(), "metadata.name=a,status.phase!=Failed,x=\\,\\=");
        let value = |phase: &'static str| {
            move |f: &str| match f {
                "metadata.name" => Some("a"),
                "status.phase" => Some(phase),
                "x" => Some(",="),
                _ => None,
            }
        };
        assert!(selector.matches(value("Running")));
        assert!(!selector.matches(value("Failed")));
    }

    #[test]
    fn an_absent_field_counts_as_empty() {
        assert!(FieldSelector::parse("spec.nodeName=").unwrap().matches(|_| None));
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["abc", "a=b=c", "a=\\x"] {
            assert!(FieldSelector::parse(text).is_err(), "{text} was accepted");
        }
    }
}
