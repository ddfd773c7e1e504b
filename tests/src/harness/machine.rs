//! One machine under test: booted by the `skerry` command as a user would, in folders of its own, and deleted with this
//! value. Every flag of `skerry` that the tests use is in this file.

use super::program::{Outcome, eventually, run};
use super::{Built, Stream, Terminal};
use crate::images::catalog::Image;
use crate::images::{Workshop, catalog};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

/// A boot, with its disk made; emulated, with another build on the same processors.
const BOOT: &str = "10m";
/// The same for this side: it gives up later than the command does.
const BOOT_LIMIT: Duration = Duration::from_secs(660);
/// A command that only asks or tells.
const COMMAND: Duration = Duration::from_secs(120);
/// Taking an image in: 24 MB through the API and onto the disk.
const LOAD: Duration = Duration::from_secs(300);
/// Until a killed emulator is known to be gone.
const GONE: Duration = Duration::from_secs(20);

/// A machine that runs, unless a test has taken its power.
pub struct Machine {
    name: String,
    built: Built,
    folder: PathBuf,
    environment: Vec<(String, PathBuf)>,
    loaded: OnceLock<()>,
}

impl Machine {
    /// Boots a new machine and waits until it is ready. What an interrupted run has left under this name goes first.
    pub fn boot(name: &str) -> Machine {
        Machine::boot_with(name, &[])
    }

    /// The same with more arguments of `skerry start`, which last as long as the machine.
    pub fn boot_with(name: &str, arguments: &[&str]) -> Machine {
        Machine::boot_as(name, &[], arguments)
    }

    /// The same with variables that name files, for every command that is run on this machine.
    pub fn boot_as(name: &str, environment: &[(&str, PathBuf)], arguments: &[&str]) -> Machine {
        let built = Built::find().unwrap_or_else(|error| panic!("{error:#}"));
        let folder = built.target.join("machine-tests");
        std::fs::create_dir_all(&folder).expect("a folder in target/");
        let environment = environment.iter().map(|(name, file)| ((*name).to_owned(), file.clone())).collect();
        let machine = Machine { name: name.to_owned(), built, folder, environment, loaded: OnceLock::new() };
        if machine.cluster().exists() {
            machine.must(&["delete"], COMMAND);
        }
        machine.start_with(arguments);
        machine
    }

    /// Starts it, again or for the first time; the command's report.
    pub fn start(&self) -> Value {
        self.start_with(&[])
    }

    /// The same with more arguments, such as what to wait for.
    pub fn start_with(&self, arguments: &[&str]) -> Value {
        let text = self.must(&[&["start", "--timeout", BOOT], arguments].concat(), BOOT_LIMIT);
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("skerry start printed no JSON ({error}): {text}"))
    }

    /// Tries to start it with more arguments; how the command ended.
    pub fn try_start(&self, arguments: &[&str]) -> Outcome {
        self.skerry(&[&["start", "--timeout", BOOT], arguments].concat(), BOOT_LIMIT)
    }

    /// Asks for its status, which it may not have.
    pub fn try_status(&self) -> Outcome {
        self.skerry(&["status"], COMMAND)
    }

    /// The folder of the image.
    pub fn image(&self) -> PathBuf {
        self.built.image.clone()
    }

    /// The file of the state disk.
    pub fn state_disk(&self) -> PathBuf {
        self.cluster().join("state.raw")
    }

    /// A folder of the machine's own for what a test hands it, empty.
    pub fn room(&self) -> PathBuf {
        let room = self.folder.join(format!("{}-room", self.name));
        match std::fs::remove_dir_all(&room) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => panic!("{}: {error}", room.display()),
            _ => {}
        }
        std::fs::create_dir_all(&room).expect("a folder in target/");
        room
    }

    /// The same as somebody with other variables in the environment.
    pub fn start_as(&self, environment: &[(&str, &str)], arguments: &[&str]) -> Value {
        let words = [&["start", "--timeout", BOOT], arguments].concat();
        let outcome = self.skerry_as(environment, &words, BOOT_LIMIT);
        assert!(outcome.is_good(), "skerry {words:?} failed: {}{}", outcome.out, outcome.err);
        serde_json::from_str(&outcome.out).expect("JSON")
    }

    /// A command of `skerry` that only asks; its result.
    pub fn ask(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.must(arguments, COMMAND)).expect("JSON")
    }

    /// A command of `skerry`, which may fail.
    pub fn try_skerry(&self, arguments: &[&str]) -> Outcome {
        self.skerry(arguments, COMMAND)
    }

    /// The archive of an image of the catalogue.
    pub fn archive(&self, name: &str) -> PathBuf {
        let image = catalog::image(name).expect("an image of the catalogue");
        let workshop = Workshop::open().unwrap_or_else(|error| panic!("the images' packages: {error:#}"));
        let made = workshop.make(image, &self.built.target.join("shop-images"));
        made.unwrap_or_else(|error| panic!("the image {name}: {error:#}"))
    }

    /// Everything that is known of the machine outside of it, as text: what must hold no secret.
    pub fn outside(&self) -> String {
        let read = |name: &str| std::fs::read(self.cluster().join(name)).unwrap_or_default();
        let pid = self.status()["pid"].as_u64().unwrap_or_default();
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let all = [read("serial.log"), read("supervisor.log"), read("qemu.log"), read("cluster.json"), line];
        String::from_utf8_lossy(&all.concat()).into_owned()
    }

    /// Kills whoever watches over the machine, which runs on.
    pub fn kill_supervisor(&self) {
        let pid = self.status()["supervisor"].as_i64().and_then(|pid| i32::try_from(pid).ok()).expect("its pid");
        kill(Pid::from_raw(pid), Signal::SIGKILL).expect("it runs");
    }

    /// Has the machine shut down and waits until it is off. Says how the machine ended.
    pub fn stop(&self) -> String {
        self.must(&["stop", "--power-off", "--timeout", "3m"], BOOT_LIMIT);
        let ended = self.skerry(&["status"], COMMAND);
        assert_eq!(ended.code, Some(4), "a machine that was stopped still has a status: {}", ended.out);
        serde_json::from_str::<Value>(&ended.out).expect("JSON")["message"].as_str().unwrap_or_default().to_owned()
    }

    /// Kills the emulator, which is what a power cut is to the machine.
    pub fn cut_power(&self) {
        let pid = self.status()["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok()).expect("the emulator's pid");
        kill(Pid::from_raw(pid), Signal::SIGKILL).expect("the emulator runs");
        eventually("the machine is off", GONE, || {
            let code = self.skerry(&["status"], COMMAND).code;
            if code == Some(4) { Ok(()) } else { Err(format!("status ends with {code:?}")) }
        });
    }

    /// What `skerry status -o json` says.
    pub fn status(&self) -> Value {
        serde_json::from_str(&self.must(&["status"], COMMAND)).expect("JSON")
    }

    /// The machine's console so far.
    pub fn console(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.cluster().join("serial.log")).expect("a serial log")).into_owned()
    }

    /// Loads all images of the catalogue, once.
    pub fn load_images(&self) {
        self.loaded.get_or_init(|| self.load(catalog::IMAGES));
    }

    /// Loads some images; layers that are there already are not sent again.
    pub fn load(&self, images: &[Image]) {
        let workshop = Workshop::open().unwrap_or_else(|error| panic!("the images' packages: {error:#}"));
        for image in images {
            let made = workshop.make(image, &self.built.target.join("shop-images"));
            let archive = made.unwrap_or_else(|error| panic!("the image {}: {error:#}", image.name));
            self.must(&["image", "load", archive.to_str().expect("a path of letters")], LOAD);
        }
    }

    /// Runs a command of `skerry` on this machine; what it prints as JSON. Anything but success fails the test.
    pub fn tell(&self, arguments: &[&str]) -> String {
        self.must(arguments, LOAD)
    }

    /// Runs a command of `skerry` on this machine, which may fail.
    pub fn attempt(&self, arguments: &[&str]) -> Outcome {
        self.skerry(arguments, LOAD)
    }

    /// A folder beside the machines, made if need be.
    pub fn folder(&self, name: &str) -> PathBuf {
        let folder = self.folder.join(name);
        std::fs::create_dir_all(&folder).expect("a folder in target/");
        folder
    }

    /// Where a Service's port is on this host, once the command has seen the Service.
    pub fn door(&self, service: &str, port: u16) -> SocketAddr {
        eventually("a forwarded port", COMMAND, || {
            let status = self.status();
            let forwards = status["forwards"].as_array().cloned().unwrap_or_default();
            let found = forwards.iter().find(|f| f["service"] == service && f["port"] == port);
            let host = found.and_then(|forward| u16::try_from(forward["host"].as_u64()?).ok());
            host.map(|host| (Ipv4Addr::LOCALHOST, host).into()).ok_or_else(|| status["forwards"].to_string())
        })
    }

    /// Runs kubectl; what it prints. Anything but success fails the test.
    pub fn kubectl(&self, arguments: &[&str]) -> String {
        self.kubectl_within(COMMAND, arguments)
    }

    /// The same with another limit than that of a short command.
    pub fn kubectl_within(&self, limit: Duration, arguments: &[&str]) -> String {
        self.kubectl_given(limit, arguments, "")
    }

    /// The same with something to read on its standard input.
    pub fn kubectl_given(&self, limit: Duration, arguments: &[&str], input: &str) -> String {
        let outcome = run(&mut self.kubectl_command(arguments), input.as_bytes(), limit);
        assert!(
            outcome.is_good(),
            "kubectl {arguments:?} ended with {:?}: {}{}",
            outcome.code,
            outcome.out,
            outcome.err
        );
        outcome.out
    }

    /// Runs kubectl, which may fail.
    pub fn try_kubectl(&self, arguments: &[&str]) -> Outcome {
        run(&mut self.kubectl_command(arguments), &[], COMMAND)
    }

    /// Starts kubectl with its lines to be read while it runs.
    pub fn kubectl_stream(&self, arguments: &[&str]) -> Stream {
        Stream::start(&mut self.kubectl_command(arguments))
    }

    /// `skerry dashboard`, and the address that it gives.
    pub fn dashboard(&self) -> (Stream, String) {
        let serving = Stream::start(&mut self.skerry_command(&["dashboard", "--url"]));
        let url = serving.line_with("/dashboard/#ticket=", COMMAND);
        (serving, url)
    }

    /// `skerry why`, as people read it.
    pub fn why(&self, namespace: &str, object: &str) -> String {
        run(&mut self.skerry_command(&["why", object, "-n", namespace]), &[], COMMAND).out
    }

    /// Starts kubectl in a terminal.
    pub fn kubectl_terminal(&self, arguments: &[&str]) -> Terminal {
        Terminal::start(&mut self.kubectl_command(arguments))
    }

    /// A value of an object by its JSONPath, such as `{.status.phase}`.
    pub fn value(&self, namespace: &str, object: &str, path: &str) -> String {
        self.kubectl(&["get", "-n", namespace, object, "-o", &format!("jsonpath={path}")])
    }

    /// Keeps what helps to understand a failure, since the machine goes.
    pub fn keep_logs(&self) {
        let kept = self.folder.join(format!("{}-serial.log", self.name));
        match std::fs::copy(self.cluster().join("serial.log"), &kept) {
            Ok(_) => println!("the machine's console is kept in {}", kept.display()),
            Err(error) => println!("the machine's console is lost: {error}"),
        }
        let pods = self.try_kubectl(&["get", "pods", "-A", "-o", "wide"]);
        let events = self.try_kubectl(&["get", "events", "-A", "--sort-by=.lastTimestamp"]);
        println!("pods:\n{}{}\nevents:\n{}{}", pods.out, pods.err, events.out, events.err);
    }

    fn kubectl_command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.built.kubectl());
        command.args(arguments).env("KUBECONFIG", self.kubeconfig()).env("HOME", &self.folder);
        command
    }

    /// Runs `skerry` on this machine; anything but success fails the test.
    fn must(&self, arguments: &[&str], limit: Duration) -> String {
        let outcome = self.skerry(arguments, limit);
        let last: Vec<&str> = outcome.err.lines().rev().take(40).collect();
        let last: Vec<&str> = last.into_iter().rev().collect();
        let (code, said) = (outcome.code, last.join("\n"));
        assert_eq!(code, Some(0), "skerry {arguments:?} failed: {}\n{said}", outcome.out);
        outcome.out
    }

    fn skerry(&self, arguments: &[&str], limit: Duration) -> Outcome {
        self.skerry_as(&[], arguments, limit)
    }

    fn skerry_as(&self, environment: &[(&str, &str)], arguments: &[&str], limit: Duration) -> Outcome {
        run(self.skerry_command(arguments).envs(environment.iter().copied()).args(["-o", "json"]), &[], limit)
    }

    /// What the host's environment says of proxies and authorities is none of the tests' business.
    fn skerry_command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.built.skerry);
        command.env_remove("SSL_CERT_FILE");
        for name in ["HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"] {
            command.env_remove(name);
        }
        command.env("XDG_CONFIG_HOME", self.folder.join("config")).args(arguments);
        command.env("SKERRY_NAME", &self.name).env("SKERRY_IMAGE", &self.built.image);
        command.env("XDG_DATA_HOME", self.folder.join("data")).env("XDG_CACHE_HOME", self.folder.join("cache"));
        command.env("KUBECONFIG", self.kubeconfig()).envs(self.environment.iter().map(|(name, file)| (name, file)));
        command
    }

    fn kubeconfig(&self) -> PathBuf {
        self.folder.join(format!("{}.kubeconfig", self.name))
    }

    fn cluster(&self) -> PathBuf {
        self.folder.join("data/skerry/clusters").join(&self.name)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let outcome = self.skerry(&["delete"], COMMAND);
        if !outcome.is_good() {
            println!("machine {} could not be deleted: {}{}", self.name, outcome.out, outcome.err);
        }
    }
}
