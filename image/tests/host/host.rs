//! A host of its own for each test: home, image and emulator in one folder. All waiting happens here, with a deadline.

use serde_json::Value;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long anything is waited for. Generous: the machine may be busy with a build.
const WAIT_MAX: Duration = Duration::from_secs(120);
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(50);

pub struct Host {
    folder: tempfile::TempDir,
}

/// What a command did.
#[derive(Debug)]
pub struct Done {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Done {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl Host {
    pub fn new() -> Host {
        let host = Host { folder: tempfile::tempdir().expect("a folder") };
        for name in ["home", "bin", "image"] {
            std::fs::create_dir(host.folder.path().join(name)).expect("a folder");
        }
        std::fs::write(host.image().join("bzImage"), b"kernel").expect("a file");
        std::fs::write(host.image().join("root.qcow2"), b"root").expect("a file");
        let manifest = "{\"format\":2,\"version\":\"0\",\"inputs\":\"\",\"docker\":false,\"debug\":false,\"packages\":{},\
            \"files\":{\"bzImage\":{\"size\":6,\"sha256\":\"k\"},\"root.qcow2\":{\"size\":4,\"sha256\":\"r\"}}}";
        std::fs::write(host.image().join("manifest.json"), manifest).expect("a file");
        let emulator = host.folder.path().join("bin/qemu-system-x86_64");
        let own = std::env::current_exe().expect("the path of the test");
        let script = format!(
            "#!/bin/sh\nif [ \"$1\" = --version ]; then echo 'QEMU emulator version 7.2.0 (fake)'; exit; fi\n\
             FAKE_ARGUMENTS=\"$*\" exec '{}' --exact fake::the_machine --ignored --nocapture\n",
            own.display()
        );
        std::fs::write(&emulator, script).expect("a file");
        std::fs::set_permissions(&emulator, std::fs::Permissions::from_mode(0o755)).expect("its mode");
        host
    }

    pub fn image(&self) -> PathBuf {
        self.folder.path().join("image")
    }

    pub fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    /// Waits until a file is there.
    pub fn wait_for_file(&self, path: &Path) {
        let end = Instant::now() + WAIT_MAX;
        while !path.exists() {
            assert!(Instant::now() < end, "{} does not come", path.display());
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// The folder of a cluster.
    pub fn folder(&self, name: &str) -> PathBuf {
        self.folder.path().join("data/skerry/clusters").join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let at = |name: &str| self.folder.path().join(name);
        let mut command = Command::new(env!("CARGO_BIN_EXE_skerry"));
        command.args(arguments).env_clear().stdin(Stdio::null());
        command.env("HOME", at("home")).env("XDG_DATA_HOME", at("data")).env("XDG_CACHE_HOME", at("cache"));
        command.env("PATH", format!("{}:/usr/bin:/bin", at("bin").display()));
        command.env("SKERRY_IMAGE", self.image()).env("SKERRY_ACCEL", "tcg");
        // Nobody answers for the API here.
        command.env("SKERRY_WAIT", "none");
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Done {
        self.run_with(arguments, &[])
    }

    pub fn run_with(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Done {
        let output = self.command(arguments).envs(environment.iter().copied()).output().expect("it runs");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        Done { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
    }

    /// Runs a command that writes its result into a pipe.
    pub fn run_into(&self, arguments: &[&str], out: std::io::PipeWriter) -> Done {
        let output = self.command(arguments).stdout(out).stderr(Stdio::piped()).output().expect("it runs");
        let err = String::from_utf8(output.stderr).expect("text");
        Done { code: output.status.code().unwrap_or(-1), out: String::new(), err }
    }

    pub fn spawn(&self, arguments: &[&str]) -> Child {
        self.command(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it runs")
    }

    /// The same in a process group of its own, as a shell starts it.
    pub fn spawn_group(&self, arguments: &[&str]) -> Child {
        use std::os::unix::process::CommandExt;
        let mut command = self.command(arguments);
        command.process_group(0).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it runs")
    }

    /// Waits until something holds.
    pub fn until(&self, what: &str, holds: impl Fn() -> bool) {
        let end = Instant::now() + WAIT_MAX;
        while !holds() {
            assert!(Instant::now() < end, "{what}: not yet");
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Runs a command until it ends with a code.
    pub fn run_until(&self, arguments: &[&str], code: i32) -> Done {
        let end = Instant::now() + WAIT_MAX;
        loop {
            let done = self.run(arguments);
            if done.code == code {
                return done;
            }
            assert!(Instant::now() < end, "{done:?}");
            std::thread::sleep(LOOK_EVERY);
        }
    }

    pub fn status(&self) -> Value {
        let done = self.run(&["status", "-o", "json"]);
        assert_eq!(done.code, 0, "{done:?}");
        done.json()
    }

    /// Waits until the machine is in a state.
    pub fn wait_for(&self, state: &str) -> Value {
        let end = Instant::now() + WAIT_MAX;
        loop {
            let done = self.run(&["status", "-o", "json"]);
            if done.code == 0 && done.json()["state"] == state {
                return done.json();
            }
            assert!(Instant::now() < end, "{done:?}");
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Kills a process of this host and waits until it is gone.
    pub fn kill(&self, pid: &Value) {
        let number = i32::try_from(pid.as_i64().expect("a number")).expect("a process");
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(number), nix::sys::signal::Signal::SIGKILL).expect("it ran");
        let end = Instant::now() + WAIT_MAX;
        while is_alive(pid) {
            assert!(Instant::now() < end, "{pid} lives on");
            std::thread::sleep(LOOK_EVERY);
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // No machine outlives its test; one that is stuck is told by the test itself.
        drop(self.command(&["delete", "--all"]).output());
    }
}

/// Whether a process runs: one that only waits to be reaped does not.
pub fn is_alive(pid: &Value) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
}
