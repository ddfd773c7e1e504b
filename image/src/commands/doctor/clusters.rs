//! Checks of the clusters of this host and of the contexts that lead to them.

use super::{Found, fail, failed, ok, warn};
use crate::cluster::ask::{Report, Supervisor};
use crate::cluster::life::{Running, last_end};
use crate::cluster::settings::Settings;
use crate::cluster::{Cluster, access, lock, place, saved};
use crate::commands::status::state;
use crate::supervisor::LOCK;
use pki::kubeconfig;
use serde_json::json;

/// Every cluster, and folders that are left of none.
pub async fn look() -> Vec<Found> {
    let all = match Cluster::all() {
        Ok(all) => all,
        Err(error) => return vec![failed(error)],
    };
    let mut found = Vec::new();
    for cluster in &all {
        found.push(one(cluster).await);
    }
    found.extend(leftovers(&all));
    if found.is_empty() {
        found.push(ok("none yet: skerry start makes one"));
    }
    found
}

async fn one(cluster: &Cluster) -> Found {
    let name = &cluster.name;
    if let Err(error) = Settings::read(cluster) {
        return failed(error);
    }
    let runs = Running::read(cluster).is_some_and(|running| running.is_alive());
    if !runs {
        return match last_end(cluster) {
            _ if saved::exists(cluster) => ok(format!("{name} {}: skerry start lets it go on", saved::WORDS)),
            Some(end) => ok(format!("{name} is stopped: the machine {}", end.words())),
            None => ok(format!("{name} is stopped")),
        };
    }
    let again = format!("skerry status --name {name} starts another one");
    match lock(&cluster.path(LOCK)) {
        // Free, though whoever watches over the machine holds it as long as it lives.
        Ok(Some(_)) => return warn(format!("{name} runs, and nobody watches over it: its supervisor has died"), again),
        Ok(None) => {}
        Err(error) => return failed(error),
    }
    let asked = async {
        let Some(mut supervisor) = Supervisor::connect(cluster).await? else { return Ok(None) };
        supervisor.ask::<Report>(&json!({"do": "status"})).await.map(Some)
    };
    match asked.await {
        Ok(Some(report)) => judge(name, state(&report), report.unreachable.len()),
        Ok(None) => warn(format!("{name} runs, and its supervisor does not answer"), again),
        Err(error) => failed(error),
    }
}

fn judge(name: &str, state: &str, unreachable: usize) -> Found {
    let stop = format!("skerry logs --name {name} tells why; skerry stop --power-off and skerry start boot it again");
    match (state, unreachable) {
        ("failed" | "paused", _) => fail(format!("{name} is {state}"), stop),
        (_, 0) => ok(format!("{name} is {state}")),
        (_, count) => {
            let message = format!("{name} is {state}; {count} ports of Services are not reached on this host");
            warn(message, format!("skerry service list --name {name} tells why"))
        }
    }
}

/// Folders beside the clusters that hold none: a start that was killed leaves one.
fn leftovers(all: &[Cluster]) -> Vec<Found> {
    let Ok(folder) = place::clusters() else { return Vec::new() };
    let Ok(entries) = std::fs::read_dir(&folder) else { return Vec::new() };
    let paths = entries.filter_map(|entry| entry.ok().map(|entry| entry.path()));
    let is_left = |path: &std::path::PathBuf| path.is_dir() && !all.iter().any(|cluster| cluster.folder == *path);
    paths
        .filter(is_left)
        .map(|path| warn(format!("{} holds no cluster", path.display()), "remove it when it is none of your own"))
        .collect()
}

/// Whether the user's kubeconfig leads to every cluster that somebody has logged in to.
pub fn contexts() -> Vec<Found> {
    let path = match place::kubeconfig() {
        Ok(path) => path,
        Err(error) => return vec![failed(error)],
    };
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return vec![fail(format!("{}: {error}", path.display()), "make it readable, or set KUBECONFIG")],
    };
    let mut found = Vec::new();
    for cluster in Cluster::all().unwrap_or_default() {
        let Ok(Some(own)) = access::entry(&cluster) else { continue };
        let name = &cluster.name;
        let mend = format!("skerry kubeconfig --name {name} writes it anew");
        match kubeconfig::read(&text, name) {
            Ok(Some(entry)) if entry.server == own.server && entry.certificate == own.certificate => {
                found.push(ok(format!("context {name} leads to {}", own.server)));
            }
            Ok(Some(entry)) => {
                let message = format!("context {name} leads to {}, or has old credentials", entry.server);
                found.push(warn(message, mend));
            }
            Ok(None) => found.push(warn(format!("{} has no context {name}", path.display()), mend)),
            Err(error) => {
                return vec![fail(
                    format!("{}: {error:#}", path.display()),
                    "correct the file: kubectl cannot read it either",
                )];
            }
        }
    }
    if found.is_empty() {
        found.push(ok(format!("{} is left alone until a cluster is there", path.display())));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::Health;
    use super::*;

    #[test]
    fn a_machine_that_cannot_be_used_is_a_failure_and_a_lost_port_a_warning() {
        assert_eq!(judge("a", "ready", 0).0, Health::Ok);
        assert_eq!(judge("a", "ready", 2).0, Health::Warn);
        assert_eq!(judge("a", "paused", 0).0, Health::Fail);
        assert_eq!(judge("a", "booting", 0).0, Health::Ok);
    }
}
