//! What the machine was handed on its config disk: archives of images, then manifests, then the Jobs whose verdict is
//! its end. Nothing waits for it but that verdict; each step is told on the serial line.

use super::Around;
use crate::manifests::{self, Refusal, Report};
use crate::pid1::Pid1;
use crate::verdict::{self, Verdict, Wanted};
use ::client::Client;
use ::client::backoff::Backoff;
use apiserver::inprocess::InProcess;
use kubelet::images::{Fault, Images};
use serde_json::{Value, json};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// Where PID 1 mounts the volume.
const VOLUME: &str = "/run/skerry/config";
/// Whoever attaches a disk to the machine owns it, so its manifests may do everything.
const USER: &str = "skerry:config-disk";
const GROUP: &str = "system:masters";
/// Waits until the container engine answers; it starts beside us.
const ENGINE: Backoff = Backoff { first: Duration::from_millis(50), cap: Duration::from_secs(2) };
/// How long it is waited for.
const ENGINE_WAIT: Duration = Duration::from_secs(120);
/// Refusals that are told one by one; the rest is counted, and in the log.
const REFUSALS_TOLD_MAX: usize = 32;
/// Archives that are imported.
const ARCHIVES_MAX: usize = 256;

/// Starts it; without a volume and without Jobs there is nothing to do.
pub fn start(around: &Around<'_>) -> Option<JoinHandle<()>> {
    let volume = Path::new(VOLUME);
    let wanted = around.settings.verdict.clone();
    if wanted.is_none() && !volume.exists() {
        return None;
    }
    let client = Client::new(Arc::new(InProcess::new(around.server.clone(), USER, &[GROUP])), "config-disk");
    let (pid1, stop) = (around.pid1.clone(), around.server.stopping.clone());
    let socket = around.settings.containerd.clone();
    Some(tokio::spawn(async move {
        tokio::select! {
            () = stop.cancelled() => {}
            () = run(volume, socket.as_deref(), &client, wanted.as_ref(), &pid1) => {}
        }
    }))
}

async fn run(volume: &Path, socket: Option<&Path>, client: &Client, wanted: Option<&Wanted>, pid1: &Pid1) {
    let prepare = async {
        let images = import(&volume.join("images"), socket, pid1).await;
        images + apply(&volume.join("manifests"), client, pid1).await.refused
    };
    let Some(wanted) = wanted else {
        prepare.await;
        return;
    };
    match tokio::time::timeout(wanted.left(), prepare).await {
        Ok(0) => verdict::give(client, wanted, true, pid1).await,
        Ok(refused) => pid1.finish(Verdict::Invalid, &format!("{refused} images or manifests were refused")),
        // It tells of each Job that has not ended.
        Err(_) => verdict::give(client, wanted, false, pid1).await,
    }
}

/// Imports every archive; returns how many were refused.
async fn import(folder: &Path, socket: Option<&Path>, pid1: &Pid1) -> usize {
    let archives = match archives(folder) {
        Ok(archives) => archives,
        Err(error) => {
            pid1.milestone("image", json!({"file": "images", "error": error.to_string()}));
            return 1;
        }
    };
    let mut refused = 0;
    for archive in archives {
        let began = Instant::now();
        let mut fields = json!({"file": archive.file_name().map(|name| name.to_string_lossy())});
        match import_one(&archive, socket).await {
            Ok(names) => {
                fields["names"] = json!(names);
                fields["seconds"] = json!((began.elapsed().as_secs_f64() * 10.0).round() / 10.0);
            }
            Err(fault) => {
                refused += 1;
                fields["error"] = json!(fault.to_string());
            }
        }
        pid1.milestone("image", fields);
    }
    refused
}

/// The archives of a folder by name; none when there is no such folder.
fn archives(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let mut found = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    found.retain(|path| path.extension().is_some_and(|end| end.eq_ignore_ascii_case("tar")));
    found.sort();
    if found.len() > ARCHIVES_MAX {
        return Err(io::Error::other(format!("{} archives; at most {ARCHIVES_MAX} are imported", found.len())));
    }
    Ok(found)
}

async fn import_one(archive: &Path, socket: Option<&Path>) -> Result<Vec<String>, Fault> {
    let socket = socket.ok_or_else(|| Fault::invalid("containerd", "there is no container engine to import into"))?;
    let images = Images::at(socket)?;
    let until = Instant::now() + ENGINE_WAIT;
    for failures in 1.. {
        match images.import(archive).await {
            Err(Fault::Unavailable { .. }) if Instant::now() < until => {
                tokio::time::sleep(ENGINE.after(failures)).await
            }
            other => return other,
        }
    }
    unreachable!("the loop ends by returning")
}

/// Applies what is in the folder and tells of each document that was refused.
async fn apply(folder: &Path, client: &Client, pid1: &Pid1) -> Report {
    if !folder.exists() {
        return Report::default();
    }
    let mut told = 0;
    let mut refuse = |refusal: Refusal| {
        told += 1;
        if told > REFUSALS_TOLD_MAX {
            return tracing::warn!(?refusal, "a manifest was refused");
        }
        let error = verdict::cut(&refusal.error, ERROR_BYTES_MAX);
        let fields = serde_json::to_value(Refusal { error, ..refusal }).unwrap_or(Value::Null);
        pid1.milestone("manifest", fields);
    };
    let (documents, refusals) = match manifests::folder(folder) {
        Ok(read) => read,
        Err(error) => {
            let file = String::new();
            (Vec::new(), vec![Refusal { file, document: None, line: None, error: error.to_string() }])
        }
    };
    let unread = refusals.len();
    refusals.into_iter().for_each(&mut refuse);
    let applied = manifests::all(client, documents, &mut refuse).await;
    let report = Report { refused: applied.refused + unread, ..applied };
    pid1.milestone("manifests", serde_json::to_value(report).unwrap_or(Value::Null));
    report
}

/// Bytes of a refusal's words: a list of a Deployment's faults may be long, and a line is 2 KiB.
const ERROR_BYTES_MAX: usize = 1200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn archives_are_found_by_name_and_a_folder_that_is_not_there_has_none() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.tar", "a.TAR", "notes.txt"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        let names: Vec<PathBuf> = archives(folder.path()).unwrap();
        assert_eq!(names, [folder.path().join("a.TAR"), folder.path().join("b.tar")]);
        assert!(archives(&folder.path().join("none")).unwrap().is_empty());
    }
}
