//! Every wrapper of a system call; the only crate with `unsafe`.
//!
//! Pure core: none; this is the thin edge.
//!
//! It must not decide anything.
