//! The web page: its assets, and what it asks of the server beyond the API.
//!
//! Pure core: `why`, the causal chain of a pod that does not run; `documents`. `gather` reads what `why` judges.
//!
//! It must know neither apiserver nor store: the page is a client with the caller's rights.

pub mod assets;
pub mod documents;
pub mod gather;
pub mod why;
