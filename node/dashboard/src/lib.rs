//! The web page: its server side and its assets.
//!
//! Pure core: nothing yet.
//!
//! It must know neither apiserver nor store: the page is a client with the caller's rights.
