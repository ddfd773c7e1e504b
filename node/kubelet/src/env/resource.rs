//! Requests and limits of a container that it may be told (`resourceFieldRef`). Pure. Rules as upstream's
//! `pkg/api/v1/resource/helpers.go`.
//!
//! It must not know where the value goes.

use api::Quantity;
use k8s_openapi::api::core::v1::{Container, Pod, ResourceFieldSelector};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Text;
use std::collections::BTreeMap;

/// The amount in units of the divisor, rounded up. `own` is the container that asks, for a selector without a name. A
/// limit that is not set is what the node has to give.
///
/// # Errors
/// When there is no such container or resource.
pub fn resource(
    pod: &Pod,
    selector: &ResourceFieldSelector,
    own: Option<&Container>,
    allocatable: &BTreeMap<String, Text>,
) -> Result<String, String> {
    let name = selector.container_name.as_deref().unwrap_or_default();
    let named = pod.spec.iter().flat_map(|s| s.containers.iter().chain(s.init_containers.iter().flatten()));
    let container = match own {
        Some(own) if name.is_empty() || name == own.name => own,
        _ => named.into_iter().find(|c| c.name == name).ok_or_else(|| format!("container {name} not found"))?,
    };
    let unsupported = || format!("unsupported container resource : {}", selector.resource);
    let (side, wanted) = selector.resource.split_once('.').ok_or_else(unsupported)?;
    let defaulted = matches!(wanted, "cpu" | "memory" | "ephemeral-storage");
    if !defaulted && !wanted.starts_with("hugepages-") {
        return Err(unsupported());
    }
    let resources = container.resources.as_ref();
    let set = match side {
        "requests" => resources.and_then(|r| r.requests.as_ref()?.get(wanted)),
        "limits" => resources.and_then(|r| r.limits.as_ref()?.get(wanted)),
        _ => return Err(unsupported()),
    };
    let set = set.map(read).transpose()?.filter(|q| !q.is_zero());
    let amount = match set {
        Some(amount) => amount,
        None if side == "limits" && defaulted => {
            allocatable.get(wanted).map(read).transpose()?.unwrap_or_else(Quantity::zero)
        }
        None => Quantity::zero(),
    };
    let divisor = selector.divisor.as_ref().map(read).transpose()?.filter(|d| !d.is_zero());
    let (amount, divisor) = match wanted {
        "cpu" => (amount.milli(), divisor.map_or(1000, |d| d.milli())),
        _ => (amount.value(), divisor.map_or(1, |d| d.value())),
    };
    Ok(rounded_up(amount, divisor.max(1)).to_string())
}

fn read(text: &Text) -> Result<Quantity, String> {
    Quantity::parse(&text.0).map_err(|why| format!("{:?}: {why}", text.0))
}

fn rounded_up(amount: i64, divisor: i64) -> i64 {
    amount / divisor + i64::from(amount % divisor > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn ask(resource_name: &str, divisor: &str, container: &str) -> Result<String, String> {
        let pod: Pod = serde_json::from_value(json!({"metadata": {}, "spec": {"containers": [
            {"name": "a", "resources": {"limits": {"cpu": "1500m", "memory": "64Mi"}, "requests": {"cpu": "250m"}}},
            {"name": "b"}]}}))
        .unwrap();
        let selector: ResourceFieldSelector =
            serde_json::from_value(json!({"resource": resource_name, "divisor": divisor, "containerName": container}))
                .unwrap();
        let node = BTreeMap::from([("cpu".to_owned(), Text("4".into())), ("memory".to_owned(), Text("1Gi".into()))]);
        resource(&pod, &selector, pod.spec.as_ref().unwrap().containers.first(), &node)
    }

    #[test]
    fn amounts_are_divided_and_rounded_up() {
        assert_eq!(ask("limits.cpu", "0", "").unwrap(), "2");
        assert_eq!(ask("limits.cpu", "1m", "").unwrap(), "1500");
        assert_eq!(ask("requests.cpu", "1", "").unwrap(), "1");
        assert_eq!(ask("limits.memory", "1Mi", "").unwrap(), "64");
        assert_eq!(ask("requests.memory", "0", "").unwrap(), "0");
    }

    #[test]
    fn a_limit_that_is_not_set_is_what_the_node_has() {
        assert_eq!(ask("limits.cpu", "0", "b").unwrap(), "4");
        assert_eq!(ask("limits.memory", "1Mi", "b").unwrap(), "1024");
        assert_eq!(ask("limits.ephemeral-storage", "0", "b").unwrap(), "0");
    }

    #[test]
    fn what_is_not_there_is_told() {
        assert_eq!(ask("limits.cpu", "0", "z").unwrap_err(), "container z not found");
        assert_eq!(ask("limits.gpu", "0", "").unwrap_err(), "unsupported container resource : limits.gpu");
    }
}
