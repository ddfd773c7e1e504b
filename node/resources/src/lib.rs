//! The built-in kinds: one file each, one line each in one table.
//!
//! Pure core: everything; defaults, validation and printing are functions over trees.
//!
//! It must not do I/O, read a clock, or know the server that serves the kinds.

pub mod facts;
