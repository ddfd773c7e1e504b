//! `Status`: what the API answers instead of an object, and the one error type of the request path. Codes, reasons
//! and messages are those of `k8s.io/apimachinery/pkg/api/errors`, because clients branch on them.

use crate::path::FieldError;
use crate::tree::Tree;
use crate::{Map, tree};
use std::fmt;

/// A resource or kind with its group, as messages name it: `deployments.apps`, `pods`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupName {
    /// The API group; empty for the core group.
    pub group: String,
    /// The plural resource or the kind.
    pub name: String,
}

impl GroupName {
    /// A resource or kind of a group.
    pub fn new(group: impl Into<String>, name: impl Into<String>) -> GroupName {
        GroupName { group: group.into(), name: name.into() }
    }
}

impl fmt::Display for GroupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.group.is_empty() { f.write_str(&self.name) } else { write!(f, "{}.{}", self.name, self.group) }
    }
}

/// One entry of `details.causes`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cause {
    /// Machine readable, `FieldValueInvalid` for example.
    pub reason: String,
    /// For people.
    pub message: String,
    /// The field at fault, if one is.
    pub field: String,
}

/// A failure (or, rarely, a success without an object) as the API reports it.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    /// HTTP status code.
    pub code: u16,
    /// Machine-readable reason; empty for a success.
    pub reason: String,
    /// For people.
    pub message: String,
    /// The resource or kind it is about.
    pub target: GroupName,
    /// The object it is about; empty when none.
    pub name: String,
    /// The uid of that object; empty when not told.
    pub uid: String,
    /// The single faults.
    pub causes: Vec<Cause>,
    /// When the client may try again, seconds; 0 when not told.
    pub retry_after_seconds: u32,
    /// Continuation token for an expired list; empty when none.
    pub continue_token: String,
    /// Whether `details` are written even when all of them are empty.
    has_details: bool,
}

impl Status {
    /// A failure of any kind.
    pub fn new(code: u16, reason: &str, message: impl Into<String>) -> Status {
        Status {
            code,
            reason: reason.to_owned(),
            message: message.into(),
            target: GroupName::default(),
            name: String::new(),
            uid: String::new(),
            causes: Vec::new(),
            retry_after_seconds: 0,
            continue_token: String::new(),
            has_details: false,
        }
    }

    /// The same about a resource (or kind) and object.
    #[must_use]
    pub fn about(mut self, target: &GroupName, name: &str) -> Status {
        self.target = target.clone();
        name.clone_into(&mut self.name);
        self.has_details = true;
        self
    }

    /// The same with one cause more.
    #[must_use]
    pub fn because(mut self, reason: &str, message: impl Into<String>, field: &str) -> Status {
        self.causes.push(Cause { reason: reason.to_owned(), message: message.into(), field: field.to_owned() });
        self.has_details = true;
        self
    }

    /// The same with a time after which to try again.
    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Status {
        self.retry_after_seconds = seconds;
        self.has_details = true;
        self
    }

    /// 404: no such object.
    #[must_use]
    pub fn not_found(resource: &GroupName, name: &str) -> Status {
        Status::new(404, "NotFound", format!("{resource} {} not found", quoted(name))).about(resource, name)
    }

    /// 404: no such path.
    #[must_use]
    pub fn no_such_path() -> Status {
        Status::new(404, "NotFound", "the server could not find the requested resource").with_details()
    }

    /// 409: the name is taken.
    #[must_use]
    pub fn already_exists(resource: &GroupName, name: &str) -> Status {
        Status::new(409, "AlreadyExists", format!("{resource} {} already exists", quoted(name))).about(resource, name)
    }

    /// 409: the object changed meanwhile, or a precondition failed.
    pub fn conflict(resource: &GroupName, name: &str, why: impl fmt::Display) -> Status {
        let message = format!("Operation cannot be fulfilled on {resource} {}: {why}", quoted(name));
        Status::new(409, "Conflict", message).about(resource, name)
    }

    /// 409 with upstream's words for a stale resourceVersion.
    #[must_use]
    pub fn modified(resource: &GroupName, name: &str) -> Status {
        let why = "the object has been modified; please apply your changes to the latest version and try again";
        Status::conflict(resource, name, why)
    }

    /// 422: validation failed. `kind` is a kind here, not a resource.
    #[must_use]
    pub fn invalid(kind: &GroupName, name: &str, faults: &[FieldError]) -> Status {
        let mut said: Vec<String> = Vec::new();
        for fault in faults {
            let text = fault.to_string();
            if !said.contains(&text) {
                said.push(text);
            }
        }
        let all = match said.as_slice() {
            [] => String::new(),
            [one] => format!(": {one}"),
            many => format!(": [{}]", many.join(", ")),
        };
        let mut status =
            Status::new(422, "Invalid", format!("{kind} {} is invalid{all}", quoted(name))).about(kind, name);
        for fault in faults {
            status = status.because(fault.fault.reason(), fault.message(), &fault.path.to_string());
        }
        status
    }

    /// 403.
    pub fn forbidden(resource: &GroupName, name: &str, why: impl fmt::Display) -> Status {
        let message = match (resource.name.is_empty(), name.is_empty()) {
            (true, _) => format!("forbidden: {why}"),
            (false, true) => format!("{resource} is forbidden: {why}"),
            (false, false) => format!("{resource} {} is forbidden: {why}", quoted(name)),
        };
        Status::new(403, "Forbidden", message).about(resource, name)
    }

    /// 400.
    pub fn bad_request(why: impl Into<String>) -> Status {
        Status::new(400, "BadRequest", why)
    }

    /// 401.
    #[must_use]
    pub fn unauthorized() -> Status {
        Status::new(401, "Unauthorized", "Unauthorized")
    }

    /// 405.
    #[must_use]
    pub fn method_not_supported(resource: &GroupName, action: &str) -> Status {
        let message = format!("{action} is not supported on resources of kind {}", quoted(&resource.to_string()));
        Status::new(405, "MethodNotAllowed", message).about(resource, "")
    }

    /// 406, naming what could be served.
    #[must_use]
    pub fn not_acceptable(accepted: &[&str]) -> Status {
        let message = format!("406: Not Acceptable\n\nAvailable representations: {}", accepted.join(", "));
        Status::new(406, "NotAcceptable", message).with_details()
    }

    /// 415.
    #[must_use]
    pub fn unsupported_media_type() -> Status {
        Status::new(415, "UnsupportedMediaType", "415: Unsupported Media Type").with_details()
    }

    /// 410: the resourceVersion or continue token is too old.
    pub fn expired(why: impl Into<String>) -> Status {
        Status::new(410, "Expired", why)
    }

    /// 413.
    pub fn too_large(why: impl fmt::Display) -> Status {
        Status::new(413, "RequestEntityTooLarge", format!("Request entity is too large: {why}"))
    }

    /// 429.
    pub fn too_many_requests(why: impl Into<String>, retry_after_seconds: u32) -> Status {
        Status::new(429, "TooManyRequests", why).retry_after(retry_after_seconds)
    }

    /// 500: a fault of ours.
    pub fn internal(why: impl fmt::Display) -> Status {
        let text = why.to_string();
        Status::new(500, "InternalError", format!("Internal error occurred: {text}")).because("", text, "")
    }

    /// 503.
    pub fn unavailable(why: impl Into<String>) -> Status {
        Status::new(503, "ServiceUnavailable", why)
    }

    /// 504: waited too long.
    pub fn timeout(why: impl fmt::Display, retry_after_seconds: u32) -> Status {
        Status::new(504, "Timeout", format!("Timeout: {why}")).retry_after(retry_after_seconds)
    }

    /// 504: a resourceVersion that does not exist yet.
    #[must_use]
    pub fn resource_version_too_large(asked: u64, current: u64) -> Status {
        Status::timeout(format!("Too large resource version: {asked}, current: {current}"), 1).because(
            "ResourceVersionTooLarge",
            "Too large resource version",
            "",
        )
    }

    /// The same with `details`, even when they are empty.
    #[must_use]
    pub fn with_details(mut self) -> Status {
        self.has_details = true;
        self
    }

    /// Whether this is a 404 about an object.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.reason == "NotFound"
    }

    /// Whether this is a 409 about a stale object.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        self.reason == "Conflict"
    }

    /// Whether this is a 409 about a taken name.
    #[must_use]
    pub fn is_already_exists(&self) -> bool {
        self.reason == "AlreadyExists"
    }

    /// The `Status` object that goes over the wire.
    #[must_use]
    pub fn to_tree(&self) -> Tree {
        let mut object = tree!({"kind": "Status", "apiVersion": "v1", "metadata": {}});
        if !self.continue_token.is_empty() {
            object.set_at(&["metadata", "continue"], self.continue_token.as_str());
        }
        object.set("status", if self.code < 400 { "Success" } else { "Failure" });
        set_unless_empty(&mut object, "message", &self.message);
        set_unless_empty(&mut object, "reason", &self.reason);
        if self.has_details {
            object.set("details", self.details());
        }
        object.set("code", i64::from(self.code));
        object
    }

    fn details(&self) -> Tree {
        let mut details = Tree::map();
        set_unless_empty(&mut details, "name", &self.name);
        set_unless_empty(&mut details, "group", &self.target.group);
        set_unless_empty(&mut details, "kind", &self.target.name);
        set_unless_empty(&mut details, "uid", &self.uid);
        if !self.causes.is_empty() {
            details.set("causes", Tree::List(self.causes.iter().map(Cause::to_tree).collect()));
        }
        if self.retry_after_seconds > 0 {
            details.set("retryAfterSeconds", i64::from(self.retry_after_seconds));
        }
        details
    }

    /// Reads a `Status` object that a server sent.
    #[must_use]
    pub fn from_tree(object: &Tree) -> Status {
        let text = |fields: &[&str]| object.str_at(fields).unwrap_or_default().to_owned();
        let number = |fields: &[&str]| object.int_at(fields).unwrap_or_default();
        let mut status =
            Status::new(u16::try_from(number(&["code"])).unwrap_or(500), &text(&["reason"]), text(&["message"]));
        status.target = GroupName::new(text(&["details", "group"]), text(&["details", "kind"]));
        status.name = text(&["details", "name"]);
        status.uid = text(&["details", "uid"]);
        status.retry_after_seconds = u32::try_from(number(&["details", "retryAfterSeconds"])).unwrap_or(0);
        status.continue_token = text(&["metadata", "continue"]);
        status.has_details = object.at(&["details"]).is_some();
        status.causes = object.list_at(&["details", "causes"]).iter().map(Cause::from_tree).collect();
        status
    }
}

impl Cause {
    fn to_tree(&self) -> Tree {
        let mut cause = Tree::Map(Map::new());
        set_unless_empty(&mut cause, "reason", &self.reason);
        set_unless_empty(&mut cause, "message", &self.message);
        set_unless_empty(&mut cause, "field", &self.field);
        cause
    }

    fn from_tree(cause: &Tree) -> Cause {
        let text = |field: &str| cause.str_at(&[field]).unwrap_or_default().to_owned();
        Cause { reason: text("reason"), message: text("message"), field: text("field") }
    }
}

fn set_unless_empty(object: &mut Tree, field: &str, value: &str) {
    if !value.is_empty() {
        object.set(field, value);
    }
}

/// Text in double quotes with JSON's escapes, which for names are Go's.
fn quoted(text: &str) -> String {
    Tree::text(text).to_json_text()
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Status {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::path::FieldPath;

    #[test]
    fn a_missing_object_is_named_with_its_resource_and_group() {
        let status = Status::not_found(&GroupName::new("apps", "deployments"), "web");
        assert_eq!(status.message, "deployments.apps \"web\" not found");
        assert_eq!(
            status.to_tree().to_json_text(),
            r#"{"apiVersion":"v1","code":404,"details":{"group":"apps","kind":"deployments","name":"web"},"kind":"Status","message":"deployments.apps \"web\" not found","metadata":{},"reason":"NotFound","status":"Failure"}"#
        );
    }

    #[test]
    fn several_faults_are_listed_in_brackets_and_once_each() {
        let fault = |name: &str| FieldError::required(FieldPath::of(&["spec", name]), "");
        let kind = GroupName::new("", "Pod");
        let status = Status::invalid(&kind, "a", &[fault("x"), fault("y"), fault("x")]);
        assert_eq!(status.message, "Pod \"a\" is invalid: [spec.x: Required value, spec.y: Required value]");
        assert_eq!(status.causes.len(), 3);
    }

    #[test]
    fn a_status_survives_the_wire() {
        let status = Status::resource_version_too_large(9, 3);
        assert_eq!(Status::from_tree(&status.to_tree()), status);
    }
}
