//! A kubelet alone, against any API server and container engine, for trying it natively:
//! `kubelet KUBECONFIG CRI_SOCKET FOLDER NODE_NAME NODE_IP`. Pod cgroups are off; everything is below FOLDER.

use anyhow::{Context, Result, bail};
use client::{Client, Credentials, HttpsTransport};
use kubelet::{Cgroups, Config};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::path::Path;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

fn client(kubeconfig: &str) -> Result<Client> {
    let text = std::fs::read_to_string(kubeconfig).with_context(|| format!("read {kubeconfig}"))?;
    let name = pki::kubeconfig::current_context(&text)?.context("the kubeconfig has no current context")?;
    let entry = pki::kubeconfig::read(&text, &name)?.context("the kubeconfig carries no certificates")?;
    let (_, address) = entry.server.split_once("://").context("the server's address has no scheme")?;
    let (host, port) = address.rsplit_once(':').context("the server's address has no port")?;
    let all = |text: &str| CertificateDer::pem_slice_iter(text.as_bytes()).collect::<Result<Vec<_>, _>>();
    let key = PrivateKeyDer::from_pem_slice(entry.key.as_bytes())?;
    let credentials = Credentials::Certificate(all(&entry.certificate)?, key);
    let transport = HttpsTransport::new(host, port.parse()?, all(&entry.authority)?, credentials)?;
    Ok(Client::new(Arc::new(transport), "skerry/kubelet"))
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [kubeconfig, socket, folder, name, ip] = arguments.as_slice() else {
        bail!("usage: kubelet KUBECONFIG CRI_SOCKET FOLDER NODE_NAME NODE_IP");
    };
    tracing_subscriber::fmt().with_env_filter("info,kubelet=debug").with_writer(std::io::stderr).init();
    let folder = Path::new(folder);
    let config = Config {
        cri_socket: socket.into(),
        root: folder.join("kubelet"),
        pod_logs: folder.join("pods"),
        container_logs: folder.join("containers"),
        cgroups: Cgroups::Off,
        ..Config::new(name, ip)
    };
    let stop = CancellationToken::new();
    let ending = stop.clone();
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            ending.cancel();
        }
    });
    kubelet::run(config, client(kubeconfig)?, Arc::new(jiff::Timestamp::now), stop).await
}
