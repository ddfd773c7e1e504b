//! `scripts/conformance`: reads the command line, then builds, starts, runs and reports by way of `tests::judge`.

use anyhow::{Context, bail};
use clap::{ArgGroup, Parser};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tests::judge::native::{self, Profile};
use tests::judge::peer::Peer;
use tests::judge::release::Release;
use tests::judge::suite::{self, Settings};
use tests::judge::verdict::{Outcome, summary};
use tests::judge::{build, differential, golden, ratchet, record, runs, stand_in};
use tokio::signal::unix::{SignalKind, signal};

/// The committed list of tests that must stay green, below the repository.
const GREEN: &str = "tests/conformance/green.txt";

/// Runs upstream's own conformance tests against upstream's control plane or ours, natively and without a kubelet.
///
/// Builds what it needs once, into the user's cache. Ends with `N passed, N failed, N skipped` and exits with 0 only
/// when nothing failed.
#[derive(Debug, Parser)]
#[command(name = "conformance")]
#[command(group = ArgGroup::new("side").args(["golden", "native", "diff"]))]
struct Arguments {
    /// Run against upstream's control plane
    #[arg(long)]
    golden: bool,
    /// Run against our control plane
    #[arg(long)]
    native: bool,
    /// Send the same requests to both control planes and compare the answers
    #[arg(long)]
    diff: bool,
    /// Check the requests themselves: compare upstream's control plane with a second one of upstream
    #[arg(long, requires = "diff")]
    self_check: bool,
    /// Run the tests that FILE names, one full name a line
    #[arg(long, value_name = "FILE", conflicts_with_all = ["ratchet", "diff"])]
    list: Option<PathBuf>,
    /// Run exactly the committed green list against our control plane
    #[arg(long, conflicts_with_all = ["golden", "diff", "only"])]
    ratchet: bool,
    /// Of the list, or of the cases, take only those whose name contains TEXT
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Add what newly passed to the green list
    #[arg(long, conflicts_with_all = ["golden", "diff"])]
    update_ratchet: bool,
    /// Write a table of the results to FILE, in Markdown
    #[arg(long, value_name = "FILE", requires = "list")]
    record: Option<PathBuf>,
    /// Leave the control plane running and print its kubeconfig
    #[arg(long, conflicts_with = "diff")]
    keep: bool,
    /// Let the tests speak JSON instead of protobuf
    #[arg(long)]
    json: bool,
    /// Tests at a time
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=32))]
    procs: u16,
    /// End the run after so many minutes
    #[arg(long, value_name = "MINUTES", default_value_t = 240, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// Make no Node object; without this flag the tests see one that is ready and takes no pods
    #[arg(long)]
    no_node: bool,
    /// Compile `node` for development instead of optimised
    #[arg(long)]
    dev_profile: bool,
    /// Take this `node` program instead of compiling one
    #[arg(long, value_name = "FILE", conflicts_with = "dev_profile")]
    node: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // Dropping the run at Ctrl-C or SIGTERM ends every program it started.
    let outcome = tokio::select! {
        outcome = run(&arguments) => outcome,
        outcome = interruption() => outcome,
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("conformance: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Returns, with an error, when the judge is asked to end.
async fn interruption() -> anyhow::Result<bool> {
    let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    tokio::select! {
        outcome = tokio::signal::ctrl_c() => outcome.context("listen for Ctrl-C")?,
        _ = terminate.recv() => {}
    }
    bail!("interrupted")
}

/// Does what the arguments ask for; says whether nothing failed.
async fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    let release = Release::pinned()?;
    build::build(&release)?;
    let green = native::repository().join(GREEN);
    let list = if arguments.ratchet { Some(&green) } else { arguments.list.as_ref() };
    let names = list.map(|path| chosen(path, arguments.only.as_deref())).transpose()?;
    if arguments.diff {
        return compare(arguments, &release).await;
    }
    if !(arguments.golden || arguments.native || arguments.ratchet) {
        bail!("name a side: --golden, --native or --diff (all programs of the release are built)");
    }
    if names.is_none() && !arguments.keep {
        bail!("nothing to do: give --list FILE, --ratchet or --keep");
    }
    let side = if arguments.golden { "golden" } else { "native" };
    let folder = runs::new_folder(&release, side)?;
    let peer = start(arguments, &release, &folder).await?;
    let outcomes = match &names {
        None => BTreeMap::new(),
        Some(names) => {
            let _stand_in = if arguments.no_node {
                None
            } else {
                Some(stand_in::start(peer.client()?).await.context("--no-node runs without it")?)
            };
            suite::run(&release, &peer, names, &settings(arguments, &folder)).await?
        }
    };
    finish(arguments, peer).await?;
    if names.is_none() {
        return Ok(true);
    }
    if arguments.update_ratchet {
        eprintln!("{} names added to {GREEN}", ratchet::add(&green, &outcomes)?);
    }
    if let Some(path) = &arguments.record {
        record::write(path, side, &outcomes)?;
    }
    eprintln!("log: {}\njunit: {}", folder.join("e2e/e2e.log").display(), folder.join("e2e/junit.xml").display());
    println!("{}", summary(&outcomes));
    Ok(!outcomes.values().any(|o| matches!(o, Outcome::Failed(_))))
}

/// The names of a list, narrowed; an empty choice is refused, for it would pass.
fn chosen(path: &Path, only: Option<&str>) -> anyhow::Result<BTreeSet<String>> {
    let mut names = ratchet::read(path)?;
    names.retain(|name| only.is_none_or(|text| name.contains(text)));
    if names.is_empty() {
        bail!("{} names no test{}", path.display(), only.map(|t| format!(" with {t:?}")).unwrap_or_default());
    }
    Ok(names)
}

fn settings(arguments: &Arguments, folder: &Path) -> Settings {
    Settings {
        parallel: arguments.procs,
        json: arguments.json,
        minutes_max: arguments.limit,
        folder: folder.join("e2e"),
    }
}

async fn start(arguments: &Arguments, release: &Release, folder: &Path) -> anyhow::Result<Peer> {
    if arguments.golden {
        return golden::start(release, &folder.join("golden")).await.context("start the golden control plane");
    }
    native::start(&node(arguments).await?, &folder.join("native")).await.context("start our control plane")
}

/// Our program: the one that was named, or a fresh one.
async fn node(arguments: &Arguments) -> anyhow::Result<PathBuf> {
    match &arguments.node {
        Some(path) => path.canonicalize().with_context(|| format!("find {}", path.display())),
        None => native::compile(if arguments.dev_profile { Profile::Dev } else { Profile::Release }).await,
    }
}

async fn finish(arguments: &Arguments, peer: Peer) -> anyhow::Result<()> {
    if arguments.keep {
        return peer.leave_running();
    }
    let name = peer.name;
    if !peer.stop().await? {
        eprintln!("warning: the {name} control plane had to be killed");
    }
    Ok(())
}

/// The differential test: both sides in fresh folders, every case on both.
async fn compare(arguments: &Arguments, release: &Release) -> anyhow::Result<bool> {
    let folder = runs::new_folder(release, "diff")?;
    let cases = differential::read(&native::repository().join("tests/differential/cases"), arguments.only.as_deref())?;
    let program = if arguments.self_check { None } else { Some(node(arguments).await?) };
    let theirs = golden::start(release, &folder.join("golden")).await.context("start the golden control plane")?;
    let ours = match &program {
        None => {
            golden::start(release, &folder.join("golden-2")).await.context("start the second golden control plane")?
        }
        Some(program) => native::start(program, &folder.join("native")).await.context("start our control plane")?,
    };
    let report = differential::run(&cases, &theirs.client()?, &ours.client()?, &folder.join("answers")).await?;
    theirs.stop().await?;
    ours.stop().await?;
    eprintln!("the whole answers: {}", folder.join("answers").display());
    println!("{}", report.text);
    Ok(report.failed == 0)
}
