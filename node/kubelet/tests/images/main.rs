//! Images against a real containerd 2. Needs root and a containerd, so it is run by hand and by the machine tests:
//! `SKERRY_CONTAINERD=/usr/bin/containerd cargo test -p kubelet --test images -- --ignored`.

#![allow(clippy::unwrap_used, reason = "clippy spares test functions, but not what they call; here all is test")]

mod engine;
mod load;
mod made;
mod window;
