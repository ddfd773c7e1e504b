//! What a claim of a volume costs: itself and its storage, in all and by storage class.

use super::one;
use crate::list::{self, Malformed, ResourceList};
use api::{Quantity, Tree, meta};

const CLAIMS: &str = "persistentvolumeclaims";
const STORAGE: &str = "requests.storage";
/// Stands between the name of a class and what is counted of it.
const OF_CLASS: &str = ".storageclass.storage.k8s.io/";
const CLASS_ANNOTATION: &str = "volume.beta.kubernetes.io/storage-class";

pub(super) fn tracks(resource: &str) -> bool {
    let counted = |name: &str| name == CLAIMS || name == STORAGE;
    resource == "count/persistentvolumeclaims"
        || counted(resource)
        || resource.split_once(OF_CLASS).is_some_and(|(_, name)| counted(name))
}

/// Whether a change of the status changes what is counted.
pub(super) fn status_counts(claim: &Tree, old: &Tree) -> bool {
    let allocated = |claim: &Tree| claim.at(&["status", "allocatedResources", "storage"]).cloned();
    allocated(claim) != allocated(old) || attribute_classes(claim) != attribute_classes(old)
}

/// The attribute classes that a claim has, wants or is on the way to.
pub(super) fn attribute_classes(claim: &Tree) -> Vec<&str> {
    let paths = [
        &["spec", "volumeAttributesClassName"][..],
        &["status", "currentVolumeAttributesClassName"],
        &["status", "modifyVolumeStatus", "targetVolumeAttributesClassName"],
    ];
    let mut names: Vec<&str> =
        paths.iter().filter_map(|path| claim.str_at(path)).filter(|name| !name.is_empty()).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// The amount in whole bytes, which is what a quota's status can hold.
fn whole(amount: &Quantity) -> Quantity {
    let rounded = Quantity::from_int(amount.value(), amount.format());
    if rounded == *amount { amount.clone() } else { rounded }
}

/// The storage that a claim wants, or what it was given when that is more.
fn storage(claim: &Tree) -> Result<Option<Quantity>, Malformed> {
    let asked = list::read(claim, &["spec", "resources", "requests"])?;
    let Some(asked) = asked.get("storage") else { return Ok(None) };
    let given = list::read(claim, &["status", "allocatedResources"])?;
    Ok(Some(whole(given.get("storage").filter(|given| *given > asked).unwrap_or(asked))))
}

pub(super) fn usage(claim: &Tree) -> Result<ResourceList, Malformed> {
    let class = meta::annotation(claim, CLASS_ANNOTATION).or(claim.str_at(&["spec", "storageClassName"]));
    let mut costs = vec![(CLAIMS, one())];
    if let Some(storage) = storage(claim)? {
        costs.push((STORAGE, storage));
    }
    let mut usage = ResourceList::from([("count/persistentvolumeclaims".to_owned(), one())]);
    for (name, amount) in costs {
        if let Some(class) = class.filter(|class| !class.is_empty()) {
            usage.insert(format!("{class}{OF_CLASS}{name}"), amount.clone());
        }
        usage.insert(name.to_owned(), amount);
    }
    Ok(usage)
}
