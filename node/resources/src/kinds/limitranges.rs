//! LimitRanges: what containers of a namespace get and may have. Defaults of
//! `k8s.io/kubernetes/pkg/apis/core/v1/defaults.go`. It must not know how pods are held to them: that is admission.

use crate::rules::{PLAIN, Rules};
use api::Tree;

/// What is special about LimitRanges.
pub const RULES: Rules = Rules { default, ..PLAIN };

fn default(object: &mut Tree) {
    for item in object.at_mut(&["spec", "limits"]).and_then(Tree::as_list_mut).into_iter().flatten() {
        if item.str_at(&["type"]) == Some("Container") {
            fill(item, "default", "max");
            fill(item, "defaultRequest", "default");
            fill(item, "defaultRequest", "min");
        }
    }
}

/// Amounts that one list lacks are taken from another.
fn fill(item: &mut Tree, list: &str, from: &str) {
    let amounts = item.map_at(&[from]).cloned().unwrap_or_default();
    for (name, amount) in amounts.iter() {
        if item.at(&[list, name]).is_none() {
            item.set_at(&[list, name], amount.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn what_is_not_said_follows_from_the_limits() {
        let item =
            tree!({"type": "Container", "max": {"memory": "1Gi"}, "default": {"cpu": "1"}, "min": {"disk": "1"}});
        let mut object = tree!({"spec": {"limits": [item]}});
        default(&mut object);
        let item = &object.list_at(&["spec", "limits"])[0];
        assert_eq!(item.get("default"), Some(&tree!({"cpu": "1", "memory": "1Gi"})));
        assert_eq!(item.get("defaultRequest"), Some(&tree!({"cpu": "1", "memory": "1Gi", "disk": "1"})));
    }
}
