//! How fast a typical pod of 4 kB is decoded, normalized and encoded: `cargo run --release -p schema --example throughput`.

use api::{Tree, tree};
use schema::{Types, decode_json, decode_protobuf, encode_protobuf, normalize};
use std::hint::black_box;
use std::sync::LazyLock;
use std::time::Instant;

static TYPES: LazyLock<Types> = LazyLock::new(|| Types::new(resources::facts::TYPES));

/// Times that each step is done.
const ROUNDS: u32 = 20_000;

fn container(name: &str) -> Tree {
    let variables = (0..6).map(|i| tree!({"name": (format!("SETTING_{i}")), "value": (format!("value number {i}"))}));
    tree!({
        "name": name, "image": "registry.example.org/team/service:1.2.3", "imagePullPolicy": "IfNotPresent",
        "env": (Tree::List(variables.collect())),
        "ports": [{"name": "http", "containerPort": 8080i64, "protocol": "TCP"}],
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"cpu": "1", "memory": "1Gi"}},
        "volumeMounts": [{"name": "config", "mountPath": "/etc/config", "readOnly": true}],
        "readinessProbe": {"httpGet": {"path": "/ready", "port": "http", "scheme": "HTTP"}, "periodSeconds": 10i64},
        "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File"
    })
}

fn pod() -> Tree {
    let condition = |kind: &str| tree!({"type": kind, "status": "True", "lastTransitionTime": "2024-01-01T00:00:00Z"});
    tree!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": "service-5d8f7c9b6d-abcde", "namespace": "production", "uid": "0d0c8b9e-4a3f-4b62-9a0e-1c2d3e4f5a6b",
            "creationTimestamp": "2024-01-01T00:00:00Z", "generateName": "service-5d8f7c9b6d-",
            "labels": {"app": "service", "pod-template-hash": "5d8f7c9b6d"}, "annotations": {"note": "a longer text here"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "service-5d8f7c9b6d", "uid": "1",
                "controller": true, "blockOwnerDeletion": true}]
        },
        "spec": {
            "containers": [(container("main")), (container("helper"))], "restartPolicy": "Always",
            "volumes": [{"name": "config", "configMap": {"name": "service", "defaultMode": 420i64}}],
            "nodeName": "node-1", "serviceAccountName": "default", "terminationGracePeriodSeconds": 30i64,
            "tolerations": [{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute"}]
        },
        "status": {
            "phase": "Running", "podIP": "10.244.0.5", "podIPs": [{"ip": "10.244.0.5"}], "qosClass": "Burstable",
            "conditions": [(condition("Ready")), (condition("PodScheduled")), (condition("Initialized"))],
            "containerStatuses": [{"name": "main", "ready": true, "restartCount": 0i64, "image": "x", "imageID": "y",
                "state": {"running": {"startedAt": "2024-01-01T00:00:00Z"}}}]
        }
    })
}

fn measure(what: &str, size: usize, mut step: impl FnMut()) {
    let start = Instant::now();
    for _ in 0..ROUNDS {
        step();
    }
    let seconds = start.elapsed().as_secs_f64();
    let megabytes = f64::from(ROUNDS) * size as f64 / 1e6;
    println!("{what:32} {:8.1} MB/s {:8.1} us each", megabytes / seconds, seconds * 1e6 / f64::from(ROUNDS));
}

fn main() {
    let schema = TYPES.schema_named("io.k8s.api.core.v1.Pod").expect("pods are in the table");
    let mut whole = pod();
    normalize(&schema, &mut whole);
    let text = whole.to_json();
    let protobuf = encode_protobuf(&schema, &whole);
    println!("a pod of {} bytes of JSON, {} of protobuf", text.len(), protobuf.len());
    let size = text.len();
    measure("decode", size, || drop(black_box(decode_json(&schema, black_box(&text)).expect("it decodes"))));
    measure("normalize (and clone)", size, || {
        let mut tree = whole.clone();
        normalize(&schema, &mut tree);
        black_box(tree);
    });
    measure("encode", size, || drop(black_box(black_box(&whole).to_json())));
    measure("decode + normalize + encode", size, || {
        let mut tree = decode_json(&schema, black_box(&text)).expect("it decodes").tree;
        normalize(&schema, &mut tree);
        black_box(tree.to_json());
    });
    measure("protobuf encode", protobuf.len(), || drop(black_box(encode_protobuf(&schema, black_box(&whole)))));
    measure("protobuf decode", protobuf.len(), || {
        drop(black_box(decode_protobuf(&schema, black_box(&protobuf)).expect("it decodes")));
    });
}
