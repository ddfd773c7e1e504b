//! Probing by gRPC's health protocol (`grpc.health.v1.Health`), unencrypted.

use super::Outcome;
use super::port::join;
use http::uri::PathAndQuery;
use std::time::Duration;
use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use tonic_prost::ProstCodec;

/// As upstream's client names itself.
const USER_AGENT: &str = "kube-probe/1.36";
const CHECK: &str = "/grpc.health.v1.Health/Check";

/// The question, as the protocol defines it.
#[derive(Clone, PartialEq, prost::Message)]
struct HealthCheckRequest {
    #[prost(string, tag = "1")]
    service: String,
}

/// The answer, as the protocol defines it.
#[derive(Clone, PartialEq, prost::Message)]
struct HealthCheckResponse {
    #[prost(enumeration = "ServingStatus", tag = "1")]
    status: i32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
enum ServingStatus {
    Unknown = 0,
    Serving = 1,
    NotServing = 2,
    ServiceUnknown = 3,
}

impl ServingStatus {
    fn name(self) -> &'static str {
        match self {
            ServingStatus::Unknown => "UNKNOWN",
            ServingStatus::Serving => "SERVING",
            ServingStatus::NotServing => "NOT_SERVING",
            ServingStatus::ServiceUnknown => "SERVICE_UNKNOWN",
        }
    }
}

/// Whether the service says that it serves.
pub async fn probe(host: &str, port: u16, service: &str, timeout: Duration) -> Outcome {
    let address = join(host, port);
    let whole = async {
        let channel = dial(&address).await?;
        check(channel, service, timeout).await
    };
    match tokio::time::timeout(timeout, whole).await {
        Ok(Ok(())) => Outcome::Success,
        Ok(Err(text)) => Outcome::Failure(text),
        Err(_) => {
            let why = "context deadline exceeded";
            Outcome::Failure(format!("timeout: failed to connect service {address:?} within {timeout:?}: {why}"))
        }
    }
}

async fn dial(address: &str) -> Result<Channel, String> {
    let said = |why: &dyn std::fmt::Display| format!("error: failed to connect service at {address:?}: {why}");
    let endpoint = Endpoint::from_shared(format!("http://{address}")).map_err(|why| said(&why))?;
    let endpoint = endpoint.user_agent(USER_AGENT).map_err(|why| said(&why))?;
    endpoint.connect().await.map_err(|why| {
        let source = std::error::Error::source(&why).map(ToString::to_string);
        said(&source.unwrap_or_else(|| why.to_string()))
    })
}

async fn check(channel: Channel, service: &str, timeout: Duration) -> Result<(), String> {
    let failed = |status: Status| match status.code() {
        Code::Unimplemented => {
            let text = status.message();
            format!("error: this server does not implement the grpc health protocol (grpc.health.v1.Health): {text}")
        }
        Code::DeadlineExceeded => format!("timeout: health rpc did not complete within {timeout:?}"),
        code => {
            let text = status.message();
            format!("error: health rpc probe failed: rpc error: code = {code:?} desc = {text}")
        }
    };
    let mut client = Grpc::new(channel);
    client.ready().await.map_err(|why| format!("error: health rpc probe failed: {why}"))?;
    let codec: ProstCodec<HealthCheckRequest, HealthCheckResponse> = ProstCodec::default();
    let request = tonic::Request::new(HealthCheckRequest { service: service.to_owned() });
    let answer = client.unary(request, PathAndQuery::from_static(CHECK), codec).await.map_err(failed)?.into_inner();
    match answer.status() {
        ServingStatus::Serving => Ok(()),
        other => Err(format!("service unhealthy (responded with {:?})", other.name())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use http_body_util::{Full, StreamBody};
    use hyper::body::Frame;
    use hyper_util::rt::{TokioExecutor, TokioIo};
    use tokio::net::TcpListener;

    /// A server that answers every call with this status of health, or says that it knows no such call.
    async fn serve(status: Option<i32>) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let answer = move |_: http::Request<hyper::body::Incoming>| async move {
            let head = http::Response::builder().header("content-type", "application/grpc");
            let mut trailers = http::HeaderMap::new();
            let Some(status) = status else {
                let none = head.header("grpc-status", "12").header("grpc-message", "unknown service");
                return none.body(http_body_util::Either::Left(Full::new(Bytes::new())));
            };
            trailers.insert("grpc-status", "0".parse().unwrap());
            let message = prost::Message::encode_to_vec(&HealthCheckResponse { status });
            let mut framed = vec![0, 0, 0, 0, u8::try_from(message.len()).unwrap()];
            framed.extend(message);
            let frames =
                [Ok::<_, std::convert::Infallible>(Frame::data(Bytes::from(framed))), Ok(Frame::trailers(trailers))];
            head.body(http_body_util::Either::Right(StreamBody::new(tokio_stream::iter(frames))))
        };
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let service = hyper::service::service_fn(answer);
            let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            server.serve_connection(TokioIo::new(stream), service).await
        });
        port
    }

    async fn asked(status: Option<i32>) -> Outcome {
        probe("127.0.0.1", serve(status).await, "", Duration::from_secs(10)).await
    }

    #[tokio::test]
    async fn only_a_service_that_says_it_serves_is_well() {
        assert_eq!(asked(Some(1)).await, Outcome::Success);
        let unhealthy = "service unhealthy (responded with \"NOT_SERVING\")";
        assert_eq!(asked(Some(2)).await, Outcome::Failure(unhealthy.to_owned()));
        let Outcome::Failure(text) = asked(None).await else { panic!() };
        assert!(text.starts_with("error: this server does not implement the grpc health protocol"), "{text}");
    }
}
