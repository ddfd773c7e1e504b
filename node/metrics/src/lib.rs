//! Metrics: each part declares its own in one table, keeps their values, and they are read together as Prometheus'
//! text (version 0.0.4). Names, kinds and labels are upstream's where it has them.
//!
//! Pure core: everything but `process`. It must not know any part, and nothing here wakes up by itself.
//!
//! Why no library: `prometheus-client` writes OpenMetrics, in which counters have other names than upstream's pages, and
//! `prometheus` brings locks and statics of its own for what is 200 lines here.

mod process;
mod text;
mod values;

pub use process::process;
pub use text::Text;
pub use values::Values;

use std::sync::{Arc, Mutex, PoisonError};

/// What a metric's values mean.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// How many observations were at most so large; the bounds are in ascending order, without the infinite one.
    Histogram(&'static [f64]),
}

/// One metric, declared once as a static.
#[derive(Debug)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// What its values mean.
    pub kind: Kind,
    /// The names of its labels, in the order in which values are given.
    pub labels: &'static [&'static str],
    /// What it says, in our own words.
    pub help: &'static str,
}

impl Metric {
    /// A counter.
    #[must_use]
    pub const fn counter(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Metric {
        Metric { name, kind: Kind::Counter, labels, help }
    }

    /// A gauge.
    #[must_use]
    pub const fn gauge(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Metric {
        Metric { name, kind: Kind::Gauge, labels, help }
    }

    /// A histogram with these bounds.
    #[must_use]
    pub const fn histogram(
        name: &'static str,
        labels: &'static [&'static str],
        bounds: &'static [f64],
        help: &'static str,
    ) -> Metric {
        Metric { name, kind: Kind::Histogram(bounds), labels, help }
    }
}

/// The metrics of one part.
pub type Table = &'static [&'static Metric];

/// Something whose metrics are read.
pub trait Source: Send + Sync {
    /// Writes them.
    fn write(&self, text: &mut Text);
}

impl<F: Fn(&mut Text) + Send + Sync> Source for F {
    fn write(&self, text: &mut Text) {
        self(text);
    }
}

/// All that one address shows.
#[derive(Default)]
pub struct Registry(Mutex<Vec<Arc<dyn Source>>>);

impl Registry {
    /// Shows a source from now on.
    pub fn add(&self, source: Arc<dyn Source>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(source);
    }

    /// Everything as text.
    #[must_use]
    pub fn read(&self) -> String {
        let sources = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut text = Text::default();
        for source in sources {
            source.write(&mut text);
        }
        text.into_string()
    }
}

/// The media type of the text.
pub const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";
