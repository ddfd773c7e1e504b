//! `skerry login`: the way into a machine that was booted without this command, by the code on its screen.

use super::{Command, Context};
use crate::cluster::{access, place};
use crate::exit::{Code, Failure};
use anyhow::{Result, anyhow};
use clap::{Args, FromArgMatches};
use serde_json::json;

/// The line of the table.
pub const COMMAND: Command = Command {
    name: "login",
    about: "Log in to a machine by the one-time code on its screen",
    hidden: false,
    arguments: |command| Arguments::augment_args(command),
    run: |matches, context| run(&Arguments::from_arg_matches(matches)?, context),
};

#[derive(Args)]
struct Arguments {
    /// Where its API is
    #[arg(value_name = "HOST:PORT", value_parser = address)]
    address: String,
    /// The code; dashes and small letters do not matter
    #[arg(long, env = "SKERRY_CODE", value_name = "CODE", hide_env_values = true)]
    code: String,
    /// Name of the context in your kubeconfig
    #[arg(long, env = "SKERRY_NAME", default_value = "skerry")]
    name: String,
    /// Print the kubeconfig on standard output, and change no file
    #[arg(long)]
    print: bool,
}

/// `HOST:PORT`, `HOST` with the usual port, or the URL that a machine shows.
fn address(text: &str) -> Result<String, String> {
    let wrong = || "write it as HOST:PORT, such as 192.168.56.10:6443".to_owned();
    let bare = text.strip_prefix("https://").unwrap_or(text).trim_end_matches('/');
    let with_port = if bare.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok()) {
        bare.to_owned()
    } else {
        format!("{bare}:6443")
    };
    let (host, _) = with_port.rsplit_once(':').ok_or_else(wrong)?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '[' | ']');
    let good = !host.is_empty() && host.chars().all(plain) && (!host.contains(':') || host.starts_with('['));
    if good { Ok(with_port) } else { Err(wrong()) }
}

fn run(arguments: &Arguments, context: &Context) -> Result<()> {
    let code = pki::login::Code::parse(&arguments.code)
        .map_err(|error| Failure::new(Code::Usage, format!("--code: {error:#}")))?;
    let server = format!("https://{}", arguments.address);
    let entry = access::login(&server, &arguments.name, &code).map_err(|error| {
        if error.chain().any(|cause| cause.is::<Failure>()) {
            return error;
        }
        let failure = Failure::new(Code::NoCluster, format!("no machine answers at {}: {error:#}", arguments.address));
        anyhow!(failure.advice("is it up, and is the port forwarded to the machine's 6443?"))
    })?;
    if arguments.print {
        let text = pki::kubeconfig::write(&entry)?;
        return Ok(std::io::Write::write_all(&mut std::io::stdout(), text.as_bytes())?);
    }
    let path = place::kubeconfig()?;
    pki::kubeconfig::edit_file(&path, |existing| {
        let there = pki::kubeconfig::read(existing, &arguments.name)?;
        if there.is_some_and(|there| there.server != entry.server) {
            let message = format!("{} has a context {:?} for another server", path.display(), arguments.name);
            return Err(Failure::new(Code::Refused, message).advice("choose another --name").into());
        }
        pki::kubeconfig::merge(existing, &entry, true)
    })?;
    context.output.say(&format!("Context {:?} is in {} and current.", entry.name, path.display()));
    context.output.say(&format!("Try:  kubectl --context {} get nodes", entry.name));
    Ok(context.output.data("", &json!({"context": entry.name, "kubeconfig": path, "server": entry.server}))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_as_a_machine_shows_them() {
        for (given, want) in [
            ("192.0.2.1:6443", "192.0.2.1:6443"),
            ("192.0.2.1", "192.0.2.1:6443"),
            ("https://node.example:7443/", "node.example:7443"),
            ("[2001:db8::1]:6443", "[2001:db8::1]:6443"),
        ] {
            assert_eq!(address(given).as_deref(), Ok(want), "{given}");
        }
        for bad in ["", ":6443", "a b", "http://x", "2001:db8::1", "x/../y"] {
            assert!(address(bad).is_err(), "{bad}");
        }
    }
}
