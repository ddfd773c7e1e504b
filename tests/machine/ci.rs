//! The machine as a tool of continuous integration, without the `skerry` command: the very lines that the README gives,
//! a disk with what is to be tested, and nothing to go by but the emulator's exit code and its serial line.

use crate::harness::{Built, Outcome, run};
use crate::runner::{Lone, lone};
use image::config_disk::{self, Entry};
use serde_json::Value;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;
use tests::images::{Workshop, catalog};

/// Each boots a machine of its own.
pub const LONE: &[Lone] = lone![
    ci_a_job_that_passes_ends_the_emulator_with_0,
    ci_a_job_that_fails_ends_it_with_3_and_tells_its_last_words,
    ci_a_job_that_never_ends_ends_it_with_5,
    ci_a_manifest_that_does_not_parse_ends_it_with_7_and_is_named,
];

/// A whole boot with a Job, emulated on busy processors.
const MACHINE: Duration = Duration::from_secs(900);
/// The image that the Jobs use.
const IMAGE: &str = "shop.local/tools:v1";

fn ci_a_job_that_passes_ends_the_emulator_with_0() {
    let built = &built();
    let said = boot(built, "passes", &[("manifests/test.yaml", job("echo on the rock")), image(built)], "");
    let job = said.line("job");
    assert_eq!(said.outcome.code, Some(0), "{}", said.outcome.out);
    assert_eq!(
        (&job["verdict"], &job["namespace"], &job["name"]),
        (&"passed".into(), &"default".into(), &"test".into())
    );
    assert_eq!(job["log"], serde_json::json!(["on the rock"]));
    assert_eq!(said.line("image")["names"], serde_json::json!([IMAGE]));
    assert_eq!(said.line("manifests")["created"], 1);
    assert_eq!(said.line("shutdown")["kind"], "poweroff");
}

fn ci_a_job_that_fails_ends_it_with_3_and_tells_its_last_words() {
    let built = &built();
    let manifest = job("echo first; echo last words; exit 4");
    let said = boot(built, "fails", &[("manifests/test.yaml", manifest), image(built)], "");
    assert_eq!(said.outcome.code, Some(3), "{}", said.outcome.out);
    let job = said.line("job");
    assert_eq!((&job["verdict"], &job["reason"]), (&"failed".into(), &"BackoffLimitExceeded".into()));
    assert_eq!((&job["exit_code"], &job["log"]), (&4.into(), &serde_json::json!(["first", "last words"])));
}

fn ci_a_job_that_never_ends_ends_it_with_5() {
    let built = &built();
    let manifest = job("while true; do sleep 1; done");
    let said = boot(built, "endless", &[("manifests/test.yaml", manifest), image(built)], "skerry.ci.timeout=45");
    assert_eq!(said.outcome.code, Some(5), "{}", said.outcome.out);
    assert_eq!(said.line("job")["verdict"], "timeout");
}

fn ci_a_manifest_that_does_not_parse_ends_it_with_7_and_is_named() {
    let built = &built();
    let text = format!("{}---\nkind: [\n", manifest("true"));
    let line = text.lines().count();
    let said = boot(built, "unreadable", &[("manifests/test.yaml", Content::Text(text))], "");
    assert_eq!(said.outcome.code, Some(7), "{}", said.outcome.out);
    let refused = said.line("manifest");
    assert_eq!((&refused["file"], &refused["document"]), (&"test.yaml".into(), &2.into()));
    assert!(refused["line"].as_u64().is_some_and(|at| at.abs_diff(line as u64) <= 1), "{refused}");
}

fn built() -> Built {
    Built::find().unwrap_or_else(|error| panic!("{error:#}"))
}

/// What stands in a file of the disk.
enum Content {
    Text(String),
    File(PathBuf),
}

fn job(command: &str) -> Content {
    Content::Text(manifest(command))
}

fn manifest(command: &str) -> String {
    format!(
        "apiVersion: batch/v1\nkind: Job\nmetadata: {{name: test}}\nspec:\n  backoffLimit: 0\n  template:\n    spec:\n      \
         restartPolicy: Never\n      containers:\n      - name: main\n        image: {IMAGE}\n        \
         imagePullPolicy: Never\n        command: [sh, -c, '{command}']\n"
    )
}

/// The image's archive, as `docker save` would write it.
fn image(built: &Built) -> (&'static str, Content) {
    let wanted = catalog::IMAGES.iter().find(|image| image.name == IMAGE).expect("the catalogue has it");
    let workshop = Workshop::open().unwrap_or_else(|error| panic!("the images' packages: {error:#}"));
    let archive = workshop.make(wanted, &built.target.join("shop-images")).expect("an archive");
    ("images/tools.tar", Content::File(archive))
}

/// What came of a machine.
struct Said {
    outcome: Outcome,
}

impl Said {
    /// The last machine line of a name.
    fn line(&self, name: &str) -> Value {
        let begins = format!("{{\"skerry\":\"{name}\"");
        let line = self.outcome.out.lines().rev().find(|line| line.starts_with(&begins));
        let line = line.unwrap_or_else(|| panic!("no {begins} in:\n{}", self.outcome.out));
        serde_json::from_str(line).expect("a machine line is JSON")
    }
}

/// Boots by the README's lines, in a folder that has the files which it names.
fn boot(built: &Built, name: &str, files: &[(&str, Content)], more: &str) -> Said {
    let folder = built.target.join("machine-tests").join(format!("ci-{name}"));
    match std::fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => panic!("{}: {error}", folder.display()),
        _ => {}
    }
    std::fs::create_dir_all(&folder).expect("a folder in target/");
    for (file, place) in [("bzImage", built.kernel()), ("root.qcow2", built.root())] {
        symlink(place, folder.join(file)).expect("a link in target/");
    }
    let entries: Vec<Entry> = files
        .iter()
        .map(|(place, content)| {
            let content = match content {
                Content::Text(text) => text.clone().into_bytes(),
                Content::File(path) => std::fs::read(path).expect("the archive was just made"),
            };
            Entry { place: (*place).to_owned(), content }
        })
        .collect();
    config_disk::write(&folder.join("ci.img"), &entries).expect("a config disk");
    let line = recipe().replace("skerry.ci.job=default/test", &format!("skerry.ci.job=default/test {more}"));
    let outcome = run(Command::new("bash").args(["-c", &line]).current_dir(&folder), &[], MACHINE);
    Said { outcome }
}

/// The lines in the README: the whole block that has the emulator's command.
fn recipe() -> String {
    let blocks = include_str!("../../README.md").split("```bash\n").skip(1);
    let mut blocks = blocks.filter_map(|rest| rest.split("```").next());
    let found = blocks.find(|block| block.contains("-kernel bzImage"));
    found.expect("the README has the emulator's command line").to_owned()
}
