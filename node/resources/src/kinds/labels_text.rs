//! Labels and selectors as table cells show them. Forms of `k8s.io/apimachinery/pkg/labels` and `apis/meta/v1`.

use api::{Map, Tree};

const NONE: &str = "<none>";

/// `a=1,b=2`, or `<none>`.
pub fn labels(labels: Option<&Map>) -> Tree {
    let pair = |(key, value): &(api::Name, Tree)| format!("{key}={}", value.as_str().unwrap_or_default());
    let pairs: Vec<String> = labels.map(|l| l.iter().map(pair).collect()).unwrap_or_default();
    Tree::text(if pairs.is_empty() { NONE.to_owned() } else { pairs.join(",") })
}

/// A label selector: `a=1,b in (2,3),!c`, or `<none>` for one that selects everything.
pub fn selector(selector: Option<&Tree>) -> Tree {
    let mut terms: Vec<(String, String)> = Vec::new();
    for (key, value) in selector.and_then(|s| s.map_at(&["matchLabels"])).into_iter().flat_map(Map::iter) {
        terms.push((key.to_string(), format!("{key}={}", value.as_str().unwrap_or_default())));
    }
    for term in selector.map(|s| s.list_at(&["matchExpressions"])).unwrap_or_default() {
        let key = term.str_at(&["key"]).unwrap_or_default();
        let mut values: Vec<&str> = term.list_at(&["values"]).iter().filter_map(Tree::as_str).collect();
        values.sort_unstable();
        let shown = match term.str_at(&["operator"]).unwrap_or_default() {
            "In" => format!("{key} in ({})", values.join(",")),
            "NotIn" => format!("{key} notin ({})", values.join(",")),
            "Exists" => key.to_owned(),
            "DoesNotExist" => format!("!{key}"),
            _ => "<error>".to_owned(),
        };
        terms.push((key.to_owned(), shown));
    }
    terms.sort_by(|a, b| a.0.cmp(&b.0));
    let shown: Vec<String> = terms.into_iter().map(|(_, shown)| shown).collect();
    Tree::text(if shown.is_empty() { NONE.to_owned() } else { shown.join(",") })
}

/// Items joined by commas, cut after `max`; `total` counts those that exist.
pub fn some_of(items: &[String], max: usize, total: usize) -> String {
    let shown = items[..items.len().min(max)].join(",");
    if total > max { format!("{shown} + {} more...", total - max) } else { shown }
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn selectors_read_as_in_the_command_line() {
        let given = tree!({"matchLabels": {"b": "1"},
            "matchExpressions": [{"key": "a", "operator": "In", "values": ["y", "x"]}, {"key": "c", "operator": "DoesNotExist"}]});
        assert_eq!(selector(Some(&given)), Tree::text("a in (x,y),b=1,!c"));
        assert_eq!(selector(None), Tree::text("<none>"));
        assert_eq!(labels(tree!({"a": "1", "b": "2"}).as_map()), Tree::text("a=1,b=2"));
    }
}
