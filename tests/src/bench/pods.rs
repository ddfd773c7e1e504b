//! Start latency of pods whose image is present: from creation to Running, as a watch tells it.

use super::Bench;
use super::figures::{median, seconds};
use super::watch::{IMAGE, Watch, idle_pod, remove};
use crate::harness::Machine;
use crate::images::catalog;
use anyhow::{Context, Result};
use serde_json::json;
use std::time::Duration;

/// Single pods, one after the other.
const ROUNDS: usize = 5;
/// Pods at once.
const MANY: usize = 20;
/// Creating them all.
const CREATE: Duration = Duration::from_secs(120);

pub fn measure(bench: &mut Bench) -> Result<()> {
    bench.machine().load(&[*catalog::image(IMAGE).context("the tools image is in the catalogue")?]);
    let mut single = Vec::new();
    for round in 1..=ROUNDS {
        single.extend(bench.attempt(&format!("one pod, round {round}"), |bench| {
            let mark = format!("one-{round}");
            Ok(start(bench.machine(), &mark, 1)?[0])
        }));
    }
    if let (Some(middle), count) = (median(&single), single.len()) {
        bench.note(format!("1 pod, creation to Running, median of {count}"), seconds(middle));
    }
    let mut many = start(bench.machine(), "many", MANY)?;
    many.sort_unstable();
    let (middle, last) = (median(&many).context("pods ran")?, many[MANY - 1]);
    let what = format!("{MANY} pods at once, creation of the first to Running: median / last");
    bench.note(what, format!("{} / {}", seconds(middle), seconds(last)));
    bench.touch();
    Ok(())
}

/// Starts so many pods, times them and removes them.
fn start(machine: &Machine, mark: &str, count: usize) -> Result<Vec<Duration>> {
    let watch = Watch::on(machine, mark);
    watch.is_on()?;
    let pods: Vec<_> = (0..count).map(|number| idle_pod(mark, &format!("{mark}-{number}"))).collect();
    let list = json!({"apiVersion": "v1", "kind": "List", "items": pods});
    machine.kubectl_given(CREATE, &["create", "--validate=false", "-f", "-"], &list.to_string());
    let times = watch.until_running(count);
    // They go before the next ones come, however these fared.
    drop(watch);
    remove(machine, mark);
    times
}
