//! Docker without a registry: from the end of a build to its pod running, and what an image costs on its way in.

use super::Bench;
use super::figures::{median, seconds};
use crate::harness::{Docker, Machine};
use crate::images::catalog;
use anyhow::{Context, Result};
use serde_json::Value;
use std::path::Path;
use std::time::{Duration, Instant};

/// Images built and run, one after the other.
const ROUNDS: usize = 3;
/// A pod of an image that was just built.
const RUN: Duration = Duration::from_secs(300);
/// The layer that changes, bytes.
const LAYER_BYTES: usize = 32 << 20;

pub fn measure(bench: &mut Bench) -> Result<()> {
    bench.machine().load(&[*catalog::image(super::watch::IMAGE).context("the tools image is in the catalogue")?]);
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
    let loaded = bench.attempt("one changed layer", |bench| load(bench.machine(), &docker));
    if let Some((sent, took)) = loaded {
        let rate = sent as f64 / took.as_secs_f64() / 1e6;
        bench.note("image load of one changed layer of 32 MiB: throughput".to_owned(), format!("{rate:.1} MB/s"));
        let ratio = sent as f64 / LAYER_BYTES as f64;
        bench.note("the same: bytes sent, by those of the layer".to_owned(), format!("{ratio:.3}"));
    }
    bench.touch();
    Ok(())
}

/// From the end of a build to the pod's container running, with the pod's creation.
fn run(machine: &Machine, docker: &Docker, round: usize) -> Result<Duration> {
    let context = machine.folder("docker-bench");
    write(
        &context,
        &format!("FROM {}\nCOPY round /round\n", super::watch::IMAGE),
        "round",
        format!("{round}").as_bytes(),
    )?;
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

/// An image whose topmost layer is new to the machine: bytes sent, and how long that took.
fn load(machine: &Machine, docker: &Docker) -> Result<(u64, Duration)> {
    let context = machine.folder("docker-bench");
    let mut noise = vec![0; LAYER_BYTES];
    std::io::Read::read_exact(&mut std::fs::File::open("/dev/urandom")?, &mut noise)?;
    write(&context, &format!("FROM {}\nCOPY noise /noise\n", super::watch::IMAGE), "noise", &noise)?;
    docker.run(&["build", "-q", "-t", "bench:large", path(&context)?]);
    let archive = context.join("large.tar");
    machine.tell(&["image", "save", "bench:large", path(&archive)?]);
    docker.run(&["builder", "prune", "-a", "-f"]);
    machine.tell(&["image", "rm", "bench:large"]);
    let began = Instant::now();
    let text = machine.tell(&["image", "load", path(&archive)?]);
    let took = began.elapsed();
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
