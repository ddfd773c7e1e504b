//! The golden control plane: etcd and upstream's own programs on loopback, without a node. It is what ours is measured
//! against, so it runs with upstream's defaults wherever a flag is not needed to run it here at all.

use super::certs::{Authority, token_keys};
use super::kubeconfig;
use super::peer::Peer;
use super::process::{Process, free_port};
use super::release::Release;
use anyhow::Context;
use std::path::Path;
use tokio::process::Command;

/// The range of service addresses, the same as on our machines.
const SERVICES: &str = "10.96.0.0/16";

/// The address that the `kubernetes` Endpoints carry: of a range for documentation (RFC 5737), because an endpoint must
/// not be a loopback address and nothing here has to reach it.
const ADVERTISED: &str = "192.0.2.1";

/// The credentials of the components: file name, user, groups.
const CLIENTS: &[(&str, &str, &[&str])] = &[
    ("admin", "kubernetes-admin", &["system:masters"]),
    ("controller-manager", "system:kube-controller-manager", &[]),
    ("scheduler", "system:kube-scheduler", &[]),
    ("front-proxy", "front-proxy-client", &[]),
];

/// Starts the golden control plane in an empty folder and waits until it is ready.
///
/// # Errors
/// When a program is missing, ends early or does not get ready in time.
pub async fn start(release: &Release, folder: &Path) -> anyhow::Result<Peer> {
    std::fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
    let (etcd_port, peer_port, port) = (free_port()?, free_port()?, free_port()?);
    credentials(folder, port)?;
    let etcd = etcd(release, folder, etcd_port, peer_port)?;
    let apiserver = apiserver(release, folder, etcd_port, port)?;
    let mut peer = Peer::new("golden", folder, &folder.join("admin.kubeconfig"), vec![etcd, apiserver]);
    peer.wait_for("/readyz").await?;
    peer.add(controller_manager(release, folder)?);
    peer.add(scheduler(release, folder)?);
    // The first thing that needs the controllers: a service account made by one of them.
    peer.wait_for("/api/v1/namespaces/default/serviceaccounts/default").await?;
    Ok(peer)
}

fn credentials(folder: &Path, port: u16) -> anyhow::Result<()> {
    let authority = Authority::new(folder)?;
    let names = ["localhost", "127.0.0.1", "10.96.0.1", "kubernetes", "kubernetes.default", "kubernetes.default.svc"];
    authority.server("apiserver", &names)?;
    token_keys(folder)?;
    let server = format!("https://127.0.0.1:{port}");
    for (name, user, groups) in CLIENTS {
        let identity = authority.client(name, user, groups)?;
        kubeconfig::write(&folder.join(format!("{name}.kubeconfig")), &server, &authority.certificate(), &identity)?;
    }
    Ok(())
}

/// Starts one program in `folder`, so that file names in its flags are relative to it.
fn run(release: &Release, folder: &Path, name: &str, flags: &[String]) -> anyhow::Result<Process> {
    let mut command = Command::new(release.program(name));
    command.args(flags).current_dir(folder);
    Process::start(name, command, &folder.join(format!("{name}.log")))
}

fn etcd(release: &Release, folder: &Path, port: u16, peer_port: u16) -> anyhow::Result<Process> {
    let (client, peer) = (format!("http://127.0.0.1:{port}"), format!("http://127.0.0.1:{peer_port}"));
    let flags = [
        "--data-dir=etcd".to_owned(),
        "--unsafe-no-fsync".to_owned(),
        "--log-level=warn".to_owned(),
        format!("--listen-client-urls={client}"),
        format!("--advertise-client-urls={client}"),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster=default={peer}"),
    ];
    run(release, folder, "etcd", &flags)
}

fn apiserver(release: &Release, folder: &Path, etcd_port: u16, port: u16) -> anyhow::Result<Process> {
    let issuer = "https://kubernetes.default.svc.cluster.local";
    let flags = [
        format!("--etcd-servers=http://127.0.0.1:{etcd_port}"),
        "--bind-address=127.0.0.1".to_owned(),
        format!("--secure-port={port}"),
        format!("--advertise-address={ADVERTISED}"),
        "--tls-cert-file=apiserver.crt".to_owned(),
        "--tls-private-key-file=apiserver.key".to_owned(),
        "--client-ca-file=ca.crt".to_owned(),
        "--requestheader-client-ca-file=ca.crt".to_owned(),
        "--requestheader-allowed-names=front-proxy-client".to_owned(),
        "--requestheader-username-headers=X-Remote-User".to_owned(),
        "--requestheader-group-headers=X-Remote-Group".to_owned(),
        "--requestheader-extra-headers-prefix=X-Remote-Extra-".to_owned(),
        "--proxy-client-cert-file=front-proxy.crt".to_owned(),
        "--proxy-client-key-file=front-proxy.key".to_owned(),
        "--service-account-key-file=sa.pub".to_owned(),
        "--service-account-signing-key-file=sa.key".to_owned(),
        format!("--service-account-issuer={issuer}"),
        format!("--service-cluster-ip-range={SERVICES}"),
        "--authorization-mode=Node,RBAC".to_owned(),
        "--enable-admission-plugins=NodeRestriction".to_owned(),
        "--allow-privileged=true".to_owned(),
        "--enable-aggregator-routing=true".to_owned(),
    ];
    run(release, folder, "kube-apiserver", &flags)
}

fn controller_manager(release: &Release, folder: &Path) -> anyhow::Result<Process> {
    let port = free_port()?;
    let flags = [
        "--kubeconfig=controller-manager.kubeconfig".to_owned(),
        "--authentication-kubeconfig=controller-manager.kubeconfig".to_owned(),
        "--authorization-kubeconfig=controller-manager.kubeconfig".to_owned(),
        "--bind-address=127.0.0.1".to_owned(),
        format!("--secure-port={port}"),
        "--leader-elect=false".to_owned(),
        "--root-ca-file=ca.crt".to_owned(),
        "--service-account-private-key-file=sa.key".to_owned(),
        "--cluster-signing-cert-file=ca.crt".to_owned(),
        "--cluster-signing-key-file=ca.key".to_owned(),
        "--use-service-account-credentials=true".to_owned(),
        format!("--service-cluster-ip-range={SERVICES}"),
    ];
    run(release, folder, "kube-controller-manager", &flags)
}

fn scheduler(release: &Release, folder: &Path) -> anyhow::Result<Process> {
    let port = free_port()?;
    let flags = [
        "--kubeconfig=scheduler.kubeconfig".to_owned(),
        "--authentication-kubeconfig=scheduler.kubeconfig".to_owned(),
        "--authorization-kubeconfig=scheduler.kubeconfig".to_owned(),
        "--bind-address=127.0.0.1".to_owned(),
        format!("--secure-port={port}"),
        "--leader-elect=false".to_owned(),
    ];
    run(release, folder, "kube-scheduler", &flags)
}
