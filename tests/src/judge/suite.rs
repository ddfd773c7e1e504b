//! Runs named tests of upstream's `e2e.test` against a control plane. It only starts the program; what its report
//! means is decided in `verdict`.

use super::peer::Peer;
use super::process::{Process, tail};
use super::release::Release;
use super::verdict::{self, Outcome};
use anyhow::{Context, bail};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio::process::Command;

/// How the tests are run.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Tests at a time; those that upstream marks Serial run alone all the same.
    pub parallel: u16,
    /// Sends and asks for JSON instead of protobuf.
    pub json: bool,
    /// The whole run is ended after so many minutes.
    pub minutes_max: u32,
    /// The folder for the report, the log and what tests write.
    pub folder: PathBuf,
}

/// The flags that let the suite start without any node (test/e2e/e2e.go, `setupSuite`): it waits neither for nodes nor
/// for pods, and does not count nodes, which fails when there is none.
const WITHOUT_NODES: &[&str] = &["--allowed-not-ready-nodes=-1", "--minStartupPods=-1", "--num-nodes=0"];

/// Time between two lines of progress.
const PROGRESS_EVERY: Duration = Duration::from_secs(30);

/// The names of all tests in this build of `e2e.test`.
///
/// # Errors
/// When the program cannot list them.
pub async fn known_tests(release: &Release) -> anyhow::Result<BTreeSet<String>> {
    let output =
        Command::new(release.program("e2e.test")).arg("--list-tests").output().await.context("run e2e.test")?;
    let text = String::from_utf8(output.stdout).context("the list of tests")?;
    let names = verdict::listed(&text);
    if !output.status.success() || names.is_empty() {
        bail!("e2e.test --list-tests: {}, {} names", output.status, names.len());
    }
    Ok(names)
}

/// Runs the named tests and returns what became of each.
///
/// # Errors
/// When the suite cannot be started, or ends without a report that can be read.
pub async fn run(
    release: &Release,
    peer: &Peer,
    names: &BTreeSet<String>,
    settings: &Settings,
) -> anyhow::Result<BTreeMap<String, Outcome>> {
    let known = known_tests(release).await?;
    let wanted: BTreeSet<String> = names.intersection(&known).cloned().collect();
    let mut outcomes: BTreeMap<String, Outcome> = BTreeMap::new();
    for name in names.difference(&known) {
        outcomes.insert(name.clone(), Outcome::failed("no test of this name in e2e.test"));
    }
    if wanted.is_empty() {
        return Ok(outcomes);
    }
    std::fs::create_dir_all(&settings.folder).with_context(|| format!("create {}", settings.folder.display()))?;
    let log = settings.folder.join("e2e.log");
    let report = settings.folder.join("report.json");
    let mut process = Process::start("ginkgo", command(release, peer, &wanted, settings), &log)?;
    wait_showing_progress(&mut process, &log, wanted.len()).await?;
    let text = std::fs::read_to_string(&report);
    let text = text.with_context(|| format!("no report; the end of {}:\n{}", log.display(), tail(&log)))?;
    outcomes.extend(verdict::outcomes(&text, &wanted)?);
    Ok(outcomes)
}

fn command(release: &Release, peer: &Peer, names: &BTreeSet<String>, settings: &Settings) -> Command {
    let mut command = Command::new(release.program("ginkgo"));
    command.arg(format!("--procs={}", settings.parallel)).arg(format!("--timeout={}m", settings.minutes_max));
    command.arg(format!("--focus={}", verdict::focus(names))).args(["--no-color", "-v"]);
    command.arg(format!("--output-dir={}", settings.folder.display()));
    command.args(["--json-report=report.json", "--junit-report=junit.xml"]);
    command.arg(release.program("e2e.test")).arg("--").args(WITHOUT_NODES);
    command.args(["--provider=skeleton", "--disable-log-dump", "--dump-logs-on-failure=false"]);
    command.arg(format!("--kubeconfig={}", peer.kubeconfig.display()));
    command.arg(format!("--kubectl-path={}", release.program("kubectl").display()));
    command.arg(format!("--e2e-output-dir={}", settings.folder.display()));
    if settings.json {
        command.arg("--kube-api-content-type=application/json");
    }
    command.current_dir(&settings.folder);
    command
}

async fn wait_showing_progress(process: &mut Process, log: &Path, total: usize) -> anyhow::Result<()> {
    let started = Instant::now();
    loop {
        match tokio::time::timeout(PROGRESS_EVERY, process.wait()).await {
            Ok(status) => return status.map(|_| ()),
            Err(_) => {
                let text = std::fs::read(log).with_context(|| format!("read {}", log.display()))?;
                let done = verdict::finished(&String::from_utf8_lossy(&text));
                eprintln!("  {done} of {total} tests, {} s", started.elapsed().as_secs());
            }
        }
    }
}
