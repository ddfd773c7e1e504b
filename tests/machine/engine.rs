//! Pods by another engine than containerd: CRI-O, which a container of Docker brings onto the machine. `scripts/crio`
//! builds it and runs this.

use crate::harness::registry::{Registry, USER};
use crate::harness::{Docker, Machine, eventually, target};
use crate::runner::{Step, steps};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

/// In this order: the first one starts the engine, the last ones start things anew.
pub const STEPS: &[Step] = steps![
    the_node_is_ready_once_its_engine_is_there,
    init_containers_go_first_and_logs_are_read,
    containers_have_their_limits,
    commands_run_and_their_codes_come_back,
    ports_and_services_lead_to_the_pod,
    ends_are_told_with_their_reasons,
    images_are_pulled_by_policy_and_secret,
    usage_is_measured,
    a_failed_probe_restarts_one_container,
    the_death_of_node_restarts_no_container,
    the_death_of_the_engine_restarts_no_container,
    unused_images_go_when_the_disk_fills,
    a_pod_is_deleted_with_grace,
    the_machine_remembers_its_engine,
];

/// The machine waits with nothing: its engine comes later.
pub const ARGUMENTS: &[&str] = &["--runtime", "/run/crio/crio.sock"];

/// One pod's way, with its image, emulated.
const POD: Duration = Duration::from_secs(240);
/// What is answered at once, emulated.
const SOON: Duration = Duration::from_secs(60);
/// What runs on the machine beside the engine: Docker's containers are containerd's.
const TOOLS: &str = "shop.local/tools:v1";
/// An image of which the one above is a part.
const SPARE: &str = "shop.local/store:v1";
/// Between two looks of the kubelet at the disk of another engine's images, with some room.
const COLLECTION: Duration = Duration::from_secs(400);

/// One image each: what most pods are of, what one pod is of, and the engine's sandbox image.
struct Registries {
    tools: Registry,
    spare: Registry,
    pause: Registry,
}

/// They end with the program.
fn registries(machine: &Machine) -> &'static Registries {
    static ALL: OnceLock<Registries> = OnceLock::new();
    ALL.get_or_init(|| {
        let pause = machine.folder("engine").join("pause.tar");
        let pause_text = pause.to_str().expect("a path of letters");
        machine.tell(&["image", "save", "skerry.local/pause:1", pause_text]);
        let serve = |archive: &Path| Registry::serve(archive).expect("a registry");
        Registries {
            tools: serve(&machine.archive(TOOLS)),
            spare: serve(&machine.archive(SPARE)),
            pause: serve(&pause),
        }
    })
}

/// A registry as the machine sees it.
fn server(registry: &Registry) -> String {
    format!("host.skerry.internal:{}", registry.port)
}

/// The pods, with the registries that serve.
fn pods(machine: &Machine) -> String {
    let Registries { tools, spare, .. } = registries(machine);
    include_str!("engine/pods.yaml").replace("@server@", &server(tools)).replace("@spare@", &server(spare))
}

/// Writes what the engine is told into a folder beside its programs.
fn settings(machine: &Machine, folder: &Path) {
    let Registries { tools, spare, pause } = registries(machine);
    let server = server(pause);
    let word = STANDARD.encode(format!("{}:{}", USER.0, USER.1));
    let conf = include_str!("engine/crio.conf").replace("@pause@", &format!("{server}/rock/pause:1"));
    let files = [
        ("crio.conf", conf),
        ("auth.json", serde_json::json!({"auths": {server: {"auth": word}}}).to_string()),
        ("policy.json", r#"{"default":[{"type":"insecureAcceptAnything"}]}"#.to_owned()),
        ("authorities.pem", [tools, spare, pause].map(|registry| registry.authority.as_str()).concat()),
        ("run.sh", include_str!("engine/run.sh").to_owned()),
    ];
    for (name, text) in files {
        std::fs::write(folder.join(name), text).expect("a file");
    }
}

fn the_node_is_ready_once_its_engine_is_there(machine: &Machine) {
    let programs = target().join("crio");
    assert!(programs.join("crio").exists(), "{} is empty: scripts/crio fills it", programs.display());
    assert_eq!(machine.kubectl(&["get", "nodes", "-o", "name"]), "", "a node without an engine");
    machine.load(&[*tests::images::catalog::image(TOOLS).expect("an image of the catalogue")]);
    let room = machine.room();
    settings(machine, &room);
    let docker = Docker::of(machine);
    let rights = ["--privileged", "--pid=host", "--cgroupns=host", "--network=host", "-v", "/opt:/opt"];
    docker.run(&[&["create", "--name", "crio"], &rights[..], &[TOOLS, "sh", "/crio/run.sh"]].concat());
    for from in [&programs, &room] {
        docker.run(&["cp", &format!("{}/.", from.display()), "crio:/crio"]);
    }
    docker.run(&["start", "crio"]);
    is_ready(machine, &docker);
    let version =
        machine.kubectl(&["get", "nodes", "-o", "jsonpath={.items[*].status.nodeInfo.containerRuntimeVersion}"]);
    assert!(version.starts_with("cri-o://"), "{version}");
    let password = format!("--docker-password={}", USER.1);
    let user = format!("--docker-username={}", USER.0);
    let Registries { tools, spare, .. } = registries(machine);
    for (secret, registry) in [("puller", tools), ("spare", spare)] {
        let server = format!("--docker-server={}", server(registry));
        machine.kubectl(&["create", "secret", "docker-registry", secret, &server, &user, &password]);
    }
    machine.kubectl_given(POD, &["apply", "-f", "-"], &pods(machine));
}

/// Until the node is Ready; shows what the engine said if it never is.
fn is_ready(machine: &Machine, docker: &Docker) {
    eventually("the node is ready with its engine", POD, || {
        let ready = machine.status()["state"] == "ready";
        let said = || docker.attempt(&["logs", "--tail", "5", "crio"]);
        if ready { Ok(()) } else { Err(format!("{:?}", said())) }
    });
    machine.kubectl_within(POD, &["wait", "--for=condition=Ready", "node", "--all", "--timeout=230s"]);
}

fn web_is_ready(machine: &Machine) {
    machine.kubectl_within(POD, &["wait", "--for=condition=Ready", "pod/web", "--timeout=230s"]);
}

fn init_containers_go_first_and_logs_are_read(machine: &Machine) {
    web_is_ready(machine);
    let first = "{.status.initContainerStatuses[0].state.terminated.reason}";
    assert_eq!(machine.value("default", "pod/web", first), "Completed");
    assert_eq!(machine.kubectl(&["logs", "web", "-c", "web"]), "began with rock\n");
    let stamped = machine.kubectl(&["logs", "web", "-c", "web", "--timestamps", "--tail=1"]);
    assert!(stamped.ends_with("Z began with rock\n") || stamped.contains("+00:00 began with rock"), "{stamped}");
    let id = machine.value("default", "pod/web", "{.status.containerStatuses[0].containerID}");
    assert!(id.starts_with("cri-o://"), "{id}");
}

fn in_web(machine: &Machine, script: &str) -> String {
    machine.kubectl(&["exec", "web", "-c", "web", "--", "sh", "-c", script])
}

fn containers_have_their_limits(machine: &Machine) {
    web_is_ready(machine);
    let limits = in_web(machine, "cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/cpu.max");
    assert_eq!(limits, format!("{}\n50000 100000\n", 32 << 20));
}

fn commands_run_and_their_codes_come_back(machine: &Machine) {
    web_is_ready(machine);
    let outcome =
        machine.try_kubectl(&["exec", "web", "-c", "web", "--", "sh", "-c", "echo out; echo err >&2; exit 4"]);
    assert_eq!((outcome.code, outcome.out.as_str()), (Some(4), "out\n"), "{}", outcome.err);
    assert!(outcome.err.starts_with("err\n"), "{}", outcome.err);
    assert_eq!(machine.kubectl_given(SOON, &["exec", "-i", "web", "-c", "web", "--", "cat"], "typed\n"), "typed\n");
    let mut terminal = machine.kubectl_terminal(&["exec", "-it", "web", "-c", "web", "--", "sh"]);
    terminal.shows("#", SOON);
    terminal.types("stty size");
    terminal.shows("41 107", SOON);
    terminal.types("exit 7");
    assert_eq!(terminal.ends(SOON), Some(7));
}

fn ports_and_services_lead_to_the_pod(machine: &Machine) {
    web_is_ready(machine);
    let forward = machine.kubectl_stream(&["port-forward", "pod/web", ":8080"]);
    let line = forward.line_with("Forwarding from 127.0.0.1:", SOON);
    let port = line.split([':', ' ']).find_map(|word| word.parse::<u16>().ok()).expect("a port in the line");
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("the forwarded port");
    stream.set_read_timeout(Some(SOON)).expect("a limit");
    stream.write_all(b"GET /word HTTP/1.0\r\n\r\n").expect("a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("rock\n"), "{answer}");
    let asked = [
        "exec",
        "web",
        "-c",
        "busy",
        "--",
        "wget",
        "-q",
        "-T",
        "20",
        "-O",
        "-",
        "http://web.default.svc.cluster.local/word",
    ];
    assert_eq!(machine.kubectl(&asked), "rock\n");
}

fn ends_are_told_with_their_reasons(machine: &Machine) {
    let of = |pod: &str, path: &str| machine.value("default", &format!("pod/{pod}"), path);
    eventually("the greedy one is ended", POD, || {
        let reason = of("greedy", "{.status.containerStatuses[0].state.terminated.reason}");
        if reason == "OOMKilled" { Ok(()) } else { Err(reason) }
    });
    let last = "{.status.containerStatuses[0].lastState.terminated";
    eventually("the failing one is started again", POD, || {
        let told = of("failing", &format!("{last}.exitCode}} {last}.reason}} {last}.message}}"));
        if told.trim_end() == "3 Error last words" { Ok(()) } else { Err(told) }
    });
    machine.kubectl_within(POD, &["delete", "pod", "greedy", "failing", "--timeout=230s"]);
}

fn images_are_pulled_by_policy_and_secret(machine: &Machine) {
    let waits = "{.status.containerStatuses[0].state.waiting.reason}";
    eventually("the absent image is not pulled", POD, || {
        let reason = machine.value("default", "pod/absent", waits);
        if reason == "ErrImageNeverPull" { Ok(()) } else { Err(reason) }
    });
    eventually("who has no secret is refused", POD, || {
        let reason = machine.value("default", "pod/stranger", waits);
        if ["ErrImagePull", "ImagePullBackOff"].contains(&reason.as_str()) { Ok(()) } else { Err(reason) }
    });
    for image in images(machine) {
        eventually("the node names the image", POD, || {
            let names = names_of_images(machine);
            if names.contains(&image) { Ok(()) } else { Err(names) }
        });
    }
    let (id, text) = ("{.status.containerStatuses[0].imageID}", "rock/tools@sha256:");
    assert!(machine.value("default", "pod/web", id).contains(text));
    machine.kubectl_within(POD, &["delete", "pod", "absent", "stranger", "spare", "--timeout=230s"]);
}

/// What the pods run, and what only `spare` does.
fn images(machine: &Machine) -> [String; 2] {
    let Registries { tools, spare, .. } = registries(machine);
    [format!("{}/rock/tools:v1", server(tools)), format!("{}/rock/store:v1", server(spare))]
}

fn names_of_images(machine: &Machine) -> String {
    machine.kubectl(&["get", "nodes", "-o", "jsonpath={.items[*].status.images[*].names}"])
}

fn usage_is_measured(machine: &Machine) {
    web_is_ready(machine);
    eventually("the busy container is measured", POD, || {
        let rows = machine.kubectl(&["top", "pod", "web", "--containers", "--no-headers"]);
        let busy =
            rows.lines().map(|row| row.split_whitespace().collect::<Vec<_>>()).find(|row| row.get(1) == Some(&"busy"));
        let milli = busy.and_then(|row| row.get(2)?.strip_suffix('m')?.parse::<u32>().ok());
        if milli.is_some_and(|milli| (50..=400).contains(&milli)) { Ok(()) } else { Err(rows) }
    });
}

/// Every container of the pod: identity, restarts, time of start.
fn containers(machine: &Machine) -> String {
    machine.value(
        "default",
        "pod/web",
        "{range .status.containerStatuses[*]}{.containerID} {.restartCount} {.state} {end}",
    )
}

fn a_failed_probe_restarts_one_container(machine: &Machine) {
    web_is_ready(machine);
    in_web(machine, "rm /data/alive");
    eventually("the container is started again, and only that", POD, || {
        let counts = machine.value("default", "pod/web", "{.status.containerStatuses[*].restartCount}");
        if counts == "0 1" { Ok(()) } else { Err(counts) }
    });
    web_is_ready(machine);
    assert!(machine.kubectl(&["logs", "web", "-c", "web", "--previous"]).contains("farewell"));
}

/// Ends a program of the machine without warning.
fn kill(docker: &Docker, program: &str) {
    let script = format!("kill -9 $(pidof {program})");
    docker.run(&["run", "--rm", "--privileged", "--pid=host", TOOLS, "sh", "-c", &script]);
}

fn the_death_of_node_restarts_no_container(machine: &Machine) {
    web_is_ready(machine);
    let (docker, before) = (Docker::of(machine), containers(machine));
    // Its own way to us goes with it, so it is ended from within.
    docker.attempt(&[
        "run",
        "-d",
        "--rm",
        "--privileged",
        "--pid=host",
        TOOLS,
        "sh",
        "-c",
        "sleep 2; kill -9 $(pidof node)",
    ]);
    let restarts = || machine.try_kubectl(&["get", "--raw", "/skerry/v1/logs"]).out;
    eventually("node is started again", POD, || {
        let text = restarts();
        let services: serde_json::Value = serde_json::from_str(&text).map_err(|error| format!("{error}: {text}"))?;
        if services["services"]["node"]["restarts"].as_u64() > Some(0) { Ok(()) } else { Err(text) }
    });
    serves_the_same(machine, &before);
}

/// The pod is served again, by the very containers that it had.
fn serves_the_same(machine: &Machine, before: &str) {
    eventually("it serves the pod", POD, || {
        let asked = machine.try_kubectl(&["exec", "web", "-c", "web", "--", "cat", "/data/word"]);
        if asked.out == "rock\n" { Ok(()) } else { Err(asked.err) }
    });
    web_is_ready(machine);
    assert_eq!(containers(machine), before);
}

fn the_death_of_the_engine_restarts_no_container(machine: &Machine) {
    web_is_ready(machine);
    let (docker, before) = (Docker::of(machine), containers(machine));
    kill(&docker, "crio");
    eventually("its container ends", SOON, || {
        let state = docker.run(&["inspect", "--format", "{{.State.Running}}", "crio"]);
        if state.trim() == "false" { Ok(()) } else { Err(state) }
    });
    eventually("the node is not Ready", POD, || {
        let path = "jsonpath={.items[*].status.conditions[?(@.type=='Ready')].status}";
        let ready = machine.kubectl(&["get", "nodes", "-o", path]);
        if ready == "False" { Ok(()) } else { Err(ready) }
    });
    // From here on it tells of events, which by its own default it does not.
    let tell = "s/enable_pod_events = false/enable_pod_events = true/";
    docker.run(&["run", "--rm", "-v", "/opt:/opt", TOOLS, "sed", "-i", tell, "/opt/crio/crio.conf"]);
    docker.run(&["start", "crio"]);
    is_ready(machine, &docker);
    serves_the_same(machine, &before);
}

fn unused_images_go_when_the_disk_fills(machine: &Machine) {
    web_is_ready(machine);
    let [used, unused] = images(machine);
    assert!(names_of_images(machine).contains(&unused));
    let docker = Docker::of(machine);
    let on_disk = |script: &str| docker.run(&["run", "--rm", "-v", "/opt:/opt", TOOLS, "sh", "-c", script]);
    // Nine tenths of it, of which nothing is written on this host.
    let fill =
        "busybox df -k /opt | awk 'END {print int($2 * 0.9 - $3)}' | xargs -I{} busybox fallocate -l {}k /opt/ballast";
    on_disk(fill);
    eventually("what no container uses is gone", COLLECTION, || {
        let names = names_of_images(machine);
        if names.contains(&unused) { Err(names) } else { Ok(()) }
    });
    let names = names_of_images(machine);
    assert!(names.contains(&used), "{names}");
    on_disk("rm /opt/ballast");
    // The layer that both had is whole.
    assert_eq!(in_web(machine, "busybox echo here"), "here\n");
}

fn a_pod_is_deleted_with_grace(machine: &Machine) {
    web_is_ready(machine);
    let logs = machine.kubectl_stream(&["logs", "-f", "web", "-c", "web"]);
    logs.line_with("began with rock", SOON);
    machine.kubectl_within(POD, &["delete", "pod", "web", "--wait=false"]);
    logs.line_with("farewell", SOON);
    eventually("it is gone, before its grace is over or soon after", POD, || {
        let left = machine.kubectl(&["get", "pods", "-o", "name"]);
        if left.is_empty() { Ok(()) } else { Err(left) }
    });
}

fn the_machine_remembers_its_engine(machine: &Machine) {
    let pods = pods(machine);
    let web: Vec<&str> = pods.split("---\n").take(1).collect();
    machine.kubectl_given(POD, &["apply", "-f", "-"], web[0]);
    web_is_ready(machine);
    machine.stop();
    machine.start();
    // Docker sleeps until somebody calls; this call starts it, and it the engine.
    let docker = Docker::of(machine);
    docker.run(&["start", "crio"]);
    is_ready(machine, &docker);
    eventually("the pod runs again", POD, || {
        let counts = machine.value(
            "default",
            "pod/web",
            "{.status.containerStatuses[*].restartCount} {.status.containerStatuses[*].ready}",
        );
        if counts == "1 1 true true" { Ok(()) } else { Err(counts) }
    });
    assert_eq!(in_web(machine, "cat /data/word"), "rock\n");
}
