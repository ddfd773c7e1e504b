//! The way in for components of this process: the same chain, without TLS, with an identity of their own.

use crate::caller::Caller;
use crate::chain::answer_as;
use crate::reply::full;
use crate::server::Server;
use bytes::Bytes;
use client::{Answer, Transport};
use std::sync::Arc;

/// Calls the server as one user.
pub struct InProcess {
    server: Arc<Server>,
    caller: Caller,
}

impl InProcess {
    /// A transport for a component, with the name and groups that its certificate would carry.
    #[must_use]
    pub fn new(server: Arc<Server>, name: &str, groups: &[&str]) -> InProcess {
        InProcess { server, caller: Caller::component(name, groups) }
    }

    /// A transport that speaks for whoever made a request, so that what is read for it is what they may read.
    #[must_use]
    pub fn on_behalf(server: Arc<Server>, caller: Caller) -> InProcess {
        InProcess { server, caller }
    }
}

impl Transport for InProcess {
    fn call(&self, request: http::Request<Bytes>) -> Answer<'_> {
        Box::pin(async move { Ok(answer_as(&self.server, self.caller.clone(), request.map(full)).await) })
    }
}
