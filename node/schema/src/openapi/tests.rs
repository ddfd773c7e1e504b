//! Facts of the published schemas.

use super::*;
use crate::sample::types;

fn published(form: OpenApi) -> Tree {
    let id = types().named("io.example.v1.Widget").unwrap();
    let describe = |name: &str, field: Option<&str>| {
        (name == "io.example.v1.Widget" && field != Some("spec")).then(|| format!("about {}", field.unwrap_or("it")))
    };
    openapi(types(), &[id], form, &describe)
}

fn shown(form: OpenApi, path: &[&str]) -> String {
    published(form).at(path).map(Tree::to_json_text).unwrap_or_default()
}

#[test]
fn a_reference_with_something_beside_it_is_wrapped_in_v3_only() {
    let status = ["io.example.v1.Widget", "properties", "status"];
    let expected = r##"{"allOf":[{"$ref":"#/components/schemas/io.example.v1.WidgetStatus"}],"default":{},"description":"about status"}"##;
    assert_eq!(shown(OpenApi::V3, &status), expected);
    let expected = r##"{"$ref":"#/definitions/io.example.v1.WidgetStatus","description":"about status"}"##;
    assert_eq!(shown(OpenApi::V2, &status), expected);
}

#[test]
fn lists_say_how_they_merge_and_what_they_require() {
    let expected = r##"{"items":{"allOf":[{"$ref":"#/components/schemas/io.example.v1.Part"}],"default":{}},"type":"array","x-kubernetes-list-map-keys":["name"],"x-kubernetes-list-type":"map","x-kubernetes-patch-merge-key":"name","x-kubernetes-patch-strategy":"merge"}"##;
    assert_eq!(shown(OpenApi::V3, &["io.example.v1.WidgetSpec", "properties", "parts"]), expected);
    assert_eq!(shown(OpenApi::V3, &["io.example.v1.WidgetSpec", "required"]), r#"["parts","selector"]"#);
}

#[test]
fn defaults_stand_in_v3_and_not_in_v2() {
    let protocol = ["io.example.v1.Part", "properties", "protocol"];
    assert_eq!(shown(OpenApi::V3, &protocol), r#"{"default":"TCP","type":"string"}"#);
    assert_eq!(shown(OpenApi::V2, &protocol), r#"{"type":"string"}"#);
    let name = ["io.example.v1.Part", "properties", "name"];
    assert_eq!(shown(OpenApi::V3, &name), r#"{"default":"","type":"string"}"#);
}

#[test]
fn kinds_carry_their_group_and_types_that_refer_to_themselves_end() {
    let expected = r#"[{"group":"example.io","kind":"Widget","version":"v1"}]"#;
    let kind = ["io.example.v1.Widget", "x-kubernetes-group-version-kind"];
    assert_eq!(shown(OpenApi::V2, &kind), expected);
    let inner = ["io.example.v1.WidgetSpec", "properties", "inner"];
    let reference = r##"{"$ref":"#/components/schemas/io.example.v1.WidgetSpec"}"##;
    assert_eq!(shown(OpenApi::V3, &inner), reference);
    assert!(published(OpenApi::V2).get(QUANTITY).is_some());
}
