//! What a pod asks for and may use at most, as `k8s.io/component-helpers/resource` counts it.
//!
//! Containers run together and add up. Init containers run one after the other: each needs its own amount besides the
//! sidecars (init containers that restart always) that were started before it; the pod needs the most of all that.

use crate::list::{self, Malformed, ResourceList};
use api::Tree;

/// How to count.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Count what containers have been given, from `status`, besides what `spec` asks for: for pods on a node, where a
    /// resize may be under way.
    pub use_status: bool,
    /// Leave out what the sandbox costs.
    pub without_overhead: bool,
    /// Leave out what the pod as a whole asks for in `spec.resources`.
    pub without_pod_level: bool,
    /// Amounts that a container without the resource is taken to ask for.
    pub missing: ResourceList,
}

/// Which of the two lists is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Requests,
    Limits,
}

impl Side {
    fn field(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Limits => "limits",
        }
    }
}

/// Whether a pod as a whole may ask for `resource`.
#[must_use]
pub fn is_pod_level(resource: &str) -> bool {
    resource == "cpu" || resource == "memory" || resource.starts_with("hugepages-")
}

/// Whether an init container is a sidecar: it starts in its turn and runs as long as the pod.
#[must_use]
pub fn is_sidecar(container: &Tree) -> bool {
    container.str_at(&["restartPolicy"]) == Some("Always")
}

/// Whether the node said that a resize can never be done; then the spec's wish does not count.
fn resize_infeasible(pod: &Tree) -> bool {
    let pending =
        pod.list_at(&["status", "conditions"]).iter().find(|c| c.str_at(&["type"]) == Some("PodResizePending"));
    pending.is_some_and(|c| c.str_at(&["reason"]) == Some("Infeasible"))
}

fn status_of<'a>(pod: &'a Tree, name: Option<&str>) -> Option<&'a Tree> {
    let lists = [&["status", "initContainerStatuses"][..], &["status", "containerStatuses"][..]];
    let named = |list: &[&str]| pod.list_at(list).iter().find(|status| status.str_at(&["name"]) == name);
    lists.into_iter().find_map(named)
}

/// The larger of wish, allocation and actual amount; without the wish when it cannot be fulfilled. Only requests have
/// an allocation.
fn effective(pod: &Tree, status: &Tree, spec: ResourceList, side: Side) -> Result<ResourceList, Malformed> {
    let mut list = list::read(status, &["resources", side.field()])?;
    if side == Side::Requests {
        list::raise(&mut list, &list::read(status, &["allocatedResources"])?);
    }
    if !resize_infeasible(pod) {
        list::raise(&mut list, &spec);
    }
    Ok(list)
}

fn of_container(
    pod: &Tree,
    container: &Tree,
    side: Side,
    given: bool,
    options: &Options,
) -> Result<ResourceList, Malformed> {
    let mut list = list::read(container, &["resources", side.field()])?;
    let status = if given { status_of(pod, container.str_at(&["name"])) } else { None };
    if let Some(status) = status.filter(|status| status.get("resources").is_some_and(|r| !r.is_null())) {
        list = effective(pod, status, list, side)?;
    }
    if side == Side::Requests {
        for (name, amount) in &options.missing {
            list.entry(name.clone()).or_insert_with(|| amount.clone());
        }
    }
    Ok(list)
}

fn of_containers(pod: &Tree, side: Side, options: &Options) -> Result<ResourceList, Malformed> {
    let mut sum = ResourceList::new();
    for container in pod.list_at(&["spec", "containers"]) {
        list::add(&mut sum, &of_container(pod, container, side, options.use_status, options)?);
    }
    let mut sidecars = ResourceList::new();
    let mut most = ResourceList::new();
    for container in pod.list_at(&["spec", "initContainers"]) {
        let sidecar = is_sidecar(container);
        let mut own = of_container(pod, container, side, options.use_status && sidecar, options)?;
        if sidecar {
            list::add(&mut sum, &own);
            list::add(&mut sidecars, &own);
            own.clone_from(&sidecars);
        } else {
            list::add(&mut own, &sidecars);
        }
        list::raise(&mut most, &own);
    }
    list::raise(&mut sum, &most);
    Ok(sum)
}

/// Puts the amounts of the pod as a whole in place of the containers' sums.
fn pod_level(pod: &Tree, side: Side, options: &Options, sum: &mut ResourceList) -> Result<(), Malformed> {
    let spec = list::read(pod, &["spec", "resources", side.field()])?;
    let status = pod.get("status").filter(|status| status.get("resources").is_some_and(|r| !r.is_null()));
    let given = match status.filter(|_| options.use_status) {
        Some(status) => Some(effective(pod, status, spec.clone(), side)?),
        None => None,
    };
    for (name, amount) in spec.into_iter().filter(|(name, _)| is_pod_level(name)) {
        let amount = given.as_ref().and_then(|given| given.get(&name)).unwrap_or(&amount).clone();
        sum.insert(name, amount);
    }
    Ok(())
}

/// What a pod asks for.
///
/// # Errors
/// When an amount is no quantity.
pub fn pod_requests(pod: &Tree, options: &Options) -> Result<ResourceList, Malformed> {
    let mut sum = of_containers(pod, Side::Requests, options)?;
    if !options.without_pod_level {
        pod_level(pod, Side::Requests, options, &mut sum)?;
    }
    if !options.without_overhead {
        list::add(&mut sum, &list::read(pod, &["spec", "overhead"])?);
    }
    Ok(sum)
}

/// What a pod may use at most. A resource that some container does not limit is not limited by the pod; it is still
/// in the list when another container limits it, as upstream has it.
///
/// # Errors
/// When an amount is no quantity.
pub fn pod_limits(pod: &Tree, options: &Options) -> Result<ResourceList, Malformed> {
    let mut sum = of_containers(pod, Side::Limits, options)?;
    if !options.without_pod_level {
        pod_level(pod, Side::Limits, options, &mut sum)?;
    }
    if !options.without_overhead {
        for (name, amount) in list::read(pod, &["spec", "overhead"])? {
            if let Some(limit) = sum.get_mut(&name).filter(|limit| !limit.is_zero()) {
                *limit = limit.plus(&amount);
            }
        }
    }
    Ok(sum)
}

#[cfg(test)]
mod tests;
