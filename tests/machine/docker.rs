//! Docker without a registry: built by the host's client, run as a pod at once, and neither side takes what the other
//! needs. One machine, whose Docker sleeps again after a short time.

use crate::harness::{Docker, Machine, Page, eventually};
use crate::runner::{Step, steps};
use crate::shop;
use std::path::Path;
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use tests::sockets::listeners;

/// In this order: Docker sleeps at first and after everything, and then the power goes.
pub const STEPS: &[Step] = steps![
    docker_sleeps_and_nothing_listens_until_it_is_asked_for,
    the_first_call_wakes_docker,
    a_client_without_a_certificate_of_the_cluster_is_told_so,
    an_image_of_the_classic_builder_runs_as_a_pod,
    an_image_of_buildkit_runs_as_a_pod,
    the_client_from_pypi_builds_and_runs,
    an_image_is_built_without_a_client,
    an_image_is_saved_named_and_loaded_again,
    an_image_comes_in_the_same_by_the_disk_and_over_the_network,
    a_container_publishes_a_port,
    services_of_compose_find_each_other,
    foreign_rows_are_not_shown,
    a_prune_leaves_what_pods_use,
    an_image_in_use_is_not_removed_by_either_side,
    layers_are_there_once,
    docker_sleeps_again_and_its_memory_is_free,
    a_build_that_the_power_cut_short_goes_on_from_whole_layers,
];

/// The machine's settings.
pub const ARGUMENTS: &[&str] = &["--append", "skerry.docker.idle=40"];

/// A pod of an image that is there, emulated.
const POD: Duration = Duration::from_secs(300);
/// Three times the time after which Docker sleeps, and then some for an emulated dockerd to end.
const ASLEEP: Duration = Duration::from_secs(240);
const PORT: u16 = 2376;

fn folder(name: &str) -> String {
    format!("{}/machine/docker/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// The client, made by the first step that needs it.
fn docker(machine: &Machine) -> &'static Docker {
    static DOCKER: OnceLock<Docker> = OnceLock::new();
    DOCKER.get_or_init(|| Docker::of(machine))
}

/// What a build's steps ask this host for.
fn page() -> &'static str {
    static PAGE: OnceLock<Page> = OnceLock::new();
    static ADDRESS: OnceLock<String> = OnceLock::new();
    let page = PAGE.get_or_init(|| Page::serve("a page of the host\n"));
    ADDRESS.get_or_init(|| format!("PAGE=http://host.skerry.internal:{}/", page.port()))
}

fn state(machine: &Machine) -> serde_json::Value {
    let text = machine.kubectl(&["get", "--raw", "/skerry/v1/logs"]);
    let services: serde_json::Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let found = services["services"].get("docker").or_else(|| services.get("docker")).cloned();
    found.unwrap_or_else(|| panic!("no docker among {text}"))
}

fn on_machine(machine: &Machine, script: &str) -> String {
    shop::wrench(machine);
    machine.kubectl(&["exec", "-n", "kube-system", "wrench", "--", "sh", "-c", script])
}

fn listens(machine: &Machine) -> bool {
    let text = on_machine(machine, "cat /proc/1/net/tcp /proc/1/net/tcp6 | grep -v local_address");
    let found = listeners("tcp", &format!("head\n{text}")).unwrap_or_default();
    found.iter().any(|listener| listener.port == PORT)
}

fn docker_sleeps_and_nothing_listens_until_it_is_asked_for(machine: &Machine) {
    assert_eq!(state(machine)["state"], "sleeping");
    assert!(!listens(machine), "Docker's port is open and nobody asked for it");
}

fn the_first_call_wakes_docker(machine: &Machine) {
    let docker = docker(machine);
    let began = Instant::now();
    let version = docker.run(&["version", "--format", "{{.Server.Version}}"]);
    println!("docker answers {:.1} s after the first call: {}", began.elapsed().as_secs_f64(), version.trim());
    assert_eq!(state(machine)["state"], "running");
    assert!(listens(machine));
    let began = Instant::now();
    docker.run(&["version"]);
    println!("and {:.1} s after the second", began.elapsed().as_secs_f64());
}

fn a_client_without_a_certificate_of_the_cluster_is_told_so(machine: &Machine) {
    let docker = docker(machine);
    let folder = machine.folder("docker-foreign");
    let own = Path::new(docker.variable("DOCKER_CERT_PATH"));
    let key = rcgen::KeyPair::generate().expect("a key");
    let mut foreign = rcgen::CertificateParams::new(Vec::new()).expect("parameters");
    foreign.distinguished_name.push(rcgen::DnType::OrganizationName, "system:masters");
    let certificate = foreign.self_signed(&key).expect("a certificate");
    std::fs::copy(own.join("ca.pem"), folder.join("ca.pem")).expect("a copy");
    std::fs::write(folder.join("cert.pem"), certificate.pem()).expect("a file");
    std::fs::write(folder.join("key.pem"), key.serialize_pem()).expect("a file");
    let refused = docker.with_certificates(&folder).attempt(&["ps"]);
    assert!(!refused.is_good());
    assert!(refused.err.contains("not one of this cluster"), "{}", refused.err);
    assert!(refused.err.contains("docker-env"), "{}", refused.err);
}

/// A pod of this image that never pulls; once it runs, what it says.
fn pod(machine: &Machine, name: &str, image: &str, policy: &str) -> String {
    let policy = format!("--image-pull-policy={policy}");
    machine.kubectl(&["run", name, &format!("--image={image}"), &policy, "--restart=Never"]);
    machine.kubectl_within(POD, &["wait", "--for=condition=Ready", &format!("pod/{name}"), "--timeout=290s"]);
    machine.kubectl(&["logs", name])
}

fn builds(machine: &Machine, builder: &str, image: &str, policy: &str) {
    machine.load_images();
    let docker = docker(machine);
    let context = folder("context");
    let arguments = ["build", "--build-arg", page(), "-t", image, &context];
    let told = docker.run_with(&[("DOCKER_BUILDKIT", builder), ("BUILDKIT_PROGRESS", "plain")], &arguments);
    assert!(told.contains("a page of the host"), "a step has no network: {told}");
    let built = Instant::now();
    let name = image.replace([':', '.', '/'], "-");
    assert_eq!(pod(machine, &name, image, policy), "made in the machine\na page of the host\n");
    println!("the pod runs {:.1} s after the build", built.elapsed().as_secs_f64());
}

fn an_image_of_the_classic_builder_runs_as_a_pod(machine: &Machine) {
    builds(machine, "0", "classic:v1", "IfNotPresent");
}

fn an_image_of_buildkit_runs_as_a_pod(machine: &Machine) {
    builds(machine, "1", "buildkit:v1", "Never");
}

fn the_client_from_pypi_builds_and_runs(machine: &Machine) {
    machine.load_images();
    let docker = docker(machine);
    let said = docker.python(&folder("client.py"), &[&folder("context"), &page()["PAGE=".len()..]]);
    assert_eq!(said, "made in the machine\na page of the host\n");
    assert_eq!(pod(machine, "python-v1", "python:v1", "Never"), said);
}

fn an_image_is_built_without_a_client(machine: &Machine) {
    machine.load_images();
    let context = folder("context");
    let text = machine.tell(&["image", "build", &context, "-t", "skerry:v1", "--build-arg", page()]);
    assert!(text.contains("sha256:"), "{text}");
    assert_eq!(pod(machine, "skerry-v1", "skerry:v1", "Never"), "made in the machine\na page of the host\n");
    let failed = machine.attempt(&["image", "build", &context, "--build-arg", "PAGE=http://127.0.0.1:1/"]);
    assert_eq!(failed.code, Some(7), "{}{}", failed.out, failed.err);
    assert!(failed.out.contains("the build failed"), "{}", failed.out);
}

fn an_image_is_saved_named_and_loaded_again(machine: &Machine) {
    machine.load_images();
    let archive = machine.folder("docker-saved").join("tools.tar");
    let archive = archive.to_str().expect("a path of letters");
    machine.tell(&["image", "tag", "shop.local/tools:v1", "second/name:v2"]);
    machine.tell(&["image", "save", "second/name:v2", archive]);
    machine.tell(&["image", "rm", "second/name:v2"]);
    let gone = machine.attempt(&["image", "save", "second/name:v2", archive]);
    assert_eq!(gone.code, Some(7), "{}", gone.out);
    let loaded = machine.tell(&["image", "load", archive]);
    assert!(loaded.contains("docker.io/second/name:v2"), "{loaded}");
    assert!(docker(machine).run(&["images", "-q", "second/name:v2"]).len() > 10);
    machine.tell(&["image", "rm", "second/name:v2"]);
    let unpulled = machine.attempt(&["image", "pull", "127.0.0.1:1/none:v1"]);
    assert_eq!(unpulled.code, Some(7), "{}", unpulled.out);
    assert!(unpulled.out.contains("127.0.0.1:1/none:v1"), "{}", unpulled.out);
}

/// The bytes of a layer that fills the window more than once.
const TWO_WINDOWS: usize = 20 << 20;

fn an_image_comes_in_the_same_by_the_disk_and_over_the_network(machine: &Machine) {
    machine.load_images();
    let docker = docker(machine);
    let context = machine.folder("docker-moved");
    let recipe =
        "FROM shop.local/tools:v1\nRUN mkdir /left && touch /left/over\nRUN rm /left/over\nCOPY noise /noise\n";
    std::fs::write(context.join("Dockerfile"), recipe).expect("a file");
    std::fs::write(context.join(".dockerignore"), "*.tar\n").expect("a file");
    std::fs::write(context.join("noise"), noise(TWO_WINDOWS)).expect("a file");
    docker.run(&["build", "-q", "-t", "moved:v1", context.to_str().expect("letters")]);
    let look = "sha256sum /noise && find /noise /left /usr -xdev -exec stat -c '%n %f %u %g %s %Y' {} +";
    let built = docker.run(&["run", "--rm", "moved:v1", "sh", "-c", look]);
    let archive = context.join("moved.tar");
    let archive = archive.to_str().expect("letters");
    machine.tell(&["image", "save", "moved:v1", archive]);
    let way = machine.state_disk().with_file_name("window.lock");
    for by in ["disk", "network"] {
        docker.run(&["builder", "prune", "-a", "-f"]);
        machine.tell(&["image", "rm", "moved:v1"]);
        // Whoever else has the window leaves only the network.
        let held = (by == "network").then(|| image::cluster::lock(&way).expect("a lock").expect("nobody else has it"));
        let loaded: serde_json::Value =
            serde_json::from_str(&machine.tell(&["image", "load", archive])).expect("an answer in JSON");
        drop(held);
        let one = &loaded["images"][0];
        assert_eq!(one["by"], by, "{loaded}");
        assert!(one["sent"].as_u64().is_some_and(|sent| sent as usize > TWO_WINDOWS), "{loaded}");
        let shown = docker.run(&["run", "--rm", "moved:v1", "sh", "-c", look]);
        assert_eq!(shown, built, "{by}");
    }
    machine.tell(&["image", "rm", "moved:v1"]);
}

fn a_container_publishes_a_port(machine: &Machine) {
    machine.load_images();
    let docker = docker(machine);
    let serve = "mkdir /www && echo published > /www/index.html && exec httpd -f -p 80 -h /www";
    let run = ["run", "-d", "--name", "web", "-p", "18080:80", "shop.local/tools:v1", "sh", "-c", serve];
    docker.run(&run);
    assert!(docker.run(&["ps", "--format", "{{.Names}} {{.Status}}"]).starts_with("web Up"));
    for address in ["127.0.0.1", "10.250.0.1"] {
        eventually("the port answers", POD, || {
            let ask = format!("wget -q -O - http://{address}:18080/ || true");
            let got = on_machine(machine, &ask);
            if got == "published\n" { Ok(()) } else { Err(got) }
        });
    }
    let asked = docker.run(&["exec", "web", "wget", "-q", "-O", "-", &page()["PAGE=".len()..]]);
    assert_eq!(asked, "a page of the host\n");
}

fn services_of_compose_find_each_other(machine: &Machine) {
    machine.load_images();
    let docker = docker(machine);
    let file = format!("{}/compose.yaml", folder("compose"));
    docker.run(&["compose", "-f", &file, "up", "-d"]);
    let code = docker.run(&["wait", "pair-asks-1"]);
    let said = docker.run(&["logs", "pair-asks-1"]);
    assert_eq!((code.trim(), said.as_str()), ("0", "hello from answers\n"));
    docker.run(&["compose", "-f", &file, "down"]);
}

fn foreign_rows_are_not_shown(machine: &Machine) {
    machine.load_images();
    shop::wrench(machine);
    let rows = docker(machine).run(&["images", "--format", "{{.Repository}}:{{.Tag}}"]);
    assert!(rows.lines().any(|row| row == "shop.local/tools:v1"), "{rows}");
    let foreign: Vec<&str> = rows.lines().filter(|row| row.starts_with("sha256:") || row.contains("pause")).collect();
    assert!(foreign.is_empty(), "{foreign:?}");
    assert!(machine.tell(&["image", "ls"]).contains("skerry.local/pause:1"));
}

fn a_prune_leaves_what_pods_use(machine: &Machine) {
    machine.load_images();
    let docker = docker(machine);
    shop::wrench(machine);
    docker.run(&["tag", "shop.local/front:v2", "unused:v1"]);
    docker.run(&["system", "prune", "-a", "-f"]);
    let left = docker.run(&["images", "--format", "{{.Repository}}:{{.Tag}}"]);
    assert!(left.lines().any(|row| row == "shop.local/tools:v1"), "a pod uses it: {left}");
    assert!(!left.contains("unused"), "{left}");
    // A pod after the prune needs its own image and the machine's.
    let run = ["run", "after", "--image=shop.local/tools:v1", "--image-pull-policy=Never", "--restart=Never"];
    machine.kubectl(&[&run[..], &["--", "sleep", "infinity"]].concat());
    machine.kubectl_within(POD, &["wait", "--for=condition=Ready", "pod/after", "--timeout=290s"]);
    machine.kubectl(&["delete", "pod", "after", "--grace-period=1", "--wait=false"]);
}

fn an_image_in_use_is_not_removed_by_either_side(machine: &Machine) {
    machine.load_images();
    let docker = docker(machine);
    shop::wrench(machine);
    let refused = docker.attempt(&["rmi", "-f", "shop.local/tools:v1"]);
    assert!(!refused.is_good() && refused.err.contains("a pod uses"), "{}{}", refused.out, refused.err);
    docker.run(&["tag", "shop.local/tools:v1", "kept:v1"]);
    docker.run(&["rmi", "kept:v1"]);
    let context = machine.folder("docker-scratch");
    std::fs::write(context.join("Dockerfile"), "FROM scratch\nCOPY file /file\nCMD [\"/file\"]\n").expect("a file");
    std::fs::write(context.join("file"), "x").expect("a file");
    docker.run(&["build", "-q", "-t", "scratch:v1", context.to_str().expect("letters")]);
    docker.run(&["create", "--name", "keeps", "scratch:v1"]);
    let refused = machine.attempt(&["image", "rm", "scratch:v1"]);
    assert_eq!(refused.code, Some(7), "{}", refused.out);
    docker.run(&["rm", "keeps"]);
    docker.run(&["rmi", "scratch:v1"]);
    assert!(!machine.tell(&["image", "ls"]).contains("scratch:v1"));
}

/// Bytes that do not compress, from a generator whose seed is a constant.
fn noise(size: usize) -> Vec<u8> {
    let mut noise = vec![0u8; size];
    let mut word = 0x9e37_79b9_7f4a_7c15_u64;
    for piece in noise.chunks_mut(8) {
        word ^= word << 13;
        word ^= word >> 7;
        word ^= word << 17;
        piece.copy_from_slice(&word.to_le_bytes()[..piece.len()]);
    }
    noise
}

fn layers_are_there_once(machine: &Machine) {
    machine.load_images();
    let docker = docker(machine);
    let context = machine.folder("docker-large");
    let size = 32 << 20;
    std::fs::write(context.join("large"), noise(size)).expect("a file");
    std::fs::write(context.join("Dockerfile"), "FROM shop.local/tools:v1\nCOPY large /large\n").expect("a file");
    docker.run(&["build", "-q", "-t", "large:v1", context.to_str().expect("letters")]);
    let used = || -> u64 {
        let text = on_machine(machine, "sync; df -k /proc/1/root/var | tail -n 1");
        text.split_whitespace().nth(2).and_then(|word| word.parse().ok()).unwrap_or_else(|| panic!("{text}"))
    };
    let built = used();
    docker.run(&["run", "--rm", "large:v1", "true"]);
    let run = ["run", "large", "--image=large:v1", "--image-pull-policy=Never", "--restart=Never", "--"];
    machine.kubectl(&[&run[..], &["sleep", "infinity"]].concat());
    machine.kubectl_within(POD, &["wait", "--for=condition=Ready", "pod/large", "--timeout=290s"]);
    let ran = used();
    println!("{built} KiB in use after the build, {ran} KiB with a container and a pod of it");
    assert!(ran < built + (size as u64 >> 10) / 2, "running it took {} KiB more", ran.saturating_sub(built));
    machine.kubectl(&["delete", "pod", "large", "--grace-period=1", "--wait=true"]);
}

fn docker_sleeps_again_and_its_memory_is_free(machine: &Machine) {
    let docker = docker(machine);
    let memory = "cat /proc/1/root/sys/fs/cgroup/system/docker/memory.current";
    docker.run(&["run", "-d", "--name", "busy", "shop.local/tools:v1", "sleep", "100"]);
    let awake: u64 = on_machine(machine, memory).trim().parse().expect("a number");
    docker.attempt(&["rm", "-f", "web"]);
    eventually("the container ends", POD, || {
        let running = on_machine(machine, "cat /proc/1/root/sys/fs/cgroup/docker/cgroup.events");
        let state = state(machine)["state"].to_string();
        assert!(!running.contains("populated 1") || state == "\"running\"", "a container runs and Docker is {state}");
        if running.contains("populated 0") { Ok(()) } else { Err(running) }
    });
    eventually("Docker sleeps", ASLEEP, || {
        let state = state(machine);
        if state["state"] == "sleeping" { Ok(()) } else { Err(state.to_string()) }
    });
    assert_eq!(state(machine)["pid"], serde_json::Value::Null);
    let asleep: u64 = on_machine(machine, memory).trim().parse().expect("a number");
    println!("Docker's memory: {} MiB awake, {} MiB asleep", awake >> 20, asleep >> 20);
    assert!(asleep < awake / 2, "{asleep} of {awake} bytes");
    assert!(docker.run(&["ps", "-a", "--format", "{{.Names}}"]).contains("busy"), "it wakes with what it knew");
}

/// BuildKit never waits for the disk when it notes what a step has made. Whether the note or the files of `COPY --link`
/// come to the disk first is the kernel's choice; here the note does.
fn a_build_that_the_power_cut_short_goes_on_from_whole_layers(machine: &Machine) {
    machine.load_images();
    shop::wrench(machine);
    let context = machine.folder("docker-cut");
    std::fs::write(context.join("noise"), noise(8 << 20)).expect("a file");
    let steps = "FROM shop.local/tools:v1\nCOPY --link noise /\nARG WAIT\nRUN sha256sum /noise && sleep $WAIT\n";
    std::fs::write(context.join("Dockerfile"), steps).expect("a file");
    let context = context.to_str().expect("a path of letters");
    let plain = [("DOCKER_BUILDKIT", "1"), ("BUILDKIT_PROGRESS", "plain")];
    // BuildKit's name for itself, which its notes bear, is on the disk since its first start.
    docker(machine).run(&["version"]);
    on_machine(machine, "sync");
    let build = docker(machine).stream(&plain, &["build", "--build-arg", "WAIT=1000", context]);
    let said = build.line_with("  /noise", POD);
    let sum = said.split_whitespace().rev().nth(1).expect("a sum and a name");
    let note = "/proc/1/root/var/lib/docker/buildkit/cache.db";
    on_machine(machine, &format!("dd if=/dev/null of={note} conv=notrunc,fsync"));
    machine.cut_power();
    drop(build);
    machine.start();
    let docker = Docker::of(machine);
    let told = docker.run_with(&plain, &["build", "--build-arg", "WAIT=0", context]);
    let copied = told.lines().find(|line| line.contains("COPY --link")).and_then(|line| line.split_whitespace().next());
    let taken = format!("{} CACHED", copied.expect("a step and its number"));
    assert!(told.contains(&taken), "the note is lost, so this shows nothing: {told}");
    assert!(told.contains(sum), "the file had the sum {sum}: {told}");
}
