//! What `node` tells PID 1: milestones for the serial line, words for the console. One JSON object a line over init's
//! control socket, each answered by one.
//!
//! It must not decide when a milestone is reached.

use crate::verdict::Verdict;
use serde_json::{Map, Value, json};
use std::path::PathBuf;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::sync::mpsc;

/// Where init's control socket is; init sets this.
const VARIABLE: &str = "SKERRY_INIT_SOCKET";
/// Messages that wait: a start sends half a dozen.
const QUEUE: usize = 64;
/// How long one message may take; init answers at once or not at all.
const ANSWER_WAIT: Duration = Duration::from_secs(5);
/// The longest answer, bytes.
const ANSWER_BYTES_MAX: u64 = 64 * 1024;

/// The way to PID 1; without one, milestones go to the log. Cheap to clone.
#[derive(Clone)]
pub struct Pid1(Option<mpsc::Sender<Value>>);

impl Pid1 {
    /// Connects to what the environment names.
    pub fn from_environment() -> Pid1 {
        let Some(path) = std::env::var_os(VARIABLE).map(PathBuf::from) else { return Pid1(None) };
        let (sender, mut messages) = mpsc::channel(QUEUE);
        tokio::spawn(async move {
            while let Some(message) = messages.recv().await {
                match tokio::time::timeout(ANSWER_WAIT, tell(&path, &message)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => tracing::warn!(%error, "init could not be told"),
                    Err(_) => tracing::warn!("init did not answer"),
                }
            }
        });
        Pid1(Some(sender))
    }

    /// Reports a milestone with more fields.
    pub fn milestone(&self, name: &str, fields: Value) {
        tracing::info!(milestone = name, %fields, "a milestone");
        let mut message = match fields {
            Value::Object(fields) => fields,
            _ => Map::new(),
        };
        message.insert("milestone".to_owned(), json!(name));
        self.send(Value::Object(message));
    }

    /// Tells that Docker may start: its bridge and its way to the engine are there.
    pub fn bridged(&self) {
        self.send(json!({"do": "bridged"}));
    }

    /// Says a line on every console, the serial one among them: nothing secret.
    pub fn say(&self, text: &str) {
        self.send(json!({"do": "say", "text": text}));
    }

    /// Shows a line on screens, never on a serial line.
    pub fn show(&self, text: &str) {
        self.send(json!({"do": "show", "text": text}));
    }

    /// Asks for the end of the machine, with a verdict that the emulator's exit code tells.
    pub fn finish(&self, verdict: Verdict, why: &str) {
        tracing::info!(?verdict, why, "the verdict");
        self.send(json!({"do": "finish", "verdict": verdict.word(), "why": why}));
    }

    fn send(&self, message: Value) {
        if let Some(queue) = &self.0
            && queue.try_send(message).is_err()
        {
            tracing::warn!(limit = QUEUE, "too many messages wait for init; one was dropped");
        }
    }
}

/// Sends one message and reads the answer.
async fn tell(path: &std::path::Path, message: &Value) -> std::io::Result<()> {
    let stream = UnixStream::connect(path).await?;
    let (read, mut write) = stream.into_split();
    write.write_all(format!("{message}\n").as_bytes()).await?;
    let mut answer = String::new();
    BufReader::new(read.take(ANSWER_BYTES_MAX)).read_line(&mut answer).await?;
    let value: Value = serde_json::from_str(&answer)?;
    if value["ok"] == true {
        return Ok(());
    }
    Err(std::io::Error::other(value["error"].as_str().unwrap_or("init answered without a reason").to_owned()))
}
