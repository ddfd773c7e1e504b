//! DELETE of one object: at once, after a grace period, or when the last finalizer is gone. Rules of
//! `k8s.io/apiserver/pkg/registry/generic/registry/store.go` and `rest/delete.go`.

use crate::admission::{self, Operation};
use crate::call::Call;
use crate::clock::rfc3339;
use crate::codec;
use crate::objects;
use crate::reply::{self, Body};
use crate::server::Server;
use crate::write::failed;
use api::status::GroupName;
use api::{FieldError, FieldPath, Status, Tree, meta};
use jiff::{SignedDuration, Timestamp};
use std::sync::Arc;
use store::{CommitError, Entry, Op};

/// How often a deletion is decided anew when the object changes at the same time.
const DELETE_TRIES_MAX: usize = 64;

const ORPHAN: &str = "orphan";
const FOREGROUND: &str = "foregroundDeletion";

/// How a deletion is wished.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DeleteOptions {
    /// `gracePeriodSeconds`
    pub grace_seconds: Option<i64>,
    /// `preconditions.uid`
    pub uid: Option<String>,
    /// `preconditions.resourceVersion`
    pub resource_version: Option<String>,
    /// `orphanDependents`, the old form of the policy.
    pub orphan: Option<bool>,
    /// `propagationPolicy`
    pub policy: Option<String>,
    /// `dryRun`
    pub dry_run: bool,
}

impl DeleteOptions {
    /// Reads the body of a call, or its query when there is no body.
    ///
    /// # Errors
    /// 400 when they cannot be read, 422 when they contradict each other.
    pub fn read(call: &Call) -> Result<DeleteOptions, Status> {
        let object = if call.body.is_empty() { from_query(call)? } else { codec::decode_delete_options(call)? };
        let text = |fields: &[&str]| object.str_at(fields).map(str::to_owned);
        let options = DeleteOptions {
            grace_seconds: object.int_at(&["gracePeriodSeconds"]).map(|s| if s < 0 { 1 } else { s }),
            uid: text(&["preconditions", "uid"]),
            resource_version: text(&["preconditions", "resourceVersion"]),
            orphan: object.bool_at(&["orphanDependents"]),
            policy: text(&["propagationPolicy"]),
            dry_run: !object.list_at(&["dryRun"]).is_empty(),
        };
        options.check(&object)?;
        Ok(options)
    }

    fn check(&self, object: &Tree) -> Result<(), Status> {
        let mut faults = Vec::new();
        let policy = FieldPath::of(&["propagationPolicy"]);
        if self.policy.is_some() && self.orphan.is_some() {
            let why = "orphanDependents and deletionPropagation cannot be both set";
            let shown = Tree::text(self.policy.clone().unwrap_or_default());
            faults.push(FieldError::invalid(policy.clone(), shown, why));
        }
        if let Some(name) = &self.policy
            && !["Foreground", "Background", "Orphan"].contains(&name.as_str())
        {
            faults.push(FieldError::not_supported(
                policy,
                name.as_str(),
                &["Foreground", "Background", "Orphan", "nil"],
            ));
        }
        let dry = object.list_at(&["dryRun"]);
        if dry.iter().any(|v| v.as_str() != Some("All")) {
            let path = FieldPath::of(&["dryRun"]);
            faults.push(FieldError::not_supported(path, Tree::List(dry.to_vec()), &["All"]));
        }
        let kind = GroupName::new("meta.k8s.io", "DeleteOptions");
        if faults.is_empty() { Ok(()) } else { Err(Status::invalid(&kind, "", &faults)) }
    }

    /// The finalizers that the garbage collector will act on, or `None` when they stay as they are.
    fn finalizers(&self, object: &Tree, orphan_by_default: bool) -> Option<Vec<String>> {
        let present: Vec<&str> = meta::finalizers(object).collect();
        let has = |name: &str| present.contains(&name);
        let chosen = match (self.orphan, self.policy.as_deref()) {
            (Some(true), _) | (_, Some("Orphan")) => Some(ORPHAN),
            (_, Some("Foreground")) => Some(FOREGROUND),
            (Some(false), _) | (_, Some(_)) => None,
            (None, None) if has(ORPHAN) => Some(ORPHAN),
            (None, None) if has(FOREGROUND) => Some(FOREGROUND),
            (None, None) => orphan_by_default.then_some(ORPHAN),
        };
        let others = present.iter().filter(|f| **f != ORPHAN && **f != FOREGROUND);
        let wanted: Vec<String> = others.copied().chain(chosen).map(str::to_owned).collect();
        let same = wanted.len() == present.len() && wanted.iter().all(|f| has(f));
        (!same).then_some(wanted)
    }
}

fn from_query(call: &Call) -> Result<Tree, Status> {
    let mut object = Tree::map();
    if let Some(seconds) = call.query.number("gracePeriodSeconds")? {
        object.set("gracePeriodSeconds", seconds);
    }
    if let Some(policy) = call.query.text("propagationPolicy") {
        object.set("propagationPolicy", policy);
    }
    if call.query.get("orphanDependents").is_some() {
        object.set("orphanDependents", call.query.flag("orphanDependents"));
    }
    let dry: Vec<&str> = call.query.all("dryRun").iter().map(String::as_str).collect();
    if !dry.is_empty() {
        object.set("dryRun", dry);
    }
    Ok(object)
}

/// What came of a deletion.
pub enum Deleted {
    /// The object is gone; this was its last state.
    Gone(Tree),
    /// It is marked, and goes when its grace period or its finalizers are over.
    Pending(Tree),
}

/// Answers a DELETE.
///
/// # Errors
/// Any of the path's: 400, 403, 404, 409, 422.
pub async fn delete(server: &Server, call: &Call) -> Result<http::Response<Body>, Status> {
    call.accepted(false)?;
    let options = DeleteOptions::read(call)?;
    let deleted = delete_object(server, call, (&call.info.namespace, &call.info.name), &options).await?;
    match deleted {
        Deleted::Gone(object) if !call.resource.rules.returns_deleted => {
            let mut done = Status::new(200, "", "").about(&call.resource.named(), &call.info.name);
            meta::uid(&object).clone_into(&mut done.uid);
            let mut told = done.to_tree();
            told.remove("code");
            reply::other(call, 200, &told, reply::STATUS)
        }
        Deleted::Gone(object) => reply::tree(call, &object, 200),
        Deleted::Pending(object) => reply::tree(call, &object, if options.orphan == Some(false) { 202 } else { 200 }),
    }
}

/// Deletes one object of the call's resource, named by namespace and name.
///
/// # Errors
/// As [`delete`].
pub async fn delete_object(
    server: &Server,
    call: &Call,
    (namespace, name): (&str, &str),
    options: &DeleteOptions,
) -> Result<Deleted, Status> {
    let key = call.resource.key(namespace, name);
    for _ in 0..DELETE_TRIES_MAX {
        let entry = server.store.get(&key).ok_or_else(|| Status::not_found(&call.resource.named(), name))?;
        let object = objects::tree(&call.resource, &entry)?;
        check_preconditions(call, &object, options)?;
        admission::validate(server, call, Operation::Delete, None, Some(&object)).await?;
        match delete_once(server, call, &entry, object, options).await {
            Err(CommitError::Conflict { .. } | CommitError::NotFound { .. }) => {}
            Err(error) => return Err(failed(&error)),
            Ok(deleted) => return Ok(deleted),
        }
    }
    Err(Status::internal(format!("{key} changed {DELETE_TRIES_MAX} times while it was being deleted; try again")))
}

fn check_preconditions(call: &Call, object: &Tree, options: &DeleteOptions) -> Result<(), Status> {
    let kind = GroupName::new(call.resource.group.as_str(), call.resource.kind.as_str());
    let checks = [
        ("UID", &options.uid, meta::uid(object), "The object might have been deleted and then recreated"),
        (
            "ResourceVersion",
            &options.resource_version,
            meta::resource_version(object),
            "The object might have been modified",
        ),
    ];
    for (what, wanted, found, guess) in checks {
        if let Some(wanted) = wanted
            && wanted != found
        {
            let why = format!(
                "the {what} in the precondition ({wanted}) does not match the {what} in record ({found}). {guess}"
            );
            return Err(Status::conflict(&kind, meta::name(object), why));
        }
    }
    Ok(())
}

async fn delete_once(
    server: &Server,
    call: &Call,
    entry: &Arc<Entry>,
    mut object: Tree,
    options: &DeleteOptions,
) -> Result<Deleted, CommitError> {
    let now = server.world.clock.now();
    let rules = call.resource.rules;
    let before = object.clone();
    let finalizers = options.finalizers(&object, rules.orphan_by_default);
    let graceful = match rules.grace {
        None => Graceful::No,
        Some(grace) => shorten(&mut object, options, grace, now),
    };
    if graceful == Graceful::Pending {
        return Ok(Deleted::Pending(object));
    }
    if let Some(finalizers) = finalizers {
        object.set_at(&["metadata", "finalizers"], finalizers);
    }
    let held = meta::finalizers(&object).next().is_some() || (rules.held)(&object);
    if graceful == Graceful::No && held {
        mark(&mut object, now);
        (rules.on_dying)(&mut object);
    }
    codec::normalize(&call.resource, &mut object);
    if graceful == Graceful::Yes || held {
        if object == before {
            return Ok(Deleted::Pending(object));
        }
        if options.dry_run {
            return Ok(Deleted::Pending(object));
        }
        let (value, extra) = objects::value(&call.resource, &object);
        let op =
            Op::Update { key: entry.key.clone(), value, extra: Some(extra), expect_mod_revision: entry.mod_revision };
        let committed = server.store.commit(vec![op]).await?;
        object.set_at(&["metadata", "resourceVersion"], committed.revision.to_string());
        return Ok(Deleted::Pending(object));
    }
    if !options.dry_run {
        let last = (object != before).then(|| objects::value(&call.resource, &object).0);
        let op = Op::Delete { key: entry.key.clone(), expect_mod_revision: Some(entry.mod_revision), last };
        let committed = server.store.commit(vec![op]).await?;
        object.set_at(&["metadata", "resourceVersion"], committed.revision.to_string());
        server.after_delete(call, &object).await;
    }
    Ok(Deleted::Gone(object))
}

/// Marks an object that waits for its finalizers only.
fn mark(object: &mut Tree, now: Timestamp) {
    if meta::deletion_timestamp(object).is_none() && meta::generation(object) > 0 {
        object.set_at(&["metadata", "generation"], meta::generation(object) + 1);
    }
    let stamp = rfc3339(now);
    // Both are RFC 3339 in UTC, which sorts as text.
    if meta::deletion_timestamp(object).is_none_or(|present| present > stamp.as_str()) {
        object.set_at(&["metadata", "deletionTimestamp"], stamp);
    }
    object.set_at(&["metadata", "deletionGracePeriodSeconds"], 0);
}

/// Whether an object goes after a grace period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Graceful {
    /// It goes at once.
    No,
    /// It was marked, or its period was shortened.
    Yes,
    /// It is marked already and nothing changes.
    Pending,
}

fn shorten(object: &mut Tree, options: &DeleteOptions, grace: resources::Grace, now: Timestamp) -> Graceful {
    let Some(marked) = meta::deletion_timestamp(object).map(str::to_owned) else {
        let seconds = grace(object, options.grace_seconds);
        if seconds == 0 {
            // The last state that clients see is marked, too.
            mark(object, now);
            return Graceful::No;
        }
        if meta::generation(object) > 0 {
            object.set_at(&["metadata", "generation"], meta::generation(object) + 1);
        }
        object.set_at(&["metadata", "deletionTimestamp"], rfc3339(later(now, seconds)));
        object.set_at(&["metadata", "deletionGracePeriodSeconds"], seconds);
        return Graceful::Yes;
    };
    let present = object.int_at(&["metadata", "deletionGracePeriodSeconds"]).unwrap_or(0);
    match options.grace_seconds {
        _ if present == 0 => Graceful::No,
        Some(0) => {
            object.set_at(&["metadata", "deletionTimestamp"], rfc3339(now));
            object.set_at(&["metadata", "deletionGracePeriodSeconds"], 0);
            Graceful::No
        }
        Some(seconds) if seconds < present => {
            let end: Timestamp = marked.parse().unwrap_or(now);
            let end = later(end, seconds - present);
            let (end, seconds) = if end < now { (now, 1) } else { (end, seconds) };
            object.set_at(&["metadata", "deletionTimestamp"], rfc3339(end));
            object.set_at(&["metadata", "deletionGracePeriodSeconds"], seconds);
            Graceful::Yes
        }
        _ => Graceful::Pending,
    }
}

fn later(time: Timestamp, seconds: i64) -> Timestamp {
    time.checked_add(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests;
