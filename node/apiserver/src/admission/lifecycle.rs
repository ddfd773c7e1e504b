//! Namespaces: nothing is created in one that is absent or going, and some cannot be deleted. Rules of
//! `k8s.io/apiserver/pkg/admission/plugin/namespace/lifecycle`.

use super::{Attributes, Operation};
use api::status::GroupName;
use api::{Status, Tree, meta};

/// Namespaces that a cluster cannot do without.
const IMMORTAL: &[&str] = &["default", "kube-system", "kube-public"];

/// Refuses new objects in a namespace that is absent or going.
pub fn namespace(attributes: &Attributes, object: &mut Tree) -> Result<(), Status> {
    let call = attributes.call;
    if attributes.operation != Operation::Create || !call.resource.namespaced || !call.resource.stored() {
        return Ok(());
    }
    let name = call.info.namespace.as_str();
    let namespaces = attributes.server.resource("", "v1", "namespaces")?;
    let Some(found) = attributes.server.object(&namespaces, "", name)? else {
        return Err(Status::not_found(&GroupName::new("", "namespaces"), name));
    };
    if found.str_at(&["status", "phase"]) == Some("Terminating") {
        let why = format!("unable to create new content in namespace {name} because it is being terminated");
        let cause = format!("namespace {name} is being terminated");
        return Err(attributes.forbidden(meta::name(object), why).because(
            "NamespaceTerminating",
            cause,
            "metadata.namespace",
        ));
    }
    Ok(())
}

/// Refuses to delete the namespaces that a cluster cannot do without.
pub fn namespace_deletion(attributes: &Attributes, _: Option<&Tree>) -> Result<(), Status> {
    let name = attributes.old.map(meta::name).unwrap_or_default();
    if attributes.operation == Operation::Delete && attributes.is("", "namespaces") && IMMORTAL.contains(&name) {
        return Err(attributes.forbidden(name, "this namespace may not be deleted"));
    }
    Ok(())
}
