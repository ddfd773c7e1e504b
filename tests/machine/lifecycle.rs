//! What kubectl does to the shop's objects: apply, scale, describe, explain, delete.

use crate::harness::{Machine, eventually, get};
use crate::runner::{Step, steps};
use crate::shop;
use std::time::Duration;

/// Leave the shop as it was.
pub const STEPS: &[Step] = steps![
    applying_again_changes_nothing,
    a_deployment_scales_up_and_down,
    describe_tells_of_spec_status_and_events,
    explain_knows_every_field,
];

/// Takes the shop away.
pub const CLOSING: &[Step] = steps![deleting_the_namespace_leaves_nothing];

/// Until pods have ended and their volumes are gone.
const AWAY: Duration = Duration::from_secs(300);

fn applying_again_changes_nothing(machine: &Machine) {
    shop::open(machine);
    let version = |object: &str| machine.value("shop", object, "{.metadata.generation}");
    let before = (version("deployment/front"), version("statefulset/store"));
    let said = machine.kubectl(&["apply", "-f", shop::manifests()]);
    assert!(said.lines().all(|line| line.ends_with(" unchanged")), "{said}");
    assert_eq!((version("deployment/front"), version("statefulset/store")), before);
    let difference = machine.kubectl(&["diff", "-f", shop::manifests()]);
    assert_eq!(difference, "");
}

fn a_deployment_scales_up_and_down(machine: &Machine) {
    shop::open(machine);
    for count in ["5", "3"] {
        machine.kubectl(&["scale", "-n", "shop", "deployment/front", &format!("--replicas={count}")]);
        shop::settled(machine);
        assert_eq!(machine.value("shop", "deployment/front", "{.status.readyReplicas}"), count);
    }
    eventually("the pods that are too many go", AWAY, || {
        let left = shop::fronts(machine);
        if left.len() == 3 { Ok(()) } else { Err(format!("{left:?}")) }
    });
}

fn describe_tells_of_spec_status_and_events(machine: &Machine) {
    shop::open(machine);
    let deployment = machine.kubectl(&["describe", "-n", "shop", "deployment/front"]);
    for part in ["3 desired | 3 updated | 3 total | 3 available", "0 max unavailable, 1 max surge", "ScalingReplicaSet"]
    {
        assert!(deployment.contains(part), "no {part:?} in:\n{deployment}");
    }
    let pod = machine.kubectl(&["describe", "-n", "shop", "pod/store-0"]);
    for part in ["Readiness:", "ClaimName:  data-store-0", "Scheduled", "Started"] {
        assert!(pod.contains(part), "no {part:?} in:\n{pod}");
    }
}

fn explain_knows_every_field(machine: &Machine) {
    let field = machine.kubectl(&["explain", "deployment.spec.strategy.rollingUpdate.maxSurge"]);
    assert!(field.contains("GROUP:      apps") && field.contains("FIELD: maxSurge <IntOrString>"), "{field}");
    let tree = machine.kubectl(&["explain", "statefulset.spec", "--recursive"]);
    assert!(tree.contains("volumeClaimTemplates") && tree.contains("persistentVolumeClaimRetentionPolicy"), "{tree}");
}

fn deleting_the_namespace_leaves_nothing(machine: &Machine) {
    let door = shop::open(machine);
    let volume = machine.value("shop", "pvc/data-store-0", "{.spec.volumeName}");
    machine.kubectl_within(AWAY, &["delete", "namespace", "shop", "--timeout=290s"]);
    let all = "pods,services,deployments,replicasets,statefulsets,jobs,configmaps,secrets,pvc,endpointslices";
    assert_eq!(machine.kubectl(&["get", all, "-n", "shop", "-o", "name", "--ignore-not-found"]), "");
    eventually("the volume goes with its claim", AWAY, || {
        let left = machine.kubectl(&["get", "pv", &volume, "-o", "name", "--ignore-not-found"]);
        if left.is_empty() { Ok(()) } else { Err(left) }
    });
    eventually("the door is shut", AWAY, || match get(door, "/healthz") {
        Err(_) => Ok(()),
        Ok(reply) => Err(format!("{reply:?}")),
    });
}
