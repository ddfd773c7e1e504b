//! `NodeMetrics` and `PodMetrics` in tables: a row sums what its containers use, as metrics-server's do.

use crate::rules::{PLAIN, Rules};
use api::{Quantity, Tree};

/// Both kinds.
pub const RULES: Rules = Rules { cells, ..PLAIN };

fn cells(object: &Tree, _now: i64) -> Vec<Tree> {
    let own = object.get("usage").into_iter();
    let all: Vec<&Tree> = own.chain(object.list_at(&["containers"]).iter().filter_map(|c| c.get("usage"))).collect();
    let sum = |resource: &str| {
        let amounts = all.iter().filter_map(|usage| Quantity::parse(usage.str_at(&[resource])?).ok());
        Tree::text(amounts.reduce(|sum, amount| sum.plus(&amount)).unwrap_or_else(Quantity::zero).to_string())
    };
    let window = object.str_at(&["window"]).unwrap_or_default();
    vec![Tree::text(api::meta::name(object)), sum("cpu"), sum("memory"), Tree::text(window)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn a_row_sums_the_containers() {
        let usage = |cpu: &str| tree!({"name": cpu, "usage": {"cpu": cpu, "memory": "1Mi"}});
        let pod = tree!({"metadata": {"name": "p"}, "window": "2.5s", "containers": [(usage("7n")), (usage("5n"))]});
        assert_eq!(cells(&pod, 0), ["p", "12n", "2Mi", "2.5s"].map(Tree::text));
        let node = tree!({"metadata": {"name": "n"}, "window": "15s", "usage": {"cpu": "0", "memory": "3Ki"}});
        assert_eq!(cells(&node, 0), ["n", "0", "3Ki", "15s"].map(Tree::text));
    }
}
