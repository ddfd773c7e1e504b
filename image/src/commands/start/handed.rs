//! Manifests that the machine is handed: written to its config disk before it starts, and heard of afterwards.

use crate::cluster::milestones::Milestone;
use crate::cluster::settings::Settings;
use crate::cluster::wait::Wait;
use crate::config_disk::{self, Entry};
use crate::exit::{Code, Failure};
use crate::output::Output;
use crate::steps::Step;
use anyhow::{Context, Result, bail};
use std::path::Path;

/// Writes the config disk anew, with what the folder holds now; takes an old one away when there is no folder.
///
/// # Errors
/// `Refused` when the folder is not there.
pub fn write(settings: &Settings, disk: &Path) -> Result<()> {
    if settings.manifests.is_none() {
        return match std::fs::remove_file(disk) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).context("removing the config disk")
            }
            _ => Ok(()),
        };
    }
    config_disk::write(disk, &manifests(settings)?)
}

/// What the folder holds now, as it is placed on a config disk; nothing without a folder.
///
/// # Errors
/// `Refused` when the folder is not there.
pub fn manifests(settings: &Settings) -> Result<Vec<Entry>> {
    let Some(folder) = &settings.manifests else { return Ok(Vec::new()) };
    let entries = config_disk::folder(folder, "manifests").map_err(|error| {
        let failure = Failure::of(error);
        let advice = "name another folder by --manifests, or none by --manifests=";
        Failure::new(failure.code, format!("manifests: {}", failure.message)).advice(advice)
    })?;
    Ok(entries)
}

/// Waits until the machine has applied them.
///
/// # Errors
/// `Refused` with each that was refused; the cluster runs all the same.
pub async fn wait(wait: &mut Wait<'_>, output: &Output) -> Result<()> {
    let step = Step::begin(output, "Manifests");
    wait.milestone("manifests", "the manifests to be applied").await?;
    let done = wait.report.milestone("manifests").cloned().context("it was waited for")?;
    let count = |field: &str| done.more.get(field).and_then(serde_json::Value::as_u64).unwrap_or(0);
    let (created, changed, unchanged, refused) =
        (count("created"), count("changed"), count("unchanged"), count("refused"));
    let summary = format!("{created} created, {changed} changed, {unchanged} as they were");
    if refused == 0 {
        step.done(&summary);
        return Ok(());
    }
    drop(step);
    let words: Vec<String> =
        wait.report.milestones.iter().filter(|m| m.name == "manifest").map(|m| format!("\n  {}", refusal(m))).collect();
    let message = format!("{refused} of the manifests were refused ({summary}):{}", words.concat());
    let name = &wait.cluster.name;
    let advice =
        format!("the cluster runs; correct them, then skerry stop --name {name} and skerry start --name {name}");
    bail!(Failure::new(Code::Refused, message).advice(advice))
}

/// `app.yaml, document 2, line 14: what is wrong`.
fn refusal(milestone: &Milestone) -> String {
    let number = |field: &str| milestone.more.get(field).and_then(serde_json::Value::as_u64);
    let mut place = milestone.text("file").to_owned();
    for field in ["document", "line"] {
        if let Some(number) = number(field) {
            place.push_str(&format!(", {field} {number}"));
        }
    }
    format!("{place}: {}", milestone.text("error"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::milestones::read;

    #[test]
    fn a_refusal_names_file_document_and_line() {
        let line = r#"{"skerry":"manifest","t_ms":1,"file":"a.yaml","document":2,"line":14,"error":"kind: missing"}"#;
        assert_eq!(refusal(&read(line, 0).unwrap()), "a.yaml, document 2, line 14: kind: missing");
        let line = r#"{"skerry":"manifest","t_ms":1,"file":"a.yaml","error":"not UTF-8"}"#;
        assert_eq!(refusal(&read(line, 0).unwrap()), "a.yaml: not UTF-8");
    }

    #[test]
    fn the_disk_is_written_for_a_folder_and_removed_without_one() {
        let place = tempfile::tempdir().unwrap();
        let (folder, disk) = (place.path().join("m"), place.path().join("config.img"));
        let mut settings = Settings::new(6443, "/image".into());
        write(&settings, &disk).unwrap();
        settings.manifests = Some(folder.clone());
        let failure = Failure::of(write(&settings, &disk).unwrap_err());
        assert_eq!(failure.code, Code::Refused);
        assert!(failure.message.contains("/m: "), "{}", failure.message);
        std::fs::create_dir(&folder).unwrap();
        write(&settings, &disk).unwrap();
        assert!(disk.exists());
        settings.manifests = None;
        write(&settings, &disk).unwrap();
        assert!(!disk.exists());
    }
}
