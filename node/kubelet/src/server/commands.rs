//! `/exec`, `/attach` and `/run`: commands in containers. Their streams come from the container engine's own server, of
//! which this is the client, and go to whoever asked, of whom this is the server.

use super::answer::{self, Answer, Refusal};
use super::path::Object;
use super::query::Query;
use super::upgrade::{self, Speech};
use super::view::{State, Streams};
use super::{Shared, TakenOver};
use anyhow::{Context, Result, bail};
use http::header::{self, HeaderMap, HeaderValue};
use http_body_util::Empty;
use hyper_util::rt::TokioIo;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use wire::handshake::{SPDY, STREAM_VERSION};
use wire::spdy::Side;
use wire::{Session, Version, Want};

/// How long the engine's server may take to answer; it is on this machine.
const ENGINE_ANSWER_MAX: Duration = Duration::from_secs(30);
/// How long a command of `/run` may take: nobody can stop it otherwise.
const RUN_MAX: Duration = Duration::from_secs(120);

/// Which command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// A new one.
    Exec(Vec<String>),
    /// The container's first.
    Attach,
}

/// Takes the connection over for the streams of a command.
///
/// # Errors
/// 400 for a request that makes no sense, 404 for an unknown pod, and what the engine says.
pub async fn run(
    shared: &Arc<Shared>,
    object: &Object,
    which: Which,
    query: &Query,
    headers: &HeaderMap,
    client: TakenOver,
) -> Result<Answer, Refusal> {
    let streams = streams(query)?;
    let id = container(shared, object)?;
    let speech = match upgrade::command(headers) {
        Ok(speech) => speech,
        Err(refusal) => return Ok(upgrade::refused(refusal)),
    };
    let place = shared.sessions.clone().try_acquire_owned();
    let place = place.map_err(|_| Refusal::new(429, "too many commands are streamed on this node"))?;
    let asked = match &which {
        Which::Exec(command) => shared.runtime.exec(&id, command, streams).await,
        Which::Attach => shared.runtime.attach(&id, streams).await,
    };
    let failed = |error: anyhow::Error| Refusal::new(500, format!("{error:#}"));
    let url = asked.map_err(failed)?;
    let engine = dial(&url).await.map_err(failed)?;
    let granted = upgrade::granted(speech, headers)?;
    let stopping = shared.stopping.clone();
    shared.tasks.spawn(async move {
        let joined = tokio::select! {
            joined = join(client, speech, engine, streams) => joined,
            () = stopping.cancelled() => Ok(()),
        };
        if let Err(error) = joined {
            tracing::debug!(error = format!("{error:#}"), "the streams of a command broke");
        }
        drop(place);
    });
    Ok(granted)
}

fn streams(query: &Query) -> Result<Streams, Refusal> {
    let set = |key: &str| query.all(key).next() == Some("1");
    let tty = set("tty");
    let streams = Streams { stdin: set("input"), stdout: set("output"), stderr: set("error") && !tty, tty };
    if !(streams.stdin || streams.stdout || streams.stderr) {
        return Err(Refusal::new(400, "you must specify at least 1 of stdin, stdout, stderr"));
    }
    Ok(streams)
}

/// The running container that is meant.
fn container(shared: &Shared, object: &Object) -> Result<String, Refusal> {
    let running = shared.pod(object)?;
    let missing = || Refusal::new(500, format!("container not found ({:?})", object.container));
    let of_name = running.containers.iter().filter(|c| c.name == object.container);
    let newest = of_name.max_by_key(|c| (c.state == State::Running, c.attempt)).ok_or_else(missing)?;
    Ok(newest.id.clone())
}

async fn join<E>(client: TakenOver, speech: Speech, engine: E, streams: Streams) -> Result<()>
where
    E: AsyncRead + AsyncWrite + Send + 'static,
{
    let Streams { stdin, stdout, stderr, tty } = streams;
    let want = Want { stdin, stdout, stderr, tty };
    let client = TokioIo::new(client.await.context("taking a connection over")?);
    let near = match speech {
        Speech::Spdy(_, version) => Session::serve_spdy(client, want, version).await?,
        Speech::Channels(protocol) => Session::websocket(client, Side::Server, protocol, want).await?,
        Speech::Forward | Speech::Tunnel => bail!("commands do not go over forwarded ports"),
    };
    let far = Session::connect_spdy(engine, want).await.context("opening the streams of the container engine")?;
    wire::command::bridge(near, far).await
}

/// Opens the streams that the engine has prepared. It speaks SPDY and WebSocket version 4, and over that one input cannot
/// be ended.
async fn dial(url: &str) -> Result<impl AsyncRead + AsyncWrite + Send + use<>> {
    let uri: http::Uri = url.parse().with_context(|| format!("the container engine answered with {url:?}"))?;
    let authority = uri.authority().with_context(|| format!("the container engine answered with {url:?}"))?.clone();
    anyhow::ensure!(uri.scheme_str() == Some("http"), "the container engine answered with {url:?}, which is no HTTP");
    let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let connect = async {
        let address = (authority.host().trim_matches(['[', ']']), authority.port_u16().unwrap_or(80));
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(async move {
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!(%error, "a connection to the container engine ended badly");
            }
        });
        let mut request = http::Request::new(Empty::<bytes::Bytes>::new());
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = path.parse()?;
        let headers = request.headers_mut();
        headers.insert(header::HOST, HeaderValue::from_str(authority.as_str())?);
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static(SPDY));
        headers.insert(STREAM_VERSION, HeaderValue::from_static(Version::NAMES[0].0));
        Ok::<_, anyhow::Error>(sender.send_request(request).await?)
    };
    let answer = tokio::time::timeout(ENGINE_ANSWER_MAX, connect).await;
    let answer = answer.context("the container engine's streams did not answer in time")?;
    let answer = answer.with_context(|| format!("connecting to the container engine's streams at {authority}"))?;
    if answer.status() != http::StatusCode::SWITCHING_PROTOCOLS {
        bail!("the container engine refused the streams of a command: {}", answer.status());
    }
    Ok(TokioIo::new(hyper::upgrade::on(answer).await.context("taking over the container engine's streams")?))
}

/// Runs a command to its end and answers with what it has said.
///
/// # Errors
/// 404 for an unknown pod, 500 when it failed.
pub async fn to_end(shared: &Arc<Shared>, object: &Object, query: &Query) -> Result<Answer, Refusal> {
    let id = container(shared, object)?;
    let command: Vec<String> = query.text("cmd").unwrap_or_default().split(' ').map(str::to_owned).collect();
    let ran = shared.runtime.run(&id, &command, RUN_MAX).await;
    let ran = ran.map_err(|error| Refusal::new(500, format!("{error:#}")))?;
    let said = String::from_utf8_lossy(&[ran.stdout, ran.stderr].concat()).into_owned();
    if ran.code != 0 {
        return Err(Refusal::new(500, format!("command '{}' exited with {}: {said}", command.join(" "), ran.code)));
    }
    Ok(answer::text(said))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_has_no_error_output_and_something_must_be_streamed() {
        let check = |query: &str| streams(&Query::parse(query)).map_err(|refusal| refusal.code);
        let all = Streams { stdin: true, stdout: true, stderr: true, tty: false };
        assert_eq!(check("input=1&output=1&error=1"), Ok(all));
        assert_eq!(check("output=1&error=1&tty=1"), Ok(Streams { stdout: true, tty: true, ..Streams::default() }));
        assert_eq!(check("error=1&tty=1"), Err(400));
        assert_eq!(check("output=true"), Err(400));
    }
}
