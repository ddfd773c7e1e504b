//! The scheduler: finds a node for every pod that has none.
//!
//! Pure core: [`pick`] over a [`Snapshot`], with a table of filters and one of scores, one file each.
//!
//! It must not know the API server or the store: it is a client with a user of its own.

mod claims;
mod cluster;
mod failure;
mod filters;
pub mod metrics;
mod pick;
mod scores;
mod shell;
mod snapshot;

pub use failure::{Failure, Refusal};
pub use filters::{FILTERS, Filter};
pub use pick::{SCORE_MAX, pick};
pub use scores::{SCORES, Score};
pub use shell::{Clock, NAME, RETRY, USER, run};
pub use snapshot::{NodeView, PodView, Snapshot};
