//! Applies documents one after another; what something else must come before is tried again until a limit.

use super::patch;
use super::read::{Document, Refusal};
use ::api::Status;
use client::backoff::Backoff;
use client::{Client, Patch, ResourceRef, discovery};
use serde::Serialize;
use serde_json::Value;
use std::collections::HashMap;
use std::time::Duration;
use tokio::time::Instant;

/// How long a document may wait for what it needs: a namespace's account, a definition to be served.
const RETRY_MAX: Duration = Duration::from_secs(30);
/// Between two rounds.
const ROUNDS: Backoff = Backoff { first: Duration::from_millis(100), cap: Duration::from_secs(2) };

/// What came of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Objects that were made.
    pub created: usize,
    /// Objects that were changed.
    pub changed: usize,
    /// Objects that were as their file says.
    pub unchanged: usize,
    /// Documents and files that were refused.
    pub refused: usize,
}

enum Done {
    Created,
    Changed,
    Unchanged,
}

/// Why a document is not applied, and whether waiting may help.
struct Fault {
    words: String,
    may_pass: bool,
}

/// Applies all, in this order; `refuse` is told of each that is not taken.
pub async fn all(client: &Client, documents: Vec<Document>, refuse: &mut (dyn FnMut(Refusal) + Send)) -> Report {
    let mut report = Report::default();
    let mut known = HashMap::new();
    let until = Instant::now() + RETRY_MAX;
    let mut waiting = documents;
    for round in 1.. {
        let mut left = Vec::new();
        let is_last = Instant::now() >= until;
        for document in waiting {
            match one(client, &document, &mut known).await {
                Ok(Done::Created) => report.created += 1,
                Ok(Done::Changed) => report.changed += 1,
                Ok(Done::Unchanged) => report.unchanged += 1,
                Err(fault) if fault.may_pass && !is_last => left.push(document),
                Err(fault) => {
                    report.refused += 1;
                    refuse(document.refused(fault.words));
                }
            }
        }
        if left.is_empty() {
            break;
        }
        waiting = left;
        tokio::time::sleep(ROUNDS.after(round)).await;
    }
    report
}

async fn one(client: &Client, document: &Document, known: &mut HashMap<String, ResourceRef>) -> Result<Done, Fault> {
    let (version, kind) = (document.text("/apiVersion"), document.text("/kind"));
    let key = format!("{version} {kind}");
    if !known.contains_key(&key) {
        let found = discovery::find(client, version, kind).await.map_err(|status| fault(&status))?;
        let words = || format!("kind: the API serves no {kind} of apiVersion {version}");
        known.insert(key.clone(), found.ok_or_else(|| Fault { words: words(), may_pass: true })?);
    }
    let resource = &known[&key];
    let given = document.text("/metadata/namespace");
    let namespace = match (resource.namespaced, given) {
        (true, "") => "default",
        (true, given) => given,
        (false, _) => "",
    };
    let api = client.on::<Value>(resource.clone()).strict();
    let name = document.text("/metadata/name");
    let Some(live) = api.find(namespace, name).await.map_err(|status| fault(&status))? else {
        api.create(namespace, &patch::noted(&document.object)).await.map_err(|status| fault(&status))?;
        return Ok(Done::Created);
    };
    match patch::plan(&live, &document.object) {
        None => Ok(Done::Unchanged),
        Some(change) => {
            let change = Patch::Merge(change);
            let now = api.patch(namespace, name, "", &change).await.map_err(|status| fault(&status))?;
            let revision = |object: &Value| object.pointer("/metadata/resourceVersion").cloned();
            Ok(if revision(&now) == revision(&live) { Done::Unchanged } else { Done::Changed })
        }
    }
}

/// What the server says, and whether it may say otherwise later: what it calls malformed stays so.
fn fault(status: &Status) -> Fault {
    let may_pass = !matches!(status.code, 400 | 401 | 405 | 413 | 415 | 422);
    Fault { words: status.message.clone(), may_pass }
}

#[cfg(test)]
mod tests {
    use super::super::read::parse;
    use super::*;
    use client::fake::Fake;
    use k8s_openapi::api::core::v1::ConfigMap;
    use serde_json::json;

    fn server() -> Fake {
        let fake = Fake::new();
        let entry = |name: &str, kind: &str, namespaced| json!({"name": name, "kind": kind, "namespaced": namespaced, "verbs": []});
        let core = [entry("namespaces", "Namespace", false), entry("configmaps", "ConfigMap", true)];
        fake.answer("/api/v1", json!({"resources": core}));
        fake
    }

    async fn apply(fake: &Fake, text: &str) -> (Report, Vec<Refusal>) {
        let (documents, _) = parse("a.yaml", text);
        let mut refusals = Vec::new();
        let report = all(&fake.client(), documents, &mut |refusal| refusals.push(refusal)).await;
        (report, refusals)
    }

    fn map(data: &str) -> String {
        format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: a}}\ndata: {data}\n")
    }

    #[tokio::test]
    async fn an_object_is_made_once_and_changed_when_its_file_changes() {
        let fake = server();
        let done = |created, changed, unchanged| Report { created, changed, unchanged, refused: 0 };
        assert_eq!(apply(&fake, &map("{x: one, y: two}")).await.0, done(1, 0, 0));
        assert_eq!(apply(&fake, &map("{x: one, y: two}")).await.0, done(0, 0, 1));
        assert_eq!(apply(&fake, &map("{x: three}")).await.0, done(0, 1, 0));
        let maps = fake.all::<ConfigMap>();
        let data: Vec<_> = maps[0].data.iter().flatten().collect();
        assert_eq!(data, [(&"x".to_owned(), &"three".to_owned())]);
        assert_eq!(fake.writes().len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_kind_that_nobody_serves_is_waited_for_and_then_refused_by_name() {
        let fake = server();
        let text = format!("apiVersion: v1\nkind: Widget\nmetadata: {{name: w}}\n---\n{}", map("{}"));
        let began = Instant::now();
        let (report, refusals) = apply(&fake, &text).await;
        assert_eq!((report.created, report.refused), (1, 1));
        assert!(began.elapsed() >= RETRY_MAX);
        assert_eq!(refusals[0].error, "kind: the API serves no Widget of apiVersion v1");
        assert_eq!((refusals[0].document, refusals[0].line), (Some(1), Some(1)));
    }
}
