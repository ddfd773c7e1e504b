//! What `node` is told on its command line.

use clap::Parser;
use std::net::IpAddr;
use std::path::PathBuf;

/// A whole Kubernetes cluster in one process.
#[derive(Debug, Parser)]
#[command(name = "node", version)]
pub struct Arguments {
    /// Folder of the store, keys and certificates; made when it is not there
    #[arg(long, value_name = "FOLDER")]
    pub data: PathBuf,

    /// Address to serve the API on
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    pub bind: IpAddr,

    /// Address under which pods and other nodes reach this machine [default: --bind, or 10.250.0.1 when that is loopback]
    #[arg(long, value_name = "ADDRESS")]
    pub advertise: Option<IpAddr>,

    /// Port to serve the API on
    #[arg(long, value_name = "PORT", default_value_t = 6443)]
    pub port: u16,

    /// Name of this node
    #[arg(long, value_name = "NAME", default_value = "skerry")]
    pub name: String,

    /// Addresses of Services
    #[arg(long, value_name = "CIDR", default_value = "10.96.0.0/16")]
    pub service_cidr: String,

    /// Run the control plane alone, without a kubelet and without network
    #[arg(long)]
    pub no_kubelet: bool,

    /// Write an administrator's kubeconfig to this file once the API answers
    #[arg(long, value_name = "FILE")]
    pub kubeconfig_out: Option<PathBuf>,

    /// What to log, such as info or apiserver=debug,info
    #[arg(long, value_name = "FILTER", default_value = "info", env = "SKERRY_LOG")]
    pub log: String,
}
