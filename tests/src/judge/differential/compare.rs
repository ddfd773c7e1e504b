//! Where two JSON documents differ, one line a place.

use serde_json::Value;

/// The longest rendering of a value in a line, in characters.
const SHOWN_MAX: usize = 200;

/// The differences between upstream's document and ours.
pub fn values(theirs: &Value, ours: &Value) -> Vec<String> {
    let mut found = Vec::new();
    walk("", Some(theirs), Some(ours), &mut found);
    found
}

fn walk(at: &str, theirs: Option<&Value>, ours: Option<&Value>, found: &mut Vec<String>) {
    match (theirs, ours) {
        (Some(Value::Object(left)), Some(Value::Object(right))) => {
            let mut keys: Vec<&String> = left.keys().chain(right.keys().filter(|k| !left.contains_key(*k))).collect();
            keys.sort();
            for key in keys {
                let at = format!("{at}/{}", key.replace('~', "~0").replace('/', "~1"));
                walk(&at, left.get(key), right.get(key), found);
            }
        }
        (Some(Value::Array(left)), Some(Value::Array(right))) => {
            for index in 0..left.len().max(right.len()) {
                walk(&format!("{at}/{index}"), left.get(index), right.get(index), found);
            }
        }
        (theirs, ours) if theirs == ours => {}
        (theirs, ours) => found.push(format!("{at}: upstream {}, ours {}", shown(theirs), shown(ours))),
    }
}

fn shown(value: Option<&Value>) -> String {
    let Some(value) = value else { return "absent".to_owned() };
    let text = value.to_string();
    match text.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::values;
    use serde_json::json;

    #[test]
    fn every_place_that_differs_is_named_once() {
        let found = values(&json!({"a": 1, "b": [1, 2], "c": {}}), &json!({"a": 1, "b": [1, 3], "d": null}));
        let wanted = ["/b/1: upstream 2, ours 3", "/c: upstream {}, ours absent", "/d: upstream absent, ours null"];
        assert_eq!(found, wanted);
    }

    #[test]
    fn equal_documents_have_no_difference() {
        assert!(values(&json!({"a": [{}]}), &json!({"a": [{}]})).is_empty());
    }
}
