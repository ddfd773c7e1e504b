//! What `node` is told on its command line.

use clap::Parser;
use std::net::IpAddr;
use std::path::PathBuf;

/// A whole Kubernetes cluster in one process.
#[derive(Debug, Parser)]
#[command(name = "node", version)]
pub struct Arguments {
    /// Settings of the machine, as init writes them, from a file or with - from standard input; the flags below go before them
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Folder of the store, keys and certificates; made when it is not there
    #[arg(long, value_name = "FOLDER", required_unless_present = "config")]
    pub data: Option<PathBuf>,

    /// Address to serve the API on [default: 127.0.0.1, or every address of a machine with --config]
    #[arg(long, value_name = "ADDRESS")]
    pub bind: Option<IpAddr>,

    /// Address under which pods and other nodes reach this machine [default: --bind, or 10.250.0.1 when that is loopback]
    #[arg(long, value_name = "ADDRESS")]
    pub advertise: Option<IpAddr>,

    /// Port to serve the API on [default: 6443]
    #[arg(long, value_name = "PORT")]
    pub port: Option<u16>,

    /// Name of this node [default: skerry]
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,

    /// Addresses of Services [default: 10.96.0.0/16]
    #[arg(long, value_name = "CIDR")]
    pub service_cidr: Option<String>,

    /// Run the control plane alone, without a kubelet and without network
    #[arg(long)]
    pub no_kubelet: bool,

    /// Write an administrator's kubeconfig to this file once the API answers
    #[arg(long, value_name = "FILE")]
    pub kubeconfig_out: Option<PathBuf>,

    /// File with a one-time code that wins an administrator's certificate in the first ten minutes
    #[arg(long, value_name = "FILE")]
    pub login_code: Option<PathBuf>,

    /// The socket of the containerd whose images the API loads, lists and removes [default: none, or the machine's]
    #[arg(long, value_name = "SOCKET")]
    pub containerd: Option<PathBuf>,

    /// What to log, such as info or apiserver=debug,info [default: info]
    #[arg(long, value_name = "FILTER", env = "SKERRY_LOG")]
    pub log: Option<String>,
}
