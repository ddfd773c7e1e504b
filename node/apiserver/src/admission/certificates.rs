//! A signing request carries who made it, as authentication knows it and not as the client says. Rule of
//! `k8s.io/kubernetes/pkg/registry/certificates/certificates/strategy.go`.

use super::Attributes;
use api::{Map, Status, Tree};

/// Fills in the requester.
pub fn requester(attributes: &Attributes, request: &mut Tree) -> Result<(), Status> {
    if !attributes.creates("certificates.k8s.io", "certificatesigningrequests") {
        return Ok(());
    }
    let caller = &attributes.call.caller;
    let spec = request.make_map().entry("spec").make_map();
    for field in ["uid", "groups", "extra"] {
        spec.remove(field);
    }
    spec.insert("username", caller.name());
    if !caller.uid().is_empty() {
        spec.insert("uid", caller.uid());
    }
    spec.insert("groups", caller.groups().to_vec());
    if !caller.extra().is_empty() {
        let extra: Map = caller.extra().iter().map(|(key, values)| (key.as_str(), values.clone())).collect();
        spec.insert("extra", extra);
    }
    Ok(())
}
