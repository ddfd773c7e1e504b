//! `/portForward`: connections to ports inside a pod's network.

use super::answer::{Answer, Refusal};
use super::path::Object;
use super::query::Query;
use super::upgrade::{self, Speech};
use super::{Shared, TakenOver};
use anyhow::{Context, Result, anyhow, bail};
use http::HeaderMap;
use hyper_util::rt::TokioIo;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use wire::spdy::Side;
use wire::{Forward, Forwards, Tunnel, forward};

/// How long a port may take to accept; it is on this machine.
const CONNECT_MAX: Duration = Duration::from_secs(10);

/// Takes the connection over for forwarded ports.
///
/// # Errors
/// 404 for an unknown pod, 500 for one that does not run, 400 for a request that makes no sense.
pub async fn run(
    shared: &Arc<Shared>,
    object: &Object,
    query: &Query,
    headers: &HeaderMap,
    client: TakenOver,
) -> Result<Answer, Refusal> {
    let running = shared.pod(object)?;
    let sandbox = running.sandbox.ok_or_else(|| {
        Refusal::new(
            500,
            format!("pod not found ({:?}): it does not run", format!("{}_{}", object.name, object.namespace)),
        )
    })?;
    let speech = match upgrade::forward(headers) {
        Ok(speech) => speech,
        Err(refusal) => return Ok(upgrade::refused(refusal)),
    };
    let ports = match speech {
        Speech::Channels(_) => ports(query)?,
        _ => Vec::new(),
    };
    let place = shared.sessions.clone().try_acquire_owned();
    let place = place.map_err(|_| Refusal::new(429, "too many commands and ports are streamed on this node"))?;
    let granted = upgrade::granted(speech, headers)?;
    let stopping = shared.stopping.clone();
    shared.tasks.spawn(async move {
        let served = tokio::select! {
            served = serve(client, speech, ports, sandbox.network) => served,
            () = stopping.cancelled() => Ok(()),
        };
        if let Err(error) = served {
            tracing::debug!(error = format!("{error:#}"), "forwarding ports broke off");
        }
        drop(place);
    });
    Ok(granted)
}

fn ports(query: &Query) -> Result<Vec<u16>, Refusal> {
    let bad = |why: String| Refusal::new(400, why);
    let texts: Vec<&str> = query.all("port").flat_map(|text| text.split(',')).collect();
    if texts.is_empty() {
        return Err(bad("query parameter \"port\" is required".to_owned()));
    }
    let one = |text: &&str| match text.parse::<u16>() {
        Ok(0) => Err(bad(format!("port {text:?} must be > 0"))),
        Ok(port) => Ok(port),
        Err(error) => Err(bad(format!("unable to parse {text:?} as a port: {error}"))),
    };
    texts.iter().map(one).collect()
}

async fn serve(client: TakenOver, speech: Speech, ports: Vec<u16>, network: Option<PathBuf>) -> Result<()> {
    let client = TokioIo::new(client.await.context("taking a connection over")?);
    let network = network.as_deref();
    match speech {
        Speech::Forward => accept(Forwards::new(client, Side::Server), network).await,
        Speech::Tunnel => accept(Forwards::new(Tunnel::new(client, Side::Server).await, Side::Server), network).await,
        Speech::Channels(protocol) => {
            let (connection, forwards) = forward::serve_channels(client, protocol, &ports).await?;
            let mut running = JoinSet::new();
            for forward in forwards {
                running.spawn(one(forward, network.map(Path::to_owned)));
            }
            tokio::select! {
                () = async { while running.join_next().await.is_some() {} } => connection.close().await,
                () = connection.ended() => {}
            }
            Ok(())
        }
        Speech::Spdy(..) => bail!("forwarded ports do not go over the streams of a command"),
    }
}

async fn accept(mut forwards: Forwards, network: Option<&Path>) -> Result<()> {
    let mut running = JoinSet::new();
    loop {
        tokio::select! {
            forward = forwards.accept() => match forward {
                Some(forward) => { running.spawn(one(forward, network.map(Path::to_owned))); }
                // Whoever is still connected loses the connection with the client.
                None => return Ok(()),
            },
            Some(_) = running.join_next() => {}
        }
    }
}

async fn one(forward: Forward, network: Option<PathBuf>) {
    let port = forward.port;
    let done = match connect(network.as_deref(), port).await {
        Ok(target) => forward.run(target).await,
        Err(error) => forward.fail(&format!("{error:#}")).await,
    };
    if let Err(error) = done {
        tracing::debug!(port, error = format!("{error:#}"), "a forwarded connection broke");
    }
}

/// Connects to a port on the loopback of a network: IPv4, then IPv6.
///
/// # Errors
/// Says which port in which network could not be reached, and why.
pub async fn connect(network: Option<&Path>, port: u16) -> Result<TcpStream> {
    let mut failures = Vec::new();
    for address in [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)] {
        let connecting = async {
            let socket = socket(network, address).await?;
            Ok::<_, anyhow::Error>(socket.connect(SocketAddr::new(address, port)).await?)
        };
        match tokio::time::timeout(CONNECT_MAX, connecting).await {
            Ok(Ok(stream)) => {
                stream.set_nodelay(true).context("setting TCP_NODELAY")?;
                return Ok(stream);
            }
            Ok(Err(error)) => failures.push(format!("{address}: {error:#}")),
            Err(_) => failures.push(format!("{address}: no answer in {} s", CONNECT_MAX.as_secs())),
        }
    }
    let place = network.map_or("of the node".to_owned(), |path| format!("inside namespace {:?}", path.display()));
    bail!("failed to connect to localhost:{port} {place}: {}", failures.join(", "))
}

/// A socket of that network. It stays there, so only making it needs a thread that has entered the network.
async fn socket(network: Option<&Path>, address: IpAddr) -> Result<TcpSocket> {
    let make = move || if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
    let Some(path) = network.map(Path::to_owned) else { return Ok(make()?) };
    let (sender, made) = tokio::sync::oneshot::channel();
    let thread = std::thread::Builder::new().name("enter-network".to_owned());
    // A thread of its own, which ends in the pod's network and takes nothing else along.
    let spawned = thread.spawn(move || sender.send(sys::namespace::enter_network(&path).and_then(|()| make())).is_ok());
    spawned.context("starting a thread to enter a network")?;
    Ok(made.await.map_err(|_| anyhow!("the thread that enters a network died"))??)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_numbers_above_zero() {
        let check = |query: &str| ports(&Query::parse(query)).map_err(|refusal| refusal.code);
        assert_eq!(check("port=80%2C443&port=8080"), Ok(vec![80, 443, 8080]));
        for bad in ["", "port=", "port=0", "port=http", "port=70000"] {
            assert_eq!(check(bad), Err(400), "{bad}");
        }
    }

    #[tokio::test]
    async fn a_port_that_nobody_has_is_named() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let error = connect(None, free).await.unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("failed to connect to localhost:{free} of the node: 127.0.0.1: ")),
            "{error}"
        );
    }
}
