//! Where in an object a value stands, and what is wrong with it: the vocabulary of validation.

use crate::tree::{Name, Tree};
use std::fmt;

/// One step down from a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A field of an object, written `.name`.
    Field(Name),
    /// An item of an array, written `[3]`.
    Index(usize),
    /// A key of a map with arbitrary keys, written `[key]`.
    Key(String),
}

/// The place of a value in an object: `spec.containers[0].image`, `metadata.labels[app]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldPath(Vec<Step>);

impl FieldPath {
    /// The object itself.
    #[must_use]
    pub fn root() -> FieldPath {
        FieldPath::default()
    }

    /// A path of fields: `FieldPath::of(&["spec", "replicas"])`.
    #[must_use]
    pub fn of(fields: &[&str]) -> FieldPath {
        FieldPath(fields.iter().map(|f| Step::Field(Name::new(f))).collect())
    }

    /// This path and one field more.
    #[must_use]
    pub fn field(&self, name: &str) -> FieldPath {
        self.with(Step::Field(Name::new(name)))
    }

    /// This path and an array index more.
    #[must_use]
    pub fn index(&self, index: usize) -> FieldPath {
        self.with(Step::Index(index))
    }

    /// This path and a map key more.
    #[must_use]
    pub fn key(&self, key: &str) -> FieldPath {
        self.with(Step::Key(key.to_owned()))
    }

    fn with(&self, step: Step) -> FieldPath {
        let mut longer = self.clone();
        longer.0.push(step);
        longer
    }

    /// Goes one field down, in place.
    pub fn push_field(&mut self, name: &Name) {
        self.0.push(Step::Field(name.clone()));
    }

    /// Goes one array item down, in place.
    pub fn push_index(&mut self, index: usize) {
        self.0.push(Step::Index(index));
    }

    /// Goes one map key down, in place.
    pub fn push_key(&mut self, key: &str) {
        self.0.push(Step::Key(key.to_owned()));
    }

    /// Goes one step up, in place.
    pub fn pop(&mut self) {
        self.0.pop();
    }

    /// The steps from the object down.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.0
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, step) in self.0.iter().enumerate() {
            match step {
                Step::Field(name) if i == 0 => write!(f, "{name}")?,
                Step::Field(name) => write!(f, ".{name}")?,
                Step::Index(index) => write!(f, "[{index}]")?,
                Step::Key(key) => write!(f, "[{key}]")?,
            }
        }
        Ok(())
    }
}

/// What kind of fault a value has. The names are those of `k8s.io/apimachinery/pkg/util/validation/field`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A value that must be there is not.
    Required,
    /// A value that must be unique is there twice.
    Duplicate,
    /// A value that is malformed.
    Invalid,
    /// A value outside the enumerated ones.
    NotSupported,
    /// A value that may not be given here.
    Forbidden,
    /// A text that is too long.
    TooLong,
    /// Too many items.
    TooMany,
    /// A value of the wrong type.
    TypeInvalid,
    /// A reference to something that does not exist.
    NotFound,
    /// A fault of the server.
    Internal,
}

impl Fault {
    /// The reason in `details.causes[].reason`.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Fault::Required => "FieldValueRequired",
            Fault::Duplicate => "FieldValueDuplicate",
            Fault::Invalid => "FieldValueInvalid",
            Fault::NotSupported => "FieldValueNotSupported",
            Fault::Forbidden => "FieldValueForbidden",
            Fault::TooLong => "FieldValueTooLong",
            Fault::TooMany => "FieldValueTooMany",
            Fault::TypeInvalid => "FieldValueTypeInvalid",
            Fault::NotFound => "FieldValueNotFound",
            Fault::Internal => "InternalError",
        }
    }

    fn words(self) -> &'static str {
        match self {
            Fault::Required => "Required value",
            Fault::Duplicate => "Duplicate value",
            Fault::Invalid | Fault::TypeInvalid => "Invalid value",
            Fault::NotSupported => "Unsupported value",
            Fault::Forbidden => "Forbidden",
            Fault::TooLong => "Too long",
            Fault::TooMany => "Too many",
            Fault::NotFound => "Not found",
            Fault::Internal => "Internal error",
        }
    }
}

/// One fault of one field, as validation reports it.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldError {
    /// What kind of fault.
    pub fault: Fault,
    /// Where.
    pub path: FieldPath,
    /// The value at fault, where the message shows it.
    pub value: Option<Tree>,
    /// What is wrong, in the words after the value.
    pub detail: String,
}

impl FieldError {
    /// A value that must be there is not.
    pub fn required(path: FieldPath, detail: impl Into<String>) -> FieldError {
        FieldError { fault: Fault::Required, path, value: None, detail: detail.into() }
    }

    /// A malformed value.
    pub fn invalid(path: FieldPath, value: impl Into<Tree>, detail: impl Into<String>) -> FieldError {
        FieldError { fault: Fault::Invalid, path, value: Some(value.into()), detail: detail.into() }
    }

    /// A value of the wrong type.
    pub fn type_invalid(path: FieldPath, value: impl Into<Tree>, detail: impl Into<String>) -> FieldError {
        FieldError { fault: Fault::TypeInvalid, path, value: Some(value.into()), detail: detail.into() }
    }

    /// A value that may not be given here.
    pub fn forbidden(path: FieldPath, detail: impl Into<String>) -> FieldError {
        FieldError { fault: Fault::Forbidden, path, value: None, detail: detail.into() }
    }

    /// A value that is there twice.
    pub fn duplicate(path: FieldPath, value: impl Into<Tree>) -> FieldError {
        FieldError { fault: Fault::Duplicate, path, value: Some(value.into()), detail: String::new() }
    }

    /// A reference to something that does not exist.
    pub fn not_found(path: FieldPath, value: impl Into<Tree>) -> FieldError {
        FieldError { fault: Fault::NotFound, path, value: Some(value.into()), detail: String::new() }
    }

    /// A value outside the enumerated ones; they are shown quoted, in the order given.
    pub fn not_supported(path: FieldPath, value: impl Into<Tree>, valid: &[&str]) -> FieldError {
        let quoted: Vec<String> = valid.iter().map(|v| format!("\"{v}\"")).collect();
        let detail = if quoted.is_empty() { String::new() } else { format!("supported values: {}", quoted.join(", ")) };
        FieldError { fault: Fault::NotSupported, path, value: Some(value.into()), detail }
    }

    /// A text longer than `max_bytes`.
    #[must_use]
    pub fn too_long(path: FieldPath, max_bytes: usize) -> FieldError {
        let detail = format!("may not be more than {max_bytes} bytes");
        FieldError { fault: Fault::TooLong, path, value: None, detail }
    }

    /// More items than `max`.
    #[must_use]
    pub fn too_many(path: FieldPath, actual: usize, max: usize) -> FieldError {
        let detail = format!("must have at most {max} items");
        FieldError { fault: Fault::TooMany, path, value: Some(Tree::Int(actual as i64)), detail }
    }

    /// The message without the path, as in `details.causes[].message`.
    #[must_use]
    pub fn message(&self) -> String {
        let words = self.fault.words();
        let shown = match (self.fault, &self.value) {
            (Fault::Required | Fault::Forbidden | Fault::TooLong | Fault::Internal, _) | (_, None) => words.to_owned(),
            (_, Some(value)) => format!("{words}: {}", shown(value)),
        };
        if self.detail.is_empty() { shown } else { format!("{shown}: {}", self.detail) }
    }
}

/// A value as upstream's messages show it: strings quoted, structures as JSON.
fn shown(value: &Tree) -> String {
    value.to_json_text()
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.0.is_empty() {
            f.write_str(&self.message())
        } else {
            write!(f, "{}: {}", self.path, self.message())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_shows_fields_indexes_and_keys() {
        let path = FieldPath::of(&["spec", "containers"]).index(0).field("resources").key("cpu");
        assert_eq!(path.to_string(), "spec.containers[0].resources[cpu]");
    }

    #[test]
    fn a_fault_reads_as_upstream_writes_it() {
        let path = FieldPath::of(&["spec", "replicas"]);
        let fault = FieldError::invalid(path.clone(), -1i64, "must be greater than or equal to 0");
        assert_eq!(fault.to_string(), "spec.replicas: Invalid value: -1: must be greater than or equal to 0");
        assert_eq!(FieldError::required(path.clone(), "").to_string(), "spec.replicas: Required value");
        let fault = FieldError::not_supported(path, "x", &["a", "b"]);
        assert_eq!(fault.to_string(), "spec.replicas: Unsupported value: \"x\": supported values: \"a\", \"b\"");
    }
}
