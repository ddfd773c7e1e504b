//! What can be said beside the object in a call: selectors, pages, delete options, kinds of patch.
//!
//! It must not know any kind.

use serde::Serialize;
use serde_json::Value;

/// Objects on one page of a list, as many as client-go's pager asks for.
pub const PAGE_OBJECTS: usize = 500;

/// Which part of a collection is meant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Selection {
    /// Label selector; empty for all.
    pub labels: String,
    /// Field selector; empty for all.
    pub fields: String,
}

/// How one page of a list is asked for.
#[derive(Clone, Debug, Default)]
pub struct ListOptions {
    /// Which objects.
    pub selection: Selection,
    /// At most so many; 0 for all.
    pub limit: usize,
    /// Where the page before ended.
    pub continue_token: String,
    /// `resourceVersion`; empty for the newest.
    pub resource_version: String,
}

/// Adds `key=value` to a query, encoded, unless the value is empty.
pub(crate) fn push(query: &mut String, key: &str, value: &str) {
    if value.is_empty() {
        return;
    }
    if !query.is_empty() {
        query.push('&');
    }
    query.push_str(key);
    query.push('=');
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            query.push(char::from(byte));
        } else {
            query.push_str(&format!("%{byte:02X}"));
        }
    }
}

impl Selection {
    pub(crate) fn write(&self, query: &mut String) {
        push(query, "labelSelector", &self.labels);
        push(query, "fieldSelector", &self.fields);
    }
}

impl ListOptions {
    pub(crate) fn query(&self) -> String {
        let mut query = String::new();
        self.selection.write(&mut query);
        if self.limit > 0 {
            push(&mut query, "limit", &self.limit.to_string());
        }
        push(&mut query, "continue", &self.continue_token);
        push(&mut query, "resourceVersion", &self.resource_version);
        query
    }
}

/// What happens to the dependents of a deleted object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Propagation {
    /// They stay, without this owner.
    Orphan,
    /// They go after it.
    Background,
    /// They go before it.
    Foreground,
}

/// The body of a DELETE.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeleteOptions {
    /// Grace, seconds; `Some(0)` deletes at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grace_period_seconds: Option<i64>,
    /// What happens to dependents; the kind's default when `None`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub propagation_policy: Option<Propagation>,
    /// What must hold for the deletion to happen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preconditions: Option<Preconditions>,
}

/// What must hold for a deletion to happen; otherwise it answers 409.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Preconditions {
    /// The object's uid.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// The object's resourceVersion.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_version: Option<String>,
}

impl DeleteOptions {
    /// Deletes only the object with this uid.
    #[must_use]
    pub fn only(uid: &str) -> DeleteOptions {
        let preconditions = Some(Preconditions { uid: Some(uid.to_owned()), resource_version: None });
        DeleteOptions { preconditions, ..DeleteOptions::default() }
    }

    /// The same, only at this resourceVersion.
    #[must_use]
    pub fn at(mut self, resource_version: &str) -> DeleteOptions {
        self.preconditions.get_or_insert_default().resource_version = Some(resource_version.to_owned());
        self
    }

    /// The same with a grace in seconds.
    #[must_use]
    pub fn grace(mut self, seconds: i64) -> DeleteOptions {
        self.grace_period_seconds = Some(seconds);
        self
    }

    /// The same with a fate for the dependents.
    #[must_use]
    pub fn propagate(mut self, how: Propagation) -> DeleteOptions {
        self.propagation_policy = Some(how);
        self
    }
}

/// A change to an object. A `metadata.resourceVersion` inside makes it conditional.
#[derive(Clone, Debug)]
pub enum Patch {
    /// RFC 6902.
    Json(Value),
    /// RFC 7396.
    Merge(Value),
    /// Strategic merge patch: lists merge by their keys.
    Strategic(Value),
    /// Server-side apply.
    Apply {
        /// The fields that the manager wants.
        object: Value,
        /// Who applies.
        manager: String,
        /// Whether fields of other managers are taken over.
        force: bool,
    },
}

impl Patch {
    pub(crate) fn content_type(&self) -> &'static str {
        match self {
            Patch::Json(_) => "application/json-patch+json",
            Patch::Merge(_) => "application/merge-patch+json",
            Patch::Strategic(_) => "application/strategic-merge-patch+json",
            Patch::Apply { .. } => "application/apply-patch+yaml",
        }
    }

    pub(crate) fn body(&self) -> &Value {
        match self {
            Patch::Json(value) | Patch::Merge(value) | Patch::Strategic(value) => value,
            Patch::Apply { object, .. } => object,
        }
    }

    pub(crate) fn query(&self) -> String {
        let mut query = String::new();
        if let Patch::Apply { manager, force, .. } = self {
            push(&mut query, "fieldManager", manager);
            if *force {
                push(&mut query, "force", "true");
            }
        }
        query
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_are_encoded_in_the_query() {
        let options = ListOptions {
            selection: Selection { labels: "app in (a,b)".to_owned(), fields: "spec.nodeName=n".to_owned() },
            limit: 5,
            ..ListOptions::default()
        };
        assert_eq!(options.query(), "labelSelector=app%20in%20%28a%2Cb%29&fieldSelector=spec.nodeName%3Dn&limit=5");
    }

    #[test]
    fn unset_delete_options_are_left_out_of_the_body() {
        let text = serde_json::to_string(&DeleteOptions::only("u").propagate(Propagation::Background)).unwrap();
        assert_eq!(text, r#"{"propagationPolicy":"Background","preconditions":{"uid":"u"}}"#);
    }
}
