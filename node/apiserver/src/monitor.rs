//! The API server's metrics: what it was asked, how long that took, what it keeps. Names and labels are those of
//! `k8s.io/apiserver/pkg/endpoints/metrics` and `…/storage/etcd3/metrics`.

use crate::chain::Incoming;
use crate::reply::{Body, BoxError};
use crate::request::RequestInfo;
use crate::server::Server;
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body as _, Frame, SizeHint};
use metrics::{Metric, Text, Values};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::time::Instant;

static REQUESTS: Metric = Metric::counter(
    "apiserver_request_total",
    &["verb", "dry_run", "group", "version", "resource", "subresource", "scope", "component", "code"],
    "Requests that were answered, by what they asked for and the answer's code.",
);
static SECONDS: Metric = Metric::histogram(
    "apiserver_request_duration_seconds",
    &["verb", "dry_run", "group", "version", "resource", "subresource", "scope", "component"],
    &[
        0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0,
        30.0, 45.0, 60.0,
    ],
    "How long requests took until their answer began.",
);
static SIZES: Metric = Metric::histogram(
    "apiserver_response_sizes",
    &["verb", "group", "version", "resource", "subresource", "scope", "component"],
    &[1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9],
    "Bytes of the answers to reads.",
);
static LONG: Metric = Metric::gauge(
    "apiserver_longrunning_requests",
    &["verb", "group", "version", "resource", "subresource", "scope", "component"],
    "Watches and followed logs that are open.",
);
static INFLIGHT: Metric = Metric::gauge(
    "apiserver_current_inflight_requests",
    &["request_kind"],
    "Requests that are being answered, watches and connections apart.",
);
static OBJECTS: Metric =
    Metric::gauge("apiserver_storage_objects", &["resource"], "Objects that are kept, by resource and group.");
static BYTES: Metric = Metric::gauge(
    "apiserver_storage_size_bytes",
    &["storage_cluster_id"],
    "Bytes of the objects and the history that are kept.",
);
static BUILD: Metric = Metric::gauge(
    "kubernetes_build_info",
    &[
        "major",
        "minor",
        "git_version",
        "git_commit",
        "git_tree_state",
        "build_date",
        "go_version",
        "compiler",
        "platform",
    ],
    "The version; the value is always 1.",
);

/// What is counted.
pub static TABLE: metrics::Table = &[&REQUESTS, &SECONDS, &SIZES, &LONG, &INFLIGHT];
/// What is looked up when somebody reads.
pub static LOOKED_UP: metrics::Table = &[&OBJECTS, &BYTES, &BUILD];

/// The component that upstream names in its labels.
const COMPONENT: &str = "apiserver";

/// What the server counts, and all that its `/metrics` shows.
pub struct Monitor {
    values: Arc<Values>,
    /// Everything that is shown, other parts of the process among it.
    pub registry: metrics::Registry,
}

impl Default for Monitor {
    fn default() -> Monitor {
        let values = Arc::new(Values::new(&[TABLE]));
        let registry = metrics::Registry::default();
        registry.add(values.clone());
        Monitor { values, registry }
    }
}

/// The labels of one request.
struct Labels {
    verb: &'static str,
    dry_run: &'static str,
    group: String,
    version: String,
    resource: String,
    subresource: String,
    scope: &'static str,
}

impl Labels {
    /// Only what the server knows becomes a label, so that their number is bounded.
    fn of(server: &Server, incoming: &Incoming) -> Labels {
        let info = &incoming.info;
        let (mut group, mut version, mut resource, mut subresource) = Default::default();
        if let Some(found) = server.catalog.load().find(&info.group, &info.version, &info.resource) {
            (group, version, resource) = (info.group.clone(), info.version.clone(), info.resource.clone());
            if found.subresource(&info.subresource).is_some() {
                subresource = info.subresource.clone();
            }
        } else if ["/healthz", "/livez", "/readyz"].contains(&info.path.as_str()) {
            subresource = info.path.clone();
        }
        let dry_run = if incoming.query.get("dryRun").is_some() { "All" } else { "" };
        Labels { verb: verb(info, incoming), dry_run, group, version, resource, subresource, scope: scope(info) }
    }

    fn short(&self) -> [&str; 7] {
        [self.verb, &self.group, &self.version, &self.resource, &self.subresource, self.scope, COMPONENT]
    }

    fn with_dry_run(&self) -> [&str; 8] {
        let [verb, rest @ ..] = self.short();
        let [group, version, resource, subresource, scope, component] = rest;
        [verb, self.dry_run, group, version, resource, subresource, scope, component]
    }
}

/// Upstream's word for what is done.
fn verb(info: &RequestInfo, incoming: &Incoming) -> &'static str {
    if matches!(info.subresource.as_str(), "exec" | "attach" | "portforward" | "proxy") {
        return "CONNECT";
    }
    let patch = || {
        let kind = incoming.parts.headers.get(http::header::CONTENT_TYPE).and_then(|v| v.to_str().ok());
        if kind.is_some_and(|kind| kind.starts_with("application/apply-patch")) { "APPLY" } else { "PATCH" }
    };
    match info.verb.as_str() {
        "get" => "GET",
        "list" => "LIST",
        "watch" => "WATCH",
        "create" | "post" => "POST",
        "update" | "put" => "PUT",
        "patch" => patch(),
        "delete" => "DELETE",
        "deletecollection" => "DELETECOLLECTION",
        _ => "other",
    }
}

fn scope(info: &RequestInfo) -> &'static str {
    match (info.name.is_empty() && info.verb != "create", info.namespace.is_empty(), info.is_resource) {
        (false, ..) => "resource",
        (true, false, _) => "namespace",
        (true, true, true) => "cluster",
        (true, true, false) => "",
    }
}

/// One request while it is answered.
pub struct Asked {
    values: Arc<Values>,
    labels: Labels,
    began: Instant,
    /// The kind under which it counts as in flight; none for one that may last.
    inflight: Option<&'static str>,
}

impl Asked {
    /// Begins to count a request.
    #[must_use]
    pub fn begin(server: &Server, incoming: &Incoming) -> Asked {
        let labels = Labels::of(server, incoming);
        let lasts = matches!(labels.verb, "WATCH" | "CONNECT") || labels.subresource == "log";
        let reads = matches!(labels.verb, "GET" | "LIST");
        let inflight = (!lasts).then_some(if reads { "readOnly" } else { "mutating" });
        let values = server.monitor.values.clone();
        if let Some(kind) = inflight {
            values.add(&INFLIGHT, &[kind], 1.0);
        }
        Asked { values, labels, began: Instant::now(), inflight }
    }

    /// The answer begins. One that may last is counted as open until its body ends.
    #[must_use]
    pub fn answered(self, answer: http::Response<Body>) -> http::Response<Body> {
        let (values, labels) = (&self.values, &self.labels);
        let long = labels.with_dry_run();
        let code = answer.status();
        let counted: Vec<&str> = long.iter().copied().chain([code.as_str()]).collect();
        values.count(&REQUESTS, &counted);
        if self.inflight.is_none() {
            if !code.is_success() {
                return answer;
            }
            let labels = labels.short().map(str::to_owned);
            values.add(&LONG, &labels.each_ref().map(String::as_str), 1.0);
            let open = Open { values: values.clone(), labels };
            return answer.map(|body| Lasting { body, _open: open }.boxed_unsync());
        }
        values.observe(&SECONDS, &long, self.began.elapsed().as_secs_f64());
        if matches!(labels.verb, "GET" | "LIST")
            && let Some(bytes) = answer.body().size_hint().exact()
        {
            #[allow(clippy::cast_precision_loss, reason = "metrics are floating point")]
            values.observe(&SIZES, &labels.short(), bytes as f64);
        }
        answer
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        if let Some(kind) = self.inflight {
            self.values.add(&INFLIGHT, &[kind], -1.0);
        }
    }
}

/// Counts an answer that lasts until it is dropped.
struct Open {
    values: Arc<Values>,
    labels: [String; 7],
}

impl Drop for Open {
    fn drop(&mut self) {
        self.values.add(&LONG, &self.labels.each_ref().map(String::as_str), -1.0);
    }
}

/// A body that is counted while it lasts.
struct Lasting {
    body: Body,
    _open: Open,
}

impl hyper::body::Body for Lasting {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// `/metrics`
#[must_use]
pub fn page(server: &Server) -> String {
    let mut text = Text::default();
    kept(server, &mut text);
    metrics::process(&mut text);
    text.into_string() + &server.monitor.registry.read()
}

#[allow(clippy::cast_precision_loss, reason = "metrics are floating point")]
fn kept(server: &Server, text: &mut Text) {
    let snapshot = server.store.snapshot();
    text.head(&OBJECTS);
    for resource in server.catalog.load().iter().filter(|r| r.stored_as.is_some() && r.conversion.is_none()) {
        let name = resource.named().to_string();
        text.value(&OBJECTS, &[&name], snapshot.count(&resource.prefix("")) as f64, None);
    }
    text.head(&BYTES);
    text.value(&BYTES, &["store"], server.store.bytes() as f64, None);
    let version = server.config.version.to_tree();
    let of = |field: &str| version.str_at(&[field]).unwrap_or_default();
    let fields = ["major", "minor", "gitVersion", "gitCommit", "gitTreeState", "buildDate", "goVersion", "compiler"];
    let [major, minor, git, commit, state, built, go, compiler] = fields.map(of);
    text.head(&BUILD);
    text.value(&BUILD, &[major, minor, git, commit, state, built, go, compiler, of("platform")], 1.0, None);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::Query;

    fn check(method: &str, target: &str, wants: (&str, &str)) {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let query = Query::parse(query);
        let method: http::Method = method.parse().unwrap();
        let info = RequestInfo::parse(&method, path, &query);
        let (parts, ()) = http::Request::builder().method(method).uri(target).body(()).unwrap().into_parts();
        let incoming = Incoming { info, query, parts, body: crate::reply::full("") };
        assert_eq!((verb(&incoming.info, &incoming), scope(&incoming.info)), wants, "{target}");
    }

    #[test]
    fn verbs_and_scopes_are_upstreams() {
        check("GET", "/api/v1/namespaces/a/pods/p", ("GET", "resource"));
        check("GET", "/api/v1/namespaces/a/pods", ("LIST", "namespace"));
        check("GET", "/api/v1/pods?watch=true", ("WATCH", "cluster"));
        check("POST", "/api/v1/namespaces/a/pods", ("POST", "resource"));
        check("POST", "/api/v1/namespaces/a/pods/p/exec", ("CONNECT", "resource"));
        check("DELETE", "/api/v1/namespaces/a/pods", ("DELETECOLLECTION", "namespace"));
        check("GET", "/healthz", ("GET", ""));
    }
}
