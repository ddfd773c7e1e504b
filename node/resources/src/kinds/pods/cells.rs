//! A row of `kubectl get pods`, as `k8s.io/kubernetes/pkg/printers/internalversion` writes it.

use crate::cells::{age, or_none, since};
use api::{Tree, meta};

/// What the containers of a pod say together.
#[derive(Default)]
struct Tally<'a> {
    reason: String,
    ready: usize,
    restarts: i64,
    /// When a container last ended that was started again. Times of this form sort as texts.
    last: Option<&'a str>,
}

/// The cells of a pod.
pub(super) fn row(pod: &Tree, now: i64) -> Vec<Tree> {
    let init = pod.list_at(&["spec", "initContainers"]);
    let total =
        pod.list_at(&["spec", "containers"]).len() + init.iter().filter(|c| pods::requests::is_sidecar(c)).count();
    let tally = tally(pod, init);
    let restarts = match tally.last.filter(|_| tally.restarts != 0) {
        Some(last) => format!("{} ({} ago)", tally.restarts, since(Some(last), now)),
        None => tally.restarts.to_string(),
    };
    let address = pod.list_at(&["status", "podIPs"]).first().and_then(|ip| ip.str_at(&["ip"]));
    vec![
        Tree::text(meta::name(pod)),
        Tree::text(format!("{}/{total}", tally.ready)),
        Tree::text(tally.reason),
        Tree::text(restarts),
        age(pod, now),
        or_none(address),
        or_none(pod.str_at(&["spec", "nodeName"])),
        or_none(pod.str_at(&["status", "nominatedNodeName"])),
        gates(pod),
    ]
}

fn condition<'a>(pod: &'a Tree, kind: &str) -> Option<&'a Tree> {
    pod.list_at(&["status", "conditions"]).iter().find(|c| c.str_at(&["type"]) == Some(kind))
}

fn is_true(pod: &Tree, kind: &str) -> bool {
    condition(pod, kind).is_some_and(|c| c.str_at(&["status"]) == Some("True"))
}

fn tally<'a>(pod: &'a Tree, init: &[Tree]) -> Tally<'a> {
    let status = |field| pod.str_at(&["status", field]).filter(|text| !text.is_empty());
    let phase = status("phase").unwrap_or_default();
    let mut tally = Tally { reason: status("reason").unwrap_or(phase).to_owned(), ..Tally::default() };
    if condition(pod, "PodScheduled").is_some_and(|c| c.str_at(&["reason"]) == Some("SchedulingGated")) {
        tally.reason = "SchedulingGated".to_owned();
    }
    let mut sidecars = Tally::default();
    let initializing = count_init(pod, init, &mut tally, &mut sidecars);
    if !initializing || is_true(pod, "Initialized") {
        (tally.restarts, tally.last) = (sidecars.restarts, sidecars.last);
        count_containers(pod, &mut tally);
    }
    if meta::deletion_timestamp(pod).is_some() {
        if status("reason") == Some("NodeLost") {
            tally.reason = "Unknown".to_owned();
        } else if phase != "Succeeded" && phase != "Failed" {
            tally.reason = "Terminating".to_owned();
        }
    }
    tally
}

impl<'a> Tally<'a> {
    fn add(&mut self, container: &'a Tree) {
        self.restarts += container.int_at(&["restartCount"]).unwrap_or_default();
        self.last = self.last.max(container.str_at(&["lastState", "terminated", "finishedAt"]));
    }
}

/// Why a container ended.
fn ending(ended: &Tree) -> String {
    let number = |field| ended.int_at(&[field]).unwrap_or_default();
    match (ended.str_at(&["reason"]).filter(|r| !r.is_empty()), number("signal")) {
        (Some(reason), _) => reason.to_owned(),
        (None, 0) => format!("ExitCode:{}", number("exitCode")),
        (None, signal) => format!("Signal:{signal}"),
    }
}

/// Counts the init containers; whether they still hold the pod back.
fn count_init<'a>(pod: &'a Tree, init: &[Tree], tally: &mut Tally<'a>, sidecars: &mut Tally<'a>) -> bool {
    for (i, container) in pod.list_at(&["status", "initContainerStatuses"]).iter().enumerate() {
        let spec = init.iter().find(|c| c.get("name") == container.get("name"));
        let sidecar = spec.is_some_and(pods::requests::is_sidecar);
        tally.add(container);
        if sidecar {
            sidecars.add(container);
        }
        let ended = container.at(&["state", "terminated"]);
        let waiting = container.str_at(&["state", "waiting", "reason"]).unwrap_or_default();
        let why = match ended {
            Some(ended) if ended.int_at(&["exitCode"]).unwrap_or_default() == 0 => continue,
            _ if sidecar && container.bool_at(&["started"]) == Some(true) => {
                tally.ready += usize::from(container.bool_at(&["ready"]) == Some(true));
                continue;
            }
            Some(ended) => ending(ended),
            None if !waiting.is_empty() && waiting != "PodInitializing" => waiting.to_owned(),
            None => format!("{i}/{}", init.len()),
        };
        tally.reason = format!("Init:{why}");
        return true;
    }
    false
}

fn count_containers<'a>(pod: &'a Tree, tally: &mut Tally<'a>) {
    let (mut running, mut failure) = (false, None);
    for container in pod.list_at(&["status", "containerStatuses"]).iter().rev() {
        tally.add(container);
        let waiting = container.str_at(&["state", "waiting", "reason"]).filter(|r| !r.is_empty());
        if let Some(reason) = waiting {
            tally.reason = reason.to_owned();
        } else if let Some(ended) = container.at(&["state", "terminated"]) {
            tally.reason = ending(ended);
            if ended.int_at(&["exitCode"]).unwrap_or_default() != 0 {
                failure = Some(tally.reason.clone());
            }
        } else if container.bool_at(&["ready"]) == Some(true) && container.at(&["state", "running"]).is_some() {
            running = true;
            tally.ready += 1;
        }
    }
    if tally.reason != "Completed" {
        return;
    }
    tally.reason = match failure {
        _ if running && is_true(pod, "Ready") => "Running".to_owned(),
        Some(reason) => reason,
        None if running => "NotReady".to_owned(),
        None => return,
    };
}

fn gates(pod: &Tree) -> Tree {
    let gates = pod.list_at(&["spec", "readinessGates"]);
    if gates.is_empty() {
        return or_none(None);
    }
    let open = gates.iter().filter(|g| is_true(pod, g.str_at(&["conditionType"]).unwrap_or_default())).count();
    Tree::text(format!("{open}/{}", gates.len()))
}
