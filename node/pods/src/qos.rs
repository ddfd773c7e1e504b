//! Quality of service: which pods are killed first when memory runs out.

use crate::list::{self, Malformed, ResourceList};
use api::Tree;

/// Classes, from the first to be killed to the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum QosClass {
    /// Nothing is asked for and nothing is limited.
    BestEffort,
    /// Something is asked for or limited.
    Burstable,
    /// Every container limits CPU and memory and asks for just that.
    Guaranteed,
}

impl QosClass {
    /// The name in `status.qosClass`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::BestEffort => "BestEffort",
            Self::Burstable => "Burstable",
            Self::Guaranteed => "Guaranteed",
        }
    }

    /// The class of a name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::BestEffort, Self::Burstable, Self::Guaranteed].into_iter().find(|class| class.name() == name)
    }
}

/// The amounts above zero of the resources that decide.
fn deciding(object: &Tree, side: &str) -> Result<ResourceList, Malformed> {
    let mut found = list::read(object, &["resources", side])?;
    found.retain(|name, amount| (name == "cpu" || name == "memory") && amount.sign() > 0);
    Ok(found)
}

/// The class of a pod: the one in its status, which never changes, else computed from its spec.
///
/// # Errors
/// When an amount is no quantity.
pub fn qos_class(pod: &Tree) -> Result<QosClass, Malformed> {
    match pod.str_at(&["status", "qosClass"]).and_then(QosClass::parse) {
        Some(class) => Ok(class),
        None => compute(pod),
    }
}

/// The class that a pod's spec gives it (`k8s.io/kubernetes/pkg/apis/core/v1/helper/qos`). What the pod as a whole asks
/// for goes before what its containers do.
///
/// # Errors
/// When an amount is no quantity.
pub fn compute(pod: &Tree) -> Result<QosClass, Malformed> {
    let (mut requests, mut limits) = (ResourceList::new(), ResourceList::new());
    let mut all_limited = true;
    let whole = pod.at(&["spec"]).filter(|spec| spec.get("resources").is_some_and(|r| !r.is_null()));
    if let Some(spec) = whole {
        requests = deciding(spec, "requests")?;
        limits = deciding(spec, "limits")?;
        let named = !spec.map_at(&["resources", "limits"]).is_none_or(api::Map::is_empty);
        all_limited = !named || limits.len() == 2;
    } else {
        let lists = [&["spec", "containers"][..], &["spec", "initContainers"][..]];
        for container in lists.into_iter().flat_map(|list| pod.list_at(list)) {
            list::add(&mut requests, &deciding(container, "requests")?);
            let own = deciding(container, "limits")?;
            all_limited &= own.len() == 2;
            list::add(&mut limits, &own);
        }
    }
    Ok(match (requests.is_empty() && limits.is_empty(), all_limited && requests == limits) {
        (true, _) => QosClass::BestEffort,
        (false, true) => QosClass::Guaranteed,
        (false, false) => QosClass::Burstable,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree;
    use serde_json::{Value, json};

    fn check(spec: Value, wants: QosClass) {
        assert_eq!(qos_class(&tree(json!({"spec": spec}))).unwrap(), wants, "{spec}");
    }

    fn resources(requests: Value, limits: Value) -> Value {
        json!({"resources": {"requests": requests, "limits": limits}})
    }

    #[test]
    fn guaranteed_wants_both_limits_on_every_container() {
        let full = resources(json!({"cpu": "1", "memory": "1Gi"}), json!({"cpu": "1000m", "memory": "1024Mi"}));
        let half = resources(json!({"cpu": "1"}), json!({"cpu": "1"}));
        check(json!({"containers": [full]}), QosClass::Guaranteed);
        check(json!({"containers": [full, full], "initContainers": [full]}), QosClass::Guaranteed);
        check(json!({"containers": [full, half]}), QosClass::Burstable);
        check(json!({"containers": [full], "initContainers": [{}]}), QosClass::Burstable);
        check(json!({"containers": [resources(json!({}), json!({"cpu": "1", "memory": "1Gi"}))]}), QosClass::Burstable);
    }

    #[test]
    fn best_effort_asks_for_nothing_that_counts() {
        check(json!({"containers": [{}]}), QosClass::BestEffort);
        check(json!({"containers": [resources(json!({"cpu": "0"}), json!({"memory": 0}))]}), QosClass::BestEffort);
        check(json!({"containers": [resources(json!({"ephemeral-storage": "1Gi"}), json!({}))]}), QosClass::BestEffort);
        check(json!({"containers": [resources(json!({"cpu": "1m"}), json!({}))]}), QosClass::Burstable);
    }

    #[test]
    fn the_pod_as_a_whole_goes_before_its_containers() {
        let mut spec = resources(json!({"cpu": "1", "memory": "1Gi"}), json!({"cpu": "1", "memory": "1Gi"}));
        spec["containers"] = json!([{}]);
        check(spec.clone(), QosClass::Guaranteed);
        spec["resources"]["limits"] = json!({"cpu": "1"});
        check(spec, QosClass::Burstable);
    }

    #[test]
    fn the_class_in_the_status_stays() {
        let pod = json!({"spec": {"containers": [{}]}, "status": {"qosClass": "Guaranteed"}});
        assert_eq!(qos_class(&tree(pod)).unwrap(), QosClass::Guaranteed);
    }
}
