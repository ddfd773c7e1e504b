//! The last two samples of every node, and what they tell. Pure: samples and times in, rates out.

use super::text;
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;

/// A sample that is younger answers without a new one: metrics-server's period of asking.
const FRESH: SignedDuration = SignedDuration::from_secs(15);
/// A sample that is older begins no window: the mean of a long time ago tells nobody what is used now.
const WINDOW_MAX: SignedDuration = SignedDuration::from_secs(60);
/// A container that runs for less has no rate of its own yet.
const AGE_MIN: SignedDuration = SignedDuration::from_secs(1);

/// What was measured of one node or container at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Point {
    start: Option<Timestamp>,
    at: Timestamp,
    cpu_ns: Option<u64>,
    memory: Option<u64>,
}

/// What is used, between two points.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Used {
    /// Billionths of a core.
    pub nano_cores: u64,
    /// Bytes of the working set.
    pub memory: u64,
    /// When that was.
    pub at: Timestamp,
    /// The time over which the rate is.
    pub window: SignedDuration,
}

/// One look at a node: itself, and its containers by namespace, pod and name.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    node: Point,
    pods: BTreeMap<(String, String), BTreeMap<String, Point>>,
}

impl Sample {
    /// Reads a kubelet's answer. `now` stands for times that it does not tell.
    pub fn read(answer: &str, now: Timestamp) -> Sample {
        let mut sample = Sample { node: Point { at: now, ..Point::default() }, ..Sample::default() };
        let mut unread = 0;
        for series in text::read(answer) {
            let Some(series) = series else {
                unread += 1;
                continue;
            };
            let at = series.at_ms.and_then(|ms| Timestamp::from_millisecond(ms).ok()).unwrap_or(now);
            match series.name {
                "node_cpu_usage_seconds_total" => {
                    sample.node.at = at;
                    sample.node.cpu_ns = whole(series.value * 1e9);
                }
                "node_memory_working_set_bytes" => sample.node.memory = whole(series.value),
                "container_cpu_usage_seconds_total" => {
                    let point = sample.container(&series, at);
                    point.at = at;
                    point.cpu_ns = whole(series.value * 1e9);
                }
                "container_memory_working_set_bytes" => sample.container(&series, at).memory = whole(series.value),
                "container_start_time_seconds" => {
                    sample.container(&series, at).start = whole(series.value * 1e3)
                        .and_then(|ms| Timestamp::from_millisecond(i64::try_from(ms).ok()?).ok());
                }
                _ => {}
            }
        }
        if unread > 0 {
            tracing::warn!(unread, "lines of a kubelet's metrics cannot be read");
        }
        sample
    }

    /// The point of the container that a line is about.
    fn container(&mut self, series: &text::Series, at: Timestamp) -> &mut Point {
        let of = |label: &str| series.label(label).to_owned();
        let pod = self.pods.entry((of("namespace"), of("pod"))).or_default();
        pod.entry(of("container")).or_insert(Point { at, ..Point::default() })
    }
}

/// A count from the float that metrics are.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be in range")]
fn whole(value: f64) -> Option<u64> {
    (value.is_finite() && (0.0..1e19).contains(&value)).then_some(value.round() as u64)
}

struct Node {
    last: Sample,
    before: Option<Sample>,
}

/// The last two samples of every node.
#[derive(Default)]
pub struct Samples {
    taken: Option<Timestamp>,
    nodes: BTreeMap<String, Node>,
}

impl Samples {
    /// Whether there is no need for a new round.
    pub fn is_fresh(&self, now: Timestamp) -> bool {
        // A clock that was set back makes a sample of the future, which is no use either.
        let age = self.taken.map(|taken| now.duration_since(taken));
        age.is_some_and(|age| (SignedDuration::ZERO..FRESH).contains(&age)) && !self.lack_a_window()
    }

    /// Takes in a round: what every node said that answered. Nodes that did not answer are forgotten.
    pub fn add(&mut self, round: BTreeMap<String, Sample>, now: Timestamp) {
        self.taken = Some(now);
        let mut old = std::mem::take(&mut self.nodes);
        for (name, last) in round {
            let before = old.remove(&name).and_then(|node| {
                let usable = |sample: &Sample| {
                    let age = last.node.at.duration_since(sample.node.at);
                    age >= AGE_MIN && age <= WINDOW_MAX
                };
                [Some(node.last), node.before].into_iter().flatten().find(usable)
            });
            self.nodes.insert(name, Node { last, before });
        }
    }

    /// Whether there is a node of which only one sample is of use.
    pub fn lack_a_window(&self) -> bool {
        self.nodes.values().any(|node| node.before.is_none())
    }

    /// What a node uses.
    pub fn node(&self, name: &str) -> Option<Used> {
        let node = self.nodes.get(name)?;
        used(&node.last.node, &node.before.as_ref()?.node)
    }

    /// What the containers of a pod use, by name; `None` while one of them cannot be told.
    pub fn pod(&self, namespace: &str, name: &str) -> Option<Vec<(String, Used)>> {
        let key = (namespace.to_owned(), name.to_owned());
        let node = self.nodes.values().find(|node| node.last.pods.contains_key(&key))?;
        let before = node.before.as_ref().and_then(|sample| sample.pods.get(&key));
        let containers = node.last.pods.get(&key)?.iter().map(|(container, last)| {
            let earlier = before.and_then(|pod| pod.get(container)).copied();
            Some((container.clone(), used(last, &begin(last, earlier)?)?))
        });
        containers.collect()
    }
}

/// Where the window of a container begins: at the sample before, or at its start when that was later.
fn begin(last: &Point, earlier: Option<Point>) -> Option<Point> {
    match (earlier, last.start) {
        (Some(earlier), Some(start)) if start < earlier.at => Some(earlier),
        (Some(earlier), None) => Some(earlier),
        (_, Some(start)) if last.at.duration_since(start) <= WINDOW_MAX => {
            Some(Point { start: Some(start), at: start, cpu_ns: Some(0), memory: None })
        }
        _ => None,
    }
}

fn used(last: &Point, before: &Point) -> Option<Used> {
    let window = last.at.duration_since(before.at);
    let grown = last.cpu_ns?.checked_sub(before.cpu_ns?)?;
    if window < AGE_MIN {
        return None;
    }
    #[allow(clippy::cast_precision_loss, reason = "a rate")]
    let nano_cores = whole((grown as f64 / window.as_secs_f64()).floor())?;
    Some(Used { nano_cores, memory: last.memory?, at: last.at, window })
}

#[cfg(test)]
mod tests;
