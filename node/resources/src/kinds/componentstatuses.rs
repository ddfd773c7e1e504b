//! ComponentStatuses: an old list of the parts of a control plane. Cells of `pkg/printers/internalversion`.

use crate::rules::{PLAIN, Rules};
use api::{Tree, meta};

/// What is special about ComponentStatuses.
pub const RULES: Rules = Rules { cells: row, ..PLAIN };

fn row(object: &Tree, _now: i64) -> Vec<Tree> {
    let healthy = object.list_at(&["conditions"]).iter().find(|c| c.str_at(&["type"]) == Some("Healthy"));
    let text = |field: &str| healthy.and_then(|c| c.str_at(&[field])).unwrap_or_default();
    let state = match healthy {
        None => "Unknown",
        Some(_) if text("status") == "True" => "Healthy",
        Some(_) => "Unhealthy",
    };
    vec![Tree::text(meta::name(object)), Tree::text(state), Tree::text(text("message")), Tree::text(text("error"))]
}
