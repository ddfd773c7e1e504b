//! The machine in VirtualBox instead of QEMU. Pure: what is wished and what `VBoxManage showvminfo --machinereadable`
//! says come in, command lines of VBoxManage go out. Network address translation with forwarded ports of 127.0.0.1, and
//! nothing else of the host's network.
//!
//! `manage` runs the commands; `machine` is the process that stands in for the emulator while the machine runs.

pub mod machine;
pub mod manage;

use crate::cluster::ports::Protocol;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The state disk in the cluster's folder. The system comes from the image's CD.
pub const DISK: &str = "state.vdi";
/// The CD with the settings of this boot.
pub const CONFIG: &str = "config.iso";
/// The folder of VirtualBox's own files below the cluster's.
const FOLDER: &str = "virtualbox";
/// What the disks' controller is called.
const CONTROLLER: &str = "disks";
/// The rule that forwards the API's port.
const API_RULE: &str = "api";
/// The API's port in the machine.
const API: u16 = 6443;

/// What a cluster's machine in VirtualBox is called.
pub fn name(cluster: &str) -> String {
    format!("skerry-{cluster}")
}

/// What is wished.
#[derive(Clone, Debug)]
pub struct Desired {
    /// The machine's name in VirtualBox.
    pub name: String,
    /// The cluster's folder, where disks and serial log lie.
    pub folder: PathBuf,
    /// The CD to boot from.
    pub system: PathBuf,
    /// Memory, MiB.
    pub memory_mb: u32,
    /// Processors.
    pub cpus: u32,
    /// The port of the API on 127.0.0.1.
    pub port: u16,
    /// Where the serial line goes.
    pub serial: PathBuf,
}

/// How a machine is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It does not run; it can be changed and started.
    Off,
    /// It runs, or something else that must end first, in VirtualBox's word.
    Busy(String),
}

/// What VirtualBox says of a machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    values: BTreeMap<String, String>,
}

/// A forwarded port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its name.
    pub name: String,
    /// Transport.
    pub protocol: Protocol,
    /// The port of 127.0.0.1.
    pub host: u16,
    /// The port of the machine.
    pub guest: u16,
}

impl Rule {
    /// One of a Service.
    pub fn of(protocol: Protocol, host: u16, guest: u16) -> Rule {
        Rule { name: rule_name(protocol, host), protocol, host, guest }
    }

    /// As VBoxManage takes it.
    pub fn text(&self) -> String {
        format!("{},{},127.0.0.1,{},,{}", self.name, self.protocol.word(), self.host, self.guest)
    }
}

/// The name of a Service's rule.
pub fn rule_name(protocol: Protocol, host: u16) -> String {
    format!("{}-{host}", protocol.word())
}

impl Observed {
    /// Reads `name=value` lines; quotes around either are no part of it.
    pub fn parse(text: &str) -> Observed {
        let bare = |text: &str| text.trim().trim_matches('"').to_owned();
        let pairs = text.lines().filter_map(|line| line.split_once('='));
        Observed { values: pairs.map(|(name, value)| (bare(name), bare(value))).collect() }
    }

    fn value(&self, name: &str) -> &str {
        self.values.get(name).map_or("", String::as_str)
    }

    /// How it is.
    pub fn state(&self) -> State {
        match self.value("VMState") {
            "poweroff" | "aborted" => State::Off,
            other => State::Busy(other.to_owned()),
        }
    }

    /// All forwarded ports.
    pub fn rules(&self) -> Vec<Rule> {
        let rules = self.values.iter().filter(|(name, _)| name.starts_with("Forwarding("));
        rules.filter_map(|(_, text)| rule(text)).collect()
    }
}

fn rule(text: &str) -> Option<Rule> {
    let fields: Vec<&str> = text.split(',').collect();
    let protocol = match *fields.get(1)? {
        "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        _ => return None,
    };
    let number = |at: usize| fields.get(at)?.parse().ok();
    Some(Rule { name: fields[0].to_owned(), protocol, host: number(3)?, guest: number(5)? })
}

/// The command lines that lead from what there is to what is wished, in order. The machine must be off, or not there.
pub fn plan(desired: &Desired, observed: Option<&Observed>) -> Vec<Vec<String>> {
    let mut lines = Vec::new();
    let name = desired.name.as_str();
    if observed.is_none() {
        let folder = desired.folder.join(FOLDER).display().to_string();
        lines.push(words(&["createvm", "--name", name, "--ostype", "Linux_64", "--register", "--basefolder", &folder]));
    }
    let none = Observed::default();
    let have = observed.unwrap_or(&none);
    let (memory, cpus) = (desired.memory_mb.to_string(), desired.cpus.to_string());
    let serial = format!("file,{}", desired.serial.display());
    let mut changes = Vec::new();
    for (key, is, change) in [
        ("memory", memory.as_str(), vec!["--memory", &memory]),
        ("cpus", &cpus, vec!["--cpus", &cpus]),
        ("chipset", "piix3", vec!["--chipset", "piix3"]),
        ("graphicscontroller", "vmsvga", vec!["--graphicscontroller", "vmsvga", "--vram", "16"]),
        ("rtcuseutc", "on", vec!["--rtcuseutc", "on"]),
        ("audio", "none", vec!["--audio-enabled", "off"]),
        ("boot1", "dvd", vec!["--boot1", "dvd", "--boot2", "none", "--boot3", "none", "--boot4", "none"]),
        ("nic1", "nat", vec!["--nic1", "nat", "--nictype1", "82540EM"]),
        // What listens on the host's 127.0.0.1 is reached at 10.0.2.2, which is off when nobody asks for it.
        ("localhostReachable", "1", vec!["--nat-localhostreachable1", "on"]),
        ("uartmode1", &serial, vec!["--uart1", "0x3F8", "4", "--uartmode1", "file", &serial["file,".len()..]]),
    ] {
        if have.value(key) != is {
            changes.extend(change.iter().map(|word| (*word).to_owned()));
        }
    }
    if !changes.is_empty() {
        lines.push([words(&["modifyvm", name]), changes].concat());
    }
    lines.extend(rules(desired, &have.rules()));
    if have.value("storagecontrollername0") != CONTROLLER {
        lines.push(words(&[
            "storagectl",
            name,
            "--name",
            CONTROLLER,
            "--add",
            "sata",
            "--controller",
            "IntelAhci",
            "--portcount",
            "3",
        ]));
    }
    // VirtualBox's BIOS looks at the first CD only, and at the first four ports.
    let own = |file: &str| desired.folder.join(file);
    for (port, kind, file) in
        [("0", "hdd", own(DISK)), ("1", "dvddrive", desired.system.clone()), ("2", "dvddrive", own(CONFIG))]
    {
        let medium = file.display().to_string();
        if have.value(&format!("{CONTROLLER}-{port}-0")) != medium {
            lines.push(words(&[
                "storageattach",
                name,
                "--storagectl",
                CONTROLLER,
                "--port",
                port,
                "--device",
                "0",
                "--type",
                kind,
                "--medium",
                &medium,
            ]));
        }
    }
    lines
}

/// What Services had in an earlier boot goes; they will ask again.
fn rules(desired: &Desired, have: &[Rule]) -> Vec<Vec<String>> {
    let api = Rule { name: API_RULE.to_owned(), protocol: Protocol::Tcp, host: desired.port, guest: API };
    let change = |words: &[&str]| [self::words(&["modifyvm", &desired.name, "--natpf1"]), self::words(words)].concat();
    let mut lines: Vec<Vec<String>> =
        have.iter().filter(|rule| **rule != api).map(|rule| change(&["delete", &rule.name])).collect();
    if !have.contains(&api) {
        lines.push(change(&[&api.text()]));
    }
    lines
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// `skerry.toml` for a machine that cannot be told by its emulator: secrets and other values, each of which would have
/// been handed over as a file, and the `skerry.*` words that a kernel's command line would have had, which go before.
///
/// # Errors
/// Names a word that only a kernel's command line could carry.
pub fn settings(values: &[(&str, String)], append: &str) -> Result<String, String> {
    let mut keys: toml::Table = values.iter().map(|(name, value)| ((*name).to_owned(), value.trim().into())).collect();
    for word in append.split_whitespace() {
        match word.split_once('=') {
            Some((name, value)) if name.starts_with("skerry.") => {
                keys.insert(name.to_owned(), value.into());
            }
            _ => return Err(format!("{word:?} is a word for the kernel, which a machine in VirtualBox has built in")),
        }
    }
    Ok(toml::to_string(&keys).expect("text always is TOML"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Written by VirtualBox 7.2.22 of a machine that this plan has made.
    const RECORDED: &str = include_str!("virtualbox/showvminfo.txt");

    fn desired() -> Desired {
        Desired {
            name: name("ci"),
            folder: PathBuf::from("/c/ci"),
            system: PathBuf::from("/i/skerry.iso"),
            memory_mb: 2048,
            cpus: 2,
            port: 6443,
            serial: PathBuf::from("/c/ci/serial.log"),
        }
    }

    fn lines(desired: &Desired, observed: Option<&Observed>) -> Vec<String> {
        plan(desired, observed).iter().map(|line| line.join(" ")).collect()
    }

    #[test]
    fn a_machine_that_is_not_there_is_made_with_nat_alone() {
        let made = lines(&desired(), None);
        assert_eq!(made[0], "createvm --name skerry-ci --ostype Linux_64 --register --basefolder /c/ci/virtualbox");
        assert!(made[1].starts_with("modifyvm skerry-ci --memory 2048 --cpus 2 ") && made[1].contains(" --nic1 nat "));
        assert_eq!(made[2], "modifyvm skerry-ci --natpf1 api,tcp,127.0.0.1,6443,,6443");
        assert!(made[1].contains(" --boot1 dvd ") && made[1].contains(" --nat-localhostreachable1 on"), "{made:#?}");
        assert!(made[4].ends_with("--port 0 --device 0 --type hdd --medium /c/ci/state.vdi"), "{made:#?}");
        assert!(made[5].ends_with("--port 1 --device 0 --type dvddrive --medium /i/skerry.iso"), "{made:#?}");
        assert!(made[6].ends_with("--port 2 --device 0 --type dvddrive --medium /c/ci/config.iso"), "{made:#?}");
        assert_eq!(made.len(), 7);
        for word in ["bridged", "hostonly", "intnet", "--vrde"] {
            assert!(!made.join(" ").contains(word), "{word}");
        }
    }

    #[test]
    fn a_machine_that_is_as_wished_is_left_alone() {
        let recorded = Observed::parse(RECORDED);
        assert_eq!(recorded.state(), State::Off);
        assert_eq!(lines(&desired(), Some(&recorded)), Vec::<String>::new());
    }

    #[test]
    fn only_what_differs_is_changed_and_rules_of_services_go() {
        let text = RECORDED.replace("memory=2048", "memory=1024")
            + "\nForwarding(1)=\"tcp-30080,tcp,127.0.0.1,30080,,30080\"\n";
        let changed = lines(&Desired { port: 6444, ..desired() }, Some(&Observed::parse(&text)));
        let want = [
            "modifyvm skerry-ci --memory 2048",
            "modifyvm skerry-ci --natpf1 delete api",
            "modifyvm skerry-ci --natpf1 delete tcp-30080",
            "modifyvm skerry-ci --natpf1 api,tcp,127.0.0.1,6444,,6443",
        ];
        assert_eq!(changed, want);
    }

    #[test]
    fn a_newer_image_takes_the_place_of_the_older_one_beside_the_same_state() {
        let newer = Desired { system: PathBuf::from("/newer/skerry.iso"), ..desired() };
        let changed = lines(&newer, Some(&Observed::parse(RECORDED)));
        let want = "storageattach skerry-ci --storagectl disks --port 1 --device 0 --type dvddrive --medium \
                    /newer/skerry.iso";
        assert_eq!(changed, [want]);
    }

    #[test]
    fn states_and_rules_are_read() {
        let running = Observed::parse("VMState=\"running\"\nForwarding(0)=\"x,udp,127.0.0.1,53,,30053\"\nnonsense");
        assert_eq!(running.state(), State::Busy("running".to_owned()));
        let rule = Rule { name: "x".to_owned(), protocol: Protocol::Udp, host: 53, guest: 30053 };
        assert_eq!(running.rules(), [rule]);
        assert_eq!(Rule::of(Protocol::Tcp, 8080, 30080).text(), "tcp-8080,tcp,127.0.0.1,8080,,30080");
    }

    #[test]
    fn settings_go_by_disk_and_words_for_the_kernel_are_refused() {
        let values = [("skerry.login.code", "AB-CD\n".to_owned()), ("skerry.proxy.not", "a,\"b\"".to_owned())];
        let text = settings(&values, "skerry.node.name=x skerry.boot.on_failure=poweroff").unwrap();
        let read: toml::Table = toml::from_str(&text).unwrap();
        assert_eq!(read["skerry.proxy.not"].as_str(), Some("a,\"b\""));
        let worded = settings(&values, "skerry.proxy.not=c").unwrap();
        assert!(worded.contains("\"c\"") && !worded.contains("a,"), "{worded}");
        assert_eq!(read["skerry.login.code"].as_str(), Some("AB-CD"));
        assert_eq!(read["skerry.node.name"].as_str(), Some("x"));
        assert!(settings(&[], "loglevel=7").unwrap_err().contains("loglevel=7"));
    }
}
