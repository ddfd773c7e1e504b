//! Takes out of an answer what two correct servers may choose differently: identities, times, revisions, generated
//! suffixes, allocated addresses and ports. Nothing else is touched.

use super::super::https::Answer;
use super::case::Step;
use regex::Regex;
use serde_json::{Map, Value};
use std::sync::LazyLock;

/// Fields whose values a server makes up, and what is shown instead. Only strings and numbers are replaced, so that an
/// absent or empty value still shows.
const MADE_UP: &[(&str, &str)] = &[
    ("uid", "<uid>"),
    ("resourceVersion", "<revision>"),
    ("creationTimestamp", "<time>"),
    ("deletionTimestamp", "<time>"),
    ("lastTransitionTime", "<time>"),
    ("lastUpdateTime", "<time>"),
    ("time", "<time>"),
    ("continue", "<continue>"),
    ("nodePort", "<node port>"),
];

/// What is made up inside longer strings, such as messages.
static INSIDE: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
    let table = [
        (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "<uid>"),
        (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "<time>"),
        (r"\b10\.96\.\d{1,3}\.\d{1,3}\b", "<service address>"),
        (r"\b127\.0\.0\.1:\d+\b", "<server>"),
        (r"current: \d+", "current: <revision>"),
        (r"\bkube-api-access-[a-z0-9]{5}\b", "kube-api-access-<5 characters>"),
        (r"(?s)-----BEGIN CERTIFICATE-----.*-----END CERTIFICATE-----\n", "<certificate>"),
        // A whole object inside a message, quoted: its revisions and times cannot be told apart there.
        (r#"Invalid value: "(\\.|[^"\\])*resourceVersion(\\.|[^"\\])*""#, "Invalid value: <object>"),
        (r"(resource ?[vV]ersion[: ]+)\d+", "${1}<revision>"),
        (r"(ResourceVersion in record )\(\d+\)", "${1}(<revision>)"),
        // Upstream ends this refusal with a dump of its own structs, ours with the names of the fields.
        (r"(?s)(pod updates may not change fields other than [^\n]*)\n.*", "$1\n<what changed>"),
    ];
    table.into_iter().map(|(pattern, shown)| (Regex::new(pattern).expect("a tested pattern"), shown)).collect()
});

/// The media type without its charset, in lower case, its other parameters sorted.
pub fn media_type(header: &str) -> String {
    let mut parts = header.split(';').map(str::trim).filter(|p| !p.is_empty() && !p.starts_with("charset"));
    let kind = parts.next().unwrap_or_default().to_lowercase();
    let mut parameters: Vec<&str> = parts.collect();
    parameters.sort_unstable();
    std::iter::once(kind.as_str()).chain(parameters).collect::<Vec<_>>().join(";")
}

/// The body to be compared: one JSON document, several of a watch as an array, or text.
pub fn body(answer: &Answer, step: &Step) -> Value {
    let text = answer.text();
    let stream = serde_json::Deserializer::from_str(&text).into_iter::<Value>();
    let mut documents = match stream.collect::<Result<Vec<Value>, _>>() {
        Ok(documents) if !documents.is_empty() => documents,
        _ => vec![Value::String(text)],
    };
    documents.iter_mut().for_each(|document| value(document, step.managed_fields));
    let watch = step.request.contains("watch=1") || step.request.contains("watch=true");
    if watch {
        documents.retain(|event| !is_plain_bookmark(event));
    }
    let mut body = match documents.len() {
        1 if !watch => documents.remove(0),
        _ => Value::Array(documents),
    };
    for pointer in &step.ignore {
        ignore(&mut body, pointer);
    }
    body
}

/// A server sends bookmarks when it likes; only the one that ends the initial events has its place.
fn is_plain_bookmark(event: &Value) -> bool {
    event["type"] == "BOOKMARK" && event.pointer("/object/metadata/annotations").is_none()
}

/// Removes what a JSON pointer names, or makes it null where others stand behind it in an array; `*` stands for every element of an array or member of an object.
fn ignore(value: &mut Value, pointer: &str) {
    let Some((first, rest)) = pointer.strip_prefix('/').map(|p| p.split_once('/').unwrap_or((p, ""))) else { return };
    let key = first.replace("~1", "/").replace("~0", "~");
    let rest = if rest.is_empty() { String::new() } else { format!("/{rest}") };
    match value {
        Value::Array(items) if key == "*" => items.iter_mut().for_each(|item| ignore(item, &rest)),
        Value::Object(map) if key == "*" => map.values_mut().for_each(|item| ignore(item, &rest)),
        Value::Object(map) if rest.is_empty() => drop(map.remove(&key)),
        Value::Object(map) => map.get_mut(&key).into_iter().for_each(|inner| ignore(inner, &rest)),
        // An element keeps the places of those behind it; the last one has none to keep.
        Value::Array(items) if rest.is_empty() => match key.parse::<usize>() {
            Ok(at) if at + 1 == items.len() => drop(items.pop()),
            Ok(at) => items.get_mut(at).into_iter().for_each(|item| *item = Value::Null),
            Err(_) => {}
        },
        Value::Array(items) => {
            key.parse().ok().and_then(|at: usize| items.get_mut(at)).into_iter().for_each(|inner| ignore(inner, &rest));
        }
        _ => {}
    }
}

fn value(document: &mut Value, managed_fields: bool) {
    match document {
        Value::String(text) => {
            for (pattern, shown) in INSIDE.iter() {
                if pattern.is_match(text) {
                    *text = pattern.replace_all(text, *shown).into_owned();
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| value(item, managed_fields)),
        Value::Object(map) => object(map, managed_fields),
        _ => {}
    }
}

fn object(map: &mut Map<String, Value>, managed_fields: bool) {
    if !managed_fields {
        map.remove("managedFields");
    }
    if let Some(Value::Array(entries)) = map.get_mut("managedFields") {
        // Their order follows the second of the write.
        entries.sort_by_key(|entry| format!("{} {} {}", entry["manager"], entry["operation"], entry["subresource"]));
    }
    generated_name(map);
    table_ages(map);
    column_texts(map);
    for (key, inner) in map.iter_mut() {
        match MADE_UP.iter().find(|(name, _)| name == key) {
            Some((_, shown)) if made_up(inner) => *inner = Value::from(*shown),
            _ => value(inner, managed_fields),
        }
    }
}

/// Whether a value is one that a server makes up; "0" and the empty string have a meaning of their own.
fn made_up(value: &Value) -> bool {
    match value {
        Value::String(text) => !text.is_empty() && text != "0",
        Value::Number(_) => true,
        _ => false,
    }
}

/// A name that a server completed keeps its given part and its length.
fn generated_name(map: &mut Map<String, Value>) {
    let Some(prefix) = map.get("generateName").and_then(Value::as_str).map(str::to_owned) else { return };
    if let Some(Value::String(name)) = map.get_mut("name")
        && name.starts_with(&prefix)
    {
        *name = format!("{prefix}<{} characters>", name.len() - prefix.len());
    }
}

/// The cells of a Table's column Age depend on when the request came.
fn table_ages(map: &mut Map<String, Value>) {
    if map.get("kind").and_then(Value::as_str) != Some("Table") {
        return;
    }
    let columns = map.get("columnDefinitions").and_then(Value::as_array);
    let age = columns.and_then(|c| c.iter().position(|column| column["name"] == "Age"));
    let (Some(age), Some(Value::Array(rows))) = (age, map.get_mut("rows")) else { return };
    for row in rows {
        if let Some(cell) = row.get_mut("cells").and_then(|cells| cells.get_mut(age)) {
            *cell = Value::from("<age>");
        }
    }
}

/// What a column shows is prose for people, and ours is our own where upstream does not quote the API: only whether
/// there is any is compared.
fn column_texts(map: &mut Map<String, Value>) {
    let columns = map.get_mut("columnDefinitions").and_then(Value::as_array_mut);
    for column in columns.into_iter().flatten() {
        if let Some(Value::String(text)) = column.get_mut("description").filter(|text| *text != "") {
            "<text>".clone_into(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(before: Value, after: Value) {
        let mut document = before;
        value(&mut document, false);
        assert_eq!(document, after);
    }

    #[test]
    fn what_a_server_makes_up_is_replaced() {
        check(
            json!({"metadata": {"uid": "a", "resourceVersion": "12", "generateName": "x-", "name": "x-abcde", "managedFields": []}}),
            json!({"metadata": {"uid": "<uid>", "resourceVersion": "<revision>", "generateName": "x-", "name": "x-<5 characters>"}}),
        );
    }

    #[test]
    fn an_empty_revision_and_a_null_time_stay_as_they_are() {
        let document = json!({"metadata": {"resourceVersion": "", "creationTimestamp": null}});
        check(document.clone(), document);
    }

    #[test]
    fn a_quoted_object_in_a_message_is_one_word() {
        let message = r#" "" is invalid: patch: Invalid value: "{\"k\":5,\"resourceVersion\":\"7\"}": strict"#;
        check(json!(message), json!(r#" "" is invalid: patch: Invalid value: <object>: strict"#));
    }

    #[test]
    fn the_age_of_a_row_is_not_compared() {
        check(
            json!({"kind": "Table", "columnDefinitions": [{"name": "Name"}, {"name": "Age"}], "rows": [{"cells": ["a", "3s"]}]}),
            json!({"kind": "Table", "columnDefinitions": [{"name": "Name"}, {"name": "Age"}], "rows": [{"cells": ["a", "<age>"]}]}),
        );
    }

    #[test]
    fn a_pointer_with_a_star_reaches_every_element() {
        let mut document = json!({"items": [{"a": 1, "b": 2}, {"a": 3}]});
        ignore(&mut document, "/items/*/a");
        assert_eq!(document, json!({"items": [{"b": 2}, {}]}));
        let mut row = json!({"cells": ["a", "9s"]});
        ignore(&mut row, "/cells/0");
        assert_eq!(row, json!({"cells": [null, "9s"]}));
        ignore(&mut row, "/cells/1");
        assert_eq!(row, json!({"cells": [null]}));
    }

    #[test]
    fn media_types_are_compared_without_charset_and_order() {
        assert_eq!(media_type("application/json; charset=utf-8"), "application/json");
        assert_eq!(media_type("application/json;v=v2;g=x"), media_type("application/json; g=x; v=v2"));
    }
}
