//! `skerry status`: how a cluster's machine fares, and where it is reached.

use super::{Command, Context, Named};
use crate::cluster::ask::Report;
use crate::cluster::milestones::WAY;
use crate::cluster::{Cluster, life};
use anyhow::Result;
use clap::FromArgMatches;
use serde::Serialize;
use serde_json::json;
use std::fmt::Write;

/// The line of the table.
pub const COMMAND: Command = Command {
    name: "status",
    about: "Show how a cluster fares; ends with 4 when it is not running",
    hidden: false,
    arguments: |command| <Named as clap::Args>::augment_args(command),
    run: |matches, context| {
        let named = Named::from_arg_matches(matches)?;
        context.runtime.block_on(run(&named, context))
    },
};

#[derive(Serialize)]
struct Status<'a> {
    cluster: &'a str,
    state: &'static str,
    server: String,
    memory_used_mb: Option<u64>,
    #[serde(flatten)]
    report: &'a Report,
}

async fn run(named: &Named, context: &Context) -> Result<()> {
    let cluster = Cluster::existing(&named.name)?;
    let report: Report = life::running(&cluster).await?.ask(&json!({"do": "status"})).await?;
    let status = Status {
        cluster: &cluster.name,
        state: state(&report),
        server: format!("https://127.0.0.1:{}", report.port),
        memory_used_mb: resident_mb(report.pid),
        report: &report,
    };
    Ok(context.output.data(&text(&status), &status)?)
}

/// One word for how far the machine is.
pub fn state(report: &Report) -> &'static str {
    if report.end.is_some() {
        "ended"
    } else if report.paused.is_some() {
        "paused"
    } else if report.milestone("shutdown").is_some() {
        "stopping"
    } else if report.milestone("ready").is_some() {
        "ready"
    } else if report.milestone("failed").is_some() {
        "failed"
    } else {
        "booting"
    }
}

/// What the emulator takes of the host's memory, MiB (proc_pid_status(5), `VmRSS`).
fn resident_mb(pid: u32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib / 1024)
}

fn text(status: &Status<'_>) -> String {
    let report = status.report;
    let used = status.memory_used_mb.map(|mb| format!(" ({mb} MiB of the host in use)")).unwrap_or_default();
    let mut out = format!(
        "cluster   {}\nstate     {}\nserver    {}\nmachine   {} CPUs, {} MiB{used}, {}",
        status.cluster,
        status.state,
        status.server,
        report.cpus,
        report.memory_mb,
        report.accelerator.word(),
    );
    let mut line = |title: &str, words: String| {
        write!(out, "\n{title:<9} {words}").expect("a string takes everything");
    };
    if let Some(why) = &report.paused {
        line("paused", why.clone());
    }
    if let Some(failed) = report.milestone("failed") {
        line("failed", format!("{}: {}; {}", failed.text("phase"), failed.text("reason"), failed.text("advice")));
    }
    for milestone in &report.milestones {
        if let Some((_, words)) = WAY.iter().find(|(name, _)| *name == milestone.name) {
            line(&milestone.name, format!("{:>6.1} s  {words}", milestone.host_ms as f64 / 1000.0));
        }
    }
    for forward in &report.forwards {
        let instead = forward.instead().map(|why| format!(" ({why})")).unwrap_or_default();
        let (host, protocol, port) = (forward.host, forward.protocol.word(), forward.port);
        line("port", format!("127.0.0.1:{host}/{protocol} leads to {} port {port}{instead}", forward.service));
    }
    for port in &report.unreachable {
        line("no port", format!("for {} port {}/{}: {}", port.service, port.port, port.protocol, port.why));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::ask::End;
    use crate::cluster::emulator::Accelerator;
    use crate::cluster::milestones::read;

    fn report(milestones: &[&str]) -> Report {
        let lines = milestones.iter().map(|name| format!("{{\"skerry\":\"{name}\",\"t_ms\":1}}"));
        Report {
            pid: 1,
            supervisor: 2,
            accelerator: Accelerator::Tcg,
            started_ms: 0,
            port: 6443,
            memory_mb: 512,
            cpus: 1,
            paused: None,
            milestones: lines.filter_map(|line| read(&line, 1500)).collect(),
            forwards: Vec::new(),
            unreachable: Vec::new(),
            end: None,
        }
    }

    #[test]
    fn the_state_is_how_far_the_machine_is() {
        assert_eq!(state(&report(&["init", "api"])), "booting");
        assert_eq!(state(&report(&["init", "ready"])), "ready");
        assert_eq!(state(&report(&["init", "failed"])), "failed");
        assert_eq!(state(&report(&["ready", "shutdown"])), "stopping");
        assert_eq!(state(&Report { end: Some(End::Cut), ..report(&["ready"]) }), "ended");
        assert_eq!(state(&Report { paused: Some("full".to_owned()), ..report(&["ready"]) }), "paused");
    }

    #[test]
    fn milestones_are_told_in_the_time_of_the_host() {
        let report = report(&["init"]);
        let status = Status {
            cluster: "x",
            state: "booting",
            server: "https://127.0.0.1:6443".to_owned(),
            memory_used_mb: None,
            report: &report,
        };
        assert!(text(&status).ends_with("\ninit         1.5 s  kernel"), "{}", text(&status));
    }
}
