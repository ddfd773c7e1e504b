//! Docker's own client on this host, led to a machine's Docker by `skerry docker-env`.

use super::program::{Outcome, run};
use super::{Machine, Stream};
use crate::images::Workshop;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// One command: a build with its steps, or a container, emulated, with dockerd to be woken first.
const COMMAND: Duration = Duration::from_secs(600);

/// The client from PyPI and its version.
const PYTHON_CLIENT: &str = "docker==7.1.0";

/// The client.
pub struct Docker {
    program: PathBuf,
    folder: PathBuf,
    variables: Vec<(String, String)>,
}

impl Docker {
    /// Gets the client and asks the machine for its Docker.
    pub fn of(machine: &Machine) -> Docker {
        let folder = machine.folder("docker-client");
        let workshop = Workshop::open().unwrap_or_else(|error| panic!("Docker's client: {error:#}"));
        let program = workshop.docker(&folder).unwrap_or_else(|error| panic!("Docker's client: {error:#}"));
        let text = machine.tell(&["docker-env"]);
        let set: serde_json::Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        let set = set.as_object().expect("an object").clone();
        let variables = set.into_iter().map(|(name, value)| (name, value.as_str().unwrap_or_default().to_owned()));
        Docker { program, folder, variables: variables.collect() }
    }

    /// One of the variables that lead to the machine.
    pub fn variable(&self, name: &str) -> &str {
        let found = self.variables.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str()).unwrap_or_else(|| panic!("no {name} in {:?}", self.variables))
    }

    /// The same client with other certificates.
    pub fn with_certificates(&self, folder: &Path) -> Docker {
        let value = folder.display().to_string();
        let others = self.variables.iter().filter(|(name, _)| name != "DOCKER_CERT_PATH").cloned();
        let variables = others.chain([("DOCKER_CERT_PATH".to_owned(), value)]).collect();
        Docker { program: self.program.clone(), folder: self.folder.clone(), variables }
    }

    /// Runs it; what it prints. Anything but success fails the test.
    pub fn run(&self, arguments: &[&str]) -> String {
        good(&format!("docker {arguments:?}"), self.attempt(arguments)).out
    }

    /// Runs it with more variables, such as which builder is to be used.
    pub fn run_with(&self, variables: &[(&str, &str)], arguments: &[&str]) -> String {
        let mut command = self.command(arguments);
        command.envs(variables.iter().copied());
        let outcome = good(&format!("docker {arguments:?}"), run(&mut command, &[], COMMAND));
        format!("{}{}", outcome.out, outcome.err)
    }

    /// Starts it, with more variables, and with its lines to be read while it runs.
    pub fn stream(&self, variables: &[(&str, &str)], arguments: &[&str]) -> Stream {
        let mut command = self.command(arguments);
        command.envs(variables.iter().copied());
        Stream::start(&mut command)
    }

    /// Runs it; it may fail.
    pub fn attempt(&self, arguments: &[&str]) -> Outcome {
        run(&mut self.command(arguments), &[], COMMAND)
    }

    /// Runs a program of the client from PyPI; what it prints. Anything but success fails the test.
    pub fn python(&self, program: &str, arguments: &[&str]) -> String {
        let python = self.environment_of_python().unwrap_or_else(|error| panic!("Docker's client from PyPI: {error}"));
        let mut command = Command::new(python);
        command.arg(program).args(arguments).envs(self.variables.iter().map(|(name, value)| (name, value)));
        // They would take the place of the cluster's authority (psf/requests, issue 3829).
        command.env_remove("REQUESTS_CA_BUNDLE").env_remove("CURL_CA_BUNDLE");
        good(program, run(&mut command, &[], COMMAND)).out
    }

    /// An interpreter that has the client, installed by its name and kept beside the machine.
    fn environment_of_python(&self) -> Result<PathBuf, String> {
        let environment = self.folder.join("python");
        let python = environment.join("bin/python");
        let install = [
            ("python3", vec!["-m", "venv", environment.to_str().ok_or("a path that is not UTF-8")?]),
            (python.to_str().ok_or("a path that is not UTF-8")?, vec!["-m", "pip", "install", "-q", PYTHON_CLIENT]),
        ];
        for (program, arguments) in install {
            let outcome = run(Command::new(program).args(&arguments), &[], COMMAND);
            if !outcome.is_good() {
                return Err(format!("{program} {arguments:?}: {}{}", outcome.out, outcome.err));
            }
        }
        Ok(python)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(arguments).envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.env("DOCKER_CONFIG", &self.folder).env("HOME", &self.folder);
        command
    }
}

/// What a command came to; anything but success fails the test.
fn good(what: &str, outcome: Outcome) -> Outcome {
    let (code, out, err) = (outcome.code, &outcome.out, &outcome.err);
    assert!(outcome.is_good(), "{what} ended with {code:?}: {out}{err}");
    outcome
}
