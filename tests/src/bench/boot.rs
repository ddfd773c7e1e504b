//! Boots: milestones of new clusters after power-on, and of clusters that are started again, with their first pod. All
//! in the host's time.

use super::Bench;
use super::figures::spread;
use super::watch::{IMAGE, Watch, idle_pod, remove};
use crate::harness::Machine;
use crate::images::catalog;
use anyhow::{Context, Result};
use image::cluster::milestones::WAY;
use serde_json::Value;
use std::time::{Duration, SystemTime};

/// Creating one object.
const CREATE: Duration = Duration::from_secs(60);

/// When each milestone of `WAY` came.
type Times = Vec<Duration>;

pub fn measure(bench: &mut Bench) -> Result<()> {
    let boots = bench.wish.boots;
    let mut cold = Vec::new();
    for number in 1..=boots {
        bench.forget_machine();
        let what = format!("boot {number} of {boots} with a new cluster");
        cold.extend(bench.attempt(&what, |bench| times(&bench.machine().status())));
    }
    tell(bench, "new cluster", &cold);
    bench.machine().load(&[*catalog::image(IMAGE).context("the tools image is in the catalogue")?]);
    let (mut warm, mut pods) = (Vec::new(), Vec::new());
    for number in 1..=boots {
        let what = format!("boot {number} of {boots} with a cluster that was stopped");
        if let Some((times, pod)) = bench.attempt(&what, |bench| again(bench.machine(), &format!("first-{number}"))) {
            warm.push(times);
            pods.push(pod);
        }
    }
    tell(bench, "started again", &warm);
    if let Some(text) = spread(&pods) {
        bench.note(title("started again", "first pod Running, image present", pods.len()), text);
    }
    bench.touch();
    Ok(())
}

/// A figure for each milestone.
fn tell(bench: &mut Bench, kind: &str, boots: &[Times]) {
    for (at, (name, words)) in WAY.iter().enumerate() {
        let came: Times = boots.iter().map(|times| times[at]).collect();
        if let Some(text) = spread(&came) {
            bench.note(title(kind, &format!("`{name}` ({words})"), came.len()), text);
        }
    }
}

fn title(kind: &str, what: &str, count: usize) -> String {
    let of = if count > 1 { format!(", min / median / max of {count} boots") } else { String::new() };
    format!("power-on to {what}, {kind}{of}")
}

/// Starts a cluster again, with a pod of this name created as soon as the API answers; when that ran, too.
fn again(machine: &Machine, pod: &str) -> Result<(Times, Duration)> {
    machine.stop();
    machine.start_with(&["--wait", "api"]);
    let watch = Watch::on(machine, pod);
    let create = ["create", "--raw", "/api/v1/namespaces/default/pods", "-f", "-"];
    machine.kubectl_given(CREATE, &create, &idle_pod(pod, pod).to_string());
    watch.until_running(1)?;
    let now = SystemTime::now();
    // Returns when the machine, which runs already, is ready.
    machine.start();
    let status = machine.status();
    let began = Duration::from_millis(status["started_ms"].as_u64().context("the time of power-on")?);
    let ran = now.duration_since(SystemTime::UNIX_EPOCH + began).context("the pod ran before power-on")?;
    remove(machine, pod);
    Ok((times(&status)?, ran))
}

/// When the host heard of each milestone.
fn times(status: &Value) -> Result<Times> {
    let came = status["milestones"].as_array().context("a status has milestones")?;
    let of = |name: &str| {
        let found = came.iter().find(|milestone| milestone["skerry"] == name);
        found.and_then(|milestone| milestone["host_ms"].as_u64()).map(Duration::from_millis)
    };
    WAY.iter().map(|(name, _)| of(name).with_context(|| format!("no milestone {name} in {came:?}"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_milestone_is_taken_by_the_host_s_clock() {
        let mut came: Vec<Value> = Vec::new();
        for (at, (name, _)) in WAY.iter().enumerate() {
            came.push(json!({"skerry": name, "t_ms": 1, "host_ms": 100 * at}));
        }
        let found = times(&json!({"milestones": came})).unwrap();
        assert_eq!(found.iter().map(Duration::as_millis).collect::<Vec<_>>()[..3], [0, 100, 200]);
        came.pop();
        assert!(times(&json!({"milestones": came})).unwrap_err().to_string().contains("no milestone ready"));
    }
}
