//! Waits until a Service has a pod that is ready, by a watch on its EndpointSlices: nothing is asked twice.

use super::Context;
use crate::cluster::Cluster;
use crate::cluster::access::Api;
use crate::exit::{Code, Failure};
use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read};
use tokio::time::{Instant, timeout_at};

/// Bytes of one event at most: the largest object that the API takes, and its envelope.
const EVENT_BYTES_MAX: u64 = 4 << 20;

/// Returns once a pod behind the Service is ready.
///
/// # Errors
/// `TimedOut`, `Interrupted`, or what the API says.
pub async fn wait(cluster: &Cluster, namespace: &str, name: &str, deadline: Instant, context: &Context) -> Result<()> {
    let api = Api::of(cluster)?;
    let seconds = deadline.saturating_duration_since(Instant::now()).as_secs().max(1);
    let path = format!(
        "/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices?watch=1&timeoutSeconds={seconds}\
         &labelSelector=kubernetes.io%2Fservice-name%3D{name}"
    );
    let watching = context.runtime.spawn_blocking(move || watch(&api, &path));
    let is_ready = tokio::select! {
        done = timeout_at(deadline, watching) => match done {
            Ok(done) => done??,
            Err(_) => false,
        },
        () = context.interrupt.wait() => { context.interrupt.check()?; false }
    };
    if is_ready {
        return Ok(());
    }
    let failure =
        Failure::new(Code::TimedOut, format!("timed out waiting for: a ready pod of Service {namespace}/{name}"));
    bail!(failure.advice(format!("kubectl -n {namespace} get pods,endpointslices shows what is there")))
}

/// Follows the slices from what there is now; whether one became ready before the server ended the watch.
fn watch(api: &Api, path: &str) -> Result<bool> {
    let mut reader = BufReader::new(api.get(path)?.into_body().into_reader());
    let mut ready = BTreeSet::new();
    loop {
        let mut line = Vec::new();
        let read = (&mut reader).take(EVENT_BYTES_MAX).read_until(b'\n', &mut line).context("reading an event")?;
        if read == 0 {
            return Ok(false);
        }
        apply(&mut ready, &serde_json::from_slice(&line).context("reading an event")?)?;
        if !ready.is_empty() {
            return Ok(true);
        }
    }
}

/// Takes one event in: which slices hold a ready pod.
fn apply(ready: &mut BTreeSet<String>, event: &Value) -> Result<()> {
    let object = &event["object"];
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    let is_ready = |endpoint: &Value| endpoint["conditions"]["ready"].as_bool().unwrap_or(true);
    match event["type"].as_str() {
        Some("ERROR") => bail!("{}", object["message"].as_str().unwrap_or("the watch failed")),
        Some("ADDED" | "MODIFIED") if object["endpoints"].as_array().is_some_and(|all| all.iter().any(is_ready)) => {
            ready.insert(name.to_owned());
        }
        _ => {
            ready.remove(name);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_slice_counts_once_one_of_its_pods_is_ready() {
        let mut ready = BTreeSet::new();
        let mut take = |kind: &str, endpoints: Value| {
            apply(&mut ready, &json!({"type": kind, "object": {"metadata": {"name": "a"}, "endpoints": endpoints}}))
                .unwrap();
            !ready.is_empty()
        };
        assert!(!take("ADDED", json!(null)));
        assert!(!take("MODIFIED", json!([{"conditions": {"ready": false}}])));
        assert!(take("MODIFIED", json!([{"conditions": {"ready": false}}, {"conditions": {"ready": true}}])));
        assert!(!take("DELETED", json!([])));
        assert!(apply(&mut ready, &json!({"type": "ERROR", "object": {"message": "gone"}})).is_err());
    }
}
