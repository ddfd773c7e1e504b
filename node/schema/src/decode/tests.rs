//! Facts of typed decoding.

use super::*;
use crate::sample::widget;

fn decode(text: &str) -> Decoded {
    decode_json(&widget(), text.as_bytes()).unwrap()
}

fn fault(text: &str) -> String {
    decode_json(&widget(), text.as_bytes()).unwrap_err().to_string()
}

#[test]
fn unknown_and_duplicate_fields_are_reported_in_the_order_they_come() {
    let text = r#"{"spec":{"foo":1,"replicas":1,"replicas":2,"parts":[{"name":"a","bar":{}}],
        "selector":{"a":"1","a":"2"}},"baz":[]}"#;
    let decoded = decode(text);
    let expected = [
        r#"unknown field "spec.foo""#,
        r#"duplicate field "spec.replicas""#,
        r#"unknown field "spec.parts[0].bar""#,
        r#"duplicate field "spec.selector.a""#,
        r#"unknown field "baz""#,
    ];
    assert_eq!(decoded.strict, expected);
    let kept = r#"{"spec":{"parts":[{"name":"a"}],"replicas":2,"selector":{"a":"2"}}}"#;
    assert_eq!(decoded.tree.to_json_text(), kept);
    assert_eq!(
        decode(r#"{"a":1,"b":2}"#).strict_error().unwrap(),
        r#"strict decoding error: unknown field "a", unknown field "b""#
    );
    assert_eq!(decode("{}").strict_error(), None);
}

#[test]
fn values_of_the_wrong_type_are_refused_in_gos_words() {
    let pairs = [
        (r#"{"spec":{"replicas":"3"}}"#, "string into Go struct field WidgetSpec.spec.replicas of type int32"),
        (r#"{"spec":{"replicas":1.5}}"#, "number 1.5 into Go struct field WidgetSpec.spec.replicas of type int32"),
        (
            r#"{"spec":{"replicas":3000000000}}"#,
            "number 3000000000 into Go struct field WidgetSpec.spec.replicas of type int32",
        ),
        (r#"{"spec":{"parts":{}}}"#, "object into Go struct field WidgetSpec.spec.parts of type []v1.Part"),
        (r#"{"spec":{"parts":[{"name":1}]}}"#, "number into Go struct field Part.spec.parts.name of type string"),
        (
            r#"{"spec":{"parts":[{"path":[]}]}}"#,
            "array into Go struct field Part.spec.parts.PartSource.path of type string",
        ),
        (
            r#"{"metadata":{"labels":{"a":true}}}"#,
            "bool into Go struct field ObjectMeta.metadata.labels of type string",
        ),
        (r#"{"kind":1}"#, "number into Go struct field Widget.TypeMeta.kind of type string"),
        (r#"{"spec":{"port":true}}"#, "bool into Go struct field WidgetSpec.spec.port of type int32"),
        (
            r#"{"metadata":{"creationTimestamp":5}}"#,
            "number into Go struct field ObjectMeta.metadata.creationTimestamp of type string",
        ),
        ("[]", "array into Go value of type v1.Widget"),
    ];
    for (text, expected) in pairs {
        assert_eq!(fault(text), format!("json: cannot unmarshal {expected}"), "{text}");
    }
}

#[test]
fn a_malformed_amount_or_time_ends_decoding_even_behind_another_fault() {
    let text = r#"{"spec":{"replicas":"x","limits":{"cpu":"1x"}}}"#;
    assert!(fault(text).starts_with("quantities must match the regular expression"));
    let text = r#"{"metadata":{"creationTimestamp":"noon"}}"#;
    assert!(fault(text).starts_with("parsing time \"noon\" as"));
    assert_eq!(fault(r#"{"spec":{"data":{"a":"!"}}}"#), "illegal base64 data at input byte 0");
}

#[test]
fn scalars_come_out_in_the_form_in_which_go_writes_them() {
    let text = r#"{"metadata":{"creationTimestamp":"2024-01-01T02:00:00.5+02:00"},"spec":{"limits":{"cpu":0.5,"mem":" 1024Mi "},
        "timeout":"90s","renewed":"2024-01-01T00:00:00.000001Z","port":"http","ratio":1}}"#;
    let expected = r#"{"metadata":{"creationTimestamp":"2024-01-01T00:00:00Z"},"spec":{"limits":{"cpu":"500m","mem":"1Gi"},"port":"http","ratio":1,"renewed":"2024-01-01T00:00:00.000001Z","timeout":"1m30s"}}"#;
    assert_eq!(decode(text).tree.to_json_text(), expected);
}

#[test]
fn nulls_vanish_from_objects_and_become_zero_in_lists_and_maps() {
    let text =
        r#"{"spec":{"replicas":null,"parts":[null],"selector":{"a":null},"words":[null,"b"],"template":{"a":null}}}"#;
    let expected = r#"{"spec":{"parts":[{}],"selector":{"a":""},"template":{"a":null},"words":["","b"]}}"#;
    assert_eq!(decode(text).tree.to_json_text(), expected);
    assert_eq!(decode("null").tree, Tree::map());
}

#[test]
fn a_choice_takes_either_of_its_forms() {
    assert_eq!(decode(r#"{"spec":{"more":true}}"#).tree.bool_at(&["spec", "more"]), Some(true));
    let decoded = decode(r#"{"spec":{"more":{"replicas":1,"x":2}}}"#);
    assert_eq!(decoded.tree.int_at(&["spec", "more", "replicas"]), Some(1));
    assert_eq!(decoded.strict, [r#"unknown field "spec.more.x""#]);
}

#[test]
fn a_free_value_is_kept_whole_and_its_duplicates_do_not_count() {
    let decoded = decode(r#"{"spec":{"template":{"x":{"y":1,"y":2},"z":[1.5,null]}}}"#);
    assert_eq!(decoded.strict, Vec::<String>::new());
    assert_eq!(decoded.tree.to_json_text(), r#"{"spec":{"template":{"x":{"y":2},"z":[1.5,null]}}}"#);
}

#[test]
fn yaml_decodes_like_json_and_names_the_line_of_a_duplicate() {
    let decoded = decode_yaml(&widget(), b"spec:\n  replicas: 1\n  replicas: 0x10\n  foo: bar\n").unwrap();
    assert_eq!(decoded.tree.to_json_text(), r#"{"spec":{"replicas":16}}"#);
    let duplicate = "yaml: unmarshal errors:\n  line 3: key \"replicas\" already set in map";
    assert_eq!(decoded.strict, [duplicate, r#"unknown field "spec.foo""#]);
}

#[test]
fn nesting_beyond_the_limit_is_refused() {
    let deep = format!("{{\"spec\":{{\"template\":{}{}}}}}", "[".repeat(300), "]".repeat(300));
    assert_eq!(fault(&deep), "exceeded max depth of 256");
}

#[test]
fn version_and_kind_are_found_without_decoding() {
    let found = kind_of_json(br#"{"spec":{"kind":1},"kind":"A","apiVersion":"b/v1","x":null}"#).unwrap();
    assert_eq!(found, TypeMeta { api_version: "b/v1".to_owned(), kind: "A".to_owned() });
    assert_eq!(kind_of_json(b"{}").unwrap(), TypeMeta::default());
    let fault = |text: &str| {
        let error = kind_of_json(text.as_bytes()).unwrap_err().to_string();
        error.strip_prefix("couldn't get version/kind; json parse error: ").unwrap().to_owned()
    };
    assert_eq!(fault(r#"{"kind":1}"#), "json: cannot unmarshal number into Go struct field .kind of type string");
    assert!(fault("[]").starts_with("json: cannot unmarshal array into Go value of type struct { APIVersion string"));
    assert_eq!(fault("{"), "unexpected end of JSON input");
}
