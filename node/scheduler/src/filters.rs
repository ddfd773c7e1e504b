//! The table of filters, in the order in which they are asked; the first refusal counts, as upstream.
//!
//! It must not score.

mod affinity;
mod interpod;
mod ports;
mod resources;
mod spread;
mod taints;
mod unschedulable;
mod volumes;

use crate::failure::Refusal;
use crate::snapshot::{NodeView, PodView, Snapshot};

/// One filter.
pub struct Filter {
    /// Upstream's name of the plugin.
    pub name: &'static str,
    /// Why the node does not do, if it does not.
    pub refuses: fn(&Snapshot, &PodView, &NodeView) -> Option<Refusal>,
}

/// All filters.
pub const FILTERS: &[Filter] = &[
    Filter { name: "NodeUnschedulable", refuses: unschedulable::refuses },
    Filter { name: "TaintToleration", refuses: taints::refuses },
    Filter { name: "NodeAffinity", refuses: affinity::refuses },
    Filter { name: "NodePorts", refuses: ports::refuses },
    Filter { name: "NodeResourcesFit", refuses: resources::refuses },
    Filter { name: "VolumeBinding", refuses: volumes::refuses },
    Filter { name: "PodTopologySpread", refuses: spread::refuses },
    Filter { name: "InterPodAffinity", refuses: interpod::refuses },
];
