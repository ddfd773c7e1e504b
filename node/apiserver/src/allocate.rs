//! Service addresses and node ports: who has which, and the next free one. The bookkeeping is in memory, read from the
//! stored Services when the server starts. Rules of `k8s.io/kubernetes/pkg/registry/core/service/storage`.

mod pool;
mod service;

use crate::call::Call;
use crate::objects;
use crate::server::Server;
use api::{Status, Tree};
use pool::{Addresses, Ports};
use std::sync::{Mutex, PoisonError};
use store::Store;

/// What is given out.
struct Given {
    addresses: Addresses,
    ports: Ports,
}

/// The bookkeeping of all Services.
pub struct Allocators {
    given: Mutex<Given>,
}

impl Allocators {
    /// Reads what the stored Services have.
    ///
    /// # Errors
    /// Says why the range is none, or which Service cannot be read.
    pub fn load(store: &Store, services: &crate::catalog::Resource, cidr: &str) -> Result<Allocators, String> {
        let mut given = Given { addresses: Addresses::of(cidr)?, ports: Ports::default() };
        for entry in store.snapshot().iter(&services.prefix(""), None) {
            let object = objects::tree(services, entry).map_err(|e| e.message)?;
            given.addresses.note(service::addresses(&object));
            given.ports.note(service::ports(&object));
        }
        Ok(Allocators { given: Mutex::new(given) })
    }

    fn concerns(call: &Call) -> bool {
        call.resource.group.is_empty() && call.resource.plural == "services" && call.info.subresource.is_empty()
    }

    /// Gives a new Service what it needs.
    ///
    /// # Errors
    /// 422 when what it asks for is taken or outside the range.
    pub fn on_create(&self, server: &Server, call: &Call, object: &mut Tree) -> Result<(), Status> {
        if !Allocators::concerns(call) {
            return Ok(());
        }
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        service::give(&mut given, server, call, object, None)
    }

    /// Gives a changed Service what it now needs.
    ///
    /// # Errors
    /// As [`Allocators::on_create`].
    pub fn on_update(&self, server: &Server, call: &Call, object: &mut Tree, old: &Tree) -> Result<(), Status> {
        if !Allocators::concerns(call) {
            return Ok(());
        }
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        service::give(&mut given, server, call, object, Some(old))
    }

    /// Takes back what a changed Service no longer has.
    pub fn after_update(&self, call: &Call, object: &Tree, old: &Tree) {
        if Allocators::concerns(call) {
            let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
            let (kept, kept_ports) = (service::addresses(object), service::ports(object));
            given.addresses.release(service::addresses(old).into_iter().filter(|a| !kept.contains(a)));
            given.ports.release(service::ports(old).into_iter().filter(|p| !kept_ports.contains(p)));
        }
    }

    /// Takes back what a Service that is gone, or never came to be, had.
    pub fn release(&self, call: &Call, object: &Tree) {
        if Allocators::concerns(call) {
            let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
            given.addresses.release(service::addresses(object));
            given.ports.release(service::ports(object));
        }
    }
}
