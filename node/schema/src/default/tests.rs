//! Facts of the defaults that the schema marks.

use crate::decode_json;
use crate::sample::widget;

fn defaulted(text: &str) -> String {
    let mut tree = decode_json(&widget(), text.as_bytes()).unwrap().tree;
    super::default(&widget(), &mut tree);
    tree.to_json_text()
}

#[test]
fn absent_fields_are_filled_and_given_ones_stay() {
    let text = r#"{"spec":{"replicas":0,"parts":[{"name":"a"},{"name":"b","protocol":"UDP"},{"protocol":""}]}}"#;
    let expected = r#"{"spec":{"parts":[{"name":"a","protocol":"TCP"},{"name":"b","protocol":"UDP"},{"protocol":"TCP"}],"replicas":0,"strategy":{"protocol":"TCP"},"whole":{"protocol":"TCP"}}}"#;
    assert_eq!(defaulted(text), expected);
}

#[test]
fn a_struct_that_go_always_has_is_made_for_its_defaults_and_a_pointer_is_not() {
    let expected = r#"{"spec":{"replicas":1,"strategy":{"protocol":"TCP"},"whole":{"protocol":"TCP"}}}"#;
    assert_eq!(defaulted("{}"), expected);
    assert!(!defaulted(r#"{"spec":{"strategy":{}}}"#).contains("rolling"));
}
