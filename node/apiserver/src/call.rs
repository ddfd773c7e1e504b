//! One request on its way through the verbs: what it asks for, of which resource, by whom.

use crate::caller::Caller;
use crate::catalog::Resource;
use crate::negotiate::{Accepted, accept};
use crate::request::{Query, RequestInfo};
use api::Status;
use bytes::Bytes;
use std::sync::{Arc, Mutex, PoisonError};

/// Warnings in one answer; more would not fit a header block. Upstream bounds their total length instead.
const WARNINGS_MAX: usize = 64;

/// One authorized request for a resource.
pub struct Call {
    /// What it asks for.
    pub info: RequestInfo,
    /// The query.
    pub query: Query,
    /// The headers.
    pub headers: http::HeaderMap,
    /// The body, whole.
    pub body: Bytes,
    /// Who asks.
    pub caller: Caller,
    /// Of which resource.
    pub resource: Arc<Resource>,
    /// When it came.
    pub received: jiff::Timestamp,
    warnings: Mutex<Vec<String>>,
}

impl Call {
    /// A call; warnings are collected as it goes.
    #[must_use]
    pub fn new(
        info: RequestInfo,
        query: Query,
        headers: http::HeaderMap,
        body: Bytes,
        caller: Caller,
        resource: Arc<Resource>,
        received: jiff::Timestamp,
    ) -> Call {
        Call { info, query, headers, body, caller, resource, received, warnings: Mutex::default() }
    }

    /// A header's text.
    #[must_use]
    pub fn header(&self, name: http::header::HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// What the client takes as an answer.
    ///
    /// # Errors
    /// 406 naming what could be served.
    pub fn accepted(&self, list: bool) -> Result<Accepted, Status> {
        accept(self.header(http::header::ACCEPT), list, self.resource.stored())
    }

    /// Tells the client something beside the answer.
    pub fn warn(&self, text: impl Into<String>) {
        let mut warnings = self.warnings.lock().unwrap_or_else(PoisonError::into_inner);
        let text = text.into();
        if warnings.len() < WARNINGS_MAX && !warnings.contains(&text) {
            warnings.push(text);
        }
    }

    /// The warnings so far.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        self.warnings.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether nothing is to be changed.
    ///
    /// # Errors
    /// 400 when `dryRun` has a value other than `All`.
    pub fn dry_run(&self) -> Result<bool, Status> {
        match self.query.all("dryRun") {
            [] => Ok(false),
            values if values.iter().all(|v| v == "All") => Ok(true),
            values => {
                let fault = api::FieldError::not_supported(
                    api::FieldPath::of(&["dryRun"]),
                    api::Tree::from(values.iter().map(String::as_str).collect::<Vec<_>>()),
                    &["All"],
                );
                let options = api::status::GroupName::new("meta.k8s.io", self.options_kind());
                Err(Status::invalid(&options, "", &[fault]))
            }
        }
    }

    fn options_kind(&self) -> &'static str {
        match self.info.verb.as_str() {
            "create" => "CreateOptions",
            "patch" => "PatchOptions",
            "delete" | "deletecollection" => "DeleteOptions",
            _ => "UpdateOptions",
        }
    }

    /// The name under which changes are recorded: `fieldManager`, or the first part of the client's name, as upstream.
    #[must_use]
    pub fn manager(&self) -> String {
        if let Some(name) = self.query.text("fieldManager") {
            return name.to_owned();
        }
        let agent = self.header(http::header::USER_AGENT).unwrap_or_default();
        agent.split('/').next().unwrap_or_default().chars().take(MANAGER_CHARS_MAX).collect()
    }
}

/// Longest name of a field manager, characters; upstream's limit.
const MANAGER_CHARS_MAX: usize = 128;
