//! The control socket: one JSON object a line in, one a line out. Root only.
//!
//! Requests: `{"do":"status"}`, `{"do":"logs","service":"node","lines":100}`, `{"do":"restart","service":"node"}`,
//! `{"do":"poweroff"}`, `{"do":"reboot"}`, `{"do":"crash"}` (an end that a hypervisor sees as a failure),
//! `{"do":"finish","verdict":"passed"|"failed"|"timeout"|"invalid","why":"…"}` (an end that tells how Jobs ended),
//! `{"do":"say","text":"…"}` (a line on every console), `{"do":"show","text":"…"}` (on screens only, never on a serial
//! line: what only somebody before the machine may read), `{"do":"clock","ms":…}` (the wall clock has stood still: set it
//! to so many milliseconds since 1970, never back), and from `node` `{"do":"bridged"}` (Docker may start) and
//! `{"milestone":"api"|"node"|"ready"|…, …}` whose other fields go to the serial line as they are.
//! Answers: `{"ok":true, …}` or `{"ok":false,"error":"…"}`.

use crate::console::Console;
use crate::net::Network;
use crate::phases::clock::forward;
use crate::power::{Ending, Kind};
use crate::readiness::Readiness;
use crate::services::{Order, Services};
use crate::verdict::Verdict;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::time::{Duration, timeout};

/// Where the socket is.
pub const PATH: &str = "/run/skerry/init.sock";
/// The longest request, in bytes.
const REQUEST_BYTES_MAX: u64 = 8 * 1024;
/// How many talk at the same time; `node` and a user or two.
const CONNECTIONS_MAX: usize = 16;
/// How long one may stay silent before the connection is closed; `node` keeps one open only while it reports.
const SILENCE_MAX: Duration = Duration::from_secs(300);
/// The most log lines in one answer.
const LOG_LINES_MAX: usize = 1000;

/// What requests work on.
#[derive(Clone)]
pub struct Control {
    /// Where milestones go.
    pub console: Console,
    /// What is ready.
    pub readiness: Readiness,
    /// The services.
    pub services: Services,
    /// The network.
    pub network: Network,
    /// Where the end of the machine is asked for.
    pub endings: mpsc::Sender<Ending>,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "do", rename_all = "lowercase", deny_unknown_fields)]
enum Request {
    Status {},
    Logs { service: String, lines: Option<usize> },
    Restart { service: String },
    Poweroff {},
    Reboot {},
    Crash {},
    Finish { verdict: Verdict, why: String },
    Bridged {},
    Say { text: String },
    Show { text: String },
    Clock { ms: u64 },
}

/// What is ready once `node` has made what Docker stands on.
pub const BRIDGE: &str = "bridge";
/// Milestones that `node` may report.
const MILESTONES: &[&str] = &["api", "node", "ready", "image", "manifest", "manifests", "job"];

/// Serves the socket for ever.
pub async fn serve(control: Control) -> io::Result<()> {
    let path = Path::new(PATH);
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    let places = std::sync::Arc::new(tokio::sync::Semaphore::new(CONNECTIONS_MAX));
    loop {
        let place = places.clone().acquire_owned().await.map_err(io::Error::other)?;
        let (stream, _) = listener.accept().await?;
        let control = control.clone();
        tokio::task::spawn_local(async move {
            // One that breaks off concerns nobody else.
            drop(converse(&control, stream).await);
            drop(place);
        });
    }
}

async fn converse(control: &Control, stream: UnixStream) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut reader = BufReader::new(read);
    loop {
        let mut line = Vec::new();
        let mut limited = (&mut reader).take(REQUEST_BYTES_MAX);
        match timeout(SILENCE_MAX, limited.read_until(b'\n', &mut line)).await {
            Err(_) | Ok(Ok(0)) => return Ok(()),
            Ok(result) => drop(result?),
        }
        let cut = !line.ends_with(b"\n") && line.len() as u64 >= REQUEST_BYTES_MAX;
        let answer = if cut {
            failure(format!("a request is at most {REQUEST_BYTES_MAX} bytes"))
        } else {
            answer(control, &line)
        };
        write.write_all(format!("{answer}\n").as_bytes()).await?;
        if cut {
            return Ok(());
        }
    }
}

fn failure(error: impl Into<String>) -> Value {
    json!({"ok": false, "error": error.into()})
}

/// Carries out one request.
fn answer(control: &Control, line: &[u8]) -> Value {
    let value: Value = match serde_json::from_slice(line) {
        Ok(value) => value,
        Err(e) => return failure(format!("not JSON: {e}")),
    };
    if let Value::Object(mut fields) = value {
        if let Some(milestone) = fields.remove("milestone") {
            return report(control, &milestone, fields);
        }
        return match serde_json::from_value(Value::Object(fields)) {
            Ok(request) => perform(control, request),
            Err(e) => failure(e.to_string()),
        };
    }
    failure("a request is an object")
}

fn report(control: &Control, milestone: &Value, fields: Map<String, Value>) -> Value {
    let Some(name) = MILESTONES.iter().copied().find(|name| milestone == name) else {
        return failure(format!("no milestone {milestone}; there are {}", MILESTONES.join(", ")));
    };
    control.readiness.set(name);
    control.console.milestone(name, fields);
    json!({"ok": true})
}

fn perform(control: &Control, request: Request) -> Value {
    let end = |kind, by: &str| match control.endings.try_send(Ending { kind, why: by.to_owned() }) {
        Ok(()) => json!({"ok": true}),
        Err(_) => failure("the machine is ending already"),
    };
    match request {
        Request::Status {} => status(control),
        Request::Logs { service, lines } => logs(control, &service, lines.unwrap_or(LOG_LINES_MAX)),
        Request::Restart { service } => {
            if control.services.order(&service, Order::Restart) {
                json!({"ok": true})
            } else {
                failure(format!("no service {service} that can be restarted now"))
            }
        }
        Request::Poweroff {} => end(Kind::PowerOff, "asked to"),
        Request::Reboot {} => end(Kind::Restart, "asked to"),
        Request::Crash {} => end(Kind::Crash, "asked to"),
        Request::Finish { verdict, why } => end(verdict.kind(), &why),
        Request::Bridged {} => {
            control.readiness.set(BRIDGE);
            json!({"ok": true})
        }
        Request::Say { text } => {
            control.console.say(&text);
            json!({"ok": true})
        }
        Request::Show { text } => {
            control.console.show(&text);
            json!({"ok": true})
        }
        Request::Clock { ms } => clock(control, Duration::from_millis(ms)),
    }
}

/// Steps the wall clock forward, and says so on the console.
fn clock(control: &Control, time: Duration) -> Value {
    let stepped = forward(sys::clock::wall(), time).and_then(|behind| match behind {
        Some(_) => sys::clock::set_wall(time).map(|()| behind).map_err(|e| e.to_string()),
        None => Ok(None),
    });
    match stepped {
        Ok(behind) => {
            let ms = behind.map_or(0, |behind| u64::try_from(behind.as_millis()).unwrap_or(u64::MAX));
            if ms > 0 {
                control.console.say(&format!("init: the wall clock was {ms} ms behind and is set"));
            }
            json!({"ok": true, "stepped_ms": ms})
        }
        Err(why) => failure(why),
    }
}

fn status(control: &Control) -> Value {
    let services: Map<String, Value> = control
        .services
        .entries
        .borrow()
        .iter()
        .map(|(name, entry)| {
            let state = format!("{:?}", entry.state).to_lowercase();
            let about =
                json!({"state": state, "pid": entry.pid, "restarts": entry.restarts, "last_end": entry.last_end});
            ((*name).to_owned(), about)
        })
        .collect();
    let outer = control.network.outer.borrow().as_ref().map(|(link, outer)| {
        json!({
            "link": link,
            "address": format!("{}/{}", outer.address, outer.prefix),
            "gateway": outer.gateway,
            "dns": outer.dns,
        })
    });
    let up_ms = u64::try_from(sys::clock::since_start().as_millis()).unwrap_or(u64::MAX);
    json!({
        "ok": true,
        "version": env!("CARGO_PKG_VERSION"),
        "up_ms": up_ms,
        "ready": control.readiness.has("ready"),
        "network": outer,
        "services": services,
    })
}

fn logs(control: &Control, service: &str, lines: usize) -> Value {
    let log = control.services.entries.borrow().get(service).map(|entry| entry.log.clone());
    let Some(log) = log else { return failure(format!("no service {service}")) };
    match log.borrow().read(lines.min(LOG_LINES_MAX)) {
        Ok(lines) => json!({"ok": true, "lines": lines}),
        Err(e) => failure(format!("read the log of {service}: {e}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn control() -> (Control, mpsc::Receiver<Ending>) {
        let (endings, asked) = mpsc::channel(1);
        let control = Control {
            console: Console::default(),
            readiness: Readiness::default(),
            services: Services::default(),
            network: Network::default(),
            endings,
        };
        (control, asked)
    }

    #[test]
    fn bad_requests_get_an_answer_that_says_why() {
        let (control, _asked) = control();
        for (line, word) in [
            ("", "not JSON"),
            ("[]", "object"),
            ("{}", "do"),
            (r#"{"do":"dance"}"#, "dance"),
            (r#"{"do":"status","extra":1}"#, "extra"),
            (r#"{"do":"logs","service":"none"}"#, "no service none"),
            (r#"{"do":"restart","service":"none"}"#, "none"),
            (r#"{"milestone":"init"}"#, "init"),
            (r#"{"do":"clock","ms":-1}"#, "-1"),
            (r#"{"do":"clock","ms":99999999999999}"#, "not believed"),
        ] {
            let answer = answer(&control, line.as_bytes());
            assert_eq!(answer["ok"], false, "{line}");
            assert!(answer["error"].as_str().unwrap().contains(word), "{line}: {answer}");
        }
    }

    #[test]
    fn a_milestone_of_node_becomes_readiness() {
        let (control, _asked) = control();
        assert_eq!(answer(&control, br#"{"milestone":"ready","pods":3}"#)["ok"], true);
        assert!(control.readiness.has("ready"));
        assert_eq!(answer(&control, br#"{"do":"status"}"#)["ready"], true);
    }

    #[test]
    fn docker_may_start_before_the_cluster_is_ready() {
        let (control, _asked) = control();
        assert_eq!(answer(&control, br#"{"do":"bridged"}"#)["ok"], true);
        assert!(control.readiness.has(BRIDGE) && !control.readiness.has("ready"));
    }

    #[test]
    fn a_verdict_ends_the_machine_in_its_own_way() {
        let (control, mut asked) = control();
        assert_eq!(answer(&control, br#"{"do":"finish","verdict":"failed","why":"default/test failed"}"#)["ok"], true);
        let ending = asked.try_recv().unwrap();
        assert_eq!((ending.kind, ending.why.as_str()), (Kind::Fail(1), "default/test failed"));
        assert_eq!(answer(&control, br#"{"do":"finish","verdict":"maybe","why":""}"#)["ok"], false);
    }

    #[test]
    fn the_end_is_asked_for_once() {
        let (control, mut asked) = control();
        assert_eq!(answer(&control, br#"{"do":"poweroff"}"#)["ok"], true);
        assert_eq!(answer(&control, br#"{"do":"reboot"}"#)["ok"], false);
        assert_eq!(asked.try_recv().unwrap().kind, Kind::PowerOff);
    }
}
