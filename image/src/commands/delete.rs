//! `skerry delete`: removes a cluster with its state disk and its kubeconfig context.

use super::start::cut;
use super::{Command, Context};
use crate::cluster::settings::{Driver, Settings};
use crate::cluster::{Cluster, context as kubeconfig, life};
use crate::exit::{Code, Failure};
use crate::steps::Step;
use crate::virtualbox::manage;
use anyhow::{Context as _, Result};
use clap::{Args, FromArgMatches};
use serde_json::json;

/// The line of the table.
pub const COMMAND: Command = Command {
    name: "delete",
    about: "Remove a cluster with all that it holds",
    hidden: false,
    arguments: |command| Arguments::augment_args(command),
    run: |matches, context| {
        let arguments = Arguments::from_arg_matches(matches)?;
        context.runtime.block_on(run(&arguments, context))
    },
};

#[derive(Args)]
struct Arguments {
    /// Name of the cluster
    #[arg(long, env = "SKERRY_NAME", default_value = "skerry", conflicts_with = "all")]
    name: String,
    /// Every cluster of this user
    #[arg(long)]
    all: bool,
}

async fn run(arguments: &Arguments, context: &Context) -> Result<()> {
    let clusters = if arguments.all { Cluster::all()? } else { vec![Cluster::existing(&arguments.name)?] };
    for cluster in &clusters {
        remove(cluster, context).await.with_context(|| format!("deleting cluster {:?}", cluster.name))?;
    }
    let names: Vec<&str> = clusters.iter().map(|cluster| cluster.name.as_str()).collect();
    Ok(context.output.data("", &json!({"deleted": names}))?)
}

async fn remove(cluster: &Cluster, context: &Context) -> Result<()> {
    let _lock = cluster.lock()?;
    let step = Step::begin(&context.output, format!("Deleted {:?}", cluster.name));
    if life::reach(cluster).await?.is_some() {
        cut(cluster).await.context("cutting the machine's power")?;
    }
    if let Err(error) = kubeconfig::remove(cluster) {
        context.output.warn(&format!("its context stays in your kubeconfig: {error:#}"));
    }
    // Settings that cannot be read are no reason to keep the rest.
    if Settings::read(cluster).is_ok_and(|settings| settings.driver == Driver::Virtualbox) {
        manage::forget(cluster).context("removing the machine from VirtualBox")?;
    }
    std::fs::remove_dir_all(&cluster.folder).map_err(|error| {
        Failure::new(Code::HostLacks, format!("removing {}: {error}", cluster.folder.display()))
            .advice("give yourself the right to write there, then try again")
    })?;
    step.done("");
    Ok(())
}
