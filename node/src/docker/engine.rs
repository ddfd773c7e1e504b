//! What dockerd takes for the container engine. It is the engine, call by call, but for images, which Docker shares with
//! the pods: it is not shown the CRI's references and the machine's own image, its prune does not see what pods use, and
//! the last name of an image that a pod uses is not deleted. And what a build made of a snapshot is on the disk before
//! the engine records the snapshot as whole.
//!
//! dockerd has no setting for any of that, and its API is no place for it: a container may have its socket.

use super::grpc::{self, Body, FAILED_PRECONDITION, INTERNAL, UNAVAILABLE, Whole};
use anyhow::{Context, Result};
use containerd_client::services::v1::{DeleteImageRequest, ListImagesRequest, ListImagesResponse, ListRequest};
use http::{Request, Response, Uri};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::client::conn::http2::SendRequest;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use kubelet::images::shared::{Deletion, is_hidden};
use kubelet::images::{Fault, Images, NAMESPACE};
use std::convert::Infallible;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;

/// Connections at a time. dockerd has two, BuildKit in it a third, and each builds more only after a failure.
const CONNECTIONS_MAX: usize = 32;
/// Bytes under way without an acknowledgement: a layer comes in messages of up to one mebibyte.
const WINDOW: u32 = 4 << 20;
/// Bytes of a question that is looked into.
const QUESTION_BYTES_MAX: usize = 1 << 20;
/// Bytes of a list of images; one record has some 300.
const LIST_BYTES_MAX: usize = 32 << 20;
/// dockerd asks for leases with this label when it prunes images, and never else (`daemon/containerd/leases.go`).
const PRUNE_LEASES: &str = "labels.\"moby/prune.images\"";

/// What all connections share.
struct Shared {
    /// The engine's socket.
    engine: PathBuf,
    /// The folder where it keeps snapshots, to find their disk by.
    stored: PathBuf,
    images: Images,
    /// Whether dockerd has begun to prune, and has not yet listed the images.
    prunes: AtomicBool,
}

/// Serves dockerd at `path` for ever, with the engine at the socket `engine`, which keeps snapshots in the folder `stored`.
///
/// # Errors
/// When the socket cannot be made.
pub async fn serve(path: &Path, engine: &Path, stored: &Path, images: Images) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error).context("removing a leftover"),
        _ => {}
    }
    let listener = UnixListener::bind(path).with_context(|| format!("listening at {}", path.display()))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).context("keeping the socket to root")?;
    let (engine, stored) = (engine.to_owned(), stored.to_owned());
    let shared = Arc::new(Shared { engine, stored, images, prunes: AtomicBool::new(false) });
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let place = places.clone().acquire_owned().await?;
        let (stream, _) = listener.accept().await.context("accepting a connection of dockerd")?;
        let shared = shared.clone();
        tokio::spawn(async move {
            if let Err(error) = connection(shared, stream).await {
                tracing::debug!(error = format!("{error:#}"), "a connection of dockerd ended");
            }
            drop(place);
        });
    }
}

async fn connection(shared: Arc<Shared>, stream: UnixStream) -> Result<()> {
    let engine = UnixStream::connect(&shared.engine).await.context("connecting to the container engine")?;
    let mut builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    builder.timer(TokioTimer::new()).initial_stream_window_size(WINDOW).initial_connection_window_size(2 * WINDOW);
    let (sender, onward) = builder.handshake::<_, Body>(TokioIo::new(engine)).await?;
    let onward = tokio::spawn(onward);
    let service = service_fn(move |request| {
        let (shared, sender) = (shared.clone(), sender.clone());
        async move { Ok::<_, Infallible>(answer(&shared, sender, request).await) }
    });
    let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    builder.timer(TokioTimer::new()).initial_stream_window_size(WINDOW).initial_connection_window_size(2 * WINDOW);
    let served = builder.serve_connection(TokioIo::new(stream), service).await;
    onward.abort();
    served.context("serving dockerd")
}

/// One call.
async fn answer(shared: &Shared, sender: SendRequest<Body>, request: Request<Incoming>) -> Response<Body> {
    let ours = request.headers().get("containerd-namespace").is_some_and(|name| name == NAMESPACE);
    let done = match request.uri().path() {
        "/containerd.services.images.v1.Images/List" if ours => list(shared, sender, request).await,
        "/containerd.services.images.v1.Images/Delete" if ours => delete(shared, sender, request).await,
        "/containerd.services.leases.v1.Leases/List" if ours => leases(shared, sender, request).await,
        // Whoever may ask: BuildKit and the classic builder, in whatever namespace.
        "/containerd.services.snapshots.v1.Snapshots/Commit" => commit(shared, sender, request).await,
        _ => pass(sender, unread(request)).await.map(answered),
    };
    done.unwrap_or_else(|error| {
        tracing::debug!(error = format!("{error:#}"), "a call of dockerd failed");
        grpc::failure(UNAVAILABLE, &format!("{error:#}"))
    })
}

fn unread(request: Request<Incoming>) -> Request<Body> {
    request.map(|body| body.boxed_unsync())
}

fn answered(response: Response<Incoming>) -> Response<Body> {
    response.map(|body| body.boxed_unsync())
}

/// Hands a call on as it is.
async fn pass(mut sender: SendRequest<Body>, request: Request<Body>) -> Result<Response<Incoming>> {
    let (mut parts, body) = request.into_parts();
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    parts.uri = Uri::try_from(format!("http://localhost{path}")).context("reading a call's path")?;
    sender.ready().await.context("reaching the container engine")?;
    sender.send_request(Request::from_parts(parts, body)).await.context("calling the container engine")
}

/// Reads a call's message, and gives the call with it again.
async fn opened<M: prost::Message + Default>(request: Request<Incoming>) -> Result<(M, Request<Body>)> {
    let (parts, body) = request.into_parts();
    let whole = Whole::read(body, QUESTION_BYTES_MAX).await?;
    let message = whole.message()?;
    Ok((message, Request::from_parts(parts, whole.again())))
}

async fn leases(shared: &Shared, sender: SendRequest<Body>, request: Request<Incoming>) -> Result<Response<Body>> {
    let (question, request) = opened::<ListRequest>(request).await?;
    if question.filters == [PRUNE_LEASES] {
        shared.prunes.store(true, Ordering::Relaxed);
    }
    Ok(answered(pass(sender, request).await?))
}

/// The images, without those that are none of Docker's concern; and when a prune looks for what may go, without those
/// that pods use. Should another list come between, that one is the shorter, and the prune is refused what it may not take.
async fn list(shared: &Shared, sender: SendRequest<Body>, request: Request<Incoming>) -> Result<Response<Body>> {
    let (question, request) = opened::<ListImagesRequest>(request).await?;
    let prunes = question.filters.is_empty() && shared.prunes.swap(false, Ordering::Relaxed);
    let (parts, body) = pass(sender, request).await?.into_parts();
    let whole = Whole::read(body, LIST_BYTES_MAX).await?;
    if whole.bytes.is_empty() {
        // A failure, which the headers tell.
        return Ok(Response::from_parts(parts, whole.again()));
    }
    let mut listed: ListImagesResponse = whole.message()?;
    listed.images.retain(|image| !is_hidden(image));
    if prunes {
        match shared.images.used_by_pods().await {
            Ok(used) => listed.images.retain(|image| !used.contains(&image.name)),
            Err(fault) => return Ok(refusal(&fault)),
        }
    }
    Ok(grpc::answer(&listed))
}

/// Flushes the disk first. The engine itself waits for the disk after what it unpacks (`sync_fs` in its settings), and the
/// kernel when an overlay is unmounted. But the layer of a `COPY --link`, or one on nothing, is written right into its
/// folder: after a power cut its files were empty, and BuildKit went on building on it.
async fn commit(shared: &Shared, sender: SendRequest<Body>, request: Request<Incoming>) -> Result<Response<Body>> {
    let stored = shared.stored.clone();
    if let Err(error) = tokio::task::spawn_blocking(move || sys::mount::flush(&stored)).await? {
        tracing::error!(%error, "a snapshot is not committed");
        return Ok(grpc::failure(INTERNAL, &error.to_string()));
    }
    Ok(answered(pass(sender, unread(request)).await?))
}

async fn delete(shared: &Shared, sender: SendRequest<Body>, request: Request<Incoming>) -> Result<Response<Body>> {
    let (question, request) = opened::<DeleteImageRequest>(request).await?;
    let done = match shared.images.deletion(&question.name).await {
        Ok(Deletion::Passes) => return Ok(answered(pass(sender, request).await?)),
        Ok(Deletion::Refused(why)) => {
            tracing::info!(image = question.name, why, "Docker was refused the removal of an image");
            return Ok(grpc::failure(FAILED_PRECONDITION, &why));
        }
        Ok(Deletion::Takes(records)) => shared.images.take(&records).await,
        Err(fault) => Err(fault),
    };
    match done {
        Ok(()) => Ok(grpc::answer(&())),
        Err(fault) => Ok(refusal(&fault)),
    }
}

fn refusal(fault: &Fault) -> Response<Body> {
    let code = if matches!(fault, Fault::Unavailable { .. }) { UNAVAILABLE } else { INTERNAL };
    grpc::failure(code, &fault.to_string())
}
