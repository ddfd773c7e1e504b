//! Facts of reading YAML.

use super::*;

fn read(text: &str) -> String {
    Tree::from_yaml(text.as_bytes()).unwrap().tree.to_json_text()
}

#[test]
fn scalars_mean_what_go_yaml_takes_them_for() {
    let pairs = [
        ("a: yes", r#"{"a":true}"#),
        ("a: 'yes'", r#"{"a":"yes"}"#),
        ("a: off", r#"{"a":false}"#),
        ("a: 0644", r#"{"a":420}"#),
        ("a: 0o17", r#"{"a":15}"#),
        ("a: 0x1F", r#"{"a":31}"#),
        ("a: 1_000", r#"{"a":1000}"#),
        ("a: 1.5e3", r#"{"a":1500}"#),
        ("a: .5", r#"{"a":0.5}"#),
        ("a: 1.2.3", r#"{"a":"1.2.3"}"#),
        ("a: 2024-01-01", r#"{"a":"2024-01-01"}"#),
        ("a: 12:30", r#"{"a":"12:30"}"#),
        ("a: ~", r#"{"a":null}"#),
        ("a:", r#"{"a":null}"#),
        ("a: !!str 1", r#"{"a":"1"}"#),
        ("a: 089", r#"{"a":89}"#),
        ("1: a\ntrue: b", r#"{"1":"a","true":"b"}"#),
        ("a: |\n  x\n  y\n", r#"{"a":"x\ny\n"}"#),
        ("- 1\n- [a, {b: c}]", r#"[1,["a",{"b":"c"}]]"#),
        ("", "null"),
    ];
    for (text, expected) in pairs {
        assert_eq!(read(text), expected, "{text}");
    }
}

#[test]
fn anchors_and_merge_keys_are_expanded() {
    let text = "base: &b {x: 1, z: 2}\nover:\n  <<: *b\n  z: 3\ncopy: *b";
    assert_eq!(read(text), r#"{"base":{"x":1,"z":2},"copy":{"x":1,"z":2},"over":{"x":1,"z":3}}"#);
}

#[test]
fn a_bomb_of_aliases_is_refused() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..10 {
        let below = format!("*a{}, ", level - 1).repeat(10);
        text += &format!("a{level}: &a{level} [{below}]\n");
    }
    let error = Tree::from_yaml(text.as_bytes()).unwrap_err().to_string();
    assert!(error.contains("excessive aliasing"), "{error}");
}

#[test]
fn duplicate_keys_are_objected_to_with_their_line_and_the_last_wins() {
    let read = Tree::from_yaml(b"spec:\n  replicas: 1\n  replicas: 2\n").unwrap();
    assert_eq!(read.tree.int_at(&["spec", "replicas"]), Some(2));
    let objection = "yaml: unmarshal errors:\n  line 3: key \"replicas\" already set in map";
    assert_eq!(read.objection.as_deref(), Some(objection));
}

#[test]
fn a_stream_gives_its_documents_and_broken_text_names_the_line() {
    let documents = Tree::from_yaml_stream(b"a: 1\n---\n# nothing\n---\nb: 2\n").unwrap();
    assert_eq!(documents.iter().map(|d| d.tree.to_json_text()).collect::<Vec<_>>(), [r#"{"a":1}"#, r#"{"b":2}"#]);
    let error = Tree::from_yaml(b"a: 1\nb: [1, 2\n").unwrap_err().to_string();
    assert!(error.starts_with("yaml: line "), "{error}");
}
