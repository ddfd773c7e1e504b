//! The catalog of the built-in kinds, and the server made from its parts.

use crate::allocate::Allocators;
use crate::authn::Authenticator;
use crate::authz::Authorizer;
use crate::catalog::{Catalog, Resource};
use crate::clock::World;
use crate::objects;
use crate::openapi::Documents;
use crate::outgoing::Outgoing;
use crate::server::{Config, Server};
use arc_swap::ArcSwap;
use pki::token::SigningKeys;
use resources::{Column, Kind, SubResource};
use std::sync::Arc;
use store::{Backend, Options, Store};
use tokio_util::sync::CancellationToken;

/// Changes kept however old they are, so that watches of an idle server can resume. Few: a continue token must expire
/// after the history's age, as clients expect of etcd's compaction.
const HISTORY_EVENTS_MIN: usize = 64;

fn texts(list: &[&str]) -> Vec<String> {
    list.iter().map(|t| (*t).to_owned()).collect()
}

/// A built-in resource as the catalog has it.
fn resource(kind: &Kind) -> Resource {
    let fact = kind.fact;
    let sub = |s: &schema::facts::SubresourceFact| SubResource {
        name: s.name.to_owned(),
        group: s.gvk.group.to_owned(),
        version: s.gvk.version.to_owned(),
        kind: s.gvk.kind.to_owned(),
        verbs: texts(s.verbs),
    };
    let column = |c: &schema::facts::ColumnFact| Column {
        name: c.name.to_owned(),
        kind: c.kind.to_owned(),
        format: c.format.to_owned(),
        priority: c.priority.into(),
        description: resources::column_text(c.name).to_owned(),
        doc: c.doc,
    };
    let types = resources::types();
    let storage = kind.conversion.map_or((fact.gvk.group, fact.plural), |c| c.stored);
    Resource {
        group: fact.gvk.group.to_owned(),
        version: fact.gvk.version.to_owned(),
        kind: fact.gvk.kind.to_owned(),
        list_kind: format!("{}List", fact.gvk.kind),
        plural: fact.plural.to_owned(),
        singular: fact.singular.to_owned(),
        short_names: texts(fact.short_names),
        categories: texts(fact.categories),
        namespaced: fact.namespaced,
        verbs: texts(fact.verbs),
        subresources: fact.subresources.iter().map(sub).collect(),
        columns: fact.columns.iter().map(column).collect(),
        schema: types.schema(fact.object),
        list_schema: types.schema_named(&format!("{}List", types.fact(fact.object).name)),
        type_id: Some(fact.object),
        rules: kind.rules,
        conversion: kind.conversion,
        storage: (storage.0.to_owned(), storage.1.to_owned()),
        stored_as: fact.stored.map(|(group, version)| (group.to_owned(), version.to_owned())),
        field_labels: fact.selectable.iter().map(|(own, stored)| ((*own).to_owned(), (*stored).to_owned())).collect(),
        custom: false,
    }
}

/// The catalog of the built-in kinds.
#[must_use]
pub fn catalog() -> Catalog {
    Catalog::new(resources::kinds().iter().map(|kind| Arc::new(resource(kind))))
}

/// Opens the store and makes the server from the [`catalog`]. Nothing listens yet, and nothing has been created in an
/// empty store. The first of `store_keys` seals what is written; none leaves it in plaintext.
///
/// # Errors
/// Says what cannot be opened or read, and why.
pub async fn open(
    backend: Box<dyn Backend>,
    world: World,
    keys: Arc<SigningKeys>,
    config: Config,
    store_keys: Vec<store::EnvelopeKey>,
    outgoing: Outgoing,
    catalog: Catalog,
) -> Result<Arc<Server>, String> {
    let catalog = Arc::new(ArcSwap::from_pointee(catalog));
    let mut options = Options::new(objects::extract(catalog.clone()));
    options.history_events_min = HISTORY_EVENTS_MIN;
    options.keys = store_keys;
    let store = Store::open(backend, options).await.map_err(|e| format!("the store cannot be opened: {e}"))?;
    let services = catalog.load().find("", "v1", "services").cloned().ok_or("the kind Service is missing")?;
    let allocators = Allocators::load(&store, &services, &config.service_cidr)?;
    let authenticator =
        Authenticator::new(keys, config.issuer.clone(), config.audiences.clone(), store.clone(), catalog.clone());
    let authorizer = Authorizer::new(store.clone(), catalog.clone());
    Ok(Arc::new(Server {
        store,
        catalog,
        world,
        config,
        authenticator,
        authorizer,
        allocators,
        outgoing,
        monitor: crate::monitor::Monitor::default(),
        usage: crate::usage::Usage::default(),
        openapi: Documents::default(),
        machine: std::sync::OnceLock::new(),
        stopping: CancellationToken::new(),
    }))
}
