//! Creating and changing objects: the one path that all writes take.
//!
//! decode, default -> mutating admission, default again -> prepare -> validate(old, new) -> validating admission ->
//! store. A change is computed against the newest state and, when that moved meanwhile, computed again.

use crate::admission::{self, Operation};
use crate::call::Call;
use crate::codec;
use crate::managed;
use crate::metadata;
use crate::objects;
use crate::reply::{self, Body};
use crate::server::Server;
use crate::subresources;
use api::{FieldError, FieldPath, Status, Tree, meta};
use std::sync::Arc;
use store::{CommitError, Entry, Op};

/// How often a change without a resourceVersion is computed again when others change the object at the same time.
/// Upstream retries without end on its own; a bound turns a livelock into an error that says so.
const CHANGE_TRIES_MAX: usize = 64;
/// How often a generated name is drawn again when it is taken; upstream's number.
const GENERATE_TRIES_MAX: usize = 8;

/// Which part of an object a write is about: it decides what is carried over from the old object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Everything but the status, where that is a subresource.
    Main,
    /// `/status`: status, labels, annotations and finalizers.
    Status,
    /// Another subresource, which decides for itself what it changes.
    Whole,
}

/// An object after a write.
pub struct Written {
    /// The object in the version of the request.
    pub object: Tree,
    /// Its entry; `None` on a dry run.
    pub entry: Option<Arc<Entry>>,
    /// Whether it came into being.
    pub created: bool,
}

/// Answers a POST of an object.
///
/// # Errors
/// Any of the path's: 400, 403, 409, 415, 422.
pub async fn create(server: &Server, call: &Call) -> Result<http::Response<Body>, Status> {
    call.accepted(false)?;
    let object = codec::decode(call)?;
    if !meta::resource_version(&object).is_empty() {
        // Upstream's storage says so, without a reason and as a fault of the server.
        return Err(Status::new(500, "", "resourceVersion should not be set on objects to be created"));
    }
    let written = create_object(server, call, object).await?;
    reply::written(call, &written, 201)
}

/// Creates an object that was decoded and defaulted.
///
/// # Errors
/// As [`create`].
pub async fn create_object(server: &Server, call: &Call, decoded: Tree) -> Result<Written, Status> {
    let generated = meta::name(&decoded).is_empty();
    let mut tries = 0;
    loop {
        tries += 1;
        let written = create_once(server, call, decoded.clone()).await;
        match written {
            Err(status) if generated && status.is_already_exists() && tries < GENERATE_TRIES_MAX => {}
            other => return other,
        }
    }
}

async fn create_once(server: &Server, call: &Call, mut object: Tree) -> Result<Written, Status> {
    let (resource, rules) = (&call.resource, call.resource.rules);
    metadata::place(&mut object, if resource.namespaced { &call.info.namespace } else { "" })?;
    metadata::begin(&mut object, &server.world);
    admission::mutate(server, call, Operation::Create, &mut object, None).await?;
    codec::default(resource, &mut object);
    if resource.subresource("status").is_some() && !rules.status_on_create {
        object.remove("status");
    }
    if rules.generation {
        object.set_at(&["metadata", "generation"], 1);
    }
    (rules.on_create)(&mut object);
    server.allocate_on_create(call, &mut object).await?;
    managed::track(call, None, &mut object);
    codec::normalize(resource, &mut object);
    let checked = check_new(server, call, &object).await;
    let done = match checked {
        Ok(()) => commit_new(server, call, &mut object).await,
        Err(status) => Err(status),
    };
    if done.is_err() {
        server.release_after_failed_create(call, &object).await;
    }
    done.map(|entry| Written { object, entry, created: true })
}

async fn check_new(server: &Server, call: &Call, object: &Tree) -> Result<(), Status> {
    let (resource, rules) = (&call.resource, call.resource.rules);
    let mut faults = Vec::new();
    metadata::validate(object, resource, &mut faults);
    (rules.validate)(object, &mut faults);
    if !faults.is_empty() {
        return Err(Status::invalid(&resource.group_kind(), meta::name(object), &faults));
    }
    admission::validate(server, call, Operation::Create, Some(object), None).await?;
    (rules.warnings)(object).into_iter().for_each(|warning| call.warn(warning));
    Ok(())
}

async fn commit_new(server: &Server, call: &Call, object: &mut Tree) -> Result<Option<Arc<Entry>>, Status> {
    let resource = &call.resource;
    let name = meta::name(object).to_owned();
    let key = resource.key(meta::namespace(object), &name);
    if call.dry_run()? {
        return if server.store.get(&key).is_some() {
            Err(Status::already_exists(&resource.named(), &name))
        } else {
            Ok(None)
        };
    }
    let (value, extra) = objects::value(resource, object);
    let op = Op::Create { key: key.as_str().into(), value, extra: Some(extra) };
    match server.store.commit(vec![op]).await {
        Ok(committed) => {
            let entry = committed.entries.into_iter().next();
            object.set_at(&["metadata", "resourceVersion"], committed.revision.to_string());
            Ok(entry)
        }
        Err(CommitError::AlreadyExists { .. }) => Err(Status::already_exists(&resource.named(), &name)),
        Err(error) => Err(failed(&error)),
    }
}

/// What a client is told when the store cannot write.
#[must_use]
pub fn failed(error: &CommitError) -> Status {
    match error {
        CommitError::Full(_) => Status::new(
            507,
            "InsufficientStorage",
            format!("{error}; delete something, or give the machine a bigger disk"),
        ),
        CommitError::Invalid(why) => Status::too_large(why),
        error => Status::internal(error),
    }
}

/// Answers a PUT of an object or of its status.
///
/// # Errors
/// Any of the path's: 400, 403, 404, 409, 415, 422.
pub async fn update(server: &Server, call: &Call, part: Part) -> Result<http::Response<Body>, Status> {
    call.accepted(false)?;
    let decoded = codec::decode(call)?;
    check_name(call, &decoded)?;
    let written = change(server, call, part, Operation::Update, |_| Ok(decoded.clone())).await?;
    reply::written(call, &written, if written.created { 201 } else { 200 })
}

/// The name in the body must be that of the path; upstream says so for PUT and PATCH.
pub(crate) fn check_name(call: &Call, object: &Tree) -> Result<(), Status> {
    let (own, asked) = (meta::name(object), call.info.name.as_str());
    if own.is_empty() {
        return Err(Status::bad_request("name must be provided"));
    }
    if own != asked {
        let why = format!("the name of the object ({own}) does not match the name on the URL ({asked})");
        return Err(Status::bad_request(why));
    }
    let (own, asked) = (meta::namespace(object), call.info.namespace.as_str());
    if call.resource.namespaced && !own.is_empty() && own != asked {
        let why = format!("the namespace of the object ({own}) does not match the namespace on the URL ({asked})");
        return Err(Status::bad_request(why));
    }
    Ok(())
}

/// Changes an object: `make` computes the new one from the present one, again and again until nobody else was quicker.
///
/// # Errors
/// What `make` says, and any of the path's.
pub async fn change(
    server: &Server,
    call: &Call,
    part: Part,
    operation: Operation,
    mut make: impl FnMut(&Tree) -> Result<Tree, Status>,
) -> Result<Written, Status> {
    let resource = &call.resource;
    let key = resource.key(&call.info.namespace, &call.info.name);
    for _ in 0..CHANGE_TRIES_MAX {
        let Some(entry) = server.store.get(&key) else {
            // A patch has nothing to start from (`createNewObject` in upstream's handlers/patch.go).
            let may_create = resource.rules.create_on_update && part == Part::Main;
            if may_create && operation == Operation::Update && call.info.verb == "update" {
                let object = make(&Tree::map())?;
                return create_object(server, call, object).await;
            }
            return Err(Status::not_found(&resource.named(), &call.info.name));
        };
        let old = objects::tree(resource, &entry)?;
        let mut object = make(&old)?;
        let fixed = fix_revision(call, &mut object, &old)?;
        let changed = change_once(server, call, part, operation, (&entry, &old), object).await;
        match changed {
            // Only a change that says which state it starts from may fail for that reason.
            Err(Outcome::Moved) if fixed => return Err(Status::modified(&resource.named(), &call.info.name)),
            Err(Outcome::Moved) => {}
            Err(Outcome::Failed(status)) => return Err(status),
            Ok(written) => return Ok(written),
        }
    }
    Err(Status::internal(format!("{key} changed {CHANGE_TRIES_MAX} times while it was being written; try again")))
}

/// Why one attempt at a change came to nothing.
pub(crate) enum Outcome {
    /// Somebody else was quicker.
    Moved,
    /// It is not possible.
    Failed(Status),
}

impl From<Status> for Outcome {
    fn from(status: Status) -> Outcome {
        Outcome::Failed(status)
    }
}

/// Compares the resourceVersion that the client gave. Returns whether it gave one.
fn fix_revision(call: &Call, object: &mut Tree, old: &Tree) -> Result<bool, Status> {
    let resource = &call.resource;
    let current = meta::resource_version(old).to_owned();
    match meta::resource_version(object) {
        "" | "0" if resource.rules.unconditional_update => {
            object.set_at(&["metadata", "resourceVersion"], current);
            Ok(false)
        }
        "" | "0" => {
            let path = FieldPath::of(&["metadata", "resourceVersion"]);
            let fault = FieldError::invalid(path, 0, "must be specified for an update");
            Err(Status::invalid(&resource.named(), &call.info.name, &[fault]))
        }
        given if given == current => Ok(call.info.verb == "update"),
        _ => Err(Status::modified(&resource.named(), &call.info.name)),
    }
}

async fn change_once(
    server: &Server,
    call: &Call,
    part: Part,
    operation: Operation,
    (entry, old): (&Arc<Entry>, &Tree),
    mut object: Tree,
) -> Result<Written, Outcome> {
    let resource = &call.resource;
    let uid = meta::uid(&object);
    if !uid.is_empty() && uid != meta::uid(old) {
        let why = other_uid(call, uid, meta::uid(old));
        return Err(Status::conflict(&resource.named(), &call.info.name, why).into());
    }
    metadata::place(&mut object, if resource.namespaced { &call.info.namespace } else { "" })?;
    admission::mutate(server, call, operation, &mut object, Some(old)).await?;
    codec::default(resource, &mut object);
    prepare(call, part, &mut object, old);
    server.allocate_on_update(call, part, &mut object, old).await?;
    managed::track(call, Some(old), &mut object);
    codec::normalize(resource, &mut object);
    check_change(server, call, part, operation, &object, old).await?;
    let dry = call.dry_run()?;
    let moved = |error: CommitError| match error {
        CommitError::Conflict { .. } | CommitError::NotFound { .. } => Outcome::Moved,
        error => Outcome::Failed(failed(&error)),
    };
    if gone_with(call.resource.rules, &object) {
        if !dry {
            let (last, _) = objects::value(resource, &object);
            let op =
                Op::Delete { key: entry.key.clone(), expect_mod_revision: Some(entry.mod_revision), last: Some(last) };
            server.store.commit(vec![op]).await.map_err(moved)?;
            server.after_delete(call, &object).await;
        }
        return Ok(Written { object, entry: None, created: false });
    }
    if same(&object, old) {
        return Ok(Written { object: old.clone(), entry: Some(entry.clone()), created: false });
    }
    if dry {
        return Ok(Written { object, entry: None, created: false });
    }
    let (value, extra) = objects::value(resource, &object);
    let op = Op::Update { key: entry.key.clone(), value, extra: Some(extra), expect_mod_revision: entry.mod_revision };
    let committed = server.store.commit(vec![op]).await.map_err(moved)?;
    object.set_at(&["metadata", "resourceVersion"], committed.revision.to_string());
    server.after_update(call, &object, old).await;
    Ok(Written { object, entry: committed.entries.into_iter().next(), created: false })
}

/// Upstream's words for a uid that is not the stored one.
#[must_use]
pub fn other_uid(call: &Call, wanted: &str, found: &str) -> String {
    let (plural, namespace, name) = (&call.resource.plural, &call.info.namespace, &call.info.name);
    let place = if namespace.is_empty() { name.clone() } else { format!("{namespace}/{name}") };
    format!(
        "StorageError: invalid object, Code: 4, Key: /registry/{plural}/{place}, ResourceVersion: 0, \
         AdditionalErrorMsg: Precondition failed: UID in precondition: {wanted}, UID in object meta: {found}"
    )
}

/// Carries over what this part of the object may not change.
fn prepare(call: &Call, part: Part, object: &mut Tree, old: &Tree) {
    let (resource, rules) = (&call.resource, call.resource.rules);
    metadata::carry(object, old);
    match part {
        Part::Main => {
            if resource.subresource("status").is_some() {
                keep(object, old, "status");
            }
            (rules.on_update)(object, old);
            if rules.generation && differs_beyond_metadata(object, old) {
                object.set_at(&["metadata", "generation"], meta::generation(old) + 1);
            }
        }
        Part::Status => {
            let status = object.remove("status");
            let metadata = object.remove("metadata");
            *object = old.clone();
            set_or_remove(object, "metadata", metadata);
            set_or_remove(object, "status", status);
            // Finalizers may change: upstream's controller of load balancers keeps its own by this way.
            for field in ["ownerReferences", "deletionTimestamp"] {
                let kept = old.at(&["metadata", field]).cloned();
                if let Some(metadata) = object.get_mut("metadata") {
                    set_or_remove(metadata, field, kept);
                }
            }
            (rules.on_status_update)(object, old);
        }
        Part::Whole => {
            if subresources::rules(call).generation && differs_beyond_metadata(object, old) {
                object.set_at(&["metadata", "generation"], meta::generation(old) + 1);
            }
        }
    }
}

fn keep(object: &mut Tree, old: &Tree, field: &str) {
    set_or_remove(object, field, old.get(field).cloned());
}

fn set_or_remove(object: &mut Tree, field: &str, value: Option<Tree>) {
    match value {
        Some(value) => object.set(field, value),
        None => {
            object.remove(field);
        }
    }
}

/// Whether more than metadata and status changed: what `generation` counts.
fn differs_beyond_metadata(object: &Tree, old: &Tree) -> bool {
    let rest = |object: &Tree| {
        let mut rest = object.clone();
        rest.remove("metadata");
        rest.remove("status");
        rest
    };
    rest(object) != rest(old)
}

async fn check_change(
    server: &Server,
    call: &Call,
    part: Part,
    operation: Operation,
    object: &Tree,
    old: &Tree,
) -> Result<(), Status> {
    let resource = &call.resource;
    let rules = if part == Part::Whole { subresources::rules(call) } else { resource.rules };
    let mut faults = Vec::new();
    metadata::validate_update(object, old, &mut faults);
    // Upstream's common check and its strategies each make it, and clients see both.
    faults.extend(faults.clone());
    match part {
        Part::Main | Part::Whole => {
            metadata::validate(object, resource, &mut faults);
            (rules.validate)(object, &mut faults);
            (rules.validate_update)(object, old, &mut faults);
        }
        Part::Status => (rules.validate_status)(object, old, &mut faults),
    }
    if !faults.is_empty() {
        return Err(Status::invalid(&resource.group_kind(), meta::name(object), &faults));
    }
    admission::validate(server, call, operation, Some(object), Some(old)).await?;
    if part == Part::Main {
        (rules.warnings)(object).into_iter().for_each(|warning| call.warn(warning));
    }
    Ok(())
}

/// Whether nothing holds a dying object any longer.
fn gone_with(rules: &resources::Rules, object: &Tree) -> bool {
    meta::deletion_timestamp(object).is_some()
        && meta::finalizers(object).next().is_none()
        && object.int_at(&["metadata", "deletionGracePeriodSeconds"]).unwrap_or(0) == 0
        && !(rules.held)(object)
}

/// Whether a write would change nothing but who changed it when.
fn same(object: &Tree, old: &Tree) -> bool {
    let bare = |object: &Tree| {
        let mut bare = object.clone();
        bare.remove_at(&["metadata", "managedFields"]);
        bare.remove_at(&["metadata", "resourceVersion"]);
        bare
    };
    bare(object) == bare(old)
}
