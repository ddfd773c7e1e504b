//! One request on its way through the verbs: what it asks for, of which resource, by whom.

use crate::caller::Caller;
use crate::catalog::Resource;
use crate::negotiate::{Accepted, accept};
use crate::request::{Query, RequestInfo};
use api::status::GroupName;
use api::{FieldError, FieldPath, Status, Tree};
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
    /// 422 when `dryRun` has a value other than `All`.
    pub fn dry_run(&self) -> Result<bool, Status> {
        let mut faults = Vec::new();
        self.dry_run_faults(&mut faults);
        self.refuse_options(&faults)?;
        Ok(!self.query.all("dryRun").is_empty())
    }

    fn dry_run_faults(&self, faults: &mut Vec<FieldError>) {
        let values = self.query.all("dryRun");
        if values.iter().any(|value| value != "All") {
            let shown = Tree::from(values.iter().map(String::as_str).collect::<Vec<_>>());
            faults.push(FieldError::not_supported(FieldPath::of(&["dryRun"]), shown, &["All"]));
        }
    }

    /// Checks the options of a write. Rules of `k8s.io/apimachinery/pkg/apis/meta/v1/validation`.
    ///
    /// # Errors
    /// 422 naming each option that makes no sense.
    pub fn check_options(&self) -> Result<(), Status> {
        let mut faults = Vec::new();
        let manager = self.query.get("fieldManager").unwrap_or_default();
        let path = FieldPath::of(&["fieldManager"]);
        if self.info.verb == "patch" && self.query.text("force").is_some() {
            let why = "may not be specified for non-apply patch";
            faults.push(FieldError::forbidden(FieldPath::of(&["force"]), why));
        }
        if manager.len() > MANAGER_BYTES_MAX {
            faults.push(FieldError::too_long(path.clone(), MANAGER_BYTES_MAX));
        }
        let printable = |c: char| c == ' ' || !(c.is_control() || c.is_whitespace());
        for (at, c) in manager.char_indices().filter(|(_, c)| !printable(*c)) {
            let why = format!("invalid character U+{:04X} (at position {at})", u32::from(c));
            faults.push(FieldError::invalid(path.clone(), manager, why));
        }
        self.dry_run_faults(&mut faults);
        let wish = self.query.get("fieldValidation").unwrap_or_default();
        if !FIELD_VALIDATIONS.contains(&wish) {
            let path = FieldPath::of(&["fieldValidation"]);
            faults.push(FieldError::not_supported(path, wish, FIELD_VALIDATIONS));
        }
        self.refuse_options(&faults)
    }

    fn refuse_options(&self, faults: &[FieldError]) -> Result<(), Status> {
        if faults.is_empty() {
            return Ok(());
        }
        Err(Status::invalid(&GroupName::new("meta.k8s.io", self.options_kind()), "", faults))
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
        agent.split('/').next().unwrap_or_default().chars().take(MANAGER_BYTES_MAX).collect()
    }
}

/// Longest name of a field manager, bytes; upstream's limit.
const MANAGER_BYTES_MAX: usize = 128;

/// What may become of unknown fields; nothing said is `Warn`.
const FIELD_VALIDATIONS: &[&str] = &["", "Ignore", "Strict", "Warn"];
