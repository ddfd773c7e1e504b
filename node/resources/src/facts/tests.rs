//! The table is whole: every reference resolves, every key it names exists, and known objects fit it.

use super::*;
use serde_json::{Value, json};
use std::collections::BTreeSet;

#[expect(dead_code, reason = "the build script uses the rest of the parser's output")]
#[path = "../../facts/parse.rs"]
mod parse;

fn at(id: TypeId) -> &'static TypeFact {
    &TYPES[usize::from(id.0)]
}

fn named(name: &str) -> &'static TypeFact {
    at(type_named(name).unwrap_or_else(|| panic!("no type {name}")))
}

/// The members as JSON sees them.
fn members(of: &'static TypeFact) -> Vec<&'static FieldFact> {
    let inner = |f: &'static FieldFact| match f.shape {
        Shape::Ref(id) if f.inline => members(at(id)),
        _ => vec![f],
    };
    of.fields.iter().flat_map(inner).collect()
}

fn member(of: &'static TypeFact, json: &str) -> &'static FieldFact {
    let found = members(of).into_iter().find(|f| f.json == json);
    found.unwrap_or_else(|| panic!("{} has no member {json}", of.name))
}

/// The type inside lists and maps.
fn inside(shape: Shape) -> Shape {
    match shape {
        Shape::List(item) | Shape::Map(item) => inside(*item),
        other => other,
    }
}

fn every_member() -> impl Iterator<Item = (&'static TypeFact, &'static FieldFact)> {
    TYPES.iter().flat_map(|t| t.fields.iter().map(move |f| (t, f)))
}

/// What does not fit, as paths.
fn misfits(path: &str, shape: Shape, value: &Value, found: &mut Vec<String>) {
    match (shape, value) {
        (Shape::Ref(id), Value::Object(object)) if at(id).form == Form::Struct => {
            for (key, one) in object {
                let path = format!("{path}.{key}");
                match members(at(id)).into_iter().find(|f| f.json == key) {
                    Some(field) => misfits(&path, field.shape, one, found),
                    None => found.push(path),
                }
            }
        }
        (Shape::List(item), Value::Array(items)) => items.iter().for_each(|one| misfits(path, *item, one, found)),
        (Shape::Map(item), Value::Object(all)) => all.values().for_each(|one| misfits(path, *item, one, found)),
        (Shape::Bool, Value::Bool(_)) => {}
        (Shape::Int32 | Shape::Int64, Value::Number(n)) if n.is_i64() => {}
        (Shape::String | Shape::Bytes | Shape::Time | Shape::Quantity, Value::String(_)) => {}
        (Shape::IntOrString, Value::String(_) | Value::Number(_)) => {}
        _ => found.push(path.to_owned()),
    }
}

#[test]
fn every_reference_points_into_the_table() {
    let aliases = TYPES.iter().filter_map(|t| if let Form::Alias(shape) = t.form { Some(shape) } else { None });
    let shapes = every_member().map(|(_, f)| f.shape).chain(aliases);
    for shape in shapes {
        if let Shape::Ref(id) = inside(shape) {
            assert!(usize::from(id.0) < TYPES.len(), "{id:?}");
        }
    }
}

#[test]
fn types_are_sorted_and_found_by_name() {
    assert!(TYPES.windows(2).all(|pair| pair[0].name < pair[1].name));
    assert_eq!(named("io.k8s.api.core.v1.Pod").gvk.map(|g| (g.group, g.version, g.kind)), Some(("", "v1", "Pod")));
    assert_eq!(type_named("io.k8s.api.core.v1.Pods"), None);
    assert_eq!(type_of_kind("apps", "v1", "Deployment"), type_named("io.k8s.api.apps.v1.Deployment"));
}

#[test]
fn the_table_holds_every_stable_kind_of_the_release() {
    assert_eq!(TYPES.len(), 639);
    assert_eq!(every_member().count(), 2511);
    assert_eq!(RESOURCES.len(), 70);
    assert_eq!(RESOURCES.iter().map(|r| r.subresources.len()).sum::<usize>(), 45);
    let versions: BTreeSet<_> = RESOURCES.iter().map(|r| (r.gvk.group, r.gvk.version)).collect();
    assert_eq!(versions.len(), 23);
}

#[test]
fn inlined_members_are_structs() {
    for (of, field) in every_member() {
        assert_eq!(field.inline, field.json.is_empty(), "{}", of.name);
        let is_struct = matches!(field.shape, Shape::Ref(id) if at(id).form == Form::Struct);
        assert!(!field.inline || is_struct, "{} inlines {:?}", of.name, field.shape);
    }
}

#[test]
fn keys_of_lists_are_members_of_their_items() {
    for (of, field) in every_member() {
        let mut keys: Vec<&str> = Vec::new();
        if let ListKind::Map(names) = field.list {
            keys.extend(names);
        }
        if let Patch::MergeBy(key) | Patch::MergeRetainKeys(key) = field.patch {
            keys.push(key);
        }
        for key in keys {
            let Shape::List(Shape::Ref(id)) = field.shape else { panic!("{}.{} is no list", of.name, field.json) };
            assert_eq!(member(at(*id), key).json, key);
        }
    }
}

#[test]
fn protobuf_numbers_are_unique_in_a_message() {
    for of in TYPES {
        let numbers: Vec<u16> = of.fields.iter().map(|f| f.proto).filter(|n| *n != 0).collect();
        assert_eq!(numbers.iter().collect::<BTreeSet<_>>().len(), numbers.len(), "{}", of.name);
    }
}

#[test]
fn defaults_are_json_and_fit_their_members() {
    for (of, field) in every_member() {
        if let Some(text) = field.default {
            let value = serde_json::from_str(text).unwrap_or_else(|e| panic!("{}.{}: {e}", of.name, field.json));
            let mut wrong = Vec::new();
            misfits(field.json, field.shape, &value, &mut wrong);
            assert!(wrong.is_empty(), "{}: {wrong:?}", of.name);
            assert!(field.enums.is_empty() || field.enums.contains(&value.as_str().unwrap_or_default()), "{}", of.name);
        }
    }
}

#[test]
fn a_service_port_knows_its_default_its_enum_and_its_keys() {
    let ports = member(named("io.k8s.api.core.v1.ServiceSpec"), "ports");
    assert_eq!((ports.list, ports.patch), (ListKind::Map(&["port", "protocol"]), Patch::MergeBy("port")));
    let protocol = member(named("io.k8s.api.core.v1.ServicePort"), "protocol");
    assert_eq!((protocol.proto, protocol.omit, protocol.default), (2, Omit::Empty, Some("\"TCP\"")));
    assert_eq!(protocol.enums, ["SCTP", "TCP", "UDP"]);
    let usages = member(named("io.k8s.api.certificates.v1.CertificateSigningRequestSpec"), "usages");
    assert!(usages.enums.contains(&"digital signature"));
}

#[test]
fn resources_carry_what_discovery_shows() {
    let pods = resource("", "v1", "pods").expect("pods");
    assert_eq!((pods.singular, pods.short_names, pods.namespaced), ("pod", &["po"][..], true));
    assert!(pods.selectable.contains(&("spec.host", "spec.nodeName")));
    let eviction = pods.subresources.iter().find(|s| s.name == "eviction").expect("eviction");
    assert_eq!(eviction.gvk, Gvk { group: "policy", version: "v1", kind: "Eviction" });
    assert_eq!(pods.columns[7].name, "Nominated Node");
    // Both faces of an event are stored as the core one, both versions of an autoscaler as the newer one.
    assert_eq!(resource("events.k8s.io", "v1", "events").and_then(|r| r.stored), Some(("", "v1")));
    let autoscalers = resource("autoscaling", "v1", "horizontalpodautoscalers");
    assert_eq!(autoscalers.and_then(|r| r.stored), Some(("autoscaling", "v2")));
}

#[test]
fn every_resource_has_its_kind_and_every_listed_one_its_list() {
    for of in RESOURCES {
        assert_eq!(at(of.object).gvk, Some(of.gvk), "{}", of.plural);
        if of.verbs.contains(&"list") {
            let list = named(&format!("{}List", at(of.object).name));
            assert_eq!(inside(member(list, "items").shape), Shape::Ref(of.object), "{}", of.plural);
            assert!(!of.columns.is_empty() && !of.selectable.is_empty(), "{}", of.plural);
        }
        for sub in of.subresources {
            let kind = type_of_kind(sub.gvk.group, sub.gvk.version, sub.gvk.kind);
            assert!(kind.is_some(), "{}/{}: {:?}", of.plural, sub.name, sub.gvk);
        }
    }
}

#[test]
fn a_pod_fits_and_a_misspelt_member_does_not() {
    let pod = Shape::Ref(type_named("io.k8s.api.core.v1.Pod").expect("Pod"));
    let mut object = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "a", "labels": {"app": "a"}, "creationTimestamp": "2026-01-02T03:04:05Z"},
        "spec": {
            "containers": [{
                "name": "c", "image": "i", "ports": [{"containerPort": 80, "hostPort": 8080}],
                "resources": {"limits": {"cpu": "100m"}},
                "livenessProbe": {"httpGet": {"port": "http"}, "periodSeconds": 3},
            }],
            "volumes": [{"name": "v", "configMap": {"name": "m", "optional": true}}],
            "tolerations": [{"operator": "Exists", "tolerationSeconds": 3}],
        },
    });
    let check = |object: &Value| {
        let mut found = Vec::new();
        misfits("", pod, object, &mut found);
        found
    };
    assert_eq!(check(&object), Vec::<String>::new());
    object["spec"]["containers"][0]["imagePullpolicy"] = json!("Always");
    object["spec"]["hostNetwork"] = json!("yes");
    assert_eq!(check(&object), [".spec.containers.imagePullpolicy", ".spec.hostNetwork"]);
}

#[test]
fn the_parser_refuses_words_that_it_does_not_know() {
    let read = |text: &str| {
        let mut facts = parse::Facts::default();
        parse::parse(text, &mut facts).map(|()| facts)
    };
    let good = "package a.v1 v1\n\ntype T kind\n list 1 []U omit default=\"x y\"\n";
    let facts = read(good).expect("a good file");
    let field = &facts.types[0].fields[0];
    assert_eq!((field.shape.as_str(), field.default.as_deref()), ("[]a.v1.U", Some("\"x y\"")));
    for bad in ["type T loose\n", "type T\n a 1 str often\n", "type T\n a one str\n", " a 1 str\n", "tipe T\n"] {
        assert!(read(&format!("package a.v1 v1\n{bad}")).is_err(), "{bad}");
    }
}
