//! The metadata that every object has: what the server sets, what clients may not change, what is valid. Rules of
//! `k8s.io/apiserver/pkg/registry/rest` and `k8s.io/apimachinery/pkg/api/validation/objectmeta.go`.

use crate::catalog::Resource;
use crate::clock::{World, generated_name, uid};
use api::names;
use api::path::Fault;
use api::{FieldError, FieldPath, Status, Tree, meta};
use resources::Faults;

/// Annotations of one object, keys and values together, bytes; upstream's limit.
const ANNOTATIONS_BYTES_MAX: usize = 256 * 1024;

/// Puts the namespace of the request into the object.
///
/// # Errors
/// 400 when the object names another one.
pub fn place(object: &mut Tree, namespace: &str) -> Result<(), Status> {
    let own = meta::namespace(object);
    if own == namespace {
        return Ok(());
    }
    if namespace.is_empty() {
        object.remove_at(&["metadata", "namespace"]);
        return Ok(());
    }
    if !own.is_empty() {
        let why = "the namespace of the provided object does not match the namespace sent on the request";
        return Err(Status::bad_request(why));
    }
    object.set_at(&["metadata", "namespace"], namespace);
    Ok(())
}

/// Sets what the server owns on a new object and takes out what clients may not say.
pub fn begin(object: &mut Tree, world: &World) {
    let metadata = object.make_map().entry("metadata").make_map();
    let server_owned =
        ["selfLink", "deletionTimestamp", "deletionGracePeriodSeconds", "resourceVersion", "uid", "creationTimestamp"];
    for field in server_owned {
        metadata.remove(field);
    }
    metadata.insert("uid", uid(&*world.random));
    metadata.insert("creationTimestamp", world.stamp());
    let base = metadata.get("generateName").and_then(Tree::as_str).unwrap_or_default();
    if metadata.get("name").and_then(Tree::as_str).unwrap_or_default().is_empty() && !base.is_empty() {
        let name = generated_name(base, &*world.random);
        metadata.insert("name", name);
    }
}

/// Carries over what an update may not change.
pub fn carry(object: &mut Tree, old: &Tree) {
    let from = |field: &str| old.at(&["metadata", field]).cloned();
    let metadata = object.make_map().entry("metadata").make_map();
    for field in ["creationTimestamp", "generation", "deletionTimestamp"] {
        match from(field) {
            Some(value) => metadata.insert(field, value),
            None => metadata.remove(field),
        };
    }
    metadata.remove("selfLink");
    for field in ["uid", "deletionGracePeriodSeconds", "namespace"] {
        if metadata.get(field).is_none_or(Tree::is_empty)
            && let Some(value) = from(field)
        {
            metadata.insert(field, value);
        }
    }
}

/// Faults of the metadata of an object.
pub fn validate(object: &Tree, resource: &Resource, faults: &mut Faults) {
    let path = FieldPath::of(&["metadata"]);
    let base = object.str_at(&["metadata", "generateName"]).unwrap_or_default();
    if !base.is_empty() {
        // A generated name may be cut anywhere, so a trailing dash is no fault of the base.
        let trimmed = if base.ends_with('-') && base.len() > 1 {
            format!("{}a", &base[..base.len() - 1])
        } else {
            base.to_owned()
        };
        for why in (resource.rules.name)(&trimmed) {
            faults.push(FieldError::invalid(path.field("generateName"), base, why));
        }
    }
    let name = meta::name(object);
    if name.is_empty() {
        faults.push(FieldError::required(path.field("name"), "name or generateName is required"));
    } else {
        for why in (resource.rules.name)(name) {
            faults.push(FieldError::invalid(path.field("name"), name, why));
        }
    }
    let namespace = meta::namespace(object);
    if resource.namespaced {
        if namespace.is_empty() {
            faults.push(FieldError::required(path.field("namespace"), ""));
        } else {
            for why in names::dns1123_label(namespace) {
                faults.push(FieldError::invalid(path.field("namespace"), namespace, why));
            }
        }
    }
    validate_labels(object, &path, faults);
    validate_annotations(object, &path, faults);
    validate_owners(object, &path, faults);
    validate_finalizers(object, &path, faults);
}

fn validate_labels(object: &Tree, path: &FieldPath, faults: &mut Faults) {
    let path = path.field("labels");
    for (key, value) in meta::labels(object).into_iter().flatten() {
        for why in names::label_key(key) {
            faults.push(FieldError::invalid(path.clone(), key.as_str(), why));
        }
        let value = value.as_str().unwrap_or_default();
        for why in names::label_value(value) {
            faults.push(FieldError::invalid(path.clone(), value, why));
        }
    }
}

fn validate_annotations(object: &Tree, path: &FieldPath, faults: &mut Faults) {
    let path = path.field("annotations");
    let mut bytes = 0;
    for (key, value) in object.map_at(&["metadata", "annotations"]).into_iter().flatten() {
        for why in names::label_key(&key.to_lowercase()) {
            faults.push(FieldError::invalid(path.clone(), key.as_str(), why));
        }
        bytes += key.len() + value.as_str().map_or(0, str::len);
    }
    if bytes > ANNOTATIONS_BYTES_MAX {
        faults.push(FieldError::too_long(path, ANNOTATIONS_BYTES_MAX));
    }
}

fn validate_owners(object: &Tree, path: &FieldPath, faults: &mut Faults) {
    let path = path.field("ownerReferences");
    let owners = object.list_at(&["metadata", "ownerReferences"]);
    let mut controller: Option<String> = None;
    for owner in owners {
        for field in ["apiVersion", "kind", "name", "uid"] {
            if owner.str_at(&[field]).unwrap_or_default().is_empty() {
                let why = if field == "apiVersion" { "version must not be empty" } else { "must not be empty" };
                // Upstream does not say which of the owners it is.
                faults.push(FieldError::invalid(path.field(field), "", why));
            }
        }
        if owner.bool_at(&["controller"]) != Some(true) {
            continue;
        }
        let text = |field: &str| owner.str_at(&[field]).unwrap_or_default();
        let name = format!("{}/{}", text("kind"), text("name"));
        match &controller {
            None => controller = Some(name),
            Some(first) => {
                let shown = owners.iter().map(shown_owner).collect::<Vec<_>>().join(",");
                let detail = format!(
                    "[{shown}]: Only one reference can have Controller set to true. Found \"true\" in references for {first} and {name}"
                );
                faults.push(FieldError { fault: Fault::Invalid, path: path.clone(), value: None, detail });
            }
        }
    }
}

/// An owner with its fields in the order of upstream's struct.
fn shown_owner(owner: &Tree) -> String {
    let fields = ["apiVersion", "kind", "name", "uid", "controller", "blockOwnerDeletion"];
    let given = fields.iter().filter_map(|field| Some(format!("\"{field}\":{}", owner.get(field)?.to_json_text())));
    format!("{{{}}}", given.collect::<Vec<_>>().join(","))
}

fn validate_finalizers(object: &Tree, path: &FieldPath, faults: &mut Faults) {
    let path = path.field("finalizers");
    let (mut orphan, mut foreground) = (false, false);
    for (i, finalizer) in meta::finalizers(object).enumerate() {
        orphan |= finalizer == "orphan";
        foreground |= finalizer == "foregroundDeletion";
        for why in names::label_key(finalizer) {
            faults.push(FieldError::invalid(path.index(i), finalizer, why));
        }
        let known = ["orphan", "foregroundDeletion", "kubernetes"].contains(&finalizer);
        if !known && !finalizer.contains('/') {
            let why = "name is neither a standard finalizer name nor is it fully qualified";
            faults.push(FieldError::invalid(path.index(i), finalizer, why));
        }
    }
    if orphan && foreground {
        let shown = object.at(&["metadata", "finalizers"]).cloned().unwrap_or_default();
        let why = "finalizer orphan and foregroundDeletion cannot be both set";
        faults.push(FieldError::invalid(path, shown, why));
    }
}

/// Faults of a change of metadata.
pub fn validate_update(object: &Tree, old: &Tree, faults: &mut Faults) {
    let path = FieldPath::of(&["metadata"]);
    for field in ["name", "namespace", "uid"] {
        let (new, old) = (object.at(&["metadata", field]), old.at(&["metadata", field]));
        if new != old {
            faults.push(FieldError::invalid(path.field(field), new.cloned().unwrap_or_default(), "field is immutable"));
        }
    }
    if meta::deletion_timestamp(old).is_some() {
        let known: Vec<&str> = meta::finalizers(old).collect();
        let fresh: Vec<String> =
            meta::finalizers(object).filter(|f| !known.contains(f)).map(|f| format!("\"{f}\"")).collect();
        if !fresh.is_empty() {
            let why = format!(
                "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
                fresh.join(", ")
            );
            faults.push(FieldError::forbidden(path.field("finalizers"), why));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn an_update_cannot_change_what_the_server_owns() {
        let old = tree!({"metadata": {"uid": "u", "creationTimestamp": "t", "generation": 3, "namespace": "a"}});
        let mut new = tree!({"metadata": {"creationTimestamp": "x", "generation": 9, "deletionTimestamp": "y"}});
        carry(&mut new, &old);
        assert_eq!(new, old);
    }

    #[test]
    fn new_finalizers_on_a_dying_object_are_refused() {
        let old = tree!({"metadata": {"deletionTimestamp": "t", "finalizers": ["a/b"]}});
        let new = tree!({"metadata": {"deletionTimestamp": "t", "finalizers": ["a/b", "c/d"]}});
        let mut faults = Vec::new();
        validate_update(&new, &old, &mut faults);
        assert_eq!(
            faults[0].to_string(),
            "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{\"c/d\"}"
        );
    }

    #[test]
    fn the_namespace_of_the_request_decides() {
        let mut object = tree!({"metadata": {}});
        place(&mut object, "a").unwrap();
        assert_eq!(meta::namespace(&object), "a");
        assert_eq!(place(&mut object, "b").unwrap_err().code, 400);
        place(&mut object, "").unwrap();
        assert_eq!(meta::namespace(&object), "");
    }
}
