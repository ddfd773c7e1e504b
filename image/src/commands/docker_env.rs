//! `skerry docker-env`: the variables by which the host's Docker client reaches the machine's Docker.

use super::{Command, Context, Named};
use crate::cluster::access::{Answered, Api, json_of};
use crate::cluster::ask::Report;
use crate::cluster::{Cluster, life};
use crate::exit::{Code, Failure};
use anyhow::{Context as _, Result};
use clap::{Args, FromArgMatches};
use serde::Deserialize;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// The line of the table.
pub const COMMAND: Command = Command {
    name: "docker-env",
    about: "Print what lets this host's Docker client use the machine's Docker: eval $(skerry docker-env)",
    hidden: false,
    arguments: |command| Arguments::augment_args(command),
    run: |matches, context| run(&Arguments::from_arg_matches(matches)?, context),
};

/// The folder of the certificates, in the cluster's.
const FOLDER: &str = "docker";
/// What Docker's client calls its files: authority, certificate, key.
const FILES: [&str; 3] = ["ca.pem", "cert.pem", "key.pem"];
/// A certificate that has less time left is replaced.
const LEFT_MIN: Duration = Duration::from_secs(30 * 24 * 3600);
/// Everything that is set, in its order.
const VARIABLES: [&str; 3] = ["DOCKER_HOST", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH"];

/// A shell, by how it sets variables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Shell {
    /// bash, zsh, and any other of their kind.
    Bash,
    /// fish.
    Fish,
    /// PowerShell.
    Powershell,
}

#[derive(Args)]
struct Arguments {
    /// The shell that reads it [default: that of $SHELL]
    #[arg(long, value_enum)]
    shell: Option<Shell>,
    /// Print what takes the variables away again
    #[arg(long)]
    unset: bool,
    #[command(flatten)]
    cluster: Named,
}

fn run(arguments: &Arguments, context: &Context) -> Result<()> {
    let shell = arguments.shell.unwrap_or_else(|| of_environment(std::env::var("SHELL").ok().as_deref()));
    if arguments.unset {
        let text = VARIABLES.map(|name| shell.unset(name)).join("\n");
        return Ok(context.output.data(&text, &json!({ "unset": VARIABLES }))?);
    }
    let cluster = Cluster::existing(&arguments.cluster.name)?;
    let mut supervisor = context.runtime.block_on(life::running(&cluster))?;
    let folder = cluster.path(FOLDER);
    certificate(&Api::of(&cluster)?, &folder)?;
    let question = json!({"do": "docker"});
    let report =
        context.runtime.block_on(supervisor.ask::<Report>(&question)).context("letting a port lead to Docker's")?;
    let port = report.docker().ok_or_else(|| Failure::new(Code::NoCluster, "the machine has ended meanwhile"))?;
    let values = [format!("tcp://127.0.0.1:{port}"), "1".to_owned(), folder.display().to_string()];
    let pairs = VARIABLES.into_iter().zip(&values);
    let mut lines: Vec<String> = pairs.clone().map(|(name, value)| shell.set(name, value)).collect();
    lines.push(shell.hint(&cluster.name));
    let value: serde_json::Map<String, Value> = pairs.map(|(name, value)| (name.to_owned(), json!(value))).collect();
    Ok(context.output.data(&lines.join("\n"), &value)?)
}

/// The shell that a path such as `/usr/bin/fish` names.
fn of_environment(path: Option<&str>) -> Shell {
    match path.and_then(|path| Path::new(path).file_name()?.to_str()) {
        Some("fish") => Shell::Fish,
        Some("pwsh" | "powershell") => Shell::Powershell,
        _ => Shell::Bash,
    }
}

impl Shell {
    fn set(self, name: &str, value: &str) -> String {
        match self {
            Shell::Bash => format!("export {name}='{}'", value.replace('\'', r"'\''")),
            Shell::Fish => format!("set -gx {name} '{}';", value.replace('\\', r"\\").replace('\'', r"\'")),
            Shell::Powershell => format!("$Env:{name} = '{}'", value.replace('\'', "''")),
        }
    }

    fn unset(self, name: &str) -> String {
        match self {
            Shell::Bash => format!("unset {name}"),
            Shell::Fish => format!("set -e {name};"),
            Shell::Powershell => format!("Remove-Item Env:\\{name}"),
        }
    }

    /// How to use it. The last line, for `eval` makes one line of all.
    fn hint(self, cluster: &str) -> String {
        let name = if cluster == "skerry" { String::new() } else { format!(" --name {cluster}") };
        match self {
            Shell::Bash => format!("# eval $(skerry docker-env{name})"),
            Shell::Fish => format!("# skerry docker-env{name} --shell fish | source"),
            Shell::Powershell => format!("# & skerry docker-env{name} --shell powershell | Invoke-Expression"),
        }
    }
}

#[derive(Deserialize)]
struct Granted {
    certificate: String,
    authority: String,
}

/// Has the machine open Docker's port, and sees to it that the folder holds a certificate for it. One that is good
/// stays, since other shells may use it at this moment. The key never leaves this host.
fn certificate(api: &Api, folder: &Path) -> Result<()> {
    let key = pki::Key::generate()?;
    let request = pki::csr::request(&key, "skerry-docker", None, &[])?;
    let question = json!({ "request": request }).to_string();
    let answer = api.post("/skerry/v1/docker", "application/json", &mut question.as_bytes()).map_err(refusal)?;
    let granted: Granted = serde_json::from_value(json_of(answer)?).context("reading the machine's answer")?;
    if is_good(folder, &granted.authority) {
        return Ok(());
    }
    std::fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    let paths: [PathBuf; 3] = FILES.map(|name| folder.join(name));
    for (path, text) in paths.iter().zip([&granted.authority, &granted.certificate, &*key.to_pem()]) {
        pki::folder::replace(path, text.as_bytes(), 0o600)?;
    }
    Ok(())
}

fn refusal(error: anyhow::Error) -> anyhow::Error {
    match error.downcast_ref::<Answered>() {
        Some(answered) if answered.code == 404 => {
            let failure = Failure::new(Code::Refused, answered.message.clone());
            failure.advice("skerry build makes an image with Docker; skerry image build needs it, too").into()
        }
        _ => error.context("asking the machine for its Docker"),
    }
}

/// Whether the files belong together, are of this authority and last a while.
fn is_good(folder: &Path, authority: &str) -> bool {
    let look = || -> Result<bool> {
        let read = |name: &str| std::fs::read(folder.join(name)).context("reading a file of the client's");
        let certificate = pki::pem::certificates(&read("cert.pem")?)?.remove(0);
        let key = pki::Key::from_pem(&read("key.pem")?)?;
        let root = pki::pem::certificates(authority.as_bytes())?.remove(0);
        let left = pki::identity::validity(&certificate)?.not_after.duration_since(SystemTime::now());
        Ok(read("ca.pem")? == authority.as_bytes()
            && pki::identity::issued_by(&certificate, &root)?
            && pki::identity::public_key(&certificate)? == key.public_der()
            && left.is_ok_and(|left| left > LEFT_MIN))
    };
    // What cannot be read is replaced.
    look().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_shell_gets_its_own_words_and_no_value_breaks_out() {
        assert_eq!(Shell::Bash.set("A", "it's $B"), r"export A='it'\''s $B'");
        assert_eq!(Shell::Fish.set("A", r"it's\"), r"set -gx A 'it\'s\\';");
        assert_eq!(Shell::Powershell.set("A", "it's"), "$Env:A = 'it''s'");
        assert_eq!(Shell::Bash.unset("A"), "unset A");
        assert_eq!(Shell::Bash.hint("skerry"), "# eval $(skerry docker-env)");
        assert!(Shell::Fish.hint("ci").contains("--name ci"));
    }

    #[test]
    fn the_shell_is_that_of_the_environment() {
        assert_eq!(of_environment(Some("/usr/bin/fish")), Shell::Fish);
        assert_eq!(of_environment(Some("/bin/zsh")), Shell::Bash);
        assert_eq!(of_environment(None), Shell::Bash);
    }

    #[test]
    fn files_that_are_missing_or_do_not_belong_together_are_replaced() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!is_good(folder.path(), ""));
        for name in FILES {
            std::fs::write(folder.path().join(name), "x").unwrap();
        }
        assert!(!is_good(folder.path(), "x"));
    }
}
