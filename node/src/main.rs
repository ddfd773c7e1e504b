//! The `node` binary: arguments, configuration, wiring and supervision of every cluster part. The story of the process
//! is told here; what each part does is in its own crate.

mod arguments;
mod components;
mod control_plane;
mod docker;
mod machine;
mod manifests;
#[cfg(test)]
mod monitoring;
mod parts;
mod pid1;
mod renewal;
mod settings;
mod store_key;
mod verdict;

use anyhow::{Context, Result};
use apiserver::builtin;
use apiserver::catalog::Catalog;
use arguments::Arguments;
use clap::Parser;
use pid1::Pid1;
use settings::Settings;
use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    match prepare().and_then(|(settings, complaints, catalog)| {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .context("starting the threads of the runtime")?;
        runtime.block_on(run(settings, complaints, catalog))
    }) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("node: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Reads what the process is told and starts the log. The catalog is made first: in a machine the settings come by a pipe,
/// once the disk and the network are there.
fn prepare() -> Result<(Settings, Vec<String>, Catalog)> {
    let arguments = Arguments::parse();
    let catalog = builtin::catalog();
    let file = arguments.config.clone();
    let text = file.as_deref().map(read).transpose()?;
    let (settings, complaints) =
        Settings::merge(arguments, text.as_deref()).with_context(|| match file.as_deref() {
            None => "command line".to_owned(),
            Some(file) if is_stdin(file) => "the machine's settings".to_owned(),
            Some(file) => file.display().to_string(),
        })?;
    let filter = EnvFilter::try_new(&settings.log).unwrap_or_else(|error| {
        eprintln!("node: \"{}\" is no filter for the log ({error}); logging at info", settings.log);
        EnvFilter::new("info")
    });
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    Ok((settings, complaints, catalog))
}

/// Whether the settings come on standard input.
fn is_stdin(file: &Path) -> bool {
    file == Path::new("-")
}

/// The text of the settings.
fn read(file: &Path) -> Result<String> {
    if is_stdin(file) {
        return std::io::read_to_string(std::io::stdin()).context("reading --config from standard input");
    }
    std::fs::read_to_string(file).with_context(|| format!("reading --config {}", file.display()))
}

async fn run(settings: Settings, complaints: Vec<String>, catalog: Catalog) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listening for SIGINT")?;
    let pid1 = Pid1::from_environment();
    for complaint in complaints {
        tracing::warn!(complaint, "a setting is not followed");
        pid1.say(&format!("node: config: {complaint}"));
    }
    let plane = control_plane::start(&settings, &pid1, catalog).await?;
    tokio::select! {
        _ = terminate.recv() => tracing::info!("stopping on SIGTERM"),
        _ = interrupt.recv() => tracing::info!("stopping on SIGINT"),
    }
    plane.stop().await;
    Ok(())
}
