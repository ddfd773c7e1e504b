//! The process that stands in for the emulator when the machine runs in VirtualBox: it runs VBoxHeadless, opens a
//! monitor as QEMU has one, carries out the few commands that the supervisor gives, and ends when the machine does. So
//! the supervisor and all that talk to it need not know which of the two it is.

use super::manage::VirtualBox;
use super::{Rule, rule_name};
use crate::cluster::emulator::{LOG, MONITOR};
use crate::cluster::ports::Protocol;
use crate::exit::{Code, Failure};
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixListener;
use tokio::net::unix::OwnedWriteHalf;
use tokio::process::{Child, Command};

/// Bytes of a command at most.
const LINE_BYTES_MAX: u64 = 64 * 1024;

/// What the supervisor asks for.
#[derive(Debug, PartialEq, Eq)]
enum Order {
    Start,
    PowerButton,
    Cut,
    Status,
    Forward(Rule),
    Close(String),
    Forwards,
    /// Greetings, and what means nothing here.
    Nothing,
}

/// Reads a command of the monitor.
fn order(command: &Value) -> Result<Order> {
    Ok(match command["execute"].as_str().unwrap_or_default() {
        "cont" => Order::Start,
        "system_powerdown" => Order::PowerButton,
        "quit" => Order::Cut,
        "query-status" => Order::Status,
        "human-monitor-command" => return human(command["arguments"]["command-line"].as_str().unwrap_or_default()),
        _ => Order::Nothing,
    })
}

/// `hostfwd_add net0 tcp:127.0.0.1:8080-:30080`, `hostfwd_remove net0 tcp:127.0.0.1:8080`, `info usernet`.
fn human(line: &str) -> Result<Order> {
    let words: Vec<&str> = line.split_whitespace().collect();
    match words.as_slice() {
        ["info", "usernet"] => Ok(Order::Forwards),
        ["hostfwd_add", _, rule] => {
            let (host, guest) = rule.split_once("-:").context("a rule without a port of the machine")?;
            let (protocol, host) = place(host)?;
            Ok(Order::Forward(Rule::of(protocol, host, guest.parse().context("a port")?)))
        }
        ["hostfwd_remove", _, host] => {
            let (protocol, host) = place(host)?;
            Ok(Order::Close(rule_name(protocol, host)))
        }
        _ => bail!("unknown command {line:?}"),
    }
}

fn place(text: &str) -> Result<(Protocol, u16)> {
    let (word, rest) = text.split_once(':').context("a place without a protocol")?;
    let protocol = match word {
        "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        _ => bail!("unknown protocol {word:?}"),
    };
    Ok((protocol, rest.rsplit(':').next().unwrap_or_default().parse().context("a port")?))
}

/// The forwards as QEMU's monitor lists them.
fn listed(rules: &[Rule]) -> String {
    let line = |rule: &Rule| {
        let word = rule.protocol.word().to_uppercase();
        format!("  {word}[HOST_FORWARD]  0  127.0.0.1 {}  10.0.2.15 {}  0 0\r\n", rule.host, rule.guest)
    };
    rules.iter().map(line).collect()
}

/// One machine.
struct Machine {
    virtualbox: VirtualBox,
    name: String,
    running: Option<Child>,
    /// Whether the power was cut from here.
    is_cut: bool,
}

/// Serves until the machine has ended; the working folder is the cluster's.
///
/// # Errors
/// When VirtualBox does not start the machine; its words are on standard error by then.
pub async fn run(name: String) -> Result<()> {
    let virtualbox = VirtualBox::find()?;
    let listener = UnixListener::bind(MONITOR).with_context(|| format!("listening at {MONITOR}"))?;
    let mut machine = Machine { virtualbox, name, running: None, is_cut: false };
    loop {
        let (stream, _) = tokio::select! {
            accepted = listener.accept() => accepted.context("the monitor")?,
            ended = machine.ended() => return verdict(ended?),
        };
        let (read, mut write) = stream.into_split();
        let mut lines = BufReader::new(read);
        tell(&mut write, &json!({"QMP": {"version": {}, "capabilities": []}})).await;
        loop {
            let mut line = Vec::new();
            let next = tokio::select! {
                next = async { (&mut lines).take(LINE_BYTES_MAX).read_until(b'\n', &mut line).await } => next,
                ended = machine.ended() => {
                    let ended = ended?;
                    let reason = if machine.is_cut { "host-qmp-quit" } else { "guest-shutdown" };
                    if ended.success() {
                        tell(&mut write, &json!({"event": "SHUTDOWN", "data": {"reason": reason}})).await;
                    }
                    return verdict(ended);
                }
            };
            // A supervisor that is gone is replaced by another, which connects anew.
            if next.unwrap_or(0) == 0 {
                break;
            }
            let answer = match serde_json::from_slice(&line).map_err(Into::into).and_then(|command| order(&command)) {
                Ok(order) => machine.obey(order).await,
                Err(error) => Err(error),
            };
            let answer = match answer {
                Ok(value) => json!({"return": value}),
                Err(error) => json!({"error": {"class": "GenericError", "desc": format!("{error:#}")}}),
            };
            tell(&mut write, &answer).await;
        }
    }
}

/// Who does not listen any more concerns nobody.
async fn tell(write: &mut OwnedWriteHalf, value: &Value) {
    drop(write.write_all(format!("{value}\n").as_bytes()).await);
}

fn verdict(ended: std::process::ExitStatus) -> Result<()> {
    if ended.success() {
        return Ok(());
    }
    // VBoxHeadless writes where this process does, and the supervisor shows the last line.
    let said = words(&std::fs::read_to_string(LOG).unwrap_or_default());
    bail!(Failure::new(Code::BootFailed, format!("VirtualBox does not run the machine ({ended}): {said}")))
}

/// The complaints of VBoxHeadless in one line.
fn words(log: &str) -> String {
    let lines: Vec<&str> = log.lines().filter_map(|line| line.strip_prefix("VBoxHeadless: ")).collect();
    if lines.is_empty() { "it does not say why".to_owned() } else { lines.join("; ") }
}

impl Machine {
    /// Returns when the machine has ended; never when it was not started.
    async fn ended(&mut self) -> Result<std::process::ExitStatus> {
        match &mut self.running {
            Some(child) => child.wait().await.context("waiting for VBoxHeadless"),
            None => std::future::pending().await,
        }
    }

    async fn obey(&mut self, order: Order) -> Result<Value> {
        match order {
            Order::Start if self.running.is_none() => self.start()?,
            Order::Start | Order::Nothing => {}
            Order::Status => return Ok(json!({"status": "running", "running": true})),
            Order::PowerButton => self.control(&["acpipowerbutton"]).await?,
            Order::Cut => {
                self.is_cut = true;
                self.control(&["poweroff"]).await?;
            }
            Order::Forward(rule) => {
                return Ok(said(self.control(&["natpf1", &rule.text()]).await));
            }
            Order::Close(rule) => return Ok(said(self.control(&["natpf1", "delete", &rule]).await)),
            Order::Forwards => {
                let (virtualbox, name) = (self.virtualbox.clone(), self.name.clone());
                let observed = tokio::task::spawn_blocking(move || virtualbox.look(&name)).await??;
                let rules = observed.map(|observed| observed.rules()).unwrap_or_default();
                return Ok(json!(listed(&rules)));
            }
        }
        Ok(json!({}))
    }

    fn start(&mut self) -> Result<()> {
        let program = self.virtualbox.headless();
        let mut command = Command::new(&program);
        command.args(["--startvm", &self.name, "--vrde", "off"]).stdin(Stdio::null());
        let child = command.spawn().with_context(|| format!("starting {}", program.display()))?;
        self.running = Some(child);
        Ok(())
    }

    async fn control(&self, words: &[&str]) -> Result<()> {
        let line: Vec<String> = ["controlvm", &self.name].iter().chain(words).map(|word| (*word).to_owned()).collect();
        let virtualbox = self.virtualbox.clone();
        tokio::task::spawn_blocking(move || virtualbox.run(&line)).await??;
        Ok(())
    }
}

/// As the human monitor answers: nothing when all is well.
fn said(done: Result<()>) -> Value {
    json!(done.err().map(|error| format!("{error:#}")).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complaints_become_one_line() {
        let log = "VBoxHeadless: Error -1908 in suplibOsInit!\nVBoxHeadless: Kernel driver not installed\n\nmore\n";
        assert_eq!(words(log), "Error -1908 in suplibOsInit!; Kernel driver not installed");
        assert_eq!(words(""), "it does not say why");
    }

    #[test]
    fn the_monitors_commands_are_understood() {
        let human_order =
            |line: &str| order(&json!({"execute": "human-monitor-command", "arguments": {"command-line": line}}));
        let rule = Rule::of(Protocol::Tcp, 8080, 30080);
        assert_eq!(human_order("hostfwd_add net0 tcp:127.0.0.1:8080-:30080").unwrap(), Order::Forward(rule.clone()));
        assert_eq!(human_order("hostfwd_remove net0 udp:127.0.0.1:53").unwrap(), Order::Close("udp-53".to_owned()));
        assert_eq!(human_order("info usernet").unwrap(), Order::Forwards);
        assert_eq!(order(&json!({"execute": "quit"})).unwrap(), Order::Cut);
        assert!(human_order("hostfwd_add net0 tcp:127.0.0.1:x-:1").is_err());
        let found = crate::supervisor::forwards::found(&listed(&[rule]), 6443);
        assert_eq!(found.into_iter().collect::<Vec<_>>(), [((Protocol::Tcp, 8080), 30080)]);
    }
}
