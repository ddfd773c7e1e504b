//! What decoding found out beside the tree, and where it stands, in the two ways in which Go names places.

use crate::node::{Field, Struct};
use std::fmt::Write;

/// Objections that are kept; as many as upstream keeps.
const STRICT_MAX: usize = 100;

/// What was found.
#[derive(Default)]
pub(super) struct Report {
    /// Unknown and duplicate fields.
    pub strict: Vec<String>,
    /// The first value of the wrong type. Decoding goes on behind it, for a fault that is worse.
    pub fault: Option<String>,
    /// The fault that ended decoding.
    pub abort: Option<String>,
    /// Open objects and arrays.
    pub depth: usize,
}

/// Where we are: a chain from the value up to the document.
#[derive(Clone, Copy)]
pub(super) struct Trail<'a> {
    pub up: Option<&'a Trail<'a>>,
    pub step: Step<'a>,
}

/// One step down.
#[derive(Clone, Copy)]
pub(super) enum Step<'a> {
    Field(&'a Struct, &'a Field),
    Index(usize),
    Key(&'a str),
}

impl Trail<'_> {
    /// The place as strict errors name it: `spec.containers[0].image`.
    fn write_path(&self, out: &mut String) {
        if let Some(up) = self.up {
            up.write_path(out);
        }
        let name = match self.step {
            Step::Field(_, field) => field.name.as_str(),
            Step::Key(key) => key,
            Step::Index(index) => {
                write!(out, "[{index}]").expect("writing to a string does not fail");
                return;
            }
        };
        if !out.is_empty() {
            out.push('.');
        }
        out.push_str(name);
    }

    /// The place as type errors name it: fields only, and the structs that are inlined.
    fn write_fields(&self, out: &mut String) {
        if let Some(up) = self.up {
            up.write_fields(out);
        }
        if let Step::Field(_, field) = self.step {
            for name in field.through.iter().copied().chain([field.name.as_str()]) {
                if !out.is_empty() {
                    out.push('.');
                }
                out.push_str(name);
            }
        }
    }

    /// The struct that holds the innermost field.
    fn owner(&self) -> Option<&str> {
        match self.step {
            Step::Field(owner, _) => Some(owner.go_name()),
            _ => self.up.and_then(Trail::owner),
        }
    }
}

/// The place of a member of the value at `trail`.
fn place(trail: Option<&Trail<'_>>, member: &str) -> String {
    let mut path = String::new();
    if let Some(trail) = trail {
        trail.write_path(&mut path);
        path.push('.');
    }
    path.push_str(member);
    path
}

impl Report {
    fn object(&mut self, what: &str, trail: Option<&Trail<'_>>, member: &str) {
        if self.strict.len() >= STRICT_MAX {
            return;
        }
        let objection = format!("{what} field {:?}", place(trail, member));
        if !self.strict.contains(&objection) {
            self.strict.push(objection);
        }
    }

    /// A member that the schema does not know.
    pub fn unknown(&mut self, trail: Option<&Trail<'_>>, member: &str) {
        self.object("unknown", trail, member);
    }

    /// A member that was there before.
    pub fn duplicate(&mut self, trail: Option<&Trail<'_>>, member: &str) {
        self.object("duplicate", trail, member);
    }

    /// A value of the wrong type; `value` describes it, `wanted` is Go's type.
    pub fn mismatch(&mut self, trail: Option<&Trail<'_>>, value: &str, wanted: &str) {
        if self.fault.is_none() {
            self.fault = Some(mismatch(trail, value, wanted));
        }
    }
}

/// Go's words for a value of the wrong type.
pub(super) fn mismatch(trail: Option<&Trail<'_>>, value: &str, wanted: &str) -> String {
    match trail.and_then(|t| Some((t, t.owner()?))) {
        None => format!("json: cannot unmarshal {value} into Go value of type {wanted}"),
        Some((trail, owner)) => {
            let mut fields = String::new();
            trail.write_fields(&mut fields);
            format!("json: cannot unmarshal {value} into Go struct field {owner}.{fields} of type {wanted}")
        }
    }
}
