//! `pods/log`: a container's log, fetched from its kubelet and streamed. Rules of
//! `k8s.io/kubernetes/pkg/registry/core/pod/rest/log.go`.

use super::{kubelet, pass, pod};
use crate::chain::Incoming;
use crate::outgoing::Security;
use crate::reply::{self, Body, full};
use crate::request::{Query, escape};
use crate::server::Server;
use crate::socket::Socket;
use api::status::GroupName;
use api::{FieldError, FieldPath, Status, meta};
use http::header::{self, HeaderValue};
use http_body_util::BodyExt;

/// Bytes of a kubelet's refusal that are read; upstream's limit.
const REFUSAL_BYTES_MAX: usize = 50_000;
/// The streams that may be asked for.
const STREAMS: [&str; 3] = ["All", "Stderr", "Stdout"];
/// Options that are handed on when they are truth values, and when they are numbers.
const FLAGS: [&str; 3] = ["follow", "previous", "timestamps"];
const NUMBERS: [&str; 3] = ["sinceSeconds", "tailLines", "limitBytes"];

/// Answers a GET.
///
/// # Errors
/// 422 for options that make no sense, 404 and 400 about pod and container, and what the kubelet says.
pub async fn run(server: &Server, incoming: Incoming) -> Result<http::Response<Body>, Status> {
    let Incoming { info, query, mut parts, .. } = incoming;
    let options = options(&query, &info.name)?;
    let found = pod::find(server, &info.namespace, &info.name)?;
    let container = pod::container(&found, query.get("container").unwrap_or_default())?;
    let node = pod::node(&found);
    if node.is_empty() {
        let mut nothing = http::Response::new(full(""));
        *nothing.status_mut() = http::StatusCode::NO_CONTENT;
        return Ok(nothing);
    }
    let mut target = kubelet::of(server, node)?;
    if query.flag("insecureSkipTLSVerifyBackend") {
        target.security = Security::KubeletUnchecked;
    }
    let path = format!("/containerLogs/{}/{}/{container}?{options}", meta::namespace(&found), meta::name(&found));
    let mut request = http::Request::new(full(""));
    *request.uri_mut() = path.parse().map_err(|_| Status::bad_request(format!("{path:?} is no path")))?;
    if let Ok(host) = HeaderValue::from_str(&target.authority()) {
        request.headers_mut().insert(header::HOST, host);
    }
    let answer = server.outgoing.send(&target, request).await;
    let said = |why| Status::new(500, "", format!("Get \"https://{}{path}\": {why}", target.authority()));
    let answer = answer.map_err(said)?;
    if !matches!(answer.status().as_u16(), 200..=206) {
        return Err(refusal(answer, &info.name).await);
    }
    match Socket::take(&mut parts)? {
        Some(socket) => Ok(socket.carry(answer.into_body().into_data_stream())),
        None => Ok(reply::with_type(200, "text/plain", pass::body(answer.into_body()))),
    }
}

/// The query for the kubelet.
fn options(query: &Query, name: &str) -> Result<String, Status> {
    let mut pairs: Vec<(&str, String)> = Vec::new();
    pairs.extend(FLAGS.iter().filter(|key| query.flag(key)).map(|key| (*key, "true".to_owned())));
    let mut faults = Vec::new();
    for key in NUMBERS {
        let Some(number) = query.number(key)? else { continue };
        let at = FieldPath::of(&[key]);
        match key {
            "tailLines" if number < 0 => {
                faults.push(FieldError::invalid(at, number, "must be greater than or equal to 0"));
            }
            "limitBytes" | "sinceSeconds" if number < 1 => {
                faults.push(FieldError::invalid(at, number, "must be greater than 0"));
            }
            _ => pairs.push((key, number.to_string())),
        }
    }
    if let Some(time) = query.text("sinceTime") {
        let read: Result<jiff::Timestamp, _> = time.parse();
        let read = read.map_err(|error| Status::bad_request(format!("sinceTime: {time:?} is no time: {error}")))?;
        pairs.push(("sinceTime", read.to_string()));
        if query.text("sinceSeconds").is_some() {
            let why = "at most one of `sinceTime` or `sinceSeconds` may be specified";
            faults.push(FieldError::forbidden(FieldPath::root(), why));
        }
    }
    let stream = query.text("stream").unwrap_or("All");
    if !STREAMS.contains(&stream) {
        faults.push(FieldError::not_supported(FieldPath::of(&["stream"]), stream, &STREAMS));
    }
    if stream != "All" && query.text("tailLines").is_some() {
        let why = "`tailLines` and specific `stream` are mutually exclusive for now";
        faults.push(FieldError::forbidden(FieldPath::root(), why));
    }
    pairs.push(("stream", stream.to_owned()));
    if !faults.is_empty() {
        return Err(Status::invalid(&GroupName::new("", "PodLogOptions"), name, &faults));
    }
    let pairs: Vec<String> = pairs.iter().map(|(key, value)| format!("{key}={}", escape(value))).collect();
    Ok(pairs.join("&"))
}

/// A kubelet's refusal as a Status, as upstream's checker of such answers makes it.
async fn refusal(answer: http::Response<hyper::body::Incoming>, name: &str) -> Status {
    let (code, mut body, mut bytes) = (answer.status().as_u16(), answer.into_body(), Vec::new());
    while let Some(Ok(frame)) = body.frame().await {
        bytes.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data.as_ref()));
        if bytes.len() >= REFUSAL_BYTES_MAX {
            bytes.truncate(REFUSAL_BYTES_MAX);
            break;
        }
    }
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let about = |status: Status| status.about(&GroupName::new("", "pods/log"), name);
    match code {
        500 => Status::internal(text),
        400 => Status::bad_request(text),
        404 => about(Status::new(
            404,
            "NotFound",
            format!("the server could not find the requested resource ( pods/log {name})"),
        )),
        code => about(Status::new(
            code,
            if code == 429 { "TooManyRequests" } else { "" },
            format!("an error on the server ({text:?}) has prevented the request from succeeding ( pods/log {name})"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(query: &str) -> String {
        options(&Query::parse(query), "p").unwrap_or_else(|status| format!("{} {}", status.code, status.message))
    }

    #[test]
    fn options_are_handed_on() {
        assert_eq!(check(""), "stream=All");
        assert_eq!(
            check("follow=true&previous=false&timestamps=1&tailLines=5&limitBytes=10&sinceSeconds=3"),
            "follow=true&timestamps=true&sinceSeconds=3&tailLines=5&limitBytes=10&stream=All"
        );
        assert_eq!(check("sinceTime=2026-01-02T03:04:05Z"), "sinceTime=2026-01-02T03%3A04%3A05Z&stream=All");
        assert_eq!(check("stream=Stderr"), "stream=Stderr");
    }

    #[test]
    fn options_that_make_no_sense_are_refused() {
        let starts = |query: &str, wants: &str| {
            let got = check(query);
            assert!(got.contains(wants) && got.starts_with("422 PodLogOptions \"p\" is invalid"), "{query}: {got}");
        };
        starts("tailLines=-1", "tailLines: Invalid value: -1: must be greater than or equal to 0");
        starts("limitBytes=0", "limitBytes: Invalid value: 0: must be greater than 0");
        starts("sinceSeconds=0", "sinceSeconds: Invalid value: 0: must be greater than 0");
        starts("sinceSeconds=1&sinceTime=2026-01-02T03:04:05Z", "at most one of `sinceTime` or `sinceSeconds`");
        starts("stream=Stdout&tailLines=1", "mutually exclusive");
        starts("stream=x", "stream: Unsupported value: \"x\"");
        assert!(check("tailLines=x").starts_with("400 "));
        assert!(check("sinceTime=yesterday").starts_with("400 "));
    }
}
