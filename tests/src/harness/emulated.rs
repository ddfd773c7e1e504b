//! A machine without the host command: the emulator with arguments of the test's own, as other hypervisors and other
//! people's scripts would start it. Its serial line is a file; its monitor takes single commands.

use super::program::eventually;
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// The emulator.
const PROGRAM: &str = "qemu-system-x86_64";
/// One boot, emulated, with another build on the same processors.
const BOOT: Duration = Duration::from_secs(420);
/// From the power button to the end.
const END: Duration = Duration::from_secs(180);
/// A monitor that has just been started, or a command of it.
const MONITOR: Duration = Duration::from_secs(30);
/// Where a screen in text mode lies in memory, and its columns and rows of two bytes.
const TEXT_SCREEN: (&str, usize, usize) = ("0xb8000", 80, 25);

/// A machine that runs until this value goes.
pub struct Emulated {
    child: Child,
    folder: tempfile::TempDir,
}

impl Emulated {
    /// Starts one. Two processors and 1 GiB are there already; nothing else is.
    pub fn start(arguments: &[String]) -> Emulated {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut command = Command::new(PROGRAM);
        command.args(["-nodefaults", "-display", "none", "-accel", "tcg,thread=multi", "-cpu", "max"]);
        command.args(["-smp", "2", "-m", "1024"]).args(arguments);
        command.arg("-serial").arg(format!("file:{}", folder.path().join("serial").display()));
        command.arg("-monitor").arg(format!("unix:{},server=on,wait=off", folder.path().join("monitor").display()));
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(std::fs::File::create(folder.path().join("errors")).expect("a file in a folder of our own"));
        let child = command.spawn().unwrap_or_else(|error| panic!("starting {PROGRAM}: {error}"));
        Emulated { child, folder }
    }

    /// All that was said on the serial line.
    pub fn serial(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.path("serial")).unwrap_or_default()).into_owned()
    }

    /// The milestones so far, in their order.
    pub fn milestones(&self) -> Vec<Value> {
        let text = self.serial();
        text.lines()
            .filter(|line| line.starts_with("{\"skerry\":"))
            .filter_map(|line| serde_json::from_str(line.trim_end()).ok())
            .collect()
    }

    /// Waits for a milestone and gives it. Anything that failed, or the end of the machine, fails the test.
    pub fn reaches(&mut self, name: &str) -> Value {
        let mut last = String::new();
        eventually(&format!("milestone {name}"), BOOT, || {
            let seen = self.milestones();
            last = seen.iter().map(Value::to_string).collect::<Vec<_>>().join("\n");
            if let Some(found) = seen.iter().find(|milestone| milestone["skerry"] == name) {
                return Ok(found.clone());
            }
            assert!(!seen.iter().any(|milestone| milestone["skerry"] == "failed"), "{last}");
            let ended = self.child.try_wait().expect("our own child");
            assert!(ended.is_none(), "the emulator ended with {ended:?}: {}\n{}", self.errors(), self.serial());
            Err(format!("seen:\n{last}\nits last words: {}", self.tail()))
        })
    }

    /// Gives the monitor one command; what it answers.
    pub fn monitor(&self, command: &str) -> String {
        eventually("the monitor answers", MONITOR, || {
            let ask = || -> std::io::Result<String> {
                let mut stream = UnixStream::connect(self.path("monitor"))?;
                stream.set_read_timeout(Some(MONITOR))?;
                writeln!(stream, "{command}\necho-end")?;
                let mut answer = String::new();
                let mut reader = BufReader::new(stream);
                while reader.read_line(&mut answer)? > 0 && !answer.contains("unknown command: 'echo-end'") {}
                Ok(answer)
            };
            ask().map_err(|error| error.to_string())
        })
    }

    /// What a screen in text mode shows, a row each.
    pub fn screen(&self) -> Vec<String> {
        let (at, columns, rows) = TEXT_SCREEN;
        let dump = self.monitor(&format!("xp /{}xh {at}", columns * rows));
        let letters: Vec<char> = dump
            .lines()
            .filter_map(|line| line.trim_end().strip_prefix("00000000000b")?.split_once(": "))
            .flat_map(|(_, words)| words.split_whitespace())
            .filter_map(|word| u16::from_str_radix(word.trim_start_matches("0x"), 16).ok())
            .map(|cell| char::from((cell & 0xff) as u8))
            .collect();
        letters.chunks(columns).map(|row| row.iter().collect::<String>().trim_end().to_owned()).collect()
    }

    /// Presses the power button and waits for the end; the emulator's exit code.
    pub fn power_off(mut self) -> Option<i32> {
        self.press()
    }

    /// The same for a machine whose words are looked at afterwards.
    pub fn press(&mut self) -> Option<i32> {
        self.monitor("system_powerdown");
        eventually("the machine powers off", END, || {
            let ended = self.child.try_wait().expect("our own child");
            ended.map(|status| status.code()).ok_or_else(|| self.tail())
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn errors(&self) -> String {
        std::fs::read_to_string(self.path("errors")).unwrap_or_default()
    }

    fn tail(&self) -> String {
        let text = self.serial();
        let lines: Vec<&str> = text.lines().rev().take(3).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join(" | ") + &self.errors()
    }
}

impl Drop for Emulated {
    fn drop(&mut self) {
        // One that has ended already is as it should be.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The firmware of UEFI, as Debian's package `ovmf` has it.
pub fn firmware() -> &'static Path {
    let path = Path::new("/usr/share/ovmf/OVMF.fd");
    assert!(path.exists(), "{} is missing: apt-get install ovmf", path.display());
    path
}
