//! A developer's check against upstream's own pairs of JSON and protobuf: point `SKERRY_K8S_TESTDATA` at
//! `k8s.io/api/testdata/HEAD` and run with `--ignored`. Nothing of them is kept here.

use api::{Tree, meta};
use schema::facts::Gvk;
use schema::{Types, decode_json, decode_protobuf, encode_protobuf, normalize};
use std::path::PathBuf;
use std::sync::LazyLock;

static TYPES: LazyLock<Types> = LazyLock::new(|| Types::new(resources::facts::TYPES));

/// What differs between upstream's form of one object and ours; `None` when its kind is not served.
fn differences(json: &[u8], protobuf: &[u8]) -> Option<Vec<String>> {
    let plain = Tree::from_json(json).expect("upstream writes JSON").tree;
    let (group, version) = meta::split_api_version(meta::api_version(&plain));
    let kind = meta::kind(&plain);
    let leak = |t: &str| -> &'static str { t.to_owned().leak() };
    let served = TYPES.of_kind(&Gvk { group: leak(group), version: leak(version), kind: leak(kind) });
    let id = served.or_else(|| TYPES.named(&format!("io.k8s.apimachinery.pkg.apis.meta.v1.{kind}")))?;
    let schema = TYPES.schema(id);
    let mut wrong = Vec::new();
    match decode_json(&schema, json) {
        Err(e) => wrong.push(format!("decoding: {e}")),
        Ok(mut decoded) => {
            wrong.extend(decoded.strict);
            normalize(&schema, &mut decoded.tree);
            if decoded.tree != plain {
                wrong.push(format!("JSON: {}", first_difference("", &plain, &decoded.tree)));
            }
            let encoded = encode_protobuf(&schema, &decoded.tree);
            if encoded != protobuf {
                let at = encoded.iter().zip(protobuf).take_while(|(a, b)| a == b).count();
                wrong.push(format!("protobuf differs at {at} of {} and {}", protobuf.len(), encoded.len()));
            }
        }
    }
    match decode_protobuf(&schema, protobuf) {
        Err(e) => wrong.push(format!("decoding protobuf: {e}")),
        Ok(mut decoded) => {
            normalize(&schema, &mut decoded.tree);
            if decoded.tree != plain {
                wrong.push(format!("from protobuf: {}", first_difference("", &plain, &decoded.tree)));
            }
        }
    }
    Some(wrong)
}

fn first_difference(path: &str, theirs: &Tree, ours: &Tree) -> String {
    match (theirs, ours) {
        (Tree::Map(a), Tree::Map(b)) => {
            for (name, value) in a {
                match b.get(name) {
                    None => return format!("{path}.{name} is missing"),
                    Some(other) if other != value => return first_difference(&format!("{path}.{name}"), value, other),
                    _ => {}
                }
            }
            let more = b.keys().find(|name| !a.contains(name)).map(|n| n.to_string()).unwrap_or_default();
            format!("{path}.{more} is too much")
        }
        (Tree::List(a), Tree::List(b)) if a.len() == b.len() => {
            let at = a.iter().zip(b).position(|(a, b)| a != b).unwrap_or_default();
            first_difference(&format!("{path}[{at}]"), &a[at], &b[at])
        }
        _ => format!("{path}: {} and {}", theirs.to_json_text(), ours.to_json_text()),
    }
}

#[test]
#[ignore = "needs upstream's test data; set SKERRY_K8S_TESTDATA"]
fn upstreams_objects_have_the_same_bytes() {
    let folder = PathBuf::from(std::env::var_os("SKERRY_K8S_TESTDATA").expect("SKERRY_K8S_TESTDATA names the folder"));
    let mut checked = 0;
    let mut wrong = Vec::new();
    let mut names: Vec<_> =
        std::fs::read_dir(&folder).expect("the folder").map(|e| e.expect("an entry").path()).collect();
    names.sort();
    for json in names.iter().filter(|n| n.extension().is_some_and(|e| e == "json")) {
        let text = std::fs::read(json).expect("a readable file");
        let Ok(protobuf) = std::fs::read(json.with_extension("pb")) else { continue };
        let shown = json.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let Some(found) = differences(&text, &protobuf) else { continue };
        checked += 1;
        wrong.extend(found.into_iter().map(|w| format!("{shown}: {w}")));
    }
    assert!(checked > 80, "only {checked} pairs");
    assert!(wrong.is_empty(), "{checked} pairs, {} faults:\n{}", wrong.len(), wrong.join("\n"));
}

/// A published schema without what we do not claim: prose, listed values (which the published files leave out), the
/// groups of kinds that every group has; `required` in one order.
fn comparable(tree: &Tree) -> Tree {
    match tree {
        Tree::Map(map) => {
            let dropped = |name: &str, value: &Tree| match name {
                "description" => value.as_str().is_some(),
                "enum" => value.as_list().is_some(),
                "x-kubernetes-group-version-kind" => true,
                _ => false,
            };
            let kept = map.iter().filter(|(name, value)| !dropped(name, value));
            let sorted = |name: &str, value: &Tree| match value.as_list() {
                Some(items) if name == "required" => {
                    let mut items = items.to_vec();
                    items.sort_by_key(Tree::to_json_text);
                    Tree::List(items)
                }
                _ => comparable(value),
            };
            Tree::Map(kept.map(|(name, value)| (name.clone(), sorted(name, value))).collect())
        }
        Tree::List(items) => Tree::List(items.iter().map(comparable).collect()),
        other => other.clone(),
    }
}

#[test]
#[ignore = "needs upstream's documents; set SKERRY_K8S_OPENAPI to api/openapi-spec of k8s.io/kubernetes"]
fn upstreams_openapi_has_the_same_schemas() {
    let folder = PathBuf::from(std::env::var_os("SKERRY_K8S_OPENAPI").expect("SKERRY_K8S_OPENAPI names the folder"));
    let mut documents = vec![(schema::OpenApi::V2, folder.join("swagger.json"), "definitions")];
    for entry in std::fs::read_dir(folder.join("v3")).expect("the folder") {
        documents.push((schema::OpenApi::V3, entry.expect("an entry").path(), "schemas"));
    }
    let roots: Vec<_> = (0..resources::facts::TYPES.len()).map(|i| schema::facts::TypeId(i as u16)).collect();
    let mut compared = 0;
    let mut wrong = std::collections::BTreeSet::new();
    for (form, path, place) in documents {
        let theirs = Tree::from_json(&std::fs::read(&path).expect("a readable file")).expect("JSON").tree;
        let theirs = if place == "schemas" { theirs.get("components").cloned().unwrap_or_default() } else { theirs };
        let described = |name: &str, field: Option<&str>| {
            let at = theirs.at(&[place, name])?;
            let at = field.map_or(Some(at), |f| at.at(&["properties", f]))?;
            at.str_at(&["description"]).map(str::to_owned)
        };
        let ours = schema::openapi(&TYPES, &roots, form, &described);
        for (name, schema) in theirs.map_at(&[place]).into_iter().flatten() {
            let Some(own) = ours.get(name) else { continue };
            compared += 1;
            let (theirs, own) = (comparable(schema), comparable(own));
            if theirs != own {
                wrong.insert(format!("{form:?} {name}{}", first_difference("", &theirs, &own)));
            }
        }
    }
    assert!(compared > 1000, "only {compared} schemas");
    let listed: Vec<_> = wrong.iter().cloned().collect();
    assert!(wrong.is_empty(), "{compared} schemas, {} faults:\n{}", wrong.len(), listed.join("\n"));
}
