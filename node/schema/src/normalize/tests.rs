//! Facts of the stored form.

use crate::decode_json;
use crate::sample::widget;

fn normalized(text: &str) -> String {
    let mut tree = decode_json(&widget(), text.as_bytes()).unwrap().tree;
    super::normalize(&widget(), &mut tree);
    let once = tree.clone();
    super::normalize(&widget(), &mut tree);
    assert_eq!(tree, once, "normalizing twice changes something");
    tree.to_json_text()
}

/// What every widget has, because Go always writes it.
const BARE: &str = r#""spec":{"parts":null,"port":0,"selector":null,"strategy":{},"template":null,"whole":{}}"#;

#[test]
fn structs_and_fields_that_are_never_omitted_appear() {
    assert_eq!(normalized("{}"), format!(r#"{{"metadata":{{}},{BARE},"status":{{"at":null,"count":0}}}}"#));
}

#[test]
fn empty_values_go_unless_they_are_behind_a_pointer() {
    let text = r#"{"kind":"","metadata":{"name":"","labels":{},"deletionGracePeriodSeconds":0},
        "spec":{"replicas":0,"paused":false,"words":[],"parts":[],"ratio":0}}"#;
    let expected = r#"{"metadata":{"deletionGracePeriodSeconds":0},"spec":{"parts":null,"paused":false,"port":0,"replicas":0,"selector":null,"strategy":{},"template":null,"whole":{}},"status":{"at":null,"count":0}}"#;
    assert_eq!(normalized(text), expected);
}

#[test]
fn a_zero_time_is_left_out_where_the_field_says_so() {
    let text = r#"{"metadata":{"creationTimestamp":"0001-01-01T00:00:00Z"}}"#;
    assert_eq!(normalized(text), normalized("{}"));
}
