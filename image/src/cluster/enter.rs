//! The first way into a machine of this host: the one-time code that it was booted with wins a certificate, which is
//! kept in the cluster's folder.

use super::emulator::CODE;
use super::{Cluster, access, life};
use crate::exit::{Code, Failure};
use crate::interrupt::Interrupt;
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::Instant;

/// Between two tries to log in when the connection breaks; the API has said that it is there.
const LOGIN_AGAIN: Duration = Duration::from_millis(500);

/// Wins the administrator's certificate of this boot, unless an earlier command did, and tells the supervisor.
///
/// # Errors
/// `NoCluster` when the code is gone and nobody has logged in, `Refused` when the machine does not take it.
pub async fn enter(cluster: &Cluster, port: u16, deadline: Instant, interrupt: &Interrupt) -> Result<()> {
    let code = match std::fs::read_to_string(cluster.path(CODE)) {
        Ok(text) => pki::login::Code::parse(&text).context("reading this boot's code")?,
        // The code is removed when it has been used.
        Err(_) if access::entry(cluster)?.is_some() => return Ok(()),
        Err(_) => bail!(
            Failure::new(Code::NoCluster, format!("nobody has logged in to cluster {:?}", cluster.name))
                .advice("skerry stop --power-off and skerry start it: each boot has a new code")
        ),
    };
    let server = format!("https://127.0.0.1:{}", port);
    loop {
        let (to, name, with) = (server.clone(), cluster.name.clone(), code.clone());
        let attempt = tokio::task::spawn_blocking(move || access::login(&to, &name, &with)).await?;
        match attempt {
            Ok(entry) => {
                let text = pki::kubeconfig::write(&entry)?;
                pki::folder::replace(&cluster.path(access::FILE), text.as_bytes(), 0o600)?;
                std::fs::remove_file(cluster.path(CODE)).context("removing the code that was used")?;
                break;
            }
            Err(error) if error.chain().any(|cause| cause.is::<Failure>()) || Instant::now() > deadline => {
                return Err(error.context("logging in to the machine"));
            }
            Err(_) => tokio::select! {
                () = tokio::time::sleep(LOGIN_AGAIN) => {}
                () = interrupt.wait() => interrupt.check()?,
            },
        }
    }
    let mut supervisor = life::running(cluster).await?;
    supervisor.ask::<Value>(&json!({"do": "credentials"})).await?;
    Ok(())
}
