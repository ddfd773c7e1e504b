//! What a user of the host command waits for: a start of a new cluster, of one that was stopped and of one that was shut
//! down, both kinds of stop, and a new Service's way to localhost.

use super::figures::{median, spread};
use super::{Bench, watch};
use crate::harness::{Machine, get, promptly};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

/// A kind of machine: one line each.
struct Lane {
    name: &'static str,
    /// What makes it one, for `skerry start`.
    arguments: &'static [&'static str],
}

const LANES: &[Lane] =
    &[Lane { name: "q35", arguments: &[] }, Lane { name: "microvm", arguments: &["--machine", "microvm"] }];

/// One pod's start, emulated.
const POD: Duration = Duration::from_secs(240);
/// What a port may take to appear.
const APPEAR: Duration = Duration::from_secs(60);
/// Services that are made one after another.
const SERVICES: u16 = 5;
/// The first of their node ports.
const FIRST_PORT: u16 = 30_401;
/// Mark and name of the pod behind them.
const POD_NAME: &str = "bench-web";

pub fn measure(bench: &mut Bench) -> Result<()> {
    for lane in LANES {
        let mut times: [Vec<Duration>; 5] = Default::default();
        for number in 1..=bench.wish.boots {
            let what = format!("start, shut down, start, stop and start {number} of {}", lane.name);
            if let Some(round) = bench.attempt(&what, |bench| round(bench, lane)) {
                times.iter_mut().zip(round).for_each(|(times, time)| times.push(time));
            }
        }
        for (what, times) in ROUND.iter().zip(&times) {
            if let Some(text) = spread(times) {
                bench.note(format!("{what}, {}, min / median / max of {}", lane.name, times.len()), text);
            }
        }
        let [cold, _, shut, _, stopped] = &times;
        for (what, warm) in [("stopped", stopped), ("shut-down", shut)] {
            if let (Some(cold), Some(warm)) = (median(cold), median(warm)) {
                let ratio = format!("{:.2}", warm.as_secs_f64() / cold.as_secs_f64());
                bench.note(format!("start of a {what} cluster against a new one, {}", lane.name), ratio);
            }
        }
    }
    bench.attempt("new Services on localhost", doors);
    super::disks::measure(bench);
    bench.touch();
    Ok(())
}

/// What a round measures, in order.
const ROUND: [&str; 5] = [
    "skerry start, new cluster",
    "skerry stop --power-off",
    "skerry start, cluster that was shut down",
    "skerry stop",
    "skerry start, stopped cluster",
];

/// One round, on the clock of whoever typed it.
fn round(bench: &mut Bench, lane: &Lane) -> Result<[Duration; 5]> {
    bench.forget_machine();
    let began = Instant::now();
    let machine = Machine::boot_with(super::NAME, lane.arguments);
    let cold = began.elapsed();
    let timed = |act: &dyn Fn()| {
        let began = Instant::now();
        act();
        began.elapsed()
    };
    let shutting = timed(&|| drop(machine.stop()));
    let shut = timed(&|| drop(machine.start()));
    let stopping = timed(&|| drop(machine.tell(&["stop"])));
    let stopped = timed(&|| drop(machine.start()));
    bench.machine = Some(machine);
    Ok([cold, shutting, shut, stopping, stopped])
}

/// From the moment at which the API has taken a Service until a page comes from 127.0.0.1.
fn doors(bench: &mut Bench) -> Result<()> {
    let machine = bench.machine();
    machine.load(&[*crate::images::catalog::image(watch::IMAGE).context("the tools image is in the catalogue")?]);
    watch::create(machine, "pods", &pod());
    machine.kubectl_within(POD, &["wait", "--for=condition=Ready", &format!("pod/{POD_NAME}"), "--timeout=230s"]);
    let (mut came, mut went) = (Vec::new(), Vec::new());
    for port in FIRST_PORT..FIRST_PORT + SERVICES {
        let name = format!("door-{port}");
        watch::create(machine, "services", &watch::service(POD_NAME, &name, port));
        let door: SocketAddr = (Ipv4Addr::LOCALHOST, port).into();
        came.push(promptly("the Service answers", APPEAR, || get(door, "/").is_ok_and(|reply| reply.code == 200)));
        machine.kubectl(&["delete", "service", &name]);
        went.push(promptly("its port is shut", APPEAR, || std::net::TcpStream::connect(door).is_err()));
    }
    watch::remove(machine, POD_NAME);
    ensure!(came.len() == usize::from(SERVICES), "every Service was timed");
    for (what, times) in
        [("a new NodePort to its first page on localhost", &came), ("a deleted NodePort to its shut port", &went)]
    {
        let text = spread(times).context("there are times")?;
        bench.note(format!("{what}, min / median / max of {SERVICES}"), text);
    }
    Ok(())
}

fn pod() -> Value {
    let mut pod = watch::idle_pod(POD_NAME, POD_NAME);
    let serve = "mkdir /www && echo rock > /www/index.html && exec httpd -f -p 8080 -h /www";
    pod["spec"]["containers"][0]["command"] = json!(["sh", "-c", serve]);
    pod["spec"]["containers"][0]["readinessProbe"] = json!({"tcpSocket": {"port": 8080}, "periodSeconds": 1});
    pod
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_lead_to_the_pod() {
        let service = watch::service(POD_NAME, "x", FIRST_PORT);
        let label = &pod()["metadata"]["labels"];
        assert_eq!(&service["spec"]["selector"], label);
    }
}
