//! The client of the container engine: every call of the Container Runtime Interface that the kubelet makes, with its
//! time limit. The connection is opened by the first call and again after the engine's restart.
//!
//! It must not know pods: what to call and what to make of the answer is the caller's.

use std::fmt;
use std::path::Path;
use std::time::Duration;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Streaming};

/// The messages of `proto/cri.proto`, generated; also the server's side, for fakes.
#[allow(
    missing_docs,
    clippy::all,
    clippy::allow_attributes_without_reason,
    reason = "generated; the interface is described by Kubernetes"
)]
pub mod v1 {
    tonic::include_proto!("runtime.v1");
}

use v1::image_service_client::ImageServiceClient;
use v1::runtime_service_client::RuntimeServiceClient;

/// How long a call may take: the kubelet's `runtimeRequestTimeout`.
pub const CALL_WAIT: Duration = Duration::from_secs(120);
/// How long a sandbox may take to come up: twice a call, as upstream, because CNI plugins run inside it.
pub const SANDBOX_WAIT: Duration = Duration::from_secs(240);
/// How long a pull may take. Upstream sets no limit; an hour lets gigabytes come over a slow line and still ends.
pub const PULL_WAIT: Duration = Duration::from_secs(3600);
/// How long the socket may take to accept; it is on this machine.
pub const CONNECT_WAIT: Duration = Duration::from_secs(10);
/// Bytes of one answer, as upstream: lists of some thousand containers fit.
pub const ANSWER_BYTES_MAX: usize = 16 << 20;

/// What a caller may want to tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The container, sandbox or image is not there.
    NotFound,
    /// The engine did not answer: it is down, or restarts.
    Unavailable,
    /// The time limit passed.
    TimedOut,
    /// Anything else; the message is the engine's.
    Refused,
}

/// A call that failed.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{call}: {message}")]
pub struct Error {
    /// The call, `StartContainer` for example.
    pub call: &'static str,
    /// What sort of failure.
    pub kind: Kind,
    /// The engine's words.
    pub message: String,
}

impl Error {
    fn of(call: &'static str, status: &tonic::Status) -> Error {
        let kind = match status.code() {
            Code::NotFound => Kind::NotFound,
            Code::Unavailable => Kind::Unavailable,
            Code::DeadlineExceeded => Kind::TimedOut,
            _ => Kind::Refused,
        };
        Error { call, kind, message: status.message().to_owned() }
    }

    fn late(call: &'static str, limit: Duration) -> Error {
        Error { call, kind: Kind::TimedOut, message: format!("no answer within {} s", limit.as_secs()) }
    }

    /// Whether the thing asked for is not there.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.kind == Kind::NotFound
    }
}

/// An answer or what stopped it.
pub type Result<T> = std::result::Result<T, Error>;

/// The engine behind one socket. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Cri {
    runtime: RuntimeServiceClient<Channel>,
    images: ImageServiceClient<Channel>,
}

/// The calls, one a line: name, request and answer, name on the wire, service, time limit.
macro_rules! calls {
    ($($name:ident($request:ident) -> $answer:ident, $wire:literal, $service:ident, $limit:expr;)*) => {
        impl Cri {
            $(
                #[doc = concat!("`", $wire, "` of the interface.")]
                ///
                /// # Errors
                /// What the engine answers, or that it does not in time.
                pub async fn $name(&self, request: v1::$request) -> Result<v1::$answer> {
                    #[allow(clippy::redundant_closure_call, reason = "most limits do not look at the request")]
                    let limit: Duration = ($limit)(&request);
                    let mut client = self.$service.clone();
                    match tokio::time::timeout(limit, client.$name(request)).await {
                        Ok(Ok(answer)) => Ok(answer.into_inner()),
                        Ok(Err(status)) => Err(Error::of($wire, &status)),
                        Err(_) => Err(Error::late($wire, limit)),
                    }
                }
            )*
        }
    };
}

fn usual<T>(_: &T) -> Duration {
    CALL_WAIT
}

fn seconds(count: i64) -> Duration {
    Duration::from_secs(u64::try_from(count).unwrap_or(0))
}

calls! {
    version(VersionRequest) -> VersionResponse, "Version", runtime, usual;
    status(StatusRequest) -> StatusResponse, "Status", runtime, usual;
    runtime_config(RuntimeConfigRequest) -> RuntimeConfigResponse, "RuntimeConfig", runtime, usual;
    run_pod_sandbox(RunPodSandboxRequest) -> RunPodSandboxResponse, "RunPodSandbox", runtime, |_| SANDBOX_WAIT;
    stop_pod_sandbox(StopPodSandboxRequest) -> StopPodSandboxResponse, "StopPodSandbox", runtime, usual;
    remove_pod_sandbox(RemovePodSandboxRequest) -> RemovePodSandboxResponse, "RemovePodSandbox", runtime, usual;
    pod_sandbox_status(PodSandboxStatusRequest) -> PodSandboxStatusResponse, "PodSandboxStatus", runtime, usual;
    list_pod_sandbox(ListPodSandboxRequest) -> ListPodSandboxResponse, "ListPodSandbox", runtime, usual;
    update_pod_sandbox_resources(UpdatePodSandboxResourcesRequest) -> UpdatePodSandboxResourcesResponse, "UpdatePodSandboxResources", runtime, usual;
    create_container(CreateContainerRequest) -> CreateContainerResponse, "CreateContainer", runtime, usual;
    start_container(StartContainerRequest) -> StartContainerResponse, "StartContainer", runtime, usual;
    stop_container(StopContainerRequest) -> StopContainerResponse, "StopContainer", runtime, |r: &v1::StopContainerRequest| seconds(r.timeout) + CALL_WAIT;
    remove_container(RemoveContainerRequest) -> RemoveContainerResponse, "RemoveContainer", runtime, usual;
    list_containers(ListContainersRequest) -> ListContainersResponse, "ListContainers", runtime, usual;
    container_status(ContainerStatusRequest) -> ContainerStatusResponse, "ContainerStatus", runtime, usual;
    update_container_resources(UpdateContainerResourcesRequest) -> UpdateContainerResourcesResponse, "UpdateContainerResources", runtime, usual;
    reopen_container_log(ReopenContainerLogRequest) -> ReopenContainerLogResponse, "ReopenContainerLog", runtime, usual;
    exec_sync(ExecSyncRequest) -> ExecSyncResponse, "ExecSync", runtime, |r: &v1::ExecSyncRequest| seconds(r.timeout) + CALL_WAIT;
    exec(ExecRequest) -> ExecResponse, "Exec", runtime, usual;
    attach(AttachRequest) -> AttachResponse, "Attach", runtime, usual;
    container_stats(ContainerStatsRequest) -> ContainerStatsResponse, "ContainerStats", runtime, usual;
    list_container_stats(ListContainerStatsRequest) -> ListContainerStatsResponse, "ListContainerStats", runtime, usual;
    pod_sandbox_stats(PodSandboxStatsRequest) -> PodSandboxStatsResponse, "PodSandboxStats", runtime, usual;
    list_pod_sandbox_stats(ListPodSandboxStatsRequest) -> ListPodSandboxStatsResponse, "ListPodSandboxStats", runtime, usual;
    list_images(ListImagesRequest) -> ListImagesResponse, "ListImages", images, usual;
    image_status(ImageStatusRequest) -> ImageStatusResponse, "ImageStatus", images, usual;
    pull_image(PullImageRequest) -> PullImageResponse, "PullImage", images, |_| PULL_WAIT;
    remove_image(RemoveImageRequest) -> RemoveImageResponse, "RemoveImage", images, usual;
    image_fs_info(ImageFsInfoRequest) -> ImageFsInfoResponse, "ImageFsInfo", images, usual;
}

impl Cri {
    /// The engine that listens on `socket`, which need not be there yet.
    ///
    /// # Errors
    /// When the path is not UTF-8.
    pub fn new(socket: &Path) -> Result<Cri> {
        let malformed = |message: String| Error { call: "connect", kind: Kind::Refused, message };
        let path = socket.to_str().ok_or_else(|| malformed(format!("{} is not UTF-8", socket.display())))?;
        let endpoint = Endpoint::from_shared(format!("unix://{path}")).map_err(|why| malformed(why.to_string()))?;
        let channel = endpoint.connect_timeout(CONNECT_WAIT).connect_lazy();
        Ok(Cri {
            runtime: RuntimeServiceClient::new(channel.clone()).max_decoding_message_size(ANSWER_BYTES_MAX),
            images: ImageServiceClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX),
        })
    }

    /// What happens to containers and sandboxes from now on. Neither the stream nor its beginning has a time limit: an
    /// engine answers with its first event, and silence is normal. It ends when the engine does; then list everything
    /// and ask again.
    ///
    /// # Errors
    /// When there is no engine or it has no events (`Unimplemented` before containerd 1.7).
    pub async fn events(&self) -> Result<Streaming<v1::ContainerEventResponse>> {
        let mut client = self.runtime.clone();
        let asked = client.get_container_events(v1::GetEventsRequest {}).await;
        asked.map(tonic::Response::into_inner).map_err(|status| Error::of("GetContainerEvents", &status))
    }
}

impl fmt::Debug for v1::AuthConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthConfig").field("username", &self.username).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use tokio::net::UnixListener;
    use tokio_stream::wrappers::UnixListenerStream;
    use tonic::{Request, Response, Status, transport::Server};
    use v1::runtime_service_server::{RuntimeService, RuntimeServiceServer};

    struct Engine(&'static str);

    #[tonic::async_trait]
    impl RuntimeService for Engine {
        async fn version(
            &self,
            _: Request<v1::VersionRequest>,
        ) -> std::result::Result<Response<v1::VersionResponse>, Status> {
            Ok(Response::new(v1::VersionResponse { runtime_name: self.0.to_owned(), ..Default::default() }))
        }

        async fn start_container(
            &self,
            _: Request<v1::StartContainerRequest>,
        ) -> std::result::Result<Response<v1::StartContainerResponse>, Status> {
            Err(Status::not_found("no such container"))
        }
    }

    /// An engine with threads of its own, so that ending it cuts its connections as the end of a process does.
    fn serve(socket: &Path, name: &'static str) -> tokio::runtime::Runtime {
        let listener = std::os::unix::net::UnixListener::bind(socket).unwrap();
        listener.set_nonblocking(true).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        runtime.spawn(async move {
            let incoming = UnixListenerStream::new(UnixListener::from_std(listener).unwrap());
            let service = RuntimeServiceServer::from_arc(Arc::new(Engine(name)));
            Server::builder().add_service(service).serve_with_incoming(incoming).await.unwrap();
        });
        runtime
    }

    #[tokio::test]
    async fn the_engine_may_come_later_and_come_back() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("cri.sock");
        let cri = Cri::new(&socket).unwrap();
        let asked = cri.version(v1::VersionRequest::default()).await;
        assert_eq!(asked.unwrap_err().kind, Kind::Unavailable);
        for name in ["first", "second"] {
            let server = serve(&socket, name);
            let answer = loop {
                // A call on the connection of the engine that has gone fails once; the next one connects anew.
                match cri.version(v1::VersionRequest::default()).await {
                    Ok(answer) => break answer,
                    Err(error) => assert_ne!(error.kind, Kind::TimedOut, "{error}"),
                }
            };
            assert_eq!(answer.runtime_name, name);
            server.shutdown_background();
            std::fs::remove_file(&socket).unwrap();
        }
    }

    #[tokio::test]
    async fn errors_carry_the_call_and_their_kind() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("cri.sock");
        let server = serve(&socket, "engine");
        let cri = Cri::new(&socket).unwrap();
        let error = cri.start_container(v1::StartContainerRequest::default()).await.unwrap_err();
        assert!(error.is_not_found());
        assert_eq!(error.to_string(), "StartContainer: no such container");
        server.shutdown_background();
    }

    #[test]
    fn passwords_are_not_shown() {
        let auth =
            v1::AuthConfig { username: "me".to_owned(), password: "secret".to_owned(), ..v1::AuthConfig::default() };
        let request = v1::PullImageRequest { auth: Some(auth), ..v1::PullImageRequest::default() };
        assert!(!format!("{request:?}").contains("secret"));
    }
}
