//! What the tree promises about reading and writing JSON.

use super::*;

fn read(text: &str) -> Decoded {
    Tree::from_json(text.as_bytes()).unwrap()
}

#[test]
fn integers_stay_integers_and_floats_stay_floats() {
    assert_eq!(read("[1, -2, 1.0, 18446744073709551615]").tree.to_json_text(), "[1,-2,1,1.8446744073709552e+19]");
    assert_eq!(read("[1.0, 1.5]").tree, Tree::List(vec![Tree::Float(1.0), Tree::Float(1.5)]));
}

#[test]
fn duplicates_are_reported_with_their_path_and_the_last_wins() {
    let decoded = read(r#"{"spec":{"a":[{"x":1,"x":2}],"replicas":1,"replicas":3,"replicas":4}}"#);
    assert_eq!(decoded.duplicates, ["spec.a[0].x", "spec.replicas"]);
    assert_eq!(decoded.tree.int_at(&["spec", "replicas"]), Some(4));
}

#[test]
fn fields_are_written_in_the_order_of_their_names() {
    assert_eq!(read(r#"{"b":1,"a":{"d":null,"c":"x"}}"#).tree.to_json_text(), r#"{"a":{"c":"x","d":null},"b":1}"#);
}

#[test]
fn nesting_beyond_the_limit_is_refused() {
    let deep = "[".repeat(DEPTH_MAX + 1) + &"]".repeat(DEPTH_MAX + 1);
    assert!(Tree::from_json(deep.as_bytes()).unwrap_err().to_string().contains("max depth"));
    let fits = "[".repeat(DEPTH_MAX) + &"]".repeat(DEPTH_MAX);
    assert!(Tree::from_json(fits.as_bytes()).is_ok());
}

#[test]
fn text_after_the_document_is_refused() {
    assert!(Tree::from_json(b"{} {}").is_err());
}

#[test]
fn values_are_set_and_removed_by_path() {
    let mut object = tree!({"metadata": {"name": "a"}});
    object.set_at(&["spec", "replicas"], 3i64);
    assert_eq!(object.int_at(&["spec", "replicas"]), Some(3));
    assert_eq!(object.remove_at(&["metadata", "name"]), Some(Tree::text("a")));
    assert_eq!(object.to_json_text(), r#"{"metadata":{},"spec":{"replicas":3}}"#);
}

#[test]
fn the_same_name_is_kept_once() {
    assert!(std::ptr::eq(Name::new("spec").as_str(), Name::new("spec").as_str()));
}
