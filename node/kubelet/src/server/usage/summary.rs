//! `/stats/summary`, in the form of `k8s.io/kubelet/pkg/apis/stats/v1alpha1`.

use super::cgroup::Used;
use super::detail::Interface;
use super::{Container, PodUsage, Room, Usage};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

/// The whole summary.
pub fn of(usage: &Usage) -> Value {
    let at = usage.at;
    let mut node = Map::new();
    node.insert("nodeName".to_owned(), json!(usage.node));
    node.insert("cpu".to_owned(), cpu(at, Some(usage.used.cpu_ns), usage.nano_cores));
    node.insert("memory".to_owned(), memory(at, &usage.used));
    if let Some(booted) = usage.booted {
        node.insert("startTime".to_owned(), time(booted));
    }
    if let Some(room) = &usage.room {
        node.insert("fs".to_owned(), file_system(at, room));
    }
    if let Some(network) = network(at, &usage.interfaces) {
        node.insert("network".to_owned(), network);
    }
    json!({"node": node, "pods": usage.pods.iter().map(|pod| of_pod(at, pod)).collect::<Vec<_>>()})
}

/// Seconds, as upstream's times have no fraction.
fn time(at: Timestamp) -> Value {
    json!(at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

fn cpu(at: Timestamp, cpu_ns: Option<u64>, nano_cores: Option<u64>) -> Value {
    let mut cpu = json!({"time": time(at)});
    for (field, value) in [("usageNanoCores", nano_cores), ("usageCoreNanoSeconds", cpu_ns)] {
        if let Some(value) = value {
            cpu[field] = json!(value);
        }
    }
    cpu
}

fn memory(at: Timestamp, used: &Used) -> Value {
    let mut memory = json!({
        "time": time(at), "usageBytes": used.memory, "workingSetBytes": used.working_set, "rssBytes": used.anonymous,
        "pageFaults": used.faults, "majorPageFaults": used.major_faults,
    });
    if let Some(available) = used.available {
        memory["availableBytes"] = json!(available);
    }
    memory
}

fn file_system(at: Timestamp, room: &Room) -> Value {
    json!({
        "time": time(at), "availableBytes": room.available, "capacityBytes": room.capacity, "usedBytes": room.used,
        "inodes": room.inodes, "inodesFree": room.inodes_free, "inodesUsed": room.inodes.saturating_sub(room.inodes_free),
    })
}

fn of_pod(at: Timestamp, usage: &PodUsage) -> Value {
    let meta = &usage.pod.metadata;
    let mut pod = json!({
        "podRef": {"name": meta.name, "namespace": meta.namespace, "uid": meta.uid},
        "containers": usage.containers.iter().map(|container| of_container(at, container)).collect::<Vec<_>>(),
    });
    if let Some(started) = usage.pod.status.as_ref().and_then(|status| status.start_time.as_ref()) {
        pod["startTime"] = time(started.0);
    }
    if let Some(used) = &usage.used {
        pod["cpu"] = cpu(at, Some(used.cpu_ns), usage.nano_cores);
        pod["memory"] = memory(at, used);
    }
    if let Some(network) = network(at, &usage.interfaces) {
        pod["network"] = network;
    }
    pod
}

/// The first interface is the one that counts for the whole, as cAdvisor has it.
fn network(at: Timestamp, interfaces: &[Interface]) -> Option<Value> {
    let one = |way: &Interface| {
        let ([received, _, receive_errors, _], [sent, _, send_errors, _]) = (way.received, way.sent);
        json!({
            "name": way.name, "rxBytes": received, "rxErrors": receive_errors, "txBytes": sent, "txErrors": send_errors,
        })
    };
    let mut whole = one(interfaces.first()?);
    whole["time"] = time(at);
    whole["interfaces"] = interfaces.iter().map(one).collect();
    Some(whole)
}

fn of_container(at: Timestamp, container: &Container) -> Value {
    let measured = &container.measured;
    let mut value = json!({"name": container.name, "cpu": cpu(at, measured.cpu_ns, container.nano_cores)});
    if let Some(started) = container.started {
        value["startTime"] = time(started);
    }
    if let Some(bytes) = measured.memory_working_set {
        value["memory"] = json!({"time": time(at), "workingSetBytes": bytes});
    }
    if let Some(bytes) = measured.writable_bytes {
        value["rootfs"] = json!({"time": time(at), "usedBytes": bytes, "inodesUsed": measured.writable_inodes});
    }
    value
}
