//! Options of list and watch requests, read and checked. Rules of
//! `k8s.io/apimachinery/pkg/apis/meta/internalversion/validation`.

use crate::call::Call;
use crate::objects::Selection;
use api::selector::{FieldSelector, LabelSelector};
use api::status::GroupName;
use api::{FieldError, FieldPath, Status};
use std::time::Duration;

/// How a resourceVersion is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Match {
    /// This very one.
    Exact,
    /// This or a later one.
    NotOlderThan,
}

/// Options of a list or watch.
#[derive(Clone, Debug)]
pub struct ListOptions {
    /// What is wanted.
    pub selection: Selection,
    /// `resourceVersion`; `None` when unset, which means the newest.
    pub revision: Option<u64>,
    /// `resourceVersionMatch`.
    pub revision_match: Option<Match>,
    /// `limit`; 0 for all.
    pub limit: usize,
    /// `continue`; empty for the first page.
    pub continue_token: String,
    /// `timeoutSeconds`
    pub timeout: Option<Duration>,
    /// `allowWatchBookmarks`
    pub bookmarks: bool,
    /// `sendInitialEvents`
    pub initial_events: Option<bool>,
}

impl ListOptions {
    /// Reads the query of a call. `watch` says what it is for.
    ///
    /// # Errors
    /// 400 for what cannot be read, 422 for options that exclude each other.
    pub fn read(call: &Call, watch: bool) -> Result<ListOptions, Status> {
        let query = &call.query;
        let labels = LabelSelector::parse(query.get("labelSelector").unwrap_or_default())
            .map_err(|e| Status::bad_request(e.to_string()))?;
        let fields = FieldSelector::parse(query.get("fieldSelector").unwrap_or_default())
            .map_err(|e| Status::bad_request(e.to_string()))?;
        let selection = Selection { labels, fields }.resolve(&call.resource)?;
        let version = query.get("resourceVersion").unwrap_or_default();
        let seconds = query.number("timeoutSeconds")?.and_then(|s| u64::try_from(s).ok()).filter(|s| *s > 0);
        let mut options = ListOptions {
            selection,
            revision: revision(version)?,
            revision_match: None,
            limit: query.number("limit")?.and_then(|l| usize::try_from(l).ok()).unwrap_or(0),
            continue_token: query.get("continue").unwrap_or_default().to_owned(),
            timeout: seconds.map(Duration::from_secs),
            bookmarks: query.flag("allowWatchBookmarks"),
            initial_events: query.get("sendInitialEvents").map(|_| query.flag("sendInitialEvents")),
        };
        let how = query.get("resourceVersionMatch").unwrap_or_default();
        let mut faults = Vec::new();
        options.revision_match = match how {
            "Exact" => Some(Match::Exact),
            "NotOlderThan" => Some(Match::NotOlderThan),
            _ => None,
        };
        if watch {
            options.watch_faults(how, &mut faults);
        } else {
            options.list_faults(how, &mut faults);
        }
        if faults.is_empty() {
            Ok(options)
        } else {
            Err(Status::invalid(&GroupName::new("meta.k8s.io", "ListOptions"), "", &faults))
        }
    }

    fn list_faults(&self, how: &str, faults: &mut Vec<FieldError>) {
        let at = |field: &str| FieldPath::of(&[field]);
        if !how.is_empty() {
            if self.revision.is_none() {
                let why = "resourceVersionMatch is forbidden unless resourceVersion is provided";
                faults.push(FieldError::forbidden(at("resourceVersionMatch"), why));
            }
            if !self.continue_token.is_empty() {
                let why = "resourceVersionMatch is forbidden when continue is provided";
                faults.push(FieldError::forbidden(at("resourceVersionMatch"), why));
            }
            if self.revision_match.is_none() {
                faults.push(FieldError::not_supported(at("resourceVersionMatch"), how, &["Exact", "NotOlderThan", ""]));
            }
            if self.revision_match == Some(Match::Exact) && self.revision == Some(0) {
                let why = "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"";
                faults.push(FieldError::forbidden(at("resourceVersionMatch"), why));
            }
        }
        if self.initial_events.is_some() {
            let why = "sendInitialEvents is forbidden for list";
            faults.push(FieldError::forbidden(at("sendInitialEvents"), why));
        }
    }

    fn watch_faults(&self, how: &str, faults: &mut Vec<FieldError>) {
        let at = |field: &str| FieldPath::of(&[field]);
        if self.initial_events.is_some() && how.is_empty() {
            let why = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan";
            faults.push(FieldError::forbidden(at("resourceVersionMatch"), why));
        }
        if !how.is_empty() {
            if self.initial_events.is_none() {
                let why = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided";
                faults.push(FieldError::forbidden(at("resourceVersionMatch"), why));
            }
            if self.revision_match != Some(Match::NotOlderThan) {
                faults.push(FieldError::not_supported(at("resourceVersionMatch"), how, &["NotOlderThan"]));
            }
            if !self.continue_token.is_empty() {
                let why = "resourceVersionMatch is forbidden when continue is provided";
                faults.push(FieldError::forbidden(at("resourceVersionMatch"), why));
            }
        }
    }
}

/// How the refusal of a resourceVersion begins.
pub const INVALID_REVISION: &str = "invalid resource version: ";

/// Reads a resourceVersion; the empty text is none.
///
/// # Errors
/// 400 when it is no number.
pub fn revision(text: &str) -> Result<Option<u64>, Status> {
    if text.is_empty() {
        return Ok(None);
    }
    let quoted = api::Tree::text(text).to_json_text();
    text.parse().map(Some).map_err(|_| {
        let fault = FieldError::invalid(
            FieldPath::of(&["resourceVersion"]),
            text,
            format!("strconv.ParseUint: parsing {quoted}: invalid syntax"),
        );
        Status::bad_request(format!("{INVALID_REVISION}{fault}"))
    })
}
