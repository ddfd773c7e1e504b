//! Config maps and secrets: keys, size, immutability; a secret's texts become data. Rules of
//! `k8s.io/kubernetes/pkg/apis/core/validation` and `pkg/apis/core/v1/conversion.go`.

use super::place::Place;
use crate::rules::{Faults, PLAIN, Rules, SelectableField};
use api::{FieldError, FieldPath, Map, Tree, meta, names};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;

/// Bytes of all values together; upstream's `MaxSecretSize`.
const BYTES_MAX: usize = 1024 * 1024;

/// What is special about config maps.
pub const RULES: Rules = Rules { validate, validate_update, cells, ..PLAIN };

/// What is special about secrets.
pub const SECRETS: Rules = Rules {
    default: default_secret,
    validate: validate_secret,
    validate_update: update_secret,
    fields: &[SelectableField { label: "type", path: &["type"], absent: "" }],
    cells: secret_cells,
    ..PLAIN
};

fn entries<'a>(object: &'a Tree, field: &str) -> impl Iterator<Item = &'a (api::Name, Tree)> {
    object.map_at(&[field]).into_iter().flat_map(Map::iter)
}

/// Faults of the keys of one map; the bytes of its values.
fn keys(object: &Tree, field: &str, encoded: bool, faults: &mut Faults) -> usize {
    let mut bytes = 0;
    for (key, value) in entries(object, field) {
        for why in names::config_key(key) {
            faults.push(FieldError::invalid(FieldPath::of(&[field]).key(key), key.as_str(), why));
        }
        let text = value.as_str().unwrap_or_default();
        bytes += if encoded { text.trim_end_matches('=').len() * 3 / 4 } else { text.len() };
    }
    bytes
}

fn validate(object: &Tree, faults: &mut Faults) {
    let bytes = keys(object, "data", false, faults) + keys(object, "binaryData", true, faults);
    for (key, _) in entries(object, "binaryData") {
        if object.at(&["data", key]).is_some() {
            let path = FieldPath::of(&["data"]).key(key);
            faults.push(FieldError::invalid(path, key.as_str(), "duplicate of key present in binaryData"));
        }
    }
    if bytes > BYTES_MAX {
        faults.push(FieldError::too_long(FieldPath::root(), BYTES_MAX));
    }
}

/// Once immutable, an object stays so, and these fields as they are.
fn frozen(object: &Tree, old: &Tree, fields: &[&str], faults: &mut Faults) {
    if old.bool_at(&["immutable"]) != Some(true) {
        return;
    }
    let why = "field is immutable when `immutable` is set";
    if object.bool_at(&["immutable"]) != Some(true) {
        faults.push(FieldError::forbidden(FieldPath::of(&["immutable"]), why));
    }
    for field in fields {
        if object.get(field).filter(|v| !v.is_empty()) != old.get(field).filter(|v| !v.is_empty()) {
            faults.push(FieldError::forbidden(FieldPath::of(&[field]), why));
        }
    }
}

fn validate_update(object: &Tree, old: &Tree, faults: &mut Faults) {
    frozen(object, old, &["data", "binaryData"], faults);
}

fn count(object: &Tree, fields: &[&str]) -> Tree {
    let count: usize = fields.iter().map(|field| object.map_at(&[field]).map_or(0, Map::len)).sum();
    Tree::Int(i64::try_from(count).unwrap_or(i64::MAX))
}

fn cells(object: &Tree, now: i64) -> Vec<Tree> {
    vec![Tree::text(meta::name(object)), count(object, &["data", "binaryData"]), crate::cells::age(object, now)]
}

/// Texts are encoded into data, where they win.
fn default_secret(object: &mut Tree) {
    if object.str_at(&["type"]).unwrap_or_default().is_empty() {
        object.set("type", "Opaque");
    }
    if let Some(Tree::Map(texts)) = object.remove("stringData") {
        for (key, value) in texts {
            let encoded = BASE64_STANDARD.encode(value.as_str().unwrap_or_default());
            object.set_at(&["data", &key], encoded);
        }
    }
}

/// Type of a secret, and the keys that it must have.
const TYPES: &[(&str, &[&str])] = &[
    ("kubernetes.io/dockercfg", &[".dockercfg"]),
    ("kubernetes.io/dockerconfigjson", &[".dockerconfigjson"]),
    ("kubernetes.io/ssh-auth", &["ssh-privatekey"]),
    ("kubernetes.io/tls", &["tls.crt", "tls.key"]),
];

fn validate_secret(object: &Tree, faults: &mut Faults) {
    if keys(object, "data", true, faults) > BYTES_MAX {
        faults.push(FieldError::too_long(FieldPath::of(&["data"]), BYTES_MAX));
    }
    let kind = object.str_at(&["type"]).unwrap_or_default();
    let has = |key: &str| object.at(&["data", key]).is_some();
    if let Some((_, wanted)) = TYPES.iter().find(|(name, _)| *name == kind) {
        for key in wanted.iter().filter(|key| !has(key)) {
            faults.push(FieldError::required(FieldPath::of(&["data"]).key(key), ""));
        }
    }
    match kind {
        "kubernetes.io/basic-auth" if !has("username") && !has("password") => {
            for key in ["username", "password"] {
                faults.push(FieldError::required(FieldPath::of(&["data"]).key(key), ""));
            }
        }
        "kubernetes.io/service-account-token" => {
            let name = meta::annotation(object, "kubernetes.io/service-account.name").unwrap_or_default();
            if name.is_empty() {
                let path = FieldPath::of(&["metadata", "annotations"]).key("kubernetes.io/service-account.name");
                faults.push(FieldError::required(path, ""));
            }
        }
        _ => {}
    }
}

fn update_secret(object: &Tree, old: &Tree, faults: &mut Faults) {
    if object.get("type") != old.get("type") {
        Place::root(object).at("type").invalid(faults, super::place::IMMUTABLE);
    }
    frozen(object, old, &["data"], faults);
}

fn secret_cells(object: &Tree, now: i64) -> Vec<Tree> {
    let kind = Tree::text(object.str_at(&["type"]).unwrap_or_default());
    vec![Tree::text(meta::name(object)), kind, count(object, &["data"]), crate::cells::age(object, now)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn texts_of_a_secret_become_data() {
        let mut secret = tree!({"stringData": {"k": "v"}});
        default_secret(&mut secret);
        assert_eq!(secret, tree!({"type": "Opaque", "data": {"k": "dg=="}}));
    }

    #[test]
    fn what_is_immutable_stays() {
        let old = tree!({"immutable": true, "data": {"k": "v"}});
        let mut faults = Vec::new();
        validate_update(&tree!({"immutable": true, "data": {"k": "w"}}), &old, &mut faults);
        validate_update(&tree!({"data": {"k": "v"}}), &old, &mut faults);
        let said: Vec<String> = faults.iter().map(ToString::to_string).collect();
        assert_eq!(
            said,
            [
                "data: Forbidden: field is immutable when `immutable` is set",
                "immutable: Forbidden: field is immutable when `immutable` is set"
            ]
        );
    }

    #[test]
    fn a_tls_secret_needs_certificate_and_key() {
        let mut faults = Vec::new();
        validate_secret(&tree!({"type": "kubernetes.io/tls", "data": {"tls.crt": "YQ=="}}), &mut faults);
        assert_eq!(faults[0].to_string(), "data[tls.key]: Required value");
    }
}
