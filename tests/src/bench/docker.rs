//! Docker without a registry: from the end of a build to its pod running, and what an image costs on its way in, beside
//! a plain copy of as many bytes.

use super::figures::{median, seconds};
use super::{Bench, watch};
use crate::harness::{Docker, Machine, eventually};
use crate::images::catalog;
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

/// Between what is removed to measure again and the next measurement: the engine collects it in the background, and that is
/// neither a load's work nor a copy's.
const SETTLE: Duration = Duration::from_secs(3);
/// Images built and run, one after the other.
const ROUNDS: usize = 3;
/// A pod of an image that was just built.
const RUN: Duration = Duration::from_secs(300);
/// The layer that changes, bytes.
const LAYER_BYTES: usize = 32 << 20;
/// Mark and name of the pod that takes a plain copy, and of its Service.
const COPY: &str = "bench-copy";
/// Where that pod is reached on this host.
const COPY_PORT: u16 = 30_419;
/// A plain copy, with the wait for its door.
const COPY_LIMIT: Duration = Duration::from_secs(240);
/// The plainest way onto the state disk: no TLS, no digest, no archive. It answers once all is on the disk.
const COPY_COMMAND: &str = "exec nc -ll -p 8080 -e sh -c 'cat > /copy/all; sync /copy/all; rm /copy/all; echo copied'";

pub fn measure(bench: &mut Bench) -> Result<()> {
    bench.machine().load(&[*catalog::image(watch::IMAGE).context("the tools image is in the catalogue")?]);
    let docker = Docker::of(bench.machine());
    let woken = Instant::now();
    docker.run(&["version"]);
    bench.note("the first call of Docker's client, which wakes dockerd".to_owned(), seconds(woken.elapsed()));
    let mut times = Vec::new();
    for round in 1..=ROUNDS {
        times.extend(
            bench.attempt(&format!("build and run, round {round}"), |bench| run(bench.machine(), &docker, round)),
        );
    }
    if let Some(middle) = median(&times) {
        bench.note(format!("docker build finished to its pod Running, median of {}", times.len()), seconds(middle));
    }
    let measured = bench.attempt("one changed layer", |bench| beside(bench.machine(), &docker));
    if let Some(Layer { sent, loads, copies }) = measured {
        let (load, copy) = (median(&loads).context("there are loads")?, median(&copies).context("there are copies")?);
        let rate = |took: Duration| format!("{:.1} MB/s", LAYER_BYTES as f64 / took.as_secs_f64() / 1e6);
        let what = "image load of one changed layer of 32 MiB";
        bench.note(format!("{what}: throughput, median of {}", loads.len()), rate(load));
        bench.note(
            "the same: bytes sent, by those of the layer".to_owned(),
            format!("{:.3}", sent / LAYER_BYTES as f64),
        );
        bench.note(format!("plain copy of 32 MiB onto the state disk, median of {}", copies.len()), rate(copy));
        let ratio = format!("{:.2}", load.as_secs_f64() / copy.as_secs_f64());
        bench.note("image load against a plain copy".to_owned(), ratio);
    }
    bench.touch();
    Ok(())
}

/// From the end of a build to the pod's container running, with the pod's creation.
fn run(machine: &Machine, docker: &Docker, round: usize) -> Result<Duration> {
    let context = machine.folder("docker-bench");
    write(&context, &format!("FROM {}\nCOPY round /round\n", watch::IMAGE), "round", format!("{round}").as_bytes())?;
    let (image, name) = (format!("bench:r{round}"), format!("bench-{round}"));
    docker.run(&["build", "-q", "-t", &image, path(&context)?]);
    let built = Instant::now();
    let run =
        ["run", &name, "--image", &image, "--image-pull-policy=Never", "--restart=Never", "--", "sleep", "infinity"];
    machine.kubectl(&run);
    machine.kubectl_within(
        RUN,
        &["wait", "--for=jsonpath={.status.phase}=Running", &format!("pod/{name}"), "--timeout=290s"],
    );
    let took = built.elapsed();
    machine.kubectl(&["delete", "pod", &name, "--grace-period=1", "--wait=false"]);
    Ok(took)
}

/// What one layer cost.
struct Layer {
    /// Bytes that were sent, on average.
    sent: f64,
    loads: Vec<Duration>,
    copies: Vec<Duration>,
}

/// Loads and plain copies by turns, so that both are measured under the same conditions.
fn beside(machine: &Machine, docker: &Docker) -> Result<Layer> {
    watch::create(machine, "pods", &copy_pod());
    watch::create(machine, "services", &watch::service(COPY, COPY, COPY_PORT));
    machine.kubectl_within(RUN, &["wait", "--for=condition=Ready", &format!("pod/{COPY}"), "--timeout=290s"]);
    // The first one also waits for the way to be open.
    copy(&[0]);
    let mut layer = Layer { sent: 0.0, loads: Vec::new(), copies: Vec::new() };
    for _ in 0..ROUNDS {
        let mut noise = vec![0; LAYER_BYTES];
        std::fs::File::open("/dev/urandom")?.read_exact(&mut noise)?;
        let (sent, took) = load(machine, docker, &noise)?;
        layer.sent += sent as f64 / ROUNDS as f64;
        layer.loads.push(took);
        std::thread::sleep(SETTLE);
        layer.copies.push(copy(&noise));
    }
    machine.kubectl(&["delete", "service", COPY]);
    watch::remove(machine, COPY);
    Ok(layer)
}

/// Copies these bytes onto the state disk; how long that took when it went well.
fn copy(bytes: &[u8]) -> Duration {
    let once = || -> Result<Duration> {
        let mut stream = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, COPY_PORT)))?;
        stream.set_read_timeout(Some(COPY_LIMIT))?;
        let began = Instant::now();
        stream.write_all(bytes)?;
        stream.shutdown(Shutdown::Write)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        ensure!(answer == "copied\n", "the pod answered {answer:?}");
        Ok(began.elapsed())
    };
    eventually("a plain copy", COPY_LIMIT, || once().map_err(|error| format!("{error:#}")))
}

fn copy_pod() -> Value {
    let mut pod = watch::idle_pod(COPY, COPY);
    pod["spec"]["containers"][0]["command"] = json!(["sh", "-c", COPY_COMMAND]);
    pod["spec"]["containers"][0]["volumeMounts"] = json!([{"name": "copy", "mountPath": "/copy"}]);
    pod["spec"]["volumes"] = json!([{"name": "copy", "emptyDir": {}}]);
    pod
}

/// An image whose topmost layer, with these bytes, is new to the machine: bytes sent, and how long that took.
fn load(machine: &Machine, docker: &Docker, noise: &[u8]) -> Result<(u64, Duration)> {
    let context = machine.folder("docker-bench");
    write(&context, &format!("FROM {}\nCOPY noise /noise\n", watch::IMAGE), "noise", noise)?;
    docker.run(&["build", "-q", "-t", "bench:large", path(&context)?]);
    let archive = context.join("large.tar");
    machine.tell(&["image", "save", "bench:large", path(&archive)?]);
    docker.run(&["builder", "prune", "-a", "-f"]);
    machine.tell(&["image", "rm", "bench:large"]);
    std::thread::sleep(SETTLE);
    let began = Instant::now();
    let text = machine.tell(&["image", "load", path(&archive)?]);
    let took = began.elapsed();
    machine.tell(&["image", "rm", "bench:large"]);
    std::fs::remove_file(&archive)?;
    let loaded: Value = serde_json::from_str(&text).context("reading what was loaded")?;
    Ok((loaded["images"][0]["sent"].as_u64().context("the bytes that were sent")?, took))
}

fn write(context: &Path, dockerfile: &str, name: &str, content: &[u8]) -> Result<()> {
    std::fs::write(context.join("Dockerfile"), dockerfile)?;
    std::fs::write(context.join(".dockerignore"), "*.tar\n")?;
    std::fs::write(context.join(name), content).with_context(|| format!("writing {name}"))
}

fn path(path: &Path) -> Result<&str> {
    path.to_str().context("a path of letters")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_copy_is_led_to_its_pod_and_onto_the_disk() {
        let (pod, service) = (copy_pod(), watch::service(COPY, COPY, COPY_PORT));
        assert_eq!(service["spec"]["selector"], pod["metadata"]["labels"]);
        assert_eq!(pod["spec"]["containers"][0]["volumeMounts"][0]["name"], pod["spec"]["volumes"][0]["name"]);
    }
}
