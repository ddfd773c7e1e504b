//! What a build tells, line by line: Docker's JSON stream, with BuildKit's messages in it. Pure. BuildKit's fields are
//! those of its `api/services/control/control.proto`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use prost::Message;
use serde::Deserialize;
use serde_json::Value;

/// Under this name BuildKit's messages come.
const TRACE: &str = "moby.buildkit.trace";
/// Under this name the ID of the image comes.
const IMAGE: &str = "moby.image.id";

#[derive(Clone, PartialEq, Message)]
struct Trace {
    #[prost(message, repeated, tag = "1")]
    vertexes: Vec<Vertex>,
    #[prost(message, repeated, tag = "3")]
    logs: Vec<Log>,
}

#[derive(Clone, PartialEq, Message)]
struct Vertex {
    #[prost(string, tag = "1")]
    digest: String,
    #[prost(string, tag = "3")]
    name: String,
    #[prost(bool, tag = "4")]
    cached: bool,
    #[prost(message, optional, tag = "5")]
    started: Option<Time>,
    #[prost(message, optional, tag = "6")]
    completed: Option<Time>,
    #[prost(string, tag = "7")]
    error: String,
}

#[derive(Clone, PartialEq, Message)]
struct Log {
    #[prost(string, tag = "1")]
    vertex: String,
    #[prost(bytes = "vec", tag = "4")]
    msg: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct Time {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    #[serde(default)]
    id: String,
    #[serde(default)]
    stream: String,
    #[serde(default)]
    aux: Value,
    error: Option<String>,
}

/// A step of the build.
struct Step {
    digest: String,
    begun: bool,
    done: bool,
}

/// What has been told so far.
#[derive(Default)]
pub struct Progress {
    steps: Vec<Step>,
    /// The image, once it is built.
    pub image: Option<String>,
    /// Why it failed, once it has.
    pub error: Option<String>,
}

impl Progress {
    /// Takes one line of the stream, and gives what people shall read of it.
    ///
    /// # Errors
    /// When it is no line of such a stream.
    pub fn take(&mut self, line: &str) -> Result<Vec<String>, String> {
        let line: Line = serde_json::from_str(line).map_err(|error| format!("{error}: {line:.200}"))?;
        if let Some(error) = line.error {
            self.error = Some(error);
        }
        match line.id.as_str() {
            TRACE => {
                let bytes =
                    STANDARD.decode(line.aux.as_str().unwrap_or_default()).map_err(|error| error.to_string())?;
                let trace = Trace::decode(bytes.as_slice()).map_err(|error| error.to_string())?;
                Ok(self.trace(&trace))
            }
            _ => {
                if let Some(id) = line.aux["ID"].as_str().filter(|_| line.id.is_empty() || line.id == IMAGE) {
                    self.image = Some(id.to_owned());
                }
                Ok(line.stream.lines().map(str::to_owned).filter(|text| !text.is_empty()).collect())
            }
        }
    }

    fn trace(&mut self, trace: &Trace) -> Vec<String> {
        let mut said = Vec::new();
        for vertex in &trace.vertexes {
            let number = self.number(&vertex.digest);
            let step = &mut self.steps[number - 1];
            if vertex.started.is_some() && !step.begun {
                step.begun = true;
                said.push(format!("#{number} {}", vertex.name));
            }
            if let Some(end) = vertex.completed.filter(|_| !step.done) {
                step.done = true;
                said.push(match (&vertex.error, vertex.cached) {
                    (error, _) if !error.is_empty() => format!("#{number} failed: {error}"),
                    (_, true) => format!("#{number} cached"),
                    _ => format!("#{number} done {:.1} s", seconds(vertex.started, end)),
                });
            }
        }
        for log in &trace.logs {
            let number = self.number(&log.vertex);
            let text = String::from_utf8_lossy(&log.msg);
            said.extend(text.lines().map(|line| format!("#{number} | {line}")));
        }
        said
    }

    /// The number of a step, by the order in which they are told.
    fn number(&mut self, digest: &str) -> usize {
        let known = self.steps.iter().position(|step| step.digest == digest);
        known.unwrap_or_else(|| {
            self.steps.push(Step { digest: digest.to_owned(), begun: false, done: false });
            self.steps.len() - 1
        }) + 1
    }
}

fn seconds(start: Option<Time>, end: Time) -> f64 {
    let at = |time: Time| time.seconds as f64 + f64::from(time.nanos) / 1e9;
    start.map_or(0.0, |start| (at(end) - at(start)).max(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn told(progress: &mut Progress, trace: &Trace) -> Vec<String> {
        let line = json!({ "id": TRACE, "aux": STANDARD.encode(trace.encode_to_vec()) }).to_string();
        progress.take(&line).unwrap()
    }

    #[test]
    fn steps_are_told_once_with_what_they_say() {
        let mut progress = Progress::default();
        let at = |seconds| Some(Time { seconds, nanos: 500_000_000 });
        let vertex = |started, completed| Vertex {
            digest: "d".to_owned(),
            name: "[1/2] RUN make".to_owned(),
            started,
            completed,
            ..Vertex::default()
        };
        let trace = |vertex| Trace { vertexes: vec![vertex], logs: Vec::new() };
        assert_eq!(told(&mut progress, &trace(vertex(None, None))), [""; 0]);
        assert_eq!(told(&mut progress, &trace(vertex(at(1), None))), ["#1 [1/2] RUN make"]);
        let logs = vec![Log { vertex: "d".to_owned(), msg: b"one\ntwo\n".to_vec() }];
        assert_eq!(told(&mut progress, &Trace { vertexes: Vec::new(), logs }), ["#1 | one", "#1 | two"]);
        assert_eq!(told(&mut progress, &trace(vertex(at(1), at(3)))), ["#1 done 2.0 s"]);
        assert_eq!(told(&mut progress, &trace(vertex(at(1), at(3)))), [""; 0]);
    }

    #[test]
    fn image_and_error_are_kept() {
        let mut progress = Progress::default();
        progress.take(&json!({ "id": IMAGE, "aux": { "ID": "sha256:1" } }).to_string()).unwrap();
        assert_eq!(progress.image.as_deref(), Some("sha256:1"));
        assert_eq!(progress.take(&json!({ "stream": "Step 1/2\n" }).to_string()).unwrap(), ["Step 1/2"]);
        progress.take(&json!({ "error": "no", "errorDetail": { "message": "no" } }).to_string()).unwrap();
        assert_eq!(progress.error.as_deref(), Some("no"));
        assert!(progress.take("nonsense").is_err());
    }
}
