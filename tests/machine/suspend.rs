//! A machine that is suspended and goes on: everything in it is as before, but for the time; and memory that must not be
//! used again is not.

use crate::harness::{Machine, eventually, get, promptly};
use crate::runner::{Step, steps};
use serde_json::{Value, json};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// In this order.
pub const STEPS: &[Step] = steps![
    a_suspended_machine_goes_on_with_its_containers_and_the_right_time,
    what_only_asks_leaves_a_suspended_cluster_alone,
    memory_is_used_once_and_a_machine_that_is_killed_afterwards_boots,
    a_suspended_machine_boots_when_the_image_is_newer_and_says_so,
    memory_that_was_cut_short_is_told_and_the_cluster_boots,
    a_machine_that_is_stopped_before_it_is_up_is_shut_down,
];

/// One pod's start, emulated.
const POD: Duration = Duration::from_secs(240);
/// What a port may take to answer on the host.
const APPEAR: Duration = Duration::from_secs(60);
/// How far an object's birth may be from our time: it has whole seconds, and a busy host is late.
const CLOCK: u64 = 3;
/// The time that passes while it is suspended: much more than the difference that is allowed.
const AWAY: Duration = Duration::from_secs(15);
/// Where the pod's Service is.
const DOOR: u16 = 30231;

/// A Deployment whose probes would end a container that cannot answer for two seconds, and its Service.
const PODS: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - name: web
        image: shop.local/tools:v1
        command: [sh, -c, 'mkdir /www && echo rock > /www/index.html && exec httpd -f -p 8080 -h /www']
        readinessProbe: {tcpSocket: {port: 8080}, periodSeconds: 1, failureThreshold: 2}
        livenessProbe: {tcpSocket: {port: 8080}, periodSeconds: 5, failureThreshold: 2}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {type: NodePort, selector: {app: web}, ports: [{port: 80, targetPort: 8080, nodePort: 30231}]}
";

/// A pod that says what it finds on the disk and then writes it.
const WRITER: &str = "
apiVersion: v1
kind: Pod
metadata: {name: writer}
spec:
  terminationGracePeriodSeconds: 1
  volumes: [{name: data, hostPath: {path: /data/writer, type: DirectoryOrCreate}}]
  containers:
  - name: writer
    image: shop.local/tools:v1
    command: [sh, -c, 'cat /d/file; echo written before > /d/file && sleep infinity']
    volumeMounts: [{name: data, mountPath: /d}]
    readinessProbe: {exec: {command: [test, -s, /d/file]}, periodSeconds: 1}
";

fn door() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, DOOR).into()
}

fn serves() {
    promptly("the Service answers", APPEAR, || get(door(), "/").is_ok_and(|reply| reply.body == "rock"));
}

/// Identity, container and restarts of each pod.
fn pods(machine: &Machine) -> String {
    let one = "{.metadata.uid} {.status.containerStatuses[0].containerID} {.status.containerStatuses[0].restartCount}";
    machine.kubectl(&["get", "pods", "-o", &format!("jsonpath={{range .items[*]}}{one} {{end}}")])
}

/// Stops it, which keeps its memory.
fn suspend(machine: &Machine) -> Duration {
    let began = Instant::now();
    let told: Value = serde_json::from_str(&machine.tell(&["stop"])).expect("an answer in JSON");
    assert!(told["saved_bytes"].as_u64().is_some_and(|bytes| bytes > 50 << 20), "{told}");
    began.elapsed()
}

/// The difference of an object's birth, which is the machine's time, to ours.
fn difference(machine: &Machine, name: &str) -> u64 {
    machine.kubectl(&["create", "configmap", name]);
    let born = machine.value("default", &format!("configmap/{name}"), "{.metadata.creationTimestamp}");
    let born: jiff::Timestamp = born.parse().expect("a time");
    let ours = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later than 1970").as_secs();
    u64::try_from(born.as_second()).expect("later than 1970").abs_diff(ours)
}

fn a_suspended_machine_goes_on_with_its_containers_and_the_right_time(machine: &Machine) {
    machine.load_images();
    machine.kubectl_given(POD, &["apply", "-f", "-"], PODS);
    machine.kubectl_within(POD, &["wait", "--for=condition=Available", "deployment/web", "--timeout=230s"]);
    serves();
    let before = pods(machine);
    let ready = machine.value("", "node/skerry", "{.status.conditions[?(@.type=='Ready')].lastTransitionTime}");
    let left = suspend(machine);
    assert!(TcpStream::connect(door()).is_err(), "its ports are nobody's while it is suspended");
    // The time must pass: it is what the machine does not see.
    std::thread::sleep(AWAY);
    let began = Instant::now();
    let told = machine.start();
    println!("suspended after {:.1} s, back after {:.1} s", left.as_secs_f64(), began.elapsed().as_secs_f64());
    assert_eq!(told["resumed"], true, "{told}");
    assert!(difference(machine, "after") <= CLOCK, "{}", machine.console());
    assert!(machine.console().contains("the wall clock was"), "{}", machine.console());
    serves();
    // Watches go on: what is new becomes a pod that runs.
    machine.kubectl(&["scale", "deployment/web", "--replicas=2"]);
    eventually("another pod serves, too", POD, || {
        let count = machine.value("default", "deployment/web", "{.status.readyReplicas}");
        if count == "2" { Ok(()) } else { Err(count) }
    });
    let after = pods(machine);
    assert!(before.split(' ').all(|word| after.contains(word)), "{before} became {after}");
    let still = machine.value("", "node/skerry", "{.status.conditions[?(@.type=='Ready')].lastTransitionTime}");
    assert_eq!(still, ready, "the node was not ready in between");
    machine.kubectl(&["scale", "deployment/web", "--replicas=1"]);
}

fn what_only_asks_leaves_a_suspended_cluster_alone(machine: &Machine) {
    machine.tell(&["suspend"]);
    let status = machine.try_status();
    assert_eq!(status.code, Some(4), "{}", status.out);
    assert!(status.out.contains("is stopped, with its memory kept"), "{}", status.out);
    let list = machine.ask(&["list"]);
    let states: Vec<&Value> =
        list.as_array().into_iter().flatten().filter(|line| line["cluster"] == "suspend").collect();
    assert_eq!((&states[0]["state"], &states[0]["memory_kept"]), (&json!("stopped"), &json!(true)), "{list}");
    machine.tell(&["stop"]);
    machine.tell(&["suspend"]);
    assert_eq!(machine.start()["resumed"], true);
    assert_eq!(machine.start()["resumed"], false, "one that runs is found");
}

fn memory_is_used_once_and_a_machine_that_is_killed_afterwards_boots(machine: &Machine) {
    suspend(machine);
    assert_eq!(machine.start()["resumed"], true);
    machine.kubectl(&["create", "configmap", "acknowledged"]);
    machine.cut_power();
    assert_eq!(machine.start()["resumed"], false);
    assert_eq!(machine.value("default", "configmap/acknowledged", "{.metadata.name}"), "acknowledged");
    // Whoever watches over a machine that went on can be replaced like any other.
    suspend(machine);
    machine.start();
    machine.kill_supervisor();
    serves();
    assert_eq!(machine.status()["state"], "ready");
    // The boots that follow need not wait for it.
    machine.kubectl(&["delete", "deployment/web", "service/web"]);
}

fn a_suspended_machine_boots_when_the_image_is_newer_and_says_so(machine: &Machine) {
    machine.kubectl(&["create", "configmap", "lasting"]);
    machine.kubectl_given(POD, &["apply", "-f", "-"], WRITER);
    machine.kubectl_within(POD, &["wait", "--for=condition=Ready", "pod/writer", "--timeout=230s"]);
    let newer = newer_image(machine);
    suspend(machine);
    let outcome = machine.try_start(&["--image", newer.to_str().expect("a path of letters")]);
    assert!(outcome.is_good(), "{}{}", outcome.out, outcome.err);
    assert!(
        outcome.err.contains("cannot be used (the image is another one now): the cluster boots"),
        "{}",
        outcome.err
    );
    assert!(outcome.out.contains("\"resumed\":false"), "{}", outcome.out);
    assert_eq!(machine.value("default", "configmap/lasting", "{.metadata.name}"), "lasting");
    // What a pod has written a moment before is on the disk, though nobody synced it but the stop.
    eventually("the file is there", POD, || {
        let said = machine.try_kubectl(&["logs", "writer"]);
        if said.out.contains("written before") { Ok(()) } else { Err(said.out + &said.err) }
    });
    machine.kubectl(&["delete", "pod", "writer", "--grace-period=1", "--wait=false"]);
}

/// The same image with another checksum of its root.
fn newer_image(machine: &Machine) -> PathBuf {
    let (from, room) = (machine.image(), machine.room());
    for name in ["bzImage", "root.qcow2"] {
        symlink(from.join(name), room.join(name)).expect("a link");
    }
    let text = std::fs::read(from.join("manifest.json")).expect("a manifest");
    let mut manifest: Value = serde_json::from_slice(&text).expect("JSON");
    manifest["files"]["root.qcow2"]["sha256"] = "0".repeat(64).into();
    std::fs::write(room.join("manifest.json"), manifest.to_string()).expect("a file");
    room
}

fn memory_that_was_cut_short_is_told_and_the_cluster_boots(machine: &Machine) {
    suspend(machine);
    let memory = machine.state_disk().with_file_name("memory.saved");
    let file = std::fs::File::options().write(true).open(&memory).expect("the memory");
    file.set_len(file.metadata().expect("a size").len() / 2).expect("a shorter file");
    let outcome = machine.try_start(&[]);
    assert!(outcome.is_good(), "{}{}", outcome.out, outcome.err);
    assert!(outcome.err.contains("the memory that was kept cannot be used"), "{}", outcome.err);
    assert!(!memory.exists());
    assert_eq!(machine.value("default", "configmap/lasting", "{.metadata.name}"), "lasting");
}

fn a_machine_that_is_stopped_before_it_is_up_is_shut_down(machine: &Machine) {
    machine.kubectl(&["create", "configmap", "staying"]);
    machine.stop();
    let outcome = machine.try_start(&["--wait", "none"]);
    assert!(outcome.is_good(), "{}{}", outcome.out, outcome.err);
    // Nobody in it listens to its button yet.
    let told = machine.tell(&["stop"]);
    assert!(told.contains("\"saved_bytes\":0"), "{told}");
    let status = machine.try_status();
    assert!(status.out.contains("powered off"), "{}", status.out);
    machine.start();
    assert_eq!(machine.value("default", "configmap/staying", "{.metadata.name}"), "staying");
}
