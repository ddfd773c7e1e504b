//! The emulator's monitor (QMP): one JSON object a line. A few commands, and the events that tell how it fares.

use anyhow::{Context, Result, anyhow, bail};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, oneshot};

/// How long the emulator may take to answer; it answers from its main loop, which a slow disk can hold up.
const ANSWER_WAIT: Duration = Duration::from_secs(15);
/// Bytes of one line at most; `info usernet` with hundreds of connections has some 100 KiB.
const LINE_BYTES_MAX: u64 = 4 << 20;
/// Events that nobody has looked at yet.
const EVENTS: usize = 64;

/// An event: its name and data.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// `SHUTDOWN`, `RESET`, `GUEST_PANICKED`, `BLOCK_IO_ERROR` …
    pub name: String,
    /// What it says.
    pub data: Value,
}

/// A connection. Commands wait for each other.
#[derive(Clone)]
pub struct Monitor {
    asks: mpsc::Sender<(Value, oneshot::Sender<Result<Value, String>>)>,
}

impl Monitor {
    /// Connects and agrees on the protocol. Events come by the receiver, which ends with the emulator.
    ///
    /// # Errors
    /// When nobody listens or it is no monitor.
    pub async fn connect(socket: &Path) -> Result<(Monitor, mpsc::Receiver<Event>)> {
        let stream =
            UnixStream::connect(socket).await.with_context(|| format!("connecting to {}", socket.display()))?;
        Self::over(stream).await
    }

    /// The same over a connection.
    ///
    /// # Errors
    /// When it is no monitor.
    pub async fn over(stream: UnixStream) -> Result<(Monitor, mpsc::Receiver<Event>)> {
        let (read, write) = stream.into_split();
        let mut lines = BufReader::new(read);
        let greeting = tokio::time::timeout(ANSWER_WAIT, line(&mut lines)).await.context("the monitor is silent")??;
        if greeting.as_ref().is_none_or(|value| value.get("QMP").is_none()) {
            bail!("this is no monitor of an emulator");
        }
        let (asks, queue) = mpsc::channel(1);
        let (events, seen) = mpsc::channel(EVENTS);
        tokio::spawn(serve(lines, write, queue, events));
        let monitor = Monitor { asks };
        monitor.run("qmp_capabilities", json!({})).await?;
        Ok((monitor, seen))
    }

    /// Runs a command and returns what it gives.
    ///
    /// # Errors
    /// In the emulator's words, or when it has ended.
    pub async fn run(&self, command: &str, arguments: Value) -> Result<Value> {
        let (answer, answered) = oneshot::channel();
        let asked = json!({"execute": command, "arguments": arguments});
        let gone = || anyhow!("the emulator has ended");
        self.asks.send((asked, answer)).await.map_err(|_| gone())?;
        let answer =
            tokio::time::timeout(ANSWER_WAIT, answered).await.with_context(|| format!("{command}: no answer"))?;
        answer.map_err(|_| gone())?.map_err(|why| anyhow!("{command}: {why}"))
    }

    /// Runs a command of the human monitor, which answers with text: nothing when it has done as it was told.
    ///
    /// # Errors
    /// As [`Monitor::run`].
    pub async fn human(&self, line: &str) -> Result<String> {
        let answer = self.run("human-monitor-command", json!({"command-line": line})).await?;
        Ok(answer.as_str().unwrap_or_default().trim().to_owned())
    }
}

/// Carries commands and answers until either side is gone.
async fn serve(
    mut lines: BufReader<OwnedReadHalf>,
    mut write: OwnedWriteHalf,
    mut queue: mpsc::Receiver<(Value, oneshot::Sender<Result<Value, String>>)>,
    events: mpsc::Sender<Event>,
) {
    // A reader of its own: a line that is half read must survive whatever else happens.
    let (read, mut incoming) = mpsc::channel(EVENTS);
    tokio::spawn(async move {
        while let Ok(Some(value)) = line(&mut lines).await {
            if read.send(value).await.is_err() {
                return;
            }
        }
    });
    let mut waiting: Option<oneshot::Sender<Result<Value, String>>> = None;
    loop {
        tokio::select! {
            value = incoming.recv() => {
                let Some(value) = value else { return };
                if let Some(name) = value["event"].as_str() {
                    let event = Event { name: name.to_owned(), data: value["data"].clone() };
                    // Whoever does not look at events can do without them; the emulator must not be held up.
                    if events.try_send(event).is_err() && events.is_closed() && queue.is_closed() {
                        return;
                    }
                } else if let Some(answer) = waiting.take() {
                    let given = match value.get("error") {
                        Some(error) => Err(error["desc"].as_str().unwrap_or("it was refused").to_owned()),
                        None => Ok(value["return"].clone()),
                    };
                    // Whoever asked may have given up.
                    drop(answer.send(given));
                }
            }
            asked = queue.recv(), if waiting.is_none() => {
                let Some((command, answer)) = asked else { return };
                if write.write_all(format!("{command}\n").as_bytes()).await.is_err() {
                    return;
                }
                waiting = Some(answer);
            }
        }
    }
}

/// The next object; none at the end.
async fn line(lines: &mut BufReader<OwnedReadHalf>) -> Result<Option<Value>> {
    let mut bytes = Vec::new();
    let read = lines.take(LINE_BYTES_MAX).read_until(b'\n', &mut bytes).await?;
    if read == 0 {
        return Ok(None);
    }
    Ok(Some(serde_json::from_slice(&bytes).context("reading an object of the monitor")?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::UnixListener;

    /// A monitor that gives fixed lines for each line it gets.
    async fn with_emulator<T>(answers: &'static [&'static str], talk: impl AsyncFnOnce(std::path::PathBuf) -> T) -> T {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("qmp.sock");
        let listener = UnixListener::bind(&path).unwrap();
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let mut stream = BufReader::new(stream);
            stream.get_mut().write_all(b"{\"QMP\":{}}\n").await.unwrap();
            for answer in answers {
                stream.read_line(&mut String::new()).await.unwrap();
                stream.get_mut().write_all(format!("{answer}\n").as_bytes()).await.unwrap();
            }
        });
        talk(path).await
    }

    #[tokio::test]
    async fn answers_find_their_commands_between_events() {
        let answers = &["{\"return\":{}}", "{\"event\":\"RESET\",\"data\":{\"a\":1}}\n{\"return\":\"\"}"];
        with_emulator(answers, async |path| {
            let (monitor, mut events) = Monitor::connect(&path).await.unwrap();
            assert_eq!(monitor.human("hostfwd_add x").await.unwrap(), "");
            let event = Event { name: "RESET".to_owned(), data: json!({"a": 1}) };
            assert_eq!(events.recv().await, Some(event));
            assert_eq!(events.recv().await, None, "events end with the emulator");
            assert!(monitor.run("quit", json!({})).await.is_err());
        })
        .await;
    }

    #[tokio::test]
    async fn a_refusal_is_told_in_the_emulator_s_words() {
        let answers = &["{\"return\":{}}", "{\"error\":{\"class\":\"GenericError\",\"desc\":\"no such thing\"}}"];
        with_emulator(answers, async |path| {
            let (monitor, _events) = Monitor::connect(&path).await.unwrap();
            let error = monitor.run("x", json!({})).await.unwrap_err();
            assert_eq!(format!("{error:#}"), "x: no such thing");
        })
        .await;
    }
}
