//! `Place`: a value of an object together with where it stands, which is how validation goes through an object. Absent
//! values are places too, so that checks need no branches for them. It must not know any kind.

use crate::rules::Faults;
use api::{FieldError, FieldPath, Tree};

/// The words for a change of what may not change (`k8s.io/apimachinery/pkg/api/validation`).
pub const IMMUTABLE: &str = "field is immutable";
/// The words for a number below zero.
pub const NEGATIVE: &str = "must be greater than or equal to 0";
/// The largest 32-bit number, the limit of ids and deadlines.
pub const INT32_MAX: i64 = i32::MAX as i64;

static ABSENT: Tree = Tree::Null;

/// A value and its path.
#[derive(Clone, Debug)]
pub struct Place<'a> {
    /// The value; null when it is absent.
    pub value: &'a Tree,
    /// Where it stands.
    pub path: FieldPath,
}

/// The words for a number outside its range.
pub fn out_of_range(low: i64, high: i64) -> String {
    format!("must be between {low} and {high}, inclusive")
}

impl<'a> Place<'a> {
    /// The object itself.
    pub fn root(object: &'a Tree) -> Place<'a> {
        Place { value: object, path: FieldPath::root() }
    }

    /// A field below.
    pub fn at(&self, field: &str) -> Place<'a> {
        Place { value: self.value.get(field).unwrap_or(&ABSENT), path: self.path.field(field) }
    }

    /// A field some steps below.
    pub fn down(&self, fields: &[&str]) -> Place<'a> {
        fields.iter().fold(self.clone(), |place, field| place.at(field))
    }

    /// Whether the value is there.
    pub fn given(&self) -> bool {
        !self.value.is_null()
    }

    /// The text, empty when absent.
    pub fn text(&self) -> &'a str {
        self.value.as_str().unwrap_or_default()
    }

    /// The number, if there is one.
    pub fn int(&self) -> Option<i64> {
        self.value.as_int()
    }

    /// Whether the value is `true`.
    pub fn yes(&self) -> bool {
        self.value.as_bool() == Some(true)
    }

    /// How many items or fields there are.
    pub fn len(&self) -> usize {
        match self.value {
            Tree::List(items) => items.len(),
            Tree::Map(map) => map.len(),
            _ => 0,
        }
    }

    /// The items of a list.
    pub fn items(&self) -> impl Iterator<Item = Place<'a>> + use<'a> {
        let path = self.path.clone();
        let items = self.value.as_list().unwrap_or_default();
        items.iter().enumerate().map(move |(i, value)| Place { value, path: path.index(i) })
    }

    /// The entries of a map with free keys.
    pub fn entries(&self) -> impl Iterator<Item = (&'a str, Place<'a>)> + use<'a> {
        let path = self.path.clone();
        let entries = self.value.as_map().map(api::Map::iter).into_iter().flatten();
        entries.map(move |(key, value)| {
            let key: &str = key;
            (key, Place { value, path: path.key(key) })
        })
    }

    /// Reports that the value must be there.
    pub fn required(&self, faults: &mut Faults, detail: &str) {
        faults.push(FieldError::required(self.path.clone(), detail));
    }

    /// Reports the value as malformed.
    pub fn invalid(&self, faults: &mut Faults, detail: impl Into<String>) {
        faults.push(FieldError::invalid(self.path.clone(), self.value.clone(), detail));
    }

    /// Reports everything that is wrong with the value.
    pub fn invalid_for(&self, faults: &mut Faults, whys: Vec<String>) {
        whys.into_iter().for_each(|why| self.invalid(faults, why));
    }

    /// Reports that the value may not be here.
    pub fn forbidden(&self, faults: &mut Faults, detail: impl Into<String>) {
        faults.push(FieldError::forbidden(self.path.clone(), detail));
    }

    /// Reports that the value is there twice.
    pub fn duplicate(&self, faults: &mut Faults) {
        faults.push(FieldError::duplicate(self.path.clone(), self.value.clone()));
    }

    /// Reports that what the value names is not there.
    pub fn not_found(&self, faults: &mut Faults) {
        faults.push(FieldError::not_found(self.path.clone(), self.value.clone()));
    }

    /// Demands a text; says whether there is one.
    pub fn must(&self, faults: &mut Faults, detail: &str) -> bool {
        let there = !self.value.is_empty();
        if !there {
            self.required(faults, detail);
        }
        there
    }

    /// Demands one of the listed texts.
    pub fn one_of(&self, faults: &mut Faults, valid: &[&str]) {
        if !valid.contains(&self.text()) {
            faults.push(FieldError::not_supported(self.path.clone(), self.text(), valid));
        }
    }

    /// Demands one of the listed texts, and has other words for none at all.
    pub fn must_be_one_of(&self, faults: &mut Faults, valid: &[&str]) {
        if self.must(faults, "") {
            self.one_of(faults, valid);
        }
    }

    /// Demands a text that a check has no fault with.
    pub fn must_pass(&self, faults: &mut Faults, check: fn(&str) -> Vec<String>) {
        if self.must(faults, "") {
            self.invalid_for(faults, check(self.text()));
        }
    }

    /// Demands that a text, if there is one, passes a check.
    pub fn may_pass(&self, faults: &mut Faults, check: fn(&str) -> Vec<String>) {
        if !self.text().is_empty() {
            self.invalid_for(faults, check(self.text()));
        }
    }

    /// Demands that a number, if there is one, is not below zero.
    pub fn not_negative(&self, faults: &mut Faults) {
        if self.int().is_some_and(|value| value < 0) {
            self.invalid(faults, NEGATIVE);
        }
    }

    /// Demands that a number, if there is one, is within limits.
    pub fn within(&self, faults: &mut Faults, low: i64, high: i64) {
        if self.int().is_some_and(|value| value < low || value > high) {
            self.invalid(faults, out_of_range(low, high));
        }
    }

    /// Demands that a value is what it was; what Go leaves out counts as absent.
    pub fn unchanged(&self, faults: &mut Faults, old: &Tree) {
        if self.value != old && !(self.value.is_empty() && old.is_empty()) {
            self.invalid(faults, IMMUTABLE);
        }
    }

    /// Demands the keys and values of labels.
    pub fn labels(&self, faults: &mut Faults) {
        for (key, value) in self.entries() {
            for why in api::names::label_key(key) {
                faults.push(FieldError::invalid(self.path.clone(), key, why));
            }
            for why in api::names::label_value(value.text()) {
                faults.push(FieldError::invalid(self.path.key(key), value.text(), why));
            }
        }
    }

    /// Demands a well-formed label selector (`k8s.io/apimachinery/pkg/apis/meta/v1/validation`).
    pub fn label_selector(&self, faults: &mut Faults) {
        self.at("matchLabels").labels(faults);
        for expression in self.at("matchExpressions").items() {
            let values = expression.at("values");
            match expression.at("operator").text() {
                "In" | "NotIn" if values.len() == 0 => {
                    values.required(faults, "must be specified when `operator` is 'In' or 'NotIn'");
                }
                "Exists" | "DoesNotExist" if values.len() > 0 => {
                    values.forbidden(faults, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
                }
                "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
                _ => expression.at("operator").invalid(faults, "not a valid selector operator"),
            }
            expression.at("key").invalid_for(faults, api::names::label_key(expression.at("key").text()));
            for value in values.items() {
                value.invalid_for(faults, api::names::label_value(value.text()));
            }
        }
    }
}
