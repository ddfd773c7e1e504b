//! Amounts as the kernel counts them: CPU shares and quota, memory, and who is killed first. As upstream's
//! `calculateLinuxResources` and `GetContainerOOMScoreAdjust`.

use crate::cri::v1;
use crate::pod;
use api::Quantity;
use k8s_openapi::api::core::v1::{Container, Pod, ResourceRequirements};
use pods::QosClass;

/// Shares of a container that asks for no CPU: the kernel's least.
pub const SHARES_MIN: i64 = 2;
/// Shares at most: the kernel's most.
pub const SHARES_MAX: i64 = 262_144;
/// The period of the CPU quota, microseconds.
pub const PERIOD_US: i64 = 100_000;
/// The least quota that the kernel takes, microseconds.
pub const QUOTA_MIN_US: i64 = 1000;

/// Out-of-memory scores by class: guaranteed pods go last, best-effort ones first.
const GUARANTEED: i64 = -997;
const BEST_EFFORT: i64 = 1000;
/// The priority from which a pod counts as critical for its node.
const CRITICAL: i32 = 2_000_000_000;

/// CPU shares of thousandths of a CPU.
#[must_use]
pub fn shares(milli: i64) -> i64 {
    (milli * 1024 / 1000).clamp(SHARES_MIN, SHARES_MAX)
}

/// CPU quota per period; 0 is without limit.
#[must_use]
pub fn quota(milli: i64) -> i64 {
    if milli == 0 { 0 } else { (milli * PERIOD_US / 1000).max(QUOTA_MIN_US) }
}

/// The weight that cgroup v2 has for shares, as runc and crun convert it.
#[must_use]
pub fn weight(shares: i64) -> i64 {
    1 + ((shares - 2) * 9999) / 262_142
}

type Side = Option<std::collections::BTreeMap<String, k8s_openapi::apimachinery::pkg::api::resource::Quantity>>;

fn amount(side: &Side, name: &str) -> Option<Quantity> {
    side.as_ref()?.get(name).and_then(|quantity| Quantity::parse(&quantity.0).ok())
}

/// The kernel's numbers for requests and limits. Memory limits kill all of a container together.
#[must_use]
pub fn linux(cpu_request: Option<i64>, cpu_limit: i64, memory_limit: i64) -> v1::LinuxContainerResources {
    let asked = cpu_request.unwrap_or(cpu_limit);
    v1::LinuxContainerResources {
        cpu_period: PERIOD_US,
        cpu_quota: quota(cpu_limit),
        cpu_shares: shares(asked),
        memory_limit_in_bytes: memory_limit,
        unified: std::collections::BTreeMap::from([("memory.oom.group".to_owned(), "1".to_owned())]),
        ..v1::LinuxContainerResources::default()
    }
}

/// A container's numbers. Where it has no limit of its own, the pod's holds.
#[must_use]
pub fn of_container(pod: &Pod, container: &Container, memory_bytes: i64) -> v1::LinuxContainerResources {
    let own = container.resources.clone().unwrap_or_default();
    let whole: ResourceRequirements = pod::spec(pod).resources.clone().unwrap_or_default();
    let limit = |name: &str| amount(&own.limits, name).or_else(|| amount(&whole.limits, name));
    let cpu = amount(&own.requests, "cpu").map(|q| q.milli());
    let mut linux = linux(cpu, limit("cpu").map_or(0, |q| q.milli()), limit("memory").map_or(0, |q| q.value()));
    linux.oom_score_adj = oom_score(pod, container, memory_bytes);
    linux
}

fn memory_request(container: &Container) -> i64 {
    container.resources.as_ref().and_then(|r| amount(&r.requests, "memory")).map_or(0, |q| q.value())
}

/// How soon the container is killed when memory runs out; -997 is last, 1000 first.
#[must_use]
pub fn oom_score(pod: &Pod, container: &Container, memory_bytes: i64) -> i64 {
    let critical = pod::spec(pod).priority.is_some_and(|priority| priority >= CRITICAL);
    match pods::qos_class(&pod::tree(pod)) {
        _ if critical => return GUARANTEED,
        Ok(QosClass::Guaranteed) => return GUARANTEED,
        Ok(QosClass::BestEffort) | Err(_) => return BEST_EFFORT,
        Ok(QosClass::Burstable) => (),
    }
    let score = |request: i64| 1000 - 1000_i64.saturating_mul(request) / memory_bytes.max(1);
    let mut own = score(memory_request(container));
    if pod::is_sidecar(container) {
        let least = pod::spec(pod).containers.iter().map(memory_request).min().unwrap_or(0);
        own = own.min(score(least));
    }
    own.clamp(1000 + GUARANTEED, BEST_EFFORT - 1)
}

/// The numbers of a whole pod: what its containers ask for and may use, without the overhead.
#[must_use]
pub fn of_pod(pod: &Pod, without_overhead: bool) -> v1::LinuxContainerResources {
    let tree = pod::tree(pod);
    let options = pods::Options { without_overhead, ..pods::Options::default() };
    let requests = pods::pod_requests(&tree, &options).unwrap_or_default();
    let limits = pods::pod_limits(&tree, &options).unwrap_or_default();
    let every = |name: &str| pod::spec(pod).containers.iter().all(|c| limits_itself(pod, c, name));
    let limit = |name: &str| limits.get(name).filter(|_| every(name));
    let cpu = requests.get("cpu").map(Quantity::milli);
    let mut linux = linux(cpu, limit("cpu").map_or(0, Quantity::milli), limit("memory").map_or(0, Quantity::value));
    linux.unified.clear();
    linux
}

/// Whether a container (or the pod for it) limits a resource; if not, neither does the sum.
fn limits_itself(pod: &Pod, container: &Container, name: &str) -> bool {
    let own = container.resources.as_ref().and_then(|r| amount(&r.limits, name));
    let whole = || pod::spec(pod).resources.as_ref().and_then(|r| amount(&r.limits, name));
    own.or_else(whole).is_some_and(|q| !q.is_zero())
}

/// The numbers of `spec.overhead`.
#[must_use]
pub fn of_overhead(pod: &Pod) -> v1::LinuxContainerResources {
    let overhead = &pod::spec(pod).overhead;
    if overhead.is_none() {
        return v1::LinuxContainerResources::default();
    }
    let cpu = amount(overhead, "cpu").map_or(0, |q| q.milli());
    let mut linux = linux(Some(cpu), cpu, amount(overhead, "memory").map_or(0, |q| q.value()));
    linux.unified.clear();
    linux
}
