//! Lists: a snapshot, narrowed down, page by page. All pages of one list show the same revision; when that is
//! compacted the client gets 410 with a token that goes on at the newest one.

use crate::call::Call;
use crate::negotiate::Form;
use crate::objects::{Place, put_json};
use crate::options::{ListOptions, Match};
use crate::reply::{self, Body};
use crate::server::Server;
use crate::table;
use api::Status;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use std::sync::Arc;
use std::time::Duration;
use store::{Entry, RevisionError, Snapshot};

/// How long a read that must not be older waits for its revision; upstream's watch cache blocks as long.
const FRESH_WAIT_MAX: Duration = Duration::from_secs(3);

/// One page of a list.
pub struct Page {
    /// The revision that it shows.
    pub revision: u64,
    /// Its objects.
    pub entries: Vec<Arc<Entry>>,
    /// The token of the next page; empty on the last.
    pub continue_token: String,
    /// Objects beyond this page, where that is known.
    pub remaining: Option<usize>,
}

/// Answers a list.
///
/// # Errors
/// 400 and 422 for bad options, 410 for a revision that is gone, 504 for one that is not there yet.
pub async fn list(server: &Server, call: &Call) -> Result<http::Response<Body>, Status> {
    let accepted = call.accepted(true)?;
    let options = ListOptions::read(call, false)?;
    let page = page(server, call, &options).await?;
    match accepted.form {
        Form::Object => {
            reply::encoded(200, encode(call, &page)?, accepted.encoding, call.resource.list_schema.as_ref())
        }
        Form::Partial => {
            let schema = resources::schema_named(table::PARTIAL_LIST);
            let list = table::partial_list(&call.resource, &page)?;
            reply::in_encoding(200, &list, accepted.encoding, Some(&schema))
        }
        Form::Table => reply::in_encoding(200, &table::of_page(server, call, &page)?, accepted.encoding, None),
    }
}

/// The page that the options ask for.
///
/// # Errors
/// As [`list`].
pub async fn page(server: &Server, call: &Call, options: &ListOptions) -> Result<Page, Status> {
    let prefix = call.resource.prefix(&call.info.namespace);
    let (snapshot, after) = start(server, options, &prefix).await?;
    let after = after.map(|name| format!("{prefix}{name}"));
    let limit = if options.limit == 0 { usize::MAX } else { options.limit };
    let mut rest = snapshot.iter(&prefix, after.as_deref()).filter(|entry| options.selection.wants(entry));
    let entries: Vec<Arc<Entry>> = rest.by_ref().take(limit).cloned().collect();
    let mut page = Page { revision: snapshot.revision, entries, continue_token: String::new(), remaining: None };
    if rest.next().is_some() {
        let last = page.entries.last().map(|e| e.key[prefix.len()..].to_owned()).unwrap_or_default();
        page.continue_token = token(snapshot.revision, &last);
        // With a selector the count would mean looking at every object for every page; upstream leaves it out too.
        page.remaining = options.selection.is_everything().then(|| rest.count() + 1);
    }
    Ok(page)
}

/// The snapshot to list, and the name after which to go on.
async fn start(server: &Server, options: &ListOptions, prefix: &str) -> Result<(Snapshot, Option<String>), Status> {
    if !options.continue_token.is_empty() {
        if options.revision.is_some_and(|r| r != 0) {
            return Err(Status::bad_request("specifying resource version is not allowed when using continue"));
        }
        return resume(server, &options.continue_token, prefix).map(|(snapshot, after)| (snapshot, Some(after)));
    }
    let exact = options.revision_match == Some(Match::Exact)
        || (options.revision_match.is_none() && options.limit > 0 && options.revision.is_some_and(|r| r > 0));
    match options.revision {
        Some(revision) if exact => at(server, revision).map(|snapshot| (snapshot, None)),
        Some(revision) => {
            not_older(server, revision).await?;
            Ok((server.store.snapshot(), None))
        }
        None => Ok((server.store.snapshot(), None)),
    }
}

fn at(server: &Server, revision: u64) -> Result<Snapshot, Status> {
    server.store.snapshot_at(revision).map_err(|error| match error {
        RevisionError::Compacted { .. } => Status::expired(
            "The provided resource version is too old; list without one, or with a newer one".to_owned(),
        ),
        RevisionError::Future { current } => Status::resource_version_too_large(revision, current),
    })
}

/// Waits until the store is at a revision.
///
/// # Errors
/// 504 when it does not get there in time.
pub async fn not_older(server: &Server, revision: u64) -> Result<(), Status> {
    let waited = server.store.wait_for(revision, FRESH_WAIT_MAX).await;
    waited.map_err(|e| Status::resource_version_too_large(e.wanted, e.current))
}

/// What upstream says when a continue token outlived its revision.
const TOKEN_EXPIRED: &str = "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and now may show up in the list.";

fn resume(server: &Server, text: &str, prefix: &str) -> Result<(Snapshot, String), Status> {
    let (revision, after) =
        read_token(text).map_err(|why| Status::bad_request(format!("invalid continue token: {why}")))?;
    debug_assert!(!prefix.is_empty());
    let Some(revision) = revision else { return Ok((server.store.snapshot(), after)) };
    match server.store.snapshot_at(revision) {
        Ok(snapshot) => Ok((snapshot, after)),
        Err(RevisionError::Compacted { .. }) => {
            let mut status = Status::expired(TOKEN_EXPIRED);
            status.continue_token = write_token(-1, &after);
            Err(status)
        }
        Err(RevisionError::Future { current }) => Err(Status::resource_version_too_large(revision, current)),
    }
}

fn token(revision: u64, last: &str) -> String {
    write_token(i64::try_from(revision).unwrap_or(i64::MAX), last)
}

/// A continue token in upstream's form: the revision (-1 for the newest) and the first key not yet shown, which is
/// the last one shown and a NUL.
fn write_token(revision: i64, last: &str) -> String {
    let start = format!("{last}\0");
    let object = api::tree!({"v": "meta.k8s.io/v1", "rv": revision, "start": start});
    BASE64_URL_SAFE_NO_PAD.encode(object.to_json())
}

/// The revision (`None` for the newest) and the last key shown.
///
/// # Errors
/// Says why it is no token, in the words of `k8s.io/apiserver/pkg/storage/continue.go`.
fn read_token(text: &str) -> Result<(Option<u64>, String), String> {
    let invalid = |why: String| format!("continue key is not valid: {why}");
    let bytes = BASE64_URL_SAFE_NO_PAD
        .decode(text)
        .map_err(|error| invalid(format!("illegal base64 data at input byte {}", fault_at(&error, text))))?;
    if let Some(why) = api::tree::json_fault(&bytes) {
        return Err(invalid(why));
    }
    let object = api::Tree::from_json(&bytes).map_err(|e| invalid(e.0))?.tree;
    let version = object.str_at(&["v"]).unwrap_or_default();
    if version != "meta.k8s.io/v1" {
        return Err(invalid(format!("server does not recognize this encoded version {version}")));
    }
    let revision = match object.int_at(&["rv"]).unwrap_or(0) {
        -1 => None,
        revision => match u64::try_from(revision) {
            Ok(revision) if revision > 0 => Some(revision),
            _ => return Err(invalid("incorrect encoded start resourceVersion (version meta.k8s.io/v1)".to_owned())),
        },
    };
    let start = object.str_at(&["start"]).unwrap_or_default();
    if start.is_empty() {
        return Err(invalid("encoded start key empty (version meta.k8s.io/v1)".to_owned()));
    }
    let last = start.strip_suffix('\0').unwrap_or(start);
    // A token must not lead out of the place that it belongs to.
    let inside = last.split('/').all(|part| !matches!(part, "" | "." | ".."));
    if inside { Ok((revision, last.to_owned())) } else { Err(invalid(start.to_owned())) }
}

/// Where Go's decoder stops at bytes that are no base64.
fn fault_at(error: &base64::DecodeError, text: &str) -> usize {
    match error {
        base64::DecodeError::InvalidByte(at, _) | base64::DecodeError::InvalidLastSymbol(at, _) => *at,
        _ => text.len(),
    }
}

/// The list object as JSON.
fn encode(call: &Call, page: &Page) -> Result<Vec<u8>, Status> {
    let resource = &call.resource;
    let size: usize = page.entries.iter().map(|e| e.value.bytes.len() + 40).sum();
    let mut out = Vec::with_capacity(size + 256);
    out.extend_from_slice(
        format!(
            "{{\"kind\":\"{}\",\"apiVersion\":\"{}\",\"metadata\":{}",
            resource.list_kind,
            resource.api_version(),
            metadata(page).to_json_text()
        )
        .as_bytes(),
    );
    out.extend_from_slice(b",\"items\":[");
    for (i, entry) in page.entries.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        put_json(&mut out, resource, entry, Place::Item)?;
    }
    out.extend_from_slice(b"]}");
    Ok(out)
}

/// The metadata of a list.
#[must_use]
pub fn metadata(page: &Page) -> api::Tree {
    let mut metadata = api::tree!({"resourceVersion": (page.revision.to_string())});
    if !page.continue_token.is_empty() {
        metadata.set("continue", page.continue_token.as_str());
    }
    if let Some(remaining) = page.remaining {
        metadata.set("remainingItemCount", i64::try_from(remaining).unwrap_or(i64::MAX));
    }
    metadata
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_comes_back_as_it_was_made() {
        assert_eq!(read_token(&token(7, "default/web")), Ok((Some(7), "default/web".to_owned())));
        assert_eq!(read_token(&write_token(-1, "web")), Ok((None, "web".to_owned())));
    }

    #[test]
    fn a_token_that_leaves_its_resource_is_refused() {
        let why = |text: &str| read_token(text).unwrap_err();
        assert_eq!(why(&token(7, "../secrets/x")), "continue key is not valid: ../secrets/x\0");
        assert_eq!(
            why(&token(0, "x")),
            "continue key is not valid: incorrect encoded start resourceVersion (version meta.k8s.io/v1)"
        );
        assert_eq!(why("e30"), "continue key is not valid: server does not recognize this encoded version ");
        assert_eq!(why("%%"), "continue key is not valid: illegal base64 data at input byte 0");
        assert_eq!(why("abc"), "continue key is not valid: invalid character 'i' looking for beginning of value");
    }
}
