//! Limit ranges: what containers ask for when they say nothing, and what pods and claims may ask for. Rules of
//! `k8s.io/kubernetes/plugin/pkg/admission/limitranger`. It knows nothing of sums over a namespace: that is quota.

use super::{Attributes, Operation};
use api::{Quantity, Status, Tree, meta};
use pods::list::{self, Malformed, ResourceList};
use std::fmt::Write;

/// Tells what was filled in.
const ANNOTATION: &str = "kubernetes.io/limit-ranger";
/// Amounts above this, in units, are not compared in thousandths, which would overflow; upstream's bound.
const MILLI_COMPARED_MAX: i64 = i64::MAX / 1000;

fn concerns_pod(attributes: &Attributes) -> bool {
    attributes.creates("", "pods")
        || attributes.operation == Operation::Update && attributes.is_sub("", "pods", "resize")
}

fn concerns_claim(attributes: &Attributes) -> bool {
    let writes = matches!(attributes.operation, Operation::Create | Operation::Update);
    writes && attributes.is("", "persistentvolumeclaims")
}

fn dying(attributes: &Attributes) -> bool {
    attributes.old.is_some_and(|old| meta::deletion_timestamp(old).is_some())
}

fn ranges(attributes: &Attributes) -> Result<Vec<Tree>, Status> {
    let resource = attributes.server.resource("", "v1", "limitranges")?;
    attributes.server.objects(&resource, &attributes.call.info.namespace)
}

/// Fills in what containers do not say.
pub fn mutate(attributes: &Attributes, object: &mut Tree) -> Result<(), Status> {
    if !concerns_pod(attributes) || dying(attributes) {
        return Ok(());
    }
    for range in ranges(attributes)? {
        fill(&range, object);
    }
    Ok(())
}

/// Refuses pods and claims beyond the ranges.
pub fn validate(attributes: &Attributes, object: Option<&Tree>) -> Result<(), Status> {
    let Some(object) = object.filter(|_| !dying(attributes)) else { return Ok(()) };
    let judge = match (concerns_pod(attributes), concerns_claim(attributes)) {
        (true, _) => judge_pod,
        (_, true) => judge_claim,
        _ => return Ok(()),
    };
    for range in ranges(attributes)? {
        let faults = judge(&range, object).map_err(Status::internal)?;
        if let Some(why) = joined(&faults) {
            return Err(attributes.forbidden(meta::name(object), why));
        }
    }
    Ok(())
}

/// Several faults in one text, as `k8s.io/apimachinery/pkg/util/errors` has it: each once.
fn joined(faults: &[String]) -> Option<String> {
    let mut once: Vec<&str> = Vec::new();
    for fault in faults {
        if !once.contains(&fault.as_str()) {
            once.push(fault);
        }
    }
    match once.as_slice() {
        [] => None,
        [one] => Some((*one).to_owned()),
        many => Some(format!("[{}]", many.join(", "))),
    }
}

/// Gives the containers of a pod a range's defaults, and notes which.
fn fill(range: &Tree, pod: &mut Tree) {
    let (mut limits, mut requests) = (api::Map::new(), api::Map::new());
    for limit in range.list_at(&["spec", "limits"]).iter().filter(|l| l.str_at(&["type"]) == Some("Container")) {
        for (side, field) in [(&mut requests, "defaultRequest"), (&mut limits, "default")] {
            for (name, amount) in limit.map_at(&[field]).into_iter().flatten() {
                side.insert(name.clone(), amount.clone());
            }
        }
    }
    let mut notes = Vec::new();
    for (field, what) in [("containers", "container"), ("initContainers", "init container")] {
        let Some(containers) = pod.at_mut(&["spec", field]).and_then(Tree::as_list_mut) else { continue };
        for container in containers {
            for (side, defaults, word) in [("requests", &requests, "request"), ("limits", &limits, "limit")] {
                let filled = fill_side(container, side, defaults);
                if !filled.is_empty() {
                    let name = container.str_at(&["name"]).unwrap_or_default();
                    notes.push(format!("{} {word} for {what} {name}", filled.join(", ")));
                }
            }
        }
    }
    if !notes.is_empty() {
        pod.set_at(&["metadata", "annotations", ANNOTATION], format!("LimitRanger plugin set: {}", notes.join("; ")));
    }
}

/// Puts what is missing into one side of a container's resources; returns the names.
fn fill_side(container: &mut Tree, side: &str, defaults: &api::Map) -> Vec<String> {
    let mut filled = Vec::new();
    for (name, amount) in defaults {
        if container.at(&["resources", side, name.as_str()]).is_none() {
            container.set_at(&["resources", side, name.as_str()], amount.clone());
            filled.push(name.as_str().to_owned());
        }
    }
    filled.sort();
    filled
}

/// What is asked for, what it may grow to.
struct Asked {
    requests: ResourceList,
    limits: ResourceList,
}

impl Asked {
    fn by_container(container: &Tree) -> Result<Asked, Malformed> {
        let side = |side| list::read(container, &["resources", side]);
        Ok(Asked { requests: side("requests")?, limits: side("limits")? })
    }

    fn by_pod(pod: &Tree) -> Result<Asked, Malformed> {
        let options = pods::Options { without_overhead: true, ..pods::Options::default() };
        Ok(Asked { requests: pods::pod_requests(pod, &options)?, limits: pods::pod_limits(pod, &options)? })
    }
}

fn judge_pod(range: &Tree, pod: &Tree) -> Result<Vec<String>, Malformed> {
    let mut faults = Vec::new();
    for limit in range.list_at(&["spec", "limits"]) {
        match limit.str_at(&["type"]) {
            Some("Container") => {
                let lists = [&["spec", "containers"][..], &["spec", "initContainers"][..]];
                for container in lists.into_iter().flat_map(|list| pod.list_at(list)) {
                    compare("Container", limit, &Asked::by_container(container)?, &mut faults)?;
                }
            }
            Some("Pod") => compare("Pod", limit, &Asked::by_pod(pod)?, &mut faults)?,
            _ => {}
        }
    }
    Ok(faults)
}

/// Only what a claim requests counts, not what it may grow to.
fn judge_claim(range: &Tree, claim: &Tree) -> Result<Vec<String>, Malformed> {
    const TYPE: &str = "PersistentVolumeClaim";
    let mut faults = Vec::new();
    let requests = list::read(claim, &["spec", "resources", "requests"])?;
    for limit in range.list_at(&["spec", "limits"]).iter().filter(|l| l.str_at(&["type"]) == Some(TYPE)) {
        for (name, least) in list::read(limit, &["min"])? {
            let bound = Bound { of: TYPE, name: &name, amount: &least };
            faults.extend(bound.at_least(requests.get(&name), None));
        }
        for (name, most) in list::read(limit, &["max"])? {
            let bound = Bound { of: TYPE, name: &name, amount: &most };
            faults.extend(bound.request_at_most(requests.get(&name)));
        }
    }
    Ok(faults)
}

fn compare(of: &str, limit: &Tree, asked: &Asked, faults: &mut Vec<String>) -> Result<(), Malformed> {
    type Rule = fn(&Bound, Option<&Quantity>, Option<&Quantity>) -> Option<String>;
    let rules: [(&str, Rule); 3] = [
        ("min", |bound, request, limit| bound.at_least(request, limit)),
        ("max", |bound, request, limit| bound.at_most(request, limit)),
        ("maxLimitRequestRatio", |bound, request, limit| bound.ratio(request, limit)),
    ];
    for (field, rule) in rules {
        for (name, amount) in list::read(limit, &[field])? {
            let bound = Bound { of, name: &name, amount: &amount };
            faults.extend(rule(&bound, asked.requests.get(&name), asked.limits.get(&name)));
        }
    }
    Ok(())
}

/// One bound of a range.
struct Bound<'a> {
    /// Of what: `Container`, `Pod`, `PersistentVolumeClaim`.
    of: &'a str,
    /// The resource.
    name: &'a str,
    amount: &'a Quantity,
}

/// The amounts at the finest precision at which none overflows.
fn measured<const N: usize>(amounts: [Option<&Quantity>; N]) -> [i64; N] {
    let fine = amounts.iter().flatten().all(|amount| amount.value() <= MILLI_COMPARED_MAX);
    amounts.map(|amount| amount.map_or(0, |a| if fine { a.milli() } else { a.value() }))
}

impl Bound<'_> {
    fn fault(&self, which: &str, rest: std::fmt::Arguments) -> String {
        let mut text = format!("{which} {} usage per {} is {}", self.name, self.of, self.amount);
        text.write_fmt(rest).expect("writing to a string cannot fail");
        text
    }

    fn at_least(&self, request: Option<&Quantity>, limit: Option<&Quantity>) -> Option<String> {
        let [asked, most, least] = measured([request, limit, Some(self.amount)]);
        match (request, limit) {
            (None, _) => Some(self.fault("minimum", format_args!(".  No request is specified"))),
            (Some(request), _) if asked < least => {
                Some(self.fault("minimum", format_args!(", but request is {request}")))
            }
            (_, Some(limit)) if most < least => Some(self.fault("minimum", format_args!(", but limit is {limit}"))),
            _ => None,
        }
    }

    fn request_at_most(&self, request: Option<&Quantity>) -> Option<String> {
        let [asked, bound] = measured([request, Some(self.amount)]);
        match request {
            None => Some(self.fault("maximum", format_args!(".  No request is specified"))),
            Some(request) if asked > bound => Some(self.fault("maximum", format_args!(", but request is {request}"))),
            _ => None,
        }
    }

    fn at_most(&self, request: Option<&Quantity>, limit: Option<&Quantity>) -> Option<String> {
        let [asked, most, bound] = measured([request, limit, Some(self.amount)]);
        match (limit, request) {
            (None, _) => Some(self.fault("maximum", format_args!(".  No limit is specified"))),
            (Some(limit), _) if most > bound => Some(self.fault("maximum", format_args!(", but limit is {limit}"))),
            (_, Some(request)) if asked > bound => {
                Some(self.fault("maximum", format_args!(", but request is {request}")))
            }
            _ => None,
        }
    }

    fn ratio(&self, request: Option<&Quantity>, limit: Option<&Quantity>) -> Option<String> {
        let start = format!("{} max limit to request ratio per {} is {}", self.name, self.of, self.amount);
        let [asked, most, _] = measured([request, limit, Some(self.amount)]);
        if asked == 0 {
            return Some(format!("{start}, but no request is specified or request is 0"));
        }
        if most == 0 {
            return Some(format!("{start}, but no limit is specified or limit is 0"));
        }
        let ratio = most as f64 / asked as f64;
        let allowed = match self.amount.value() <= MILLI_COMPARED_MAX {
            true => self.amount.milli() as f64 / 1000.0,
            false => self.amount.value() as f64,
        };
        (ratio > allowed).then(|| format!("{start}, but provided ratio is {ratio:.6}"))
    }
}

#[cfg(test)]
mod tests;
