//! The server: what all requests share, and reading objects for the server's own purposes (admission,
//! authorization).

use crate::allocate::Allocators;
use crate::authn::Authenticator;
use crate::authz::Authorizer;
use crate::call::Call;
use crate::catalog::{Catalog, Resource};
use crate::clock::World;
use crate::objects;
use crate::outgoing::Outgoing;
use crate::write::Part;
use api::{Status, Tree};
use arc_swap::ArcSwap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use store::Store;
use tokio_util::sync::CancellationToken;

/// What the server is told once, at its start.
#[derive(Clone, Debug)]
pub struct Config {
    /// Issuer of service-account tokens, as in their `iss`.
    pub issuer: String,
    /// Audiences that tokens for this server carry.
    pub audiences: Vec<String>,
    /// Where the API is reached from outside, `https://host:port`.
    pub external_url: String,
    /// The address that the `kubernetes` Service leads to.
    pub advertise: std::net::IpAddr,
    /// The port that it leads to.
    pub port: u16,
    /// Service addresses, as CIDR: IPv4.
    pub service_cidr: String,
    /// The cluster's authority, PEM.
    pub ca_pem: String,
    /// Version as `/version` tells it.
    pub version: crate::version::Version,
}

/// The API server.
pub struct Server {
    /// Objects.
    pub store: Store,
    /// What is served.
    pub catalog: Arc<ArcSwap<Catalog>>,
    /// Time and chance.
    pub world: World,
    /// Settings.
    pub config: Config,
    /// Who calls.
    pub authenticator: Authenticator,
    /// Who may do what.
    pub authorizer: Authorizer,
    /// Service addresses and node ports in use.
    pub allocators: Allocators,
    /// Connections that the server opens itself.
    pub outgoing: Outgoing,
    /// What is counted, and what `/metrics` shows.
    pub monitor: crate::monitor::Monitor,
    /// What nodes and pods use.
    pub usage: crate::usage::Usage,
    /// OpenAPI documents, made when first asked for.
    pub openapi: crate::openapi::Documents,
    /// The machine's own paths; set once, before the server listens. A control plane without a machine has none.
    pub machine: OnceLock<crate::machine::Routes>,
    /// Cancelled when the server stops: watches end.
    pub stopping: CancellationToken,
}

impl Server {
    /// A time between nothing and `most`, by chance, so that clients do not come back all at once.
    #[must_use]
    pub fn spread(&self, most: Duration) -> Duration {
        let mut b = [0u8; 2];
        self.world.random.fill(&mut b);
        most.mul_f64(f64::from(u16::from_le_bytes(b)) / f64::from(u16::MAX))
    }

    /// A stored object of a built-in resource, as that version of its kind.
    ///
    /// # Errors
    /// 500 when the stored bytes are damaged.
    pub fn object(&self, resource: &Resource, namespace: &str, name: &str) -> Result<Option<Tree>, Status> {
        let entry = self.store.get(&resource.key(namespace, name));
        entry.map(|entry| objects::tree(resource, &entry)).transpose()
    }

    /// All stored objects of a resource in a namespace, or in all namespaces when it is empty.
    ///
    /// # Errors
    /// 500 when stored bytes are damaged.
    pub fn objects(&self, resource: &Resource, namespace: &str) -> Result<Vec<Tree>, Status> {
        let snapshot = self.store.snapshot();
        let prefix = resource.prefix(namespace);
        snapshot.iter(&prefix, None).map(|entry| objects::tree(resource, entry)).collect()
    }

    /// A built-in resource, which is always there.
    ///
    /// # Errors
    /// 500 when it is not, which would be a fault of the table of kinds.
    pub fn resource(&self, group: &str, version: &str, plural: &str) -> Result<Arc<Resource>, Status> {
        let found = self.catalog.load().find(group, version, plural).cloned();
        found.ok_or_else(|| Status::internal(format!("the built-in resource {plural}.{version}.{group} is missing")))
    }

    /// Gives a new Service its addresses and ports.
    ///
    /// # Errors
    /// 422 when a wanted one is taken or outside its range.
    pub async fn allocate_on_create(&self, call: &Call, object: &mut Tree) -> Result<(), Status> {
        self.allocators.on_create(self, call, object)
    }

    /// Gives a changed Service the addresses and ports that it now needs.
    ///
    /// # Errors
    /// As [`Server::allocate_on_create`].
    pub async fn allocate_on_update(
        &self,
        call: &Call,
        part: Part,
        object: &mut Tree,
        old: &Tree,
    ) -> Result<(), Status> {
        if part == Part::Main { self.allocators.on_update(self, call, object, old) } else { Ok(()) }
    }

    /// Takes back what was given to an object that was not created in the end.
    pub async fn release_after_failed_create(&self, call: &Call, object: &Tree) {
        self.allocators.release(call, object);
    }

    /// What follows a change.
    pub async fn after_update(&self, call: &Call, object: &Tree, old: &Tree) {
        self.allocators.after_update(call, object, old);
    }

    /// What follows when an object is gone.
    pub async fn after_delete(&self, call: &Call, object: &Tree) {
        self.allocators.release(call, object);
    }
}
