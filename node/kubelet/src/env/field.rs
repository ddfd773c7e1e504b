//! Fields of the pod that a container may be told (`fieldRef`). Pure. Paths as upstream's `pkg/fieldpath` and
//! `podFieldSelectorRuntimeValue`.
//!
//! It must not know where the value goes.

use super::Facts;
use client::Meta;
use k8s_openapi::api::core::v1::Pod;
use std::collections::BTreeMap;

/// Any field that an environment variable may have.
///
/// # Errors
/// For a path that there is not.
pub fn field(pod: &Pod, path: &str, facts: &Facts) -> Result<String, String> {
    let spec = pod.spec.as_ref();
    let text = |value: Option<&String>| Ok(value.cloned().unwrap_or_default());
    match path {
        "spec.nodeName" => text(spec.and_then(|s| s.node_name.as_ref())),
        "spec.serviceAccountName" => text(spec.and_then(|s| s.service_account_name.as_ref())),
        "status.hostIP" => text(facts.host_ips.first()),
        "status.hostIPs" => Ok(facts.host_ips.join(",")),
        "status.podIP" => text(facts.pod_ips.first()),
        "status.podIPs" => Ok(facts.pod_ips.join(",")),
        _ => metadata_field(pod, path),
    }
}

/// A field of the metadata, the only ones that files may have.
///
/// # Errors
/// For a path that there is not.
pub fn metadata_field(pod: &Pod, path: &str) -> Result<String, String> {
    if let Some((map, key)) = path.strip_suffix("']").and_then(|p| p.split_once("['")) {
        return match map {
            "metadata.annotations" => Ok(pod.annotation(key).unwrap_or_default().to_owned()),
            "metadata.labels" => Ok(pod.label(key).unwrap_or_default().to_owned()),
            _ => Err(format!("fieldPath {path:?} does not support subscript")),
        };
    }
    match path {
        "metadata.annotations" => Ok(lines(pod.metadata.annotations.as_ref())),
        "metadata.labels" => Ok(lines(pod.metadata.labels.as_ref())),
        "metadata.name" => Ok(pod.name().to_owned()),
        "metadata.namespace" => Ok(pod.namespace().to_owned()),
        "metadata.uid" => Ok(pod.uid().to_owned()),
        _ => Err(format!("unsupported fieldPath: {path}")),
    }
}

/// A map as `key="value"` lines, sorted by key.
fn lines(map: Option<&BTreeMap<String, String>>) -> String {
    let lines: Vec<String> = map.into_iter().flatten().map(|(key, value)| format!("{key}={}", quoted(value))).collect();
    lines.join("\n")
}

/// A text as Go's `strconv.Quote` writes it, which programs that read these files expect.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\x07' => out.push_str("\\a"),
            '\x08' => out.push_str("\\b"),
            '\x0c' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\x0b' => out.push_str("\\v"),
            c if c < ' ' || c == '\x7f' => out.push_str(&format!("\\x{:02x}", u32::from(c))),
            c if is_unprintable(c) && u32::from(c) < 0x10000 => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c if is_unprintable(c) => out.push_str(&format!("\\U{:08x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// What Go's `IsPrint` refuses, as far as std can tell: control characters and every space but U+0020.
fn is_unprintable(letter: char) -> bool {
    letter.is_control() || (letter.is_whitespace() && letter != ' ') || ('\u{e000}'..='\u{f8ff}').contains(&letter)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod() -> Pod {
        serde_json::from_value(json!({"metadata": {"name": "p", "namespace": "a", "uid": "u",
            "labels": {"b": "2", "a": "1"}, "annotations": {"x.y/z": "say \"hi\"\n\u{1}ü"}},
            "spec": {"nodeName": "n", "serviceAccountName": "s", "containers": []}}))
        .unwrap()
    }

    #[test]
    fn every_field_has_its_value() {
        let facts = Facts {
            pod_ips: vec!["10.0.0.1".into(), "fd00::1".into()],
            host_ips: vec!["10.1.0.1".into()],
            ..Facts::default()
        };
        for (path, wanted) in [
            ("metadata.name", "p"),
            ("metadata.namespace", "a"),
            ("metadata.uid", "u"),
            ("metadata.labels['b']", "2"),
            ("metadata.labels['none']", ""),
            ("metadata.labels", "a=\"1\"\nb=\"2\""),
            ("metadata.annotations", "x.y/z=\"say \\\"hi\\\"\\n\\x01ü\""),
            ("spec.nodeName", "n"),
            ("spec.serviceAccountName", "s"),
            ("status.podIP", "10.0.0.1"),
            ("status.podIPs", "10.0.0.1,fd00::1"),
            ("status.hostIP", "10.1.0.1"),
            ("status.hostIPs", "10.1.0.1"),
        ] {
            assert_eq!(field(&pod(), path, &facts).as_deref(), Ok(wanted), "{path}");
        }
        assert_eq!(field(&pod(), "spec.x", &facts).unwrap_err(), "unsupported fieldPath: spec.x");
    }
}
