//! `skerry list`: the clusters of this user.

use super::status::state;
use super::{Command, Context};
use crate::cluster::ask::Report;
use crate::cluster::settings::Settings;
use crate::cluster::{Cluster, life, saved};
use anyhow::Result;
use serde::Serialize;
use serde_json::json;

/// The line of the table.
pub const COMMAND: Command = Command {
    name: "list",
    about: "List the clusters of this user",
    hidden: false,
    arguments: |command| command,
    run: |_, context| context.runtime.block_on(run(context)),
};

#[derive(Serialize)]
struct Line {
    cluster: String,
    state: &'static str,
    /// Whether a start goes on from its memory instead of booting.
    memory_kept: bool,
    server: Option<String>,
    ports: Vec<u16>,
}

async fn run(context: &Context) -> Result<()> {
    let mut lines = Vec::new();
    for cluster in Cluster::all()? {
        lines.push(line(&cluster).await);
    }
    let mut text = format!("{:<20} {:<9} {:<24} {}", "NAME", "STATE", "SERVER", "PORTS");
    for line in &lines {
        let ports: Vec<String> = line.ports.iter().map(u16::to_string).collect();
        let server = line.server.as_deref().unwrap_or("-");
        text.push_str(&format!("\n{:<20} {:<9} {server:<24} {}", line.cluster, line.state, ports.join(",")));
    }
    if lines.is_empty() {
        context.output.say("There are no clusters.  Make one:  skerry start");
        text.clear();
    }
    Ok(context.output.data(&text, &lines)?)
}

/// One cluster. One that cannot be asked does not keep the others from being shown.
async fn line(cluster: &Cluster) -> Line {
    let asked = async {
        let Some(mut supervisor) = life::reach(cluster).await? else { return Ok(None) };
        supervisor.ask::<Report>(&json!({"do": "status"})).await.map(Some)
    };
    let (state, ports) = match asked.await {
        Ok(Some(report)) => (state(&report), report.forwards.iter().map(|forward| forward.host).collect()),
        Ok(None) => ("stopped", Vec::new()),
        Err(_) => ("unknown", Vec::new()),
    };
    let server = Settings::read(cluster).ok().map(|settings| format!("https://127.0.0.1:{}", settings.port));
    let memory_kept = state == "stopped" && saved::exists(cluster);
    Line { cluster: cluster.name.clone(), state, memory_kept, server, ports }
}
