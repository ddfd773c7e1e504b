//! The control plane as a process on this host: no kubelet, no root. Requests go over TLS with the administrator's
//! certificate, as `kubectl` sends them.

mod dashboard;
mod faults;
mod kubelet;
mod metrics;
mod plane;
mod streams;
mod workloads;
