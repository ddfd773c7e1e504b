//! `skerry version`: what this program is.

use super::{Command, Context};
use serde::Serialize;

/// The line of the table.
pub const COMMAND: Command = Command {
    name: "version",
    about: "Print the version of this program and of the Kubernetes it carries",
    hidden: false,
    arguments: |command| command,
    run: |_, context| run(context),
};

/// The Kubernetes API version that the image serves.
const KUBERNETES: &str = "v1.36";

#[derive(Serialize)]
struct Versions {
    skerry: &'static str,
    kubernetes: &'static str,
}

fn run(context: &Context) -> anyhow::Result<()> {
    let versions = Versions { skerry: env!("CARGO_PKG_VERSION"), kubernetes: KUBERNETES };
    let text = format!("skerry {} (Kubernetes {})", versions.skerry, versions.kubernetes);
    Ok(context.output.data(&text, &versions)?)
}
