//! Prometheus' text form.

use crate::{Kind, Metric};
use std::fmt::Write;

/// A page of metrics while it is written.
#[derive(Debug, Default)]
pub struct Text(String);

impl Text {
    /// Begins a metric. Its lines follow.
    pub fn head(&mut self, metric: &Metric) {
        let kind = match metric.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram(_) => "histogram",
        };
        let help = metric.help.replace('\\', "\\\\").replace('\n', "\\n");
        writeln!(self.0, "# HELP {0} {help}\n# TYPE {0} {kind}", metric.name).expect("a String takes any text");
    }

    /// One line of the metric that was begun. `at_ms` says when it was measured, where that is not now.
    pub fn value(&mut self, metric: &Metric, labels: &[&str], value: f64, at_ms: Option<i64>) {
        debug_assert_eq!(labels.len(), metric.labels.len(), "{}", metric.name);
        self.line(metric.name, "", &pairs(metric.labels, labels), value, at_ms);
    }

    /// A metric with one value and no labels.
    pub fn only(&mut self, metric: &Metric, value: f64) {
        self.head(metric);
        self.value(metric, &[], value, None);
    }

    pub(crate) fn line(&mut self, name: &str, suffix: &str, pairs: &str, value: f64, at_ms: Option<i64>) {
        let out = &mut self.0;
        write!(out, "{name}{suffix}").expect("a String takes any text");
        if !pairs.is_empty() {
            write!(out, "{{{pairs}}}").expect("a String takes any text");
        }
        match at_ms {
            Some(at) => writeln!(out, " {} {at}", number(value)),
            None => writeln!(out, " {}", number(value)),
        }
        .expect("a String takes any text");
    }

    /// The page.
    #[must_use]
    pub fn into_string(self) -> String {
        self.0
    }
}

pub(crate) fn number(value: f64) -> String {
    match value {
        v if v == f64::INFINITY => "+Inf".to_owned(),
        v if v == f64::NEG_INFINITY => "-Inf".to_owned(),
        v if v != 0.0 && !(1e-6..1e15).contains(&v.abs()) => format!("{v:e}"),
        v => v.to_string(),
    }
}

/// `a="1",b="2"`
pub(crate) fn pairs(names: &[&str], values: &[&str]) -> String {
    let mut out = String::new();
    for (name, value) in names.iter().zip(values) {
        if !out.is_empty() {
            out.push(',');
        }
        out.push_str(name);
        out.push_str("=\"");
        for letter in value.chars() {
            match letter {
                '\\' => out.push_str("\\\\"),
                '"' => out.push_str("\\\""),
                '\n' => out.push_str("\\n"),
                other => out.push(other),
            }
        }
        out.push('"');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    static ROOM: Metric = Metric::gauge("room_bytes", &["name"], "Room\nleft.");

    #[test]
    fn names_and_values_are_escaped() {
        let mut text = Text::default();
        text.head(&ROOM);
        text.value(&ROOM, &["a\"\\\n"], 1.5, Some(17));
        let wants =
            "# HELP room_bytes Room\\nleft.\n# TYPE room_bytes gauge\nroom_bytes{name=\"a\\\"\\\\\\n\"} 1.5 17\n";
        assert_eq!(text.into_string(), wants);
    }

    #[test]
    fn numbers_are_as_short_as_they_can_be() {
        for (value, wants) in [(0.0, "0"), (3.0, "3"), (0.25, "0.25"), (1e18, "1e18"), (1e-9, "1e-9")] {
            assert_eq!(number(value), wants);
        }
        assert_eq!((number(f64::INFINITY), number(f64::NAN)), ("+Inf".to_owned(), "NaN".to_owned()));
    }
}
