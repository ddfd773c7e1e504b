//! `skerry-cni`: the CNI plugin that connects pods: a pair of links to one bridge, addresses from the node's range, and
//! host ports. It follows version 1.1 of the CNI specification and speaks 0.3.1 to 1.1.0.
//!
//! It must not know the API server or `node`: containerd runs it, also while `node` is down.

mod attach;
mod config;
mod lease;
mod port;
mod reply;

pub use config::{CONFIG_FILE, Config, NETWORK, PLUGIN, PortMapping, write_config};
pub use lease::Lease;
pub use port::TABLE;
pub use reply::{Code, Failure};

use config::Attachment;
use lease::Leases;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Read;
use std::process::ExitCode;

/// Bytes of a configuration; the largest real ones, with a previous result, have a few thousand.
const CONFIG_BYTES_MAX: u64 = 1 << 20;

/// Reads what containerd wants from the environment and standard input, does it, and answers on standard output.
#[must_use]
pub fn main() -> ExitCode {
    let environment: BTreeMap<String, String> = std::env::vars().filter(|(name, _)| name.starts_with("CNI_")).collect();
    let mut input = Vec::new();
    let read = std::io::stdin().take(CONFIG_BYTES_MAX).read_to_end(&mut input);
    let answer = match read {
        Ok(_) => run(&environment, &input),
        Err(e) => Err(Failure::new(Code::Io, "read the network configuration from standard input", e)),
    };
    match answer {
        Ok(Value::Null) => ExitCode::SUCCESS,
        Ok(answer) => {
            println!("{answer}");
            ExitCode::SUCCESS
        }
        Err(failure) => {
            println!("{}", failure.json(&config::version_of(&input)));
            ExitCode::FAILURE
        }
    }
}

/// Does one command. The answer is `Null` when the command has none.
///
/// # Errors
/// The failure to print, with what to do about it.
pub fn run(environment: &BTreeMap<String, String>, input: &[u8]) -> Result<Value, Failure> {
    let command = environment.get("CNI_COMMAND").map(String::as_str).unwrap_or_default();
    if command == "VERSION" {
        return Ok(json!({"cniVersion": reply::newest(), "supportedVersions": reply::VERSIONS}));
    }
    let config = Config::read(input)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| Failure::new(Code::Io, "start", e))?;
    let leases = Leases::open(&config.state)?;
    match command {
        "ADD" => runtime.block_on(attach::add(&config, &leases, &Attachment::of(environment, true)?)),
        "DEL" => runtime.block_on(attach::del(&config, &leases, &Attachment::of(environment, false)?)),
        "CHECK" => runtime.block_on(attach::check(&config, &leases, &Attachment::of(environment, true)?)),
        "GC" => runtime.block_on(attach::collect(&config, &leases)),
        "STATUS" => runtime.block_on(attach::status(&config)),
        other => Err(Failure::new(
            Code::Environment,
            format!("CNI_COMMAND is {other:?}"),
            "it must be ADD, DEL, CHECK, GC, STATUS or VERSION",
        )),
    }
}

#[cfg(test)]
mod tests;
