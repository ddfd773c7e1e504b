//! PID 1 of the appliance: mounts, cgroups, network, state disk, services. Knows no Kubernetes.

fn main() {}
