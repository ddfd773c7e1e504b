//! Label selectors, in the text form of a query and in the object form of a spec. The grammar is that of
//! `k8s.io/apimachinery/pkg/labels`.

use super::SelectorError;
use crate::names;
use crate::tree::{Map, Tree};
use std::fmt;

/// How a requirement compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// The value is one of the given; written `=`, `==` or `in`.
    In,
    /// The label is absent or its value is none of the given; `!=` or `notin`.
    NotIn,
    /// The label is there.
    Exists,
    /// The label is absent.
    DoesNotExist,
    /// The value is a whole number above the given one.
    GreaterThan,
    /// The value is a whole number below the given one.
    LessThan,
}

/// One condition on one label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// The label's key.
    pub key: String,
    /// How to compare.
    pub operator: Operator,
    /// What to compare with; empty for `Exists` and `DoesNotExist`.
    pub values: Vec<String>,
}

impl Requirement {
    /// Whether labels, looked up by `label`, fulfil this.
    pub fn matches<'a>(&self, label: impl Fn(&str) -> Option<&'a str>) -> bool {
        let found = label(&self.key);
        match self.operator {
            Operator::In => found.is_some_and(|v| self.values.iter().any(|w| w == v)),
            Operator::NotIn => found.is_none_or(|v| self.values.iter().all(|w| w != v)),
            Operator::Exists => found.is_some(),
            Operator::DoesNotExist => found.is_none(),
            Operator::GreaterThan => self.compare(found).is_some_and(|o| o.is_gt()),
            Operator::LessThan => self.compare(found).is_some_and(|o| o.is_lt()),
        }
    }

    fn compare(&self, found: Option<&str>) -> Option<std::cmp::Ordering> {
        let have: i64 = found?.parse().ok()?;
        let want: i64 = self.values.first()?.parse().ok()?;
        Some(have.cmp(&want))
    }

    fn check(&self) -> Result<(), SelectorError> {
        if let Some(why) = names::label_key(&self.key).into_iter().next() {
            return Err(SelectorError(format!("key: Invalid value: {:?}: {why}", self.key)));
        }
        for value in &self.values {
            if let Some(why) = names::label_value(value).into_iter().next() {
                return Err(SelectorError(format!("values[0][{}]: Invalid value: {value:?}: {why}", self.key)));
            }
        }
        if matches!(self.operator, Operator::GreaterThan | Operator::LessThan)
            && (self.values.len() != 1 || self.values[0].parse::<i64>().is_err())
        {
            return Err(SelectorError("for 'Gt', 'Lt' operators, the value must be an integer".to_owned()));
        }
        Ok(())
    }
}

/// A conjunction of requirements. The empty one selects everything; see [`LabelSelector::nothing`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelSelector {
    requirements: Vec<Requirement>,
    nothing: bool,
}

impl LabelSelector {
    /// Selects every object.
    #[must_use]
    pub fn everything() -> LabelSelector {
        LabelSelector::default()
    }

    /// Selects no object: what an absent selector in a spec means.
    #[must_use]
    pub fn nothing() -> LabelSelector {
        LabelSelector { requirements: Vec::new(), nothing: true }
    }

    /// Whether this selects every object.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.requirements.is_empty() && !self.nothing
    }

    /// The requirements, all of which must hold.
    #[must_use]
    pub fn requirements(&self) -> &[Requirement] {
        &self.requirements
    }

    /// Whether labels, looked up by `label`, are selected.
    pub fn matches_with<'a>(&self, label: impl Fn(&str) -> Option<&'a str>) -> bool {
        !self.nothing && self.requirements.iter().all(|r| r.matches(&label))
    }

    /// Whether a `labels` map is selected.
    #[must_use]
    pub fn matches(&self, labels: Option<&Map>) -> bool {
        self.matches_with(|key| labels.and_then(|m| m.get(key)).and_then(Tree::as_str))
    }

    /// Reads the text form.
    ///
    /// # Errors
    /// Names the token that does not fit, or the key or value that is no label.
    pub fn parse(text: &str) -> Result<LabelSelector, SelectorError> {
        let mut parser = Parser { rest: text.trim() };
        let mut requirements = Vec::new();
        while !parser.rest.is_empty() {
            let requirement = parser.requirement()?;
            requirement.check()?;
            requirements.push(requirement);
            match parser.token() {
                "" => break,
                "," if !parser.rest.is_empty() => {}
                "," => return Err(parser.wanted("identifier after ','", "")),
                other => return Err(parser.wanted("',' or 'end of string'", other)),
            }
        }
        Ok(LabelSelector { requirements, nothing: false })
    }

    /// Reads the object form, `{matchLabels, matchExpressions}`. An absent selector selects nothing, an empty one
    /// everything.
    ///
    /// # Errors
    /// Names the operator or key at fault.
    pub fn from_tree(selector: Option<&Tree>) -> Result<LabelSelector, SelectorError> {
        let Some(selector) = selector else { return Ok(LabelSelector::nothing()) };
        let mut chosen = LabelSelector::from_map(selector.map_at(&["matchLabels"]));
        for expression in selector.list_at(&["matchExpressions"]) {
            let operator = match expression.str_at(&["operator"]).unwrap_or_default() {
                "In" => Operator::In,
                "NotIn" => Operator::NotIn,
                "Exists" => Operator::Exists,
                "DoesNotExist" => Operator::DoesNotExist,
                other => return Err(SelectorError(format!("\"{other}\" is not a valid label selector operator"))),
            };
            let values = expression.list_at(&["values"]).iter().filter_map(Tree::as_str).map(str::to_owned).collect();
            let key = expression.str_at(&["key"]).unwrap_or_default().to_owned();
            chosen.requirements.push(Requirement { key, operator, values });
        }
        Ok(chosen)
    }

    /// A selector by equality, as Services and ReplicationControllers have it.
    #[must_use]
    pub fn from_map(labels: Option<&Map>) -> LabelSelector {
        let equal = |key: &str, value: &Tree| Requirement {
            key: key.to_owned(),
            operator: Operator::In,
            values: vec![value.as_str().unwrap_or_default().to_owned()],
        };
        let requirements = labels.into_iter().flatten().map(|(key, value)| equal(key, value)).collect();
        LabelSelector { requirements, nothing: false }
    }
}

/// Reads tokens off the front of a selector's text.
struct Parser<'a> {
    rest: &'a str,
}

impl<'a> Parser<'a> {
    fn token(&mut self) -> &'a str {
        self.rest = self.rest.trim_start();
        let special = |c: char| "=!(),<>".contains(c);
        let len = match self.rest.chars().next() {
            None => 0,
            Some(c) if special(c) => {
                let two = self.rest.get(..2).unwrap_or_default();
                if two == "==" || two == "!=" { 2 } else { 1 }
            }
            Some(_) => self.rest.find(|c: char| special(c) || c.is_whitespace()).unwrap_or(self.rest.len()),
        };
        let (token, rest) = self.rest.split_at(len);
        self.rest = rest;
        token
    }

    fn peek(&self) -> &'a str {
        Parser { rest: self.rest }.token()
    }

    fn wanted(&self, what: &str, found: &str) -> SelectorError {
        SelectorError(format!("unable to parse requirement: found '{found}', expected: {what}"))
    }

    fn identifier(&mut self) -> Result<String, SelectorError> {
        let token = self.token();
        if token.is_empty() || token.starts_with(|c: char| "=!(),<>".contains(c)) {
            return Err(self.wanted("identifier", token));
        }
        Ok(token.to_owned())
    }

    fn requirement(&mut self) -> Result<Requirement, SelectorError> {
        if self.peek() == "!" {
            self.token();
            let key = self.identifier()?;
            return Ok(Requirement { key, operator: Operator::DoesNotExist, values: Vec::new() });
        }
        let key = self.identifier()?;
        let operator = match self.peek() {
            "" | "," => return Ok(Requirement { key, operator: Operator::Exists, values: Vec::new() }),
            "=" | "==" | "in" => Operator::In,
            "!=" | "notin" => Operator::NotIn,
            ">" => Operator::GreaterThan,
            "<" => Operator::LessThan,
            other => return Err(self.wanted("in, notin, =, ==, !=, gt, lt", other)),
        };
        let values = match self.token() {
            "in" | "notin" => self.values()?,
            _ => vec![self.exact_value()?],
        };
        Ok(Requirement { key, operator, values })
    }

    fn exact_value(&mut self) -> Result<String, SelectorError> {
        if matches!(self.peek(), "" | ",") { Ok(String::new()) } else { self.identifier() }
    }

    fn values(&mut self) -> Result<Vec<String>, SelectorError> {
        let open = self.token();
        if open != "(" {
            return Err(self.wanted("'('", open));
        }
        let mut values = Vec::new();
        loop {
            match self.peek() {
                "," | ")" => values.push(String::new()),
                _ => values.push(self.identifier()?),
            }
            match self.token() {
                "," => {}
                ")" => break,
                other => return Err(self.wanted("',' or ')'", other)),
            }
        }
        values.sort();
        values.dedup();
        Ok(values)
    }
}

impl fmt::Display for LabelSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, r) in self.requirements.iter().enumerate() {
            if i > 0 {
                f.write_str(",")?;
            }
            match (r.operator, r.values.as_slice()) {
                (Operator::In, [one]) => write!(f, "{}={one}", r.key)?,
                (Operator::In, many) => write!(f, "{} in ({})", r.key, many.join(","))?,
                (Operator::NotIn, [one]) => write!(f, "{}!={one}", r.key)?,
                (Operator::NotIn, many) => write!(f, "{} notin ({})", r.key, many.join(","))?,
                (Operator::Exists, _) => f.write_str(&r.key)?,
                (Operator::DoesNotExist, _) => write!(f, "!{}", r.key)?,
                (Operator::GreaterThan, v) => write!(f, "{}>{}", r.key, v.concat())?,
                (Operator::LessThan, v) => write!(f, "{}<{}", r.key, v.concat())?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree;

    fn check(selector: &str, labels: &Tree, selected: bool) {
        let parsed = LabelSelector::parse(selector).unwrap();
        assert_eq!(parsed.matches(labels.as_map()), selected, "{selector} on {}", labels.to_json_text());
    }

    #[test]
    fn every_form_of_the_grammar_selects() {
        let labels = tree!({"app": "web", "tier": "a", "size": "5"});
        check("", &labels, true);
        check("app=web", &labels, true);
        check("app == web , tier!=b", &labels, true);
        check("tier in (a, b),size", &labels, true);
        check("tier notin (a,b)", &labels, false);
        check("missing notin (a)", &labels, true);
        check("!missing,size>4,size<6", &labels, true);
        check("!app", &labels, false);
        check("missing!=x", &labels, true);
        check("app=", &labels, false);
    }

    #[test]
    fn a_selector_is_shown_as_it_is_written() {
        for text in ["app=web", "a in (x,y),!b", "c notin (x,y)", "d!=e,f"] {
            assert_eq!(LabelSelector::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["=", "a in b", "a b", "a,", "a=b c", "a in (x", "a=-_", "size>x", "/=x"] {
            assert!(LabelSelector::parse(text).is_err(), "{text} was accepted");
        }
    }

    #[test]
    fn an_absent_selector_selects_nothing_and_an_empty_one_everything() {
        assert!(!LabelSelector::from_tree(None).unwrap().matches(None));
        assert!(LabelSelector::from_tree(Some(&Tree::map())).unwrap().matches(None));
    }
}
