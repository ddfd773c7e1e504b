//! The scheduler: pure `pick(snapshot, pod)`, filters and scores one file each.
//!
//! Pure core: everything but the binding loop.
//!
//! It must know neither apiserver nor store.
