//! Quota, the last word on a write: what it costs is taken from the quotas of its namespace before the object is
//! stored. What costs how much is in `pods::quota`; here is only the taking. Rules of
//! `k8s.io/apiserver/pkg/admission/plugin/resourcequota`.

use super::{Attributes, Operation};
use crate::catalog::Resource;
use crate::objects;
use crate::write;
use ::pods::quota::{Change, Charge, Evaluator, Refusal, charge};
use api::time::Instant;
use api::{Status, Tree, meta};
use std::sync::Arc;
use store::{CommitError, Entry, Op};

/// How often quotas are read again when other writes of the namespace take from them at the same time. Each time one
/// of those succeeded. Upstream, which serves a namespace's writes one by one, stops after 3.
const CHARGE_TRIES_MAX: usize = 64;

/// Takes what a write costs from the quotas of its namespace.
pub async fn admit(attributes: &Attributes<'_>, object: &Tree) -> Result<(), Status> {
    let (server, call) = (attributes.server, attributes.call);
    let (resource, namespace) = (&call.resource, call.info.namespace.as_str());
    let writes = matches!(attributes.operation, Operation::Create | Operation::Update);
    if !writes || !resource.namespaced || namespace.is_empty() {
        return Ok(());
    }
    let Some(evaluator) = Evaluator::of(&resource.group, &resource.plural) else { return Ok(()) };
    if !evaluator.handles(&call.info.subresource, object, attributes.old) {
        return Ok(());
    }
    let quotas = server.resource("", "v1", "resourcequotas")?;
    let change = Change { object, old: attributes.old, status: call.info.subresource == "status" };
    for _ in 0..CHARGE_TRIES_MAX {
        let snapshot = server.store.snapshot();
        let entries: Vec<Arc<Entry>> = snapshot.iter(&quotas.prefix(namespace), None).cloned().collect();
        if entries.is_empty() {
            return Ok(());
        }
        refuse_taken_name(attributes, object)?;
        let trees = entries.iter().map(|e| objects::tree(&quotas, e)).collect::<Result<Vec<_>, _>>()?;
        let charges = charge(&evaluator, &trees, change, now(attributes)).map_err(|refusal| match refusal {
            Refusal::Forbidden(why) => attributes.forbidden(meta::name(object), why),
            Refusal::Malformed(malformed) => Status::internal(malformed),
        })?;
        if charges.is_empty() || call.dry_run()? {
            return Ok(());
        }
        match server.store.commit(updates(&quotas, &entries, trees, charges)).await {
            Ok(_) => return Ok(()),
            Err(CommitError::Conflict { .. } | CommitError::NotFound { .. }) => {}
            Err(error) => return Err(write::failed(&error)),
        }
    }
    let why = format!("the quotas of {namespace} changed {CHARGE_TRIES_MAX} times while one was charged; try again");
    Err(Status::internal(why))
}

/// A creation that cannot succeed is told so before it costs anything: nothing gives back what it took.
fn refuse_taken_name(attributes: &Attributes, object: &Tree) -> Result<(), Status> {
    let resource = &attributes.call.resource;
    let key = resource.key(meta::namespace(object), meta::name(object));
    let taken = attributes.operation == Operation::Create && attributes.server.store.get(&key).is_some();
    if taken { Err(Status::already_exists(&resource.named(), meta::name(object))) } else { Ok(()) }
}

fn now(attributes: &Attributes) -> Instant {
    Instant::from_micros(attributes.server.world.clock.now().as_microsecond())
}

/// The writes that put the new amounts into the quotas, all or none.
fn updates(resource: &Resource, entries: &[Arc<Entry>], mut quotas: Vec<Tree>, charges: Vec<Charge>) -> Vec<Op> {
    let update = |charge: Charge| {
        let (entry, quota) = (&entries[charge.quota], &mut quotas[charge.quota]);
        let used: api::Map = charge.used.iter().map(|(name, amount)| (name.as_str(), amount.to_string())).collect();
        quota.set_at(&["status", "used"], used);
        let (value, extra) = objects::value(resource, quota);
        Op::Update { key: entry.key.clone(), value, extra: Some(extra), expect_mod_revision: entry.mod_revision }
    };
    charges.into_iter().map(update).collect()
}
