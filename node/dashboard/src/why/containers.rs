//! The containers of a pod: waiting, ended, or running without being ready.

use super::{Chain, Finding, Level, PodFacts, warning};
use api::Tree;

/// A container with its status and its spec.
struct One<'a> {
    name: &'a str,
    status: &'a Tree,
    spec: Option<&'a Tree>,
    init: bool,
}

const LISTS: [(&str, &str, bool); 2] =
    [("initContainers", "initContainerStatuses", true), ("containers", "containerStatuses", false)];

fn all(pod: &Tree) -> Vec<One<'_>> {
    let of = |(list, statuses, init): (&'static str, &'static str, bool)| {
        pod.list_at(&["status", statuses]).iter().map(move |status| {
            let name = status.str_at(&["name"]).unwrap_or_default();
            let spec = pod.list_at(&["spec", list]).iter().find(|spec| spec.str_at(&["name"]) == Some(name));
            One { name, status, spec, init }
        })
    };
    LISTS.into_iter().flat_map(of).collect()
}

/// Reasons that mean: the image cannot be had.
const IMAGE: [&str; 6] = [
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "ErrImageNeverPull",
    "ImageInspectError",
    "RegistryUnavailable",
];
/// Reasons that mean: it is being made, or cannot be.
const MAKING: [&str; 5] =
    ["ContainerCreating", "PodInitializing", "CreateContainerConfigError", "CreateContainerError", "RunContainerError"];

/// Whether a container waits for what it is made of.
pub fn is_waiting_for_its_making(pod: &Tree) -> bool {
    let waiting = |one: &One<'_>| waiting_for(one).is_some_and(|reason| MAKING.contains(&reason));
    let all = all(pod);
    all.is_empty() || all.iter().any(waiting)
}

fn waiting_for<'a>(one: &One<'a>) -> Option<&'a str> {
    one.status.str_at(&["state", "waiting", "reason"])
}

/// Judges each container; what is well says nothing.
pub fn judge(facts: &PodFacts, about: &str, chain: &mut Chain) {
    let all = all(&facts.pod);
    let init_stuck = all.iter().any(|one| one.init && !is_done(one));
    for one in &all {
        // What waits for an init container is not the cause.
        if init_stuck && !one.init && waiting_for(one) == Some("PodInitializing") {
            continue;
        }
        if let Some(reason) = waiting_for(one) {
            waits(facts, about, one, reason, chain);
        } else if one.status.at(&["state", "terminated"]).is_some_and(|state| state.int_at(&["exitCode"]) != Some(0)) {
            end(facts, about, one, &["state", "terminated"], chain);
        } else if one.status.at(&["state", "running"]).is_some() && one.status.bool_at(&["ready"]) == Some(false) {
            unready(facts, about, one, chain);
        }
    }
}

fn is_done(one: &One<'_>) -> bool {
    one.status.int_at(&["state", "terminated", "exitCode"]) == Some(0) || one.status.bool_at(&["started"]) == Some(true)
}

/// Tells how the containers of a failed pod ended.
pub fn ended(facts: &PodFacts, about: &str, chain: &mut Chain) {
    for one in
        all(&facts.pod).iter().filter(|one| one.status.int_at(&["state", "terminated", "exitCode"]).unwrap_or(0) != 0)
    {
        end(facts, about, one, &["state", "terminated"], chain);
    }
}

fn kind(one: &One<'_>) -> &'static str {
    if one.init { "init container" } else { "container" }
}

fn waits(facts: &PodFacts, about: &str, one: &One<'_>, reason: &str, chain: &mut Chain) {
    let message = one.status.str_at(&["state", "waiting", "message"]).unwrap_or_default();
    let image = one.spec.and_then(|spec| spec.str_at(&["image"])).unwrap_or("?");
    let (kind, name) = (kind(one), one.name);
    match reason {
        _ if IMAGE.contains(&reason) => {
            let text = match reason {
                "InvalidImageName" => format!("The image of {kind} {name} is no valid name: {image}"),
                "ErrImageNeverPull" => format!("The image {image} is not on the node, and imagePullPolicy is Never"),
                _ => format!("The image of {kind} {name} cannot be pulled: {image}"),
            };
            let cause = warning(&facts.events, &["Failed"]).unwrap_or(message);
            let advice = "Load it into the cluster (skerry image load), correct its name, or see to the registry and \
                          imagePullSecrets.";
            chain.push(Finding::new(Level::Bad, about, text).detail(cause).advice(advice));
        }
        "CrashLoopBackOff" => {
            let restarts = one.status.int_at(&["restartCount"]).unwrap_or(0);
            let text =
                format!("The {kind} {name} ends again and again ({restarts} restarts) and waits before the next start");
            chain.push(Finding::new(Level::Bad, about, text));
            end(facts, about, one, &["lastState", "terminated"], chain);
        }
        "ContainerCreating" | "PodInitializing" => {
            chain.push(Finding::new(Level::Warn, about, format!("The {kind} {name} is not made yet")).detail(message));
        }
        "CreateContainerConfigError" => {
            let text = format!("The configuration of {kind} {name} cannot be put together");
            chain.push(Finding::new(Level::Bad, about, text).detail(message));
        }
        other => {
            let text = format!("The {kind} {name} cannot be started: {other}");
            chain.push(Finding::new(Level::Bad, about, text).detail(message));
        }
    }
}

/// What exit codes above 128 mean, for the signals that people meet.
const SIGNALS: [(i64, &str); 5] = [
    (134, "it aborted itself (SIGABRT)"),
    (137, "it was killed (SIGKILL)"),
    (139, "it touched memory that is not its own (SIGSEGV)"),
    (141, "it wrote into a closed pipe (SIGPIPE)"),
    (143, "it was asked to end (SIGTERM)"),
];

fn end(facts: &PodFacts, about: &str, one: &One<'_>, path: &[&str], chain: &mut Chain) {
    let Some(state) = one.status.at(path) else { return };
    let code = state.int_at(&["exitCode"]).unwrap_or(0);
    let reason = state.str_at(&["reason"]).unwrap_or_default();
    let (kind, name) = (kind(one), one.name);
    let log =
        facts.logs.iter().find(|(container, _)| container == name).map(|(_, log)| log.trim_end()).unwrap_or_default();
    let message = state.str_at(&["message"]).unwrap_or_default();
    let said = if log.is_empty() { message } else { log };
    let finding = match (reason, code) {
        ("OOMKilled", _) => {
            let limit = one.spec.and_then(|spec| spec.str_at(&["resources", "limits", "memory"]));
            let limit = limit.map_or("the node had no memory left".to_owned(), |limit| format!("its limit is {limit}"));
            Finding::new(Level::Bad, about, format!("The {kind} {name} wanted more memory than it may have: {limit}"))
                .detail(said)
                .advice("Raise resources.limits.memory, or find out what uses so much.")
        }
        ("ContainerCannotRun" | "StartError", _) => {
            let text = format!("The command of {kind} {name} cannot be run (exit code {code})");
            let advice = "See whether command and arguments name a program of the image.";
            Finding::new(Level::Bad, about, text).detail(message).advice(advice)
        }
        (_, 0) => {
            let text =
                format!("The {kind} {name} ends with success and is started again, because restartPolicy is Always");
            Finding::new(Level::Bad, about, text).detail(said).advice("A process that is to end belongs into a Job.")
        }
        (_, 126 | 127) => {
            let text = format!("The command of {kind} {name} was not found or may not be run (exit code {code})");
            Finding::new(Level::Bad, about, text).detail(said)
        }
        _ => {
            let signal = SIGNALS.iter().find(|(number, _)| *number == code).map(|(_, words)| format!(": {words}"));
            let text = format!("The {kind} {name} ended with exit code {code}{}", signal.unwrap_or_default());
            Finding::new(Level::Bad, about, text).detail(said)
        }
    };
    let killed = warning(&facts.events, &["Unhealthy"]).filter(|text| text.starts_with("Liveness"));
    chain.push(finding);
    if let Some(message) = killed.filter(|_| matches!(code, 137 | 143)) {
        let text = format!("Its liveness probe failed, so the {kind} was ended");
        let advice = "See whether the probe asks the right port and path, and gives enough time.";
        chain.push(Finding::new(Level::Bad, about, text).detail(message).advice(advice));
    }
}

fn unready(facts: &PodFacts, about: &str, one: &One<'_>, chain: &mut Chain) {
    let has = |probe: &str| one.spec.is_some_and(|spec| spec.at(&[probe]).is_some_and(|probe| !probe.is_null()));
    let message = warning(&facts.events, &["Unhealthy"]).unwrap_or_default();
    let (kind, name) = (kind(one), one.name);
    if one.init {
        // It runs, which is all that it can do.
        let text = format!("The {kind} {name} runs; the others wait until it has ended");
        return chain.push(Finding::new(Level::Warn, about, text));
    }
    let starting = has("startupProbe") && one.status.bool_at(&["started"]) != Some(true);
    let probe = if starting { "startup" } else { "readiness" };
    let text = match (starting, has("readinessProbe")) {
        (true, _) => format!("The {kind} {name} runs, but its startup probe has not succeeded yet"),
        (false, true) => format!("The {kind} {name} runs, but its readiness probe fails, so it gets no requests"),
        (false, false) => format!("The {kind} {name} runs and is not ready yet"),
    };
    let restarts = one.status.int_at(&["restartCount"]).unwrap_or(0);
    let level = if message.is_empty() { Level::Warn } else { Level::Bad };
    let advice = if message.is_empty() {
        String::new()
    } else {
        format!("See what the {probe} probe asks, and the log of {name}.")
    };
    chain.push(Finding::new(level, about, text).detail(message).advice(advice));
    if restarts > 0 {
        end(facts, about, one, &["lastState", "terminated"], chain);
    }
}
