//! The controllers: one file each, one line each in one table.
//!
//! Pure core: each controller's `plan`.
//!
//! It must know neither apiserver nor store: a controller is a client with its own user.
