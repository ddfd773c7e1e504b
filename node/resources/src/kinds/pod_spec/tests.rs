//! Pod specs in, defaults and faults out.

use super::defaults::round_amounts;
use super::*;
use api::{Tree, tree};

fn check(spec: Tree, expected: &[&str]) {
    let mut spec = spec;
    default_spec(&mut spec);
    let mut faults = Faults::new();
    let place = Place { value: &spec, path: api::FieldPath::of(&["spec"]) };
    validate(&place, Holder::Template, &mut faults);
    assert_eq!(faults.iter().map(ToString::to_string).collect::<Vec<_>>(), expected);
}

fn with(field: &str, value: Tree) -> Tree {
    let mut spec = tree!({"containers": [{"name": "c", "image": "a"}]});
    spec.set(field, value);
    spec
}

fn container(field: &str, value: Tree) -> Tree {
    let mut container = tree!({"name": "c", "image": "a"});
    container.set(field, value);
    tree!({"containers": [container]})
}

#[test]
fn volumes_get_modes_and_types() {
    let mut spec = with(
        "volumes",
        tree!([
            {"name": "a"},
            {"name": "b", "secret": {"secretName": "s"}},
            {"name": "c", "hostPath": {"path": "/"}},
            {"name": "d", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}},
        ]),
    );
    default_spec(&mut spec);
    let volumes = spec.list_at(&["volumes"]);
    assert_eq!(volumes[0].get("emptyDir"), Some(&Tree::map()));
    assert_eq!(volumes[1].int_at(&["secret", "defaultMode"]), Some(420));
    assert_eq!(volumes[2].str_at(&["hostPath", "type"]), Some(""));
    let token = &volumes[3].list_at(&["projected", "sources"])[0];
    assert_eq!(token.int_at(&["serviceAccountToken", "expirationSeconds"]), Some(3600));
    check(spec, &[]);
}

#[test]
fn tags_decide_when_images_are_pulled() {
    let cases = [
        ("nginx", "Always"),
        ("nginx:latest", "Always"),
        ("nginx:1.2", "IfNotPresent"),
        ("host:5000/nginx", "Always"),
        ("host:5000/nginx:1", "IfNotPresent"),
        ("nginx@sha256:0123", "IfNotPresent"),
        ("", "IfNotPresent"),
    ];
    for (image, policy) in cases {
        assert_eq!(defaults::pull_policy(image), policy, "{image}");
    }
}

#[test]
fn probes_get_their_times() {
    let mut spec = container("livenessProbe", tree!({"httpGet": {"port": 80}}));
    default_spec(&mut spec);
    let probe = spec.list_at(&["containers"])[0].get("livenessProbe").cloned().unwrap_or_default();
    let expected = tree!({
        "httpGet": {"port": 80, "path": "/", "scheme": "HTTP"},
        "timeoutSeconds": 1,
        "periodSeconds": 10,
        "successThreshold": 1,
        "failureThreshold": 3,
    });
    assert_eq!(probe, expected);
}

#[test]
fn a_volume_has_one_source() {
    check(
        with("volumes", tree!([{"name": "v", "emptyDir": {}, "hostPath": {"path": "/a/../b"}}])),
        &["spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type"],
    );
    check(
        with("volumes", tree!([{"name": "v", "hostPath": {"path": "/a/../b"}}])),
        &["spec.volumes[0].hostPath.path: Invalid value: \"/a/../b\": must not contain '..'"],
    );
}

#[test]
fn variables_have_printable_names_and_one_source() {
    let env = tree!([{"name": "A=B"}, {"name": "", "value": "x"}, {"name": "C", "valueFrom": {}}]);
    check(
        container("env", env),
        &[
            "spec.containers[0].env[0].name: Invalid value: \"A=B\": a valid environment variable name must consist only of printable ASCII characters other than '='",
            "spec.containers[0].env[1].name: Required value",
            "spec.containers[0].env[2].valueFrom: Invalid value: \"\": must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`",
        ],
    );
    let field = tree!([{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.whatever"}}}]);
    check(
        container("env", field),
        &[
            "spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: Invalid value: \"metadata.whatever\": error converting fieldPath: field label not supported: metadata.whatever",
        ],
    );
}

#[test]
fn ports_of_the_node_are_taken_once() {
    let port = tree!({"containerPort": 80, "hostPort": 8080});
    check(
        container("ports", Tree::List(vec![port.clone(), port])),
        &["spec.containers[0].ports[1].hostPort: Duplicate value: \"TCP//8080\""],
    );
    check(
        container("ports", tree!([{"containerPort": 70000, "name": "Web"}])),
        &[
            "spec.containers[0].ports[0].name: Invalid value: \"Web\": must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)",
            "spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive",
        ],
    );
}

#[test]
fn tolerations_without_a_key_match_everything() {
    check(
        with("tolerations", tree!([{"operator": "Equal", "value": "a"}])),
        &[
            "spec.tolerations[0].operator: Invalid value: \"Equal\": operator must be Exists when `key` is empty, which means \"match all values and all keys\"",
        ],
    );
}

#[test]
fn amounts_are_rounded_up_to_thousandths() {
    let mut amounts = tree!({"cpu": "1u", "memory": "1Gi"});
    round_amounts(&mut amounts);
    assert_eq!(amounts, tree!({"cpu": "1m", "memory": "1Gi"}));
}
