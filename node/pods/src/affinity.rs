//! Which nodes a pod wants: `nodeSelector` and node affinity (`component-helpers/scheduling/corev1/nodeaffinity`).

use api::selector::{Operator, Requirement};
use api::{Tree, meta};

/// Whether a pod's `nodeSelector` and required node affinity admit `node`.
#[must_use]
pub fn matches_node(pod: &Tree, node: &Tree) -> bool {
    let labels = meta::labels(node);
    let label = |key: &str| labels.and_then(|map| map.get(key)).and_then(Tree::as_str);
    let selected = pod
        .map_at(&["spec", "nodeSelector"])
        .into_iter()
        .flat_map(api::Map::iter)
        .all(|(key, value)| label(key.as_str()).is_some_and(|found| value.as_str() == Some(found)));
    let required = &["spec", "affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution"];
    selected && pod.at(required).filter(|r| !r.is_null()).is_none_or(|selector| matches_selector(selector, node))
}

/// Whether a NodeSelector (also that of a PersistentVolume) admits `node`: one of its terms must. A term without
/// conditions admits nothing, and so does one that cannot be read.
#[must_use]
pub fn matches_selector(selector: &Tree, node: &Tree) -> bool {
    selector.list_at(&["nodeSelectorTerms"]).iter().any(|term| matches_term(term, node))
}

/// The sum of the weights of the preferred terms that admit `node`.
#[must_use]
pub fn preference(pod: &Tree, node: &Tree) -> i64 {
    let preferred = &["spec", "affinity", "nodeAffinity", "preferredDuringSchedulingIgnoredDuringExecution"];
    let admits = |term: &&Tree| term.get("preference").is_some_and(|preference| matches_term(preference, node));
    pod.list_at(preferred).iter().filter(admits).filter_map(|term| term.int_at(&["weight"])).sum()
}

fn requirement(condition: &Tree) -> Option<Requirement> {
    let operator = match condition.str_at(&["operator"])? {
        "In" => Operator::In,
        "NotIn" => Operator::NotIn,
        "Exists" => Operator::Exists,
        "DoesNotExist" => Operator::DoesNotExist,
        "Gt" => Operator::GreaterThan,
        "Lt" => Operator::LessThan,
        _ => return None,
    };
    let values: Vec<String> =
        condition.list_at(&["values"]).iter().map(|v| v.as_str().map(str::to_owned)).collect::<Option<_>>()?;
    let sound = match operator {
        Operator::In | Operator::NotIn => !values.is_empty(),
        Operator::Exists | Operator::DoesNotExist => values.is_empty(),
        Operator::GreaterThan | Operator::LessThan => values.len() == 1 && values[0].parse::<i64>().is_ok(),
    };
    sound.then(|| Requirement { key: condition.str_at(&["key"]).unwrap_or_default().to_owned(), operator, values })
}

fn matches_term(term: &Tree, node: &Tree) -> bool {
    let (labels, fields) = (term.list_at(&["matchExpressions"]), term.list_at(&["matchFields"]));
    if labels.is_empty() && fields.is_empty() {
        return false;
    }
    let map = meta::labels(node);
    let label = |key: &str| map.and_then(|map| map.get(key)).and_then(Tree::as_str);
    // A field that a node does not have reads as the empty text, as field selectors do.
    let field = |key: &str| Some(if key == "metadata.name" { meta::name(node) } else { "" });
    let one = |r: &Requirement| matches!(r.operator, Operator::In | Operator::NotIn) && r.values.len() == 1;
    labels.iter().all(|condition| requirement(condition).is_some_and(|r| r.matches(label)))
        && fields.iter().all(|condition| requirement(condition).is_some_and(|r| one(&r) && r.matches(field)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree;
    use serde_json::{Value, json};

    fn node() -> Tree {
        tree(json!({"metadata": {"name": "n1", "labels": {"zone": "a", "cores": "8", "empty": ""}}}))
    }

    fn required(terms: Value) -> Tree {
        tree(json!({"spec": {"affinity": {"nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}}}))
    }

    fn check(terms: Value, wants: bool) {
        assert_eq!(matches_node(&required(terms.clone()), &node()), wants, "{terms}");
    }

    #[test]
    fn terms_are_joined_by_or_and_conditions_by_and() {
        let zone = |z: &str| json!({"key": "zone", "operator": "In", "values": ["x", z]});
        let cores = |op: &str, n: &str| json!({"key": "cores", "operator": op, "values": [n]});
        check(json!([{"matchExpressions": [zone("a"), cores("Gt", "7")]}]), true);
        check(json!([{"matchExpressions": [zone("a"), cores("Gt", "8")]}]), false);
        check(json!([{"matchExpressions": [zone("b")]}, {"matchExpressions": [cores("Lt", "9")]}]), true);
        check(
            json!([{"matchExpressions": [{"key": "empty", "operator": "Exists"}, {"key": "none", "operator": "DoesNotExist"}]}]),
            true,
        );
        check(json!([{"matchExpressions": [{"key": "none", "operator": "NotIn", "values": ["a"]}]}]), true);
        check(json!([{"matchExpressions": [cores("Gt", "many")]}]), false);
        check(json!([{"matchExpressions": [{"key": "zone", "operator": "Like", "values": ["a"]}]}]), false);
    }

    #[test]
    fn an_empty_term_admits_nothing_but_no_affinity_admits_all() {
        check(json!([]), false);
        check(json!([{}]), false);
        check(json!([{}, {"matchExpressions": [{"key": "zone", "operator": "Exists"}]}]), true);
        assert!(matches_node(&tree(json!({"spec": {}})), &node()));
    }

    #[test]
    fn fields_know_the_name_only() {
        let name = |op: &str, values: Value| json!([{"matchFields": [{"key": "metadata.name", "operator": op, "values": values}]}]);
        check(name("In", json!(["n1"])), true);
        check(name("In", json!(["n2"])), false);
        check(name("NotIn", json!(["n2"])), true);
        check(name("In", json!(["n1", "n2"])), false);
        check(name("Exists", json!([])), false);
    }

    #[test]
    fn the_node_selector_must_hold_too() {
        let select = |labels: Value| matches_node(&tree(json!({"spec": {"nodeSelector": labels}})), &node());
        assert!(select(json!({"zone": "a", "empty": ""})));
        assert!(!select(json!({"zone": "a", "none": ""})));
        assert!(!select(json!({"zone": "b"})));
    }

    #[test]
    fn preferences_add_their_weights() {
        let term = |weight: i64, z: &str| json!({"weight": weight, "preference": {"matchExpressions": [{"key": "zone", "operator": "In", "values": [z]}]}});
        let pod =
            tree(json!({"spec": {"affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
            term(5, "a"), term(7, "b"), term(20, "a"), {"weight": 50, "preference": {}}]}}}}));
        assert_eq!(preference(&pod, &node()), 25);
    }
}
