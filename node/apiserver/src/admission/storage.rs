//! Volumes: the default class of a claim, protection while in use, growth. Rules of
//! `k8s.io/kubernetes/plugin/pkg/admission/storage`.

use super::{Attributes, Operation};
use api::{Status, Tree, meta};

const DEFAULT_CLASS: &str = "storageclass.kubernetes.io/is-default-class";

/// Gives a claim without a class the default one: of several the newest, then by name.
pub fn default_class(attributes: &Attributes, claim: &mut Tree) -> Result<(), Status> {
    let named = claim.at(&["spec", "storageClassName"]).is_some()
        || meta::annotation(claim, "volume.beta.kubernetes.io/storage-class").is_some();
    if named || !attributes.creates("", "persistentvolumeclaims") {
        return Ok(());
    }
    let resource = attributes.server.resource("storage.k8s.io", "v1", "storageclasses")?;
    let mut classes = attributes.server.objects(&resource, "")?;
    classes.retain(|class| meta::annotation(class, DEFAULT_CLASS) == Some("true"));
    classes.sort_by(|a, b| {
        let created = |class: &Tree| class.str_at(&["metadata", "creationTimestamp"]).unwrap_or_default().to_owned();
        created(b).cmp(&created(a)).then_with(|| meta::name(a).cmp(meta::name(b)))
    });
    if let Some(class) = classes.first() {
        claim.set_at(&["spec", "storageClassName"], meta::name(class));
    }
    Ok(())
}

/// Holds volumes and claims back from deletion while they are in use.
pub fn protect_in_use(attributes: &Attributes, object: &mut Tree) -> Result<(), Status> {
    let finalizer = if attributes.creates("", "persistentvolumes") {
        "kubernetes.io/pv-protection"
    } else if attributes.creates("", "persistentvolumeclaims") {
        "kubernetes.io/pvc-protection"
    } else {
        return Ok(());
    };
    if !meta::finalizers(object).any(|f| f == finalizer) {
        let mut finalizers = object.list_at(&["metadata", "finalizers"]).to_vec();
        finalizers.push(Tree::text(finalizer));
        object.set_at(&["metadata", "finalizers"], finalizers);
    }
    Ok(())
}

/// Lets a bound claim grow only when its class allows it.
pub fn resize(attributes: &Attributes, object: Option<&Tree>) -> Result<(), Status> {
    let (Some(claim), Some(old)) = (object, attributes.old) else { return Ok(()) };
    if attributes.operation != Operation::Update || !attributes.is("", "persistentvolumeclaims") {
        return Ok(());
    }
    let path = ["spec", "resources", "requests", "storage"];
    let size = |claim: &Tree| claim.str_at(&path).and_then(|text| api::Quantity::parse(text).ok());
    let (Some(new_size), Some(old_size)) = (size(claim), size(old)) else { return Ok(()) };
    if new_size <= old_size {
        return Ok(());
    }
    let name = meta::name(claim);
    if old.str_at(&["status", "phase"]) != Some("Bound") {
        return Err(attributes.forbidden(name, "Only bound persistent volume claims can be expanded"));
    }
    let resource = attributes.server.resource("storage.k8s.io", "v1", "storageclasses")?;
    let class = claim.str_at(&["spec", "storageClassName"]).unwrap_or_default();
    let class = attributes.server.object(&resource, "", class)?;
    if class.is_some_and(|c| c.bool_at(&["allowVolumeExpansion"]) == Some(true)) {
        return Ok(());
    }
    let why = "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize";
    Err(attributes.forbidden(name, why))
}
