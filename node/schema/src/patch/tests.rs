//! Facts of the patches.

use super::*;
use crate::sample::widget;
use api::Tree;

fn json(text: &str) -> Tree {
    Tree::from_json(text.as_bytes()).unwrap().tree
}

fn strategic(original: &str, patch: &str) -> Result<String, PatchFault> {
    let spec = |text: &str| json(&format!("{{\"spec\":{text}}}"));
    let patched = strategic_merge_patch(&widget(), spec(original), spec(patch))?;
    Ok(patched.get("spec").map(Tree::to_json_text).unwrap_or_default())
}

#[track_caller]
fn check(original: &str, patch: &str, expected: &str) {
    assert_eq!(strategic(original, patch).unwrap(), expected);
}

#[test]
fn a_merge_patch_merges_objects_and_null_removes() {
    let patched =
        merge_patch(json(r#"{"a":{"b":1,"c":2},"d":[1]}"#), json(r#"{"a":{"b":null,"e":{"f":null}},"d":[2]}"#));
    assert_eq!(patched.unwrap().to_json_text(), r#"{"a":{"c":2,"e":{}},"d":[2]}"#);
    assert_eq!(merge_patch(json("{}"), json("[]")), Err(PatchFault::Malformed("Invalid JSON Patch".to_owned())));
}

#[test]
fn operations_of_a_json_patch_apply_in_order() {
    let patch = r#"[{"op":"add","path":"/a/-","value":3},{"op":"add","path":"/a/0","value":0},
        {"op":"remove","path":"/a/-1"},{"op":"replace","path":"/b~1c","value":{"x":null}},
        {"op":"copy","from":"/a/0","path":"/d"},{"op":"move","from":"/d","path":"/e"},
        {"op":"test","path":"/e","value":0},{"op":"replace","path":"/new","value":1}]"#;
    let patched = json_patch(json(r#"{"a":[1,2],"b/c":1}"#), &json(patch)).unwrap();
    assert_eq!(patched.to_json_text(), r#"{"a":[0,1,2],"b/c":{"x":null},"e":0,"new":1}"#);
}

#[test]
fn a_json_patch_that_does_not_apply_says_so_in_upstreams_words() {
    let fault = |patch: &str| json_patch(json(r#"{"a":[1]}"#), &json(patch)).unwrap_err();
    let pairs = [
        (r#"[{"op":"test","path":"/a/0","value":2}]"#, "testing value /a/0 failed: test failed"),
        (
            r#"[{"op":"remove","path":"/x"}]"#,
            "error in remove for path: '/x': Unable to remove nonexistent key: x: missing value",
        ),
        (
            r#"[{"op":"add","path":"/x/y","value":1}]"#,
            "add operation does not apply: doc is missing path: \"/x/y\": missing value",
        ),
        (
            r#"[{"op":"add","path":"/a/5","value":1}]"#,
            "error in add for path: '/a/5': Unable to access invalid index: 5: invalid index referenced",
        ),
        (r#"[{"op":"burn","path":"/a"}]"#, "Unexpected kind: burn"),
    ];
    for (patch, expected) in pairs {
        assert_eq!(fault(patch), PatchFault::Unprocessable(expected.to_owned()));
    }
    let many = Tree::List(vec![json("{}"); JSON_PATCH_OPERATIONS_MAX + 1]);
    let expected = "The allowed maximum operations in a JSON patch is 10000, got 10001".to_owned();
    assert_eq!(json_patch(json("{}"), &many), Err(PatchFault::TooLarge(expected)));
    assert!(matches!(fault("{}"), PatchFault::Malformed(_)));
}

#[test]
fn objects_merge_and_null_removes() {
    check(
        r#"{"replicas":1,"selector":{"a":"1","b":"2"}}"#,
        r#"{"replicas":null,"selector":{"b":null,"c":"3"},"whole":{"key":null,"type":"x"}}"#,
        r#"{"selector":{"a":"1","c":"3"},"whole":{"type":"x"}}"#,
    );
}

#[test]
fn lists_merge_by_their_key_and_the_patch_goes_first() {
    check(
        r#"{"parts":[{"name":"a","flag":true},{"name":"b"},{"name":"c"}]}"#,
        r#"{"parts":[{"name":"d"},{"name":"b","path":"/"}]}"#,
        r#"{"parts":[{"name":"d"},{"flag":true,"name":"a"},{"name":"b","path":"/"},{"name":"c"}]}"#,
    );
    check(r#"{"words":["a","b"]}"#, r#"{"words":["c"]}"#, r#"{"words":["c"]}"#);
}

#[test]
fn items_are_deleted_and_lists_replaced_by_directive() {
    check(
        r#"{"parts":[{"name":"a"},{"name":"b"}]}"#,
        r#"{"parts":[{"$patch":"delete","name":"a"},{"name":"c"}]}"#,
        r#"{"parts":[{"name":"c"},{"name":"b"}]}"#,
    );
    check(
        r#"{"parts":[{"name":"a"},{"name":"b"}]}"#,
        r#"{"parts":[{"$patch":"replace"},{"name":"c"}]}"#,
        r#"{"parts":[{"name":"c"}]}"#,
    );
    check(
        r#"{"strategy":{"type":"a","key":"k"}}"#,
        r#"{"strategy":{"$patch":"replace","type":"b"}}"#,
        r#"{"strategy":{"type":"b"}}"#,
    );
    check(r#"{"strategy":{"type":"a"}}"#, r#"{"strategy":{"$patch":"delete"}}"#, r#"{"strategy":{}}"#);
    check("{}", r#"{"parts":[{"$patch":"delete","name":"a"}],"strategy":{"$patch":"delete"}}"#, r#"{"parts":[]}"#);
}

#[test]
fn an_order_of_elements_is_kept_and_foreign_items_stay_near_their_place() {
    check(
        r#"{"parts":[{"name":"a"},{"name":"b"},{"name":"x"},{"name":"c"}]}"#,
        r#"{"$setElementOrder/parts":[{"name":"c"},{"name":"d"},{"name":"a"},{"name":"b"}],"parts":[{"name":"d","flag":true}]}"#,
        r#"{"parts":[{"name":"x"},{"name":"c"},{"flag":true,"name":"d"},{"name":"a"},{"name":"b"}]}"#,
    );
    let wrong = r#"{"$setElementOrder/parts":[{"name":"b"},{"name":"a"}],"parts":[{"name":"a"},{"name":"b"}]}"#;
    assert!(matches!(strategic(r#"{"parts":[]}"#, wrong), Err(PatchFault::Internal(_))));
}

#[test]
fn lists_of_scalars_merge_and_lose_items_by_directive() {
    let meta = |text: &str| json(&format!("{{\"metadata\":{{{text}}}}}"));
    let patched = strategic_merge_patch(
        &widget(),
        meta(r#""finalizers":["a","b","c"]"#),
        meta(
            r#""$deleteFromPrimitiveList/finalizers":["b"],"$setElementOrder/finalizers":["d","a","c"],"finalizers":["d"]"#,
        ),
    );
    assert_eq!(patched.unwrap().to_json_text(), r#"{"metadata":{"finalizers":["d","a","c"]}}"#);
}

#[test]
fn retained_keys_drop_the_others_and_must_name_what_is_set() {
    check(
        r#"{"strategy":{"type":"RollingUpdate","rolling":{"path":"x"}}}"#,
        r#"{"strategy":{"$retainKeys":["type"],"type":"Recreate"}}"#,
        r#"{"strategy":{"type":"Recreate"}}"#,
    );
    let wrong = strategic(r#"{"strategy":{}}"#, r#"{"strategy":{"$retainKeys":["type"],"key":"k"}}"#);
    assert_eq!(wrong, Err(PatchFault::Malformed("invalid patch format of retainKeys".to_owned())));
    check(
        r#"{"volumes":[{"name":"v","path":"/a","size":"1"}]}"#,
        r#"{"volumes":[{"$retainKeys":["name","size"],"name":"v","size":"2"}]}"#,
        r#"{"volumes":[{"name":"v","size":"2"}]}"#,
    );
}

#[test]
fn a_field_with_the_strategy_replace_is_replaced() {
    check(r#"{"whole":{"type":"a","key":"k"}}"#, r#"{"whole":{"type":"b"}}"#, r#"{"whole":{"type":"b"}}"#);
}

#[test]
fn an_item_without_its_merge_key_is_refused() {
    let fault = strategic(r#"{"parts":[{"name":"a"}]}"#, r#"{"parts":[{"flag":true}]}"#).unwrap_err();
    let expected = "map: map[flag:true] does not contain declared merge key: name";
    assert_eq!(fault, PatchFault::Internal(expected.to_owned()));
    let fault = strategic(r#"{"strategy":{}}"#, r#"{"strategy":{"$patch":"burn"}}"#).unwrap_err();
    assert!(fault.to_string().starts_with("unknown patch type: burn in map: "));
}
