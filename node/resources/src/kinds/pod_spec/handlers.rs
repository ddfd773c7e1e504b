//! Faults of probes and life cycle hooks.

use super::network::port_or_name;
use crate::kinds::place::Place;
use crate::rules::Faults;
use api::FieldError;

const HEADER: &str = "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used for validation is '[-A-Za-z0-9]+')";
const SIGNALS: &[&str] = &[
    "SIGABRT",
    "SIGALRM",
    "SIGBUS",
    "SIGCHLD",
    "SIGCLD",
    "SIGCONT",
    "SIGFPE",
    "SIGHUP",
    "SIGILL",
    "SIGINT",
    "SIGIO",
    "SIGIOT",
    "SIGKILL",
    "SIGPIPE",
    "SIGPOLL",
    "SIGPROF",
    "SIGPWR",
    "SIGQUIT",
    "SIGRTMAX",
    "SIGRTMAX-1",
    "SIGRTMAX-10",
    "SIGRTMAX-11",
    "SIGRTMAX-12",
    "SIGRTMAX-13",
    "SIGRTMAX-14",
    "SIGRTMAX-2",
    "SIGRTMAX-3",
    "SIGRTMAX-4",
    "SIGRTMAX-5",
    "SIGRTMAX-6",
    "SIGRTMAX-7",
    "SIGRTMAX-8",
    "SIGRTMAX-9",
    "SIGRTMIN",
    "SIGRTMIN+1",
    "SIGRTMIN+10",
    "SIGRTMIN+11",
    "SIGRTMIN+12",
    "SIGRTMIN+13",
    "SIGRTMIN+14",
    "SIGRTMIN+15",
    "SIGRTMIN+2",
    "SIGRTMIN+3",
    "SIGRTMIN+4",
    "SIGRTMIN+5",
    "SIGRTMIN+6",
    "SIGRTMIN+7",
    "SIGRTMIN+8",
    "SIGRTMIN+9",
    "SIGSEGV",
    "SIGSTKFLT",
    "SIGSTOP",
    "SIGSYS",
    "SIGTERM",
    "SIGTRAP",
    "SIGTSTP",
    "SIGTTIN",
    "SIGTTOU",
    "SIGURG",
    "SIGUSR1",
    "SIGUSR2",
    "SIGVTALRM",
    "SIGWINCH",
    "SIGXCPU",
    "SIGXFSZ",
];

/// The probes that a container may have.
pub(super) const PROBES: &[&str] = &["livenessProbe", "readinessProbe", "startupProbe"];

/// Faults of all probes of a container.
pub(super) fn probes(container: &Place, grace: Option<i64>, faults: &mut Faults) {
    for name in PROBES {
        let probe = container.at(name);
        if probe.given() {
            one_probe(name, &probe, grace, faults);
        }
    }
}

fn one_probe(name: &str, probe: &Place, grace: Option<i64>, faults: &mut Faults) {
    handler(probe, grace, faults);
    for field in ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"] {
        probe.at(field).not_negative(faults);
    }
    let own_grace = probe.at("terminationGracePeriodSeconds");
    if own_grace.int().is_some_and(|seconds| seconds <= 0) {
        own_grace.invalid(faults, "must be greater than 0");
    }
    if name == "readinessProbe" {
        if own_grace.given() {
            own_grace.invalid(faults, "must not be set for readinessProbes");
        }
    } else if probe.at("successThreshold").int() != Some(1) {
        probe.at("successThreshold").invalid(faults, "must be 1");
    }
}

/// Faults of the hooks of a container. `os` is the pod's `spec.os.name`.
pub(super) fn lifecycle(lifecycle: &Place, grace: Option<i64>, os: &str, faults: &mut Faults) {
    for hook in ["postStart", "preStop"] {
        if lifecycle.at(hook).given() {
            handler(&lifecycle.at(hook), grace, faults);
        }
    }
    let signal = lifecycle.at("stopSignal");
    if signal.given() {
        match os {
            "linux" => signal.one_of(faults, SIGNALS),
            "windows" => signal.one_of(faults, &["SIGKILL", "SIGTERM"]),
            _ => signal.forbidden(faults, "may not be set for containers with empty `spec.os.name`"),
        }
    }
}

fn handler(holder: &Place, grace: Option<i64>, faults: &mut Faults) {
    let mut count = 0;
    for kind in ["exec", "httpGet", "tcpSocket", "grpc", "sleep"] {
        let action = holder.at(kind);
        if !action.given() {
            continue;
        }
        count += 1;
        if count > 1 {
            action.forbidden(faults, "may not specify more than 1 handler type");
            continue;
        }
        match kind {
            "exec" => {
                action.at("command").must(faults, "");
            }
            "httpGet" => http_get(&action, faults),
            "sleep" => sleep(&action, grace, faults),
            _ => port_or_name(&action.at("port"), faults),
        }
    }
    if count == 0 {
        holder.required(faults, "must specify a handler type");
    }
}

fn http_get(get: &Place, faults: &mut Faults) {
    get.at("path").must(faults, "");
    port_or_name(&get.at("port"), faults);
    get.at("scheme").one_of(faults, &["HTTP", "HTTPS"]);
    let headers = get.at("httpHeaders");
    for header in headers.items() {
        let name = header.at("name").text();
        if name.is_empty() || !name.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-') {
            faults.push(FieldError::invalid(headers.path.clone(), name, HEADER));
        }
    }
}

fn sleep(sleep: &Place, grace: Option<i64>, faults: &mut Faults) {
    let seconds = sleep.at("seconds").int().unwrap_or_default();
    if let Some(grace) = grace.filter(|grace| seconds < 0 || seconds > *grace) {
        let why = format!("must be non-negative and less than terminationGracePeriodSeconds ({grace})");
        faults.push(FieldError::invalid(sleep.path.clone(), seconds, why));
    }
}
