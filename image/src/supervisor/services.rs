//! The Services of the cluster, as they are now: listed, then watched over HTTPS with the administrator's credentials.
//! A thread of its own, because its client blocks; it ends with the process.

use super::log;
use crate::cluster::Cluster;
use crate::cluster::access::{self, Answered, Api};
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::time::Duration;
use tokio::sync::watch;

/// The first wait after a failure, and what it grows to while no watch has lasted.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(15));
/// Bytes of one event at most: the largest object that the API takes, and its envelope.
const EVENT_BYTES_MAX: u64 = 4 << 20;
/// How long the server keeps one watch; a new one costs one request.
const WATCH_S: u32 = 1800;
/// Where Services are.
const PATH: &str = "/api/v1/services";

/// The Services by `namespace/name`.
type Objects = BTreeMap<String, Value>;

/// A watch that may not have begun.
#[derive(Default)]
pub struct Watch {
    seen: Option<watch::Receiver<Option<Objects>>>,
}

impl Watch {
    /// Begins, or begins anew with other credentials.
    ///
    /// # Errors
    /// When the credentials cannot be read or no thread can be started.
    pub fn start(&mut self, cluster: &Cluster) -> Result<()> {
        let api = Api::of(cluster)?;
        let (sender, seen) = watch::channel(None);
        std::thread::Builder::new().name("services".to_owned()).spawn(move || follow(&api, &sender))?;
        self.seen = Some(seen);
        Ok(())
    }

    /// The Services after the next change; never returns when the watch has not begun.
    pub async fn changed(&mut self) -> Objects {
        if let Some(seen) = &mut self.seen {
            while seen.changed().await.is_ok() {
                if let Some(objects) = seen.borrow_and_update().clone() {
                    return objects;
                }
            }
        }
        std::future::pending().await
    }
}

/// Lists and watches until nobody listens any more.
fn follow(api: &Api, sender: &watch::Sender<Option<Objects>>) {
    let mut wait = BACK_OFF.0;
    let mut version = None;
    let mut objects = Objects::new();
    while !sender.is_closed() {
        let done = match &version {
            None => list(api).map(|(listed, at)| {
                objects = listed;
                version = Some(at);
                sender.send_replace(Some(objects.clone()));
            }),
            Some(_) => watch(api, &mut objects, &mut version, sender).map(|()| wait = BACK_OFF.0),
        };
        if let Err(error) = done {
            // A history that is gone is listed anew; a server that forgets at once is not asked at once again.
            if error.downcast_ref::<Answered>().is_some_and(|answered| answered.code == 410) {
                version = None;
            }
            log(&format!("services: {error:#}; again in {} ms", wait.as_millis()));
            std::thread::sleep(wait);
            wait = (wait * 2).min(BACK_OFF.1);
        }
    }
}

fn list(api: &Api) -> Result<(Objects, String)> {
    let answer = access::json_of(api.get(PATH)?)?;
    let mut objects = Objects::new();
    for item in answer["items"].as_array().into_iter().flatten() {
        objects.insert(key(item), item.clone());
    }
    let version = answer["metadata"]["resourceVersion"].as_str().context("a list without resourceVersion")?;
    Ok((objects, version.to_owned()))
}

/// One watch, until the server ends it.
fn watch(
    api: &Api,
    objects: &mut Objects,
    version: &mut Option<String>,
    sender: &watch::Sender<Option<Objects>>,
) -> Result<()> {
    let since = version.as_deref().unwrap_or_default();
    let path = format!("{PATH}?watch=1&allowWatchBookmarks=true&timeoutSeconds={WATCH_S}&resourceVersion={since}");
    let mut reader = BufReader::new(api.get(&path)?.into_body().into_reader());
    loop {
        let mut line = Vec::new();
        let read = (&mut reader).take(EVENT_BYTES_MAX).read_until(b'\n', &mut line).context("reading an event")?;
        if read == 0 || sender.is_closed() {
            return Ok(());
        }
        let event: Value = serde_json::from_slice(&line).context("reading an event")?;
        if apply(objects, version, event)? {
            sender.send_replace(Some(objects.clone()));
        }
    }
}

/// Takes one event in; whether Services have changed by it.
fn apply(objects: &mut Objects, version: &mut Option<String>, mut event: Value) -> Result<bool> {
    let object = event["object"].take();
    let kind = event["type"].as_str().unwrap_or_default();
    if kind == "ERROR" {
        let code = object["code"].as_u64().and_then(|code| u16::try_from(code).ok()).unwrap_or(500);
        let message = object["message"].as_str().unwrap_or("the watch failed").to_owned();
        bail!(Answered { code, message });
    }
    if let Some(at) = object["metadata"]["resourceVersion"].as_str() {
        *version = Some(at.to_owned());
    }
    Ok(match kind {
        "ADDED" | "MODIFIED" => {
            objects.insert(key(&object), object);
            true
        }
        "DELETED" => objects.remove(&key(&object)).is_some(),
        _ => false,
    })
}

fn key(object: &Value) -> String {
    let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default();
    format!("{}/{}", text("namespace"), text("name"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn events_change_what_is_known_and_say_where_to_go_on() {
        let (mut objects, mut version) = (Objects::new(), None);
        let mut take = |kind: &str, name: &str, at: &str| {
            let object = json!({"metadata": {"namespace": "default", "name": name, "resourceVersion": at}});
            let changed = apply(&mut objects, &mut version, json!({"type": kind, "object": object})).unwrap();
            (changed, objects.len(), version.clone().unwrap())
        };
        assert_eq!(take("ADDED", "a", "5"), (true, 1, "5".to_owned()));
        assert_eq!(take("MODIFIED", "a", "6"), (true, 1, "6".to_owned()));
        assert_eq!(take("BOOKMARK", "", "9"), (false, 1, "9".to_owned()));
        assert_eq!(take("DELETED", "a", "10"), (true, 0, "10".to_owned()));
    }

    #[test]
    fn a_version_that_is_too_old_is_told_as_such() {
        let event = json!({"type": "ERROR", "object": {"code": 410, "message": "too old"}});
        let error = apply(&mut Objects::new(), &mut None, event).unwrap_err();
        assert_eq!(error.downcast_ref::<Answered>().map(|answered| answered.code), Some(410));
    }
}
