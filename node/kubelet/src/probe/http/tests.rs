//! Tests of HTTP probes against small servers on loopback.

use super::*;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// Answers as many requests as there are answers, and gives back what was asked.
async fn serve(answers: Vec<String>) -> (u16, tokio::task::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let heard = tokio::spawn(async move {
        let mut heard = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut bytes = vec![0; 4096];
            let count = stream.read(&mut bytes).await.unwrap();
            heard.push(String::from_utf8_lossy(&bytes[..count]).into_owned());
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
        heard
    });
    (port, heard)
}

fn answer(code: u16, more: &str, body: &str) -> String {
    format!("HTTP/1.1 {code} X\r\ncontent-length: {}\r\n{more}\r\n{body}", body.len())
}

async fn probed(port: u16, more: Value) -> Outcome {
    let mut action = json!({"port": port, "path": "/healthz"});
    action.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let action: HTTPGetAction = serde_json::from_value(action).unwrap();
    probe(&action, &Container::default(), "127.0.0.1", Duration::from_secs(10)).await
}

#[tokio::test]
async fn codes_below_400_are_well_and_bodies_of_failures_stay_unseen() {
    for (code, wanted) in [
        (200, Outcome::Success),
        (304, Outcome::Warning("Probe terminated redirects, Response body: ".into())),
        (503, Outcome::Failure("HTTP probe failed with statuscode: 503".into())),
    ] {
        let (port, heard) = serve(vec![answer(code, "", if code == 304 { "" } else { "hello" })]).await;
        assert_eq!(probed(port, json!({})).await, wanted);
        let heard = heard.await.unwrap().remove(0).to_lowercase();
        assert!(
            heard.starts_with("get /healthz http/1.1\r\n") && heard.contains("user-agent: kube-probe/1.36"),
            "{heard}"
        );
        assert!(heard.contains(&format!("host: 127.0.0.1:{port}")) && heard.contains("accept: */*"), "{heard}");
    }
}

#[tokio::test]
async fn own_headers_win_and_an_empty_accept_removes_it() {
    let (port, heard) = serve(vec![answer(200, "", "")]).await;
    let headers = json!([{"name": "Host", "value": "web"}, {"name": "accept", "value": ""}, {"name": "X-A", "value": "1"},
        {"name": "user-agent", "value": "me"}]);
    assert_eq!(probed(port, json!({"httpHeaders": headers})).await, Outcome::Success);
    let heard = heard.await.unwrap().remove(0).to_lowercase();
    assert!(heard.contains("host: web\r\n") && heard.contains("x-a: 1") && heard.contains("user-agent: me"), "{heard}");
    assert!(!heard.contains("accept") && !heard.contains("kube-probe"), "{heard}");
}

#[tokio::test]
async fn redirects_are_followed_within_the_host_only() {
    let (port, heard) = serve(vec![answer(302, "location: /there\r\n", ""), answer(200, "", "")]).await;
    assert_eq!(probed(port, json!({})).await, Outcome::Success);
    assert!(heard.await.unwrap()[1].starts_with("GET /there "));
    let (port, _) = serve(vec![answer(302, "location: http://example.invalid/\r\n", "moved")]).await;
    let wanted = Outcome::Warning("Probe terminated redirects, Response body: moved".into());
    assert_eq!(probed(port, json!({})).await, wanted);
}

#[tokio::test]
async fn a_long_answer_is_read_to_its_limit_only() {
    let long = "x".repeat(BODY_BYTES_MAX * 2);
    let (port, _) = serve(vec![answer(300, "", &long)]).await;
    let Outcome::Warning(text) = probed(port, json!({})).await else { panic!() };
    assert_eq!(text.matches('x').count(), BODY_BYTES_MAX);
}

#[tokio::test]
async fn nobody_there_is_a_failure_and_a_bad_port_an_error() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let address = format!("127.0.0.1:{port}");
    let wanted = format!("Get \"http://{address}/healthz\": dial tcp {address}: connect: connection refused");
    assert_eq!(probed(port, json!({})).await, Outcome::Failure(wanted));
    assert_eq!(probed(port, json!({"port": "web"})).await, Outcome::Error("port web not found".into()));
}

#[tokio::test]
async fn a_certificate_that_nobody_knows_is_taken() {
    let now = std::time::SystemTime::now();
    let authority = pki::authority::Authority::generate("somebody", now).unwrap();
    let pair = authority.issue("web", &[], Vec::new(), pki::authority::Purpose::Server, now).unwrap();
    let slot = Arc::new(pki::tls::Slot::new(&pair).unwrap());
    let config = pki::tls::server(slot, None, &[b"http/1.1"]).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = tokio_rustls::TlsAcceptor::from(Arc::new(config)).accept(stream).await.unwrap();
        let mut bytes = vec![0; 4096];
        let _ = stream.read(&mut bytes).await.unwrap();
        stream.write_all(answer(200, "", "ok").as_bytes()).await.unwrap();
    });
    assert_eq!(probed(port, json!({"scheme": "HTTPS"})).await, Outcome::Success);
}
