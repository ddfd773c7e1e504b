//! The values of one part's metrics.

use crate::text::{number, pairs};
use crate::{Kind, Metric, Source, Table, Text};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Combinations of labels that one metric keeps: more means that a label has values without bound, and memory would
/// follow. What comes later is not counted.
pub const SERIES_MAX: usize = 5000;

/// One combination of labels.
#[derive(Clone, Debug)]
enum Value {
    Number(f64),
    /// Observations in each bucket, not yet summed up; the last is beyond all bounds.
    Buckets {
        counts: Vec<u64>,
        sum: f64,
    },
}

#[derive(Debug)]
struct Family {
    metric: &'static Metric,
    series: Mutex<BTreeMap<String, Value>>,
}

impl Family {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Value>> {
        self.series.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The values of one part's metrics, by the tables that declare them.
#[derive(Debug)]
pub struct Values(Vec<Family>);

impl Values {
    /// No values yet. A metric without labels is there from the beginning, as zero.
    #[must_use]
    pub fn new(tables: &[Table]) -> Values {
        let family = |metric: &&'static Metric| {
            let family = Family { metric, series: Mutex::default() };
            if metric.labels.is_empty() {
                family.lock().insert(String::new(), zero(metric));
            }
            family
        };
        Values(tables.iter().copied().flatten().map(family).collect())
    }

    /// Changes one value. A metric that no table declares is a fault of the caller, which tests find.
    fn change(&self, metric: &'static Metric, labels: &[&str], change: impl FnOnce(&mut Value)) {
        debug_assert_eq!(labels.len(), metric.labels.len(), "{}", metric.name);
        let Some(family) = self.0.iter().find(|family| std::ptr::eq(family.metric, metric)) else {
            debug_assert!(false, "{} is in no table", metric.name);
            return;
        };
        let mut series = family.lock();
        let key = pairs(metric.labels, labels);
        if series.len() >= SERIES_MAX && !series.contains_key(&key) {
            return;
        }
        change(series.entry(key).or_insert_with(|| zero(metric)));
    }

    /// One more.
    pub fn count(&self, metric: &'static Metric, labels: &[&str]) {
        self.add(metric, labels, 1.0);
    }

    /// So much more; less is for gauges only.
    pub fn add(&self, metric: &'static Metric, labels: &[&str], more: f64) {
        self.change(metric, labels, |value| {
            if let Value::Number(number) = value {
                *number += more;
            }
        });
    }

    /// This much now.
    pub fn set(&self, metric: &'static Metric, labels: &[&str], now: f64) {
        self.change(metric, labels, |value| *value = Value::Number(now));
    }

    /// One observation for a histogram.
    pub fn observe(&self, metric: &'static Metric, labels: &[&str], seen: f64) {
        let Kind::Histogram(bounds) = metric.kind else {
            debug_assert!(false, "{} is no histogram", metric.name);
            return;
        };
        self.change(metric, labels, |value| {
            if let Value::Buckets { counts, sum } = value {
                let bucket = bounds.iter().position(|bound| seen <= *bound).unwrap_or(bounds.len());
                counts[bucket] += 1;
                *sum += seen;
            }
        });
    }
}

fn zero(metric: &Metric) -> Value {
    match metric.kind {
        Kind::Histogram(bounds) => Value::Buckets { counts: vec![0; bounds.len() + 1], sum: 0.0 },
        _ => Value::Number(0.0),
    }
}

impl Source for Values {
    fn write(&self, text: &mut Text) {
        for family in &self.0 {
            let (metric, series) = (family.metric, family.lock());
            if series.is_empty() {
                continue;
            }
            text.head(metric);
            for (labels, value) in series.iter() {
                match value {
                    Value::Number(number) => text.line(metric.name, "", labels, *number, None),
                    Value::Buckets { counts, sum } => buckets(text, metric, labels, counts, *sum),
                }
            }
        }
    }
}

#[allow(clippy::cast_precision_loss, reason = "metrics are floating point")]
fn buckets(text: &mut Text, metric: &Metric, labels: &str, counts: &[u64], sum: f64) {
    let Kind::Histogram(bounds) = metric.kind else { return };
    let mut so_far = 0;
    for (bound, count) in bounds.iter().copied().chain([f64::INFINITY]).zip(counts) {
        so_far += count;
        let comma = if labels.is_empty() { "" } else { "," };
        let with = format!("{labels}{comma}le=\"{}\"", number(bound));
        text.line(metric.name, "_bucket", &with, so_far as f64, None);
    }
    text.line(metric.name, "_sum", labels, sum, None);
    text.line(metric.name, "_count", labels, so_far as f64, None);
}

#[cfg(test)]
mod tests {
    use super::*;

    static DONE: Metric = Metric::counter("done_total", &["how"], "Things that were done.");
    static OPEN: Metric = Metric::gauge("open", &[], "Things that are open.");
    static TOOK: Metric = Metric::histogram("took_seconds", &["how"], &[0.5, 1.0], "How long it took.");

    static DONE_ONLY: Table = &[&DONE];
    static DONE_OPEN: Table = &[&DONE, &OPEN];
    static TIMES: Table = &[&TOOK];

    fn read(values: &Values) -> String {
        let mut text = Text::default();
        values.write(&mut text);
        text.into_string()
    }

    #[test]
    fn values_are_read_as_they_were_changed() {
        let values = Values::new(&[DONE_OPEN, TIMES]);
        values.count(&DONE, &["well"]);
        values.add(&DONE, &["well"], 2.0);
        values.count(&DONE, &["badly"]);
        values.set(&OPEN, &[], 7.0);
        values.add(&OPEN, &[], -2.0);
        for seen in [0.5, 0.75, 3.0] {
            values.observe(&TOOK, &["well"], seen);
        }
        let wants = "# HELP done_total Things that were done.\n# TYPE done_total counter\n\
            done_total{how=\"badly\"} 1\ndone_total{how=\"well\"} 3\n\
            # HELP open Things that are open.\n# TYPE open gauge\nopen 5\n\
            # HELP took_seconds How long it took.\n# TYPE took_seconds histogram\n\
            took_seconds_bucket{how=\"well\",le=\"0.5\"} 1\ntook_seconds_bucket{how=\"well\",le=\"1\"} 2\n\
            took_seconds_bucket{how=\"well\",le=\"+Inf\"} 3\n\
            took_seconds_sum{how=\"well\"} 4.25\ntook_seconds_count{how=\"well\"} 3\n";
        assert_eq!(read(&values), wants);
    }

    #[test]
    fn a_metric_without_labels_is_there_from_the_beginning() {
        let read = read(&Values::new(&[DONE_OPEN]));
        assert_eq!(read, "# HELP open Things that are open.\n# TYPE open gauge\nopen 0\n");
    }

    #[test]
    fn a_label_without_bound_does_not_eat_the_memory() {
        let values = Values::new(&[DONE_ONLY]);
        for n in 0..SERIES_MAX + 10 {
            values.count(&DONE, &[&n.to_string()]);
        }
        assert_eq!(values.0[0].lock().len(), SERIES_MAX);
    }
}
