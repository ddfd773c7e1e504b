//! Asks the engine what runs of a pod. Ended containers never change, so each is asked for once.
//!
//! It must not decide anything.

use crate::cri::{self, Cri, v1};
use crate::observed::{self, Container, Observed, Sandbox, State};
use crate::{labels, message};
use std::collections::BTreeMap;

/// What need not be asked again: ended containers and namespaces of sandboxes, by the engine's id.
#[derive(Debug, Default)]
pub struct Known {
    ended: BTreeMap<String, Container>,
    networks: BTreeMap<String, Option<String>>,
}

fn of_pod(uid: &str) -> BTreeMap<String, String> {
    BTreeMap::from([(labels::POD_UID.to_owned(), uid.to_owned())])
}

/// The sandboxes and containers of a pod.
///
/// # Errors
/// What the engine answers.
pub async fn observe(cri: &Cri, uid: &str, known: &mut Known) -> cri::Result<Observed> {
    let filter = v1::PodSandboxFilter { label_selector: of_pod(uid), ..v1::PodSandboxFilter::default() };
    let listed = cri.list_pod_sandbox(v1::ListPodSandboxRequest { filter: Some(filter) }).await?.items;
    let mut sandboxes = Vec::with_capacity(listed.len());
    for listed in listed {
        sandboxes.extend(sandbox(cri, listed.id, known).await?);
    }
    let filter = v1::ContainerFilter { label_selector: of_pod(uid), ..v1::ContainerFilter::default() };
    let listed = cri.list_containers(v1::ListContainersRequest { filter: Some(filter) }).await?.containers;
    let mut containers = Vec::with_capacity(listed.len());
    for listed in &listed {
        containers.extend(container(cri, listed, known).await?);
    }
    known.ended.retain(|id, _| listed.iter().any(|c| c.id == *id));
    known.networks.retain(|id, _| sandboxes.iter().any(|s: &Sandbox| s.id == *id));
    Ok(Observed { sandboxes, containers }.sorted())
}

/// One sandbox; `None` when it went away meanwhile.
async fn sandbox(cri: &Cri, id: String, known: &mut Known) -> cri::Result<Option<Sandbox>> {
    let verbose = !known.networks.contains_key(&id);
    let asked = v1::PodSandboxStatusRequest { pod_sandbox_id: id.clone(), verbose };
    let answer = match cri.pod_sandbox_status(asked).await {
        Err(error) if error.is_not_found() => return Ok(None),
        answer => answer?,
    };
    let network = known.networks.entry(id).or_insert_with(|| network_file(&answer.info)).clone();
    Ok(answer.status.map(|status| observed::sandbox(status, network)))
}

/// The file of the network namespace, from what containerd says in words of its own.
fn network_file(info: &BTreeMap<String, String>) -> Option<String> {
    let info: serde_json::Value = serde_json::from_str(info.get("info")?).ok()?;
    let namespaces = info["runtimeSpec"]["linux"]["namespaces"].as_array();
    let named = namespaces.into_iter().flatten().find(|n| n["type"] == "network").and_then(|n| n["path"].as_str());
    let by_process = || info["pid"].as_u64().filter(|pid| *pid > 0).map(|pid| format!("/proc/{pid}/ns/net"));
    named.map(str::to_owned).or_else(by_process)
}

async fn container(cri: &Cri, listed: &v1::Container, known: &mut Known) -> cri::Result<Option<Container>> {
    if let Some(ended) = known.ended.get(&listed.id) {
        return Ok(Some(ended.clone()));
    }
    let asked = v1::ContainerStatusRequest { container_id: listed.id.clone(), verbose: false };
    let status = match cri.container_status(asked).await {
        Err(error) if error.is_not_found() => return Ok(None),
        answer => answer?.status,
    };
    let Some(status) = status else { return Ok(None) };
    let last_words = (status.state() == v1::ContainerState::ContainerExited).then(|| message::of(&status));
    let mut container = observed::container(status, &listed.pod_sandbox_id);
    if let Some(words) = last_words.filter(|words| !words.is_empty()) {
        container.message =
            if container.message.is_empty() { words } else { format!("{}: {words}", container.message) };
    }
    if container.state == State::Exited {
        known.ended.insert(container.id.clone(), container.clone());
    }
    Ok(Some(container))
}
