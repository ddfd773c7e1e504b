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
