//! Logs, commands, forwarded ports and proxies, from `kubectl` through the API server and the kubelet to a process and
//! back, over WebSockets and over SPDY.

use crate::kubelet::{Node, POD};
use api::tree;
use client::Credentials;
use std::process::{Output, Stdio};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// How long a command may take; the machine may be busy with a build.
const WAIT_MAX: Duration = Duration::from_secs(60);

async fn within<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(WAIT_MAX, what).await.expect("it took too long")
}

/// Runs `kubectl` with that input to its end.
async fn run(node: &Node, websockets: bool, arguments: &[&str], input: &[u8]) -> Output {
    let mut command = node.kubectl(websockets, arguments);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("kubectl");
    let mut stdin = child.stdin.take().expect("its input");
    let input = input.to_vec();
    tokio::spawn(async move {
        // Breaks when the command does not read its input.
        stdin.write_all(&input).await.ok();
    });
    within(child.wait_with_output()).await.expect("its output")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What a `kubectl` that must succeed prints.
async fn said(node: &Node, websockets: bool, arguments: &[&str], input: &[u8]) -> String {
    let output = run(node, websockets, arguments, input).await;
    assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_are_tailed_and_followed_through_rotation_until_the_container_ends() {
    let node = Node::start().await;
    for (stream, tag, content) in
        [("stdout", "F", "one"), ("stderr", "F", "two"), ("stdout", "P", "thr"), ("stdout", "F", "ee")]
    {
        node.log(stream, tag, content);
    }
    assert_eq!(said(&node, true, &["logs", POD], b"").await, "one\ntwo\nthree\n");
    assert_eq!(said(&node, true, &["logs", POD, "--tail=1"], b"").await, "three\n");
    assert_eq!(said(&node, true, &["logs", POD, "--limit-bytes=5"], b"").await, "one\nt");
    let stamped = said(&node, true, &["logs", POD, "--timestamps", "--since=1h"], b"").await;
    assert!(stamped.lines().count() == 3 && stamped.starts_with("20"), "{stamped}");

    let mut follow = node.kubectl(true, &["logs", "-f", "--tail=1", POD]);
    let mut child = follow.stdout(Stdio::piped()).spawn().expect("kubectl");
    let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
    let mut next = async || within(lines.next_line()).await.expect("a line");
    assert_eq!(next().await.as_deref(), Some("three"));
    node.log("stdout", "F", "four");
    assert_eq!(next().await.as_deref(), Some("four"));
    node.log("stdout", "F", "five");
    node.rotate();
    node.log("stdout", "F", "six");
    assert_eq!(next().await.as_deref(), Some("five"));
    assert_eq!(next().await.as_deref(), Some("six"));
    node.end();
    assert_eq!(next().await, None);
    assert!(within(child.wait()).await.expect("its status").success());
    assert_eq!(said(&node, true, &["logs", POD, "--tail=3"], b"").await, "four\nfive\nsix\n");
    let wrong = run(&node, true, &["logs", POD, "-c", "other"], b"").await;
    assert!(text(&wrong.stderr).contains("container other is not valid for pod box"), "{}", text(&wrong.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_run_with_input_output_and_exit_codes() {
    let node = Node::start().await;
    for websockets in [true, false] {
        let input = "hello ".repeat(100_000);
        let exec = |command: &[&'static str]| [&["exec", "-i", POD, "--"], command].concat();
        assert_eq!(said(&node, websockets, &exec(&["cat"]), input.as_bytes()).await, input, "websockets: {websockets}");
        let failed = run(&node, websockets, &exec(&["sh", "-c", "echo out; echo wrong >&2; exit 3"]), b"").await;
        assert_eq!(failed.status.code(), Some(3), "{}", text(&failed.stderr));
        assert_eq!(text(&failed.stdout), "out\n");
        assert!(text(&failed.stderr).starts_with("wrong\n"), "{}", text(&failed.stderr));
        let attached = said(&node, websockets, &["attach", "-i", POD], b"typed\n").await;
        assert!(attached.contains("attached\ntyped\n"), "{attached}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_copied_both_ways() {
    let node = Node::start().await;
    let folder = node.plane.folder.path();
    let path = |name: &str| folder.join(name).to_str().expect("a plain path").to_owned();
    std::fs::create_dir(path("there")).expect("a folder");
    std::fs::write(path("file"), b"content").expect("a file");
    said(&node, true, &["cp", &path("file"), &format!("{POD}:{}", path("there/file"))], b"").await;
    assert_eq!(std::fs::read(path("there/file")).expect("the copy"), b"content");
    said(&node, true, &["cp", &format!("{POD}:{}", path("there/file")), &path("back")], b"").await;
    assert_eq!(std::fs::read(path("back")).expect("the copy"), b"content");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_has_the_size_of_the_clients() {
    let node = Node::start().await;
    for websockets in [true, false] {
        let kubectl = node.kubectl(websockets, &[]);
        let mut script = tokio::process::Command::new("script");
        script.args(["-qec", &format!("stty cols 123 rows 45; kubectl exec -it {POD} -- any"), "/dev/null"]);
        script.envs(kubectl.as_std().get_envs().filter_map(|(k, v)| Some((k, v?)))).kill_on_drop(true);
        let mut child = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("script");
        let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let mut found = false;
        while let Some(line) = within(lines.next_line()).await.expect("a line") {
            if line.contains("size 123x45") {
                found = true;
                break;
            }
        }
        assert!(found, "websockets: {websockets}");
        let mut stdin = child.stdin.take().expect("its input");
        stdin.write_all(b"q").await.expect("typed");
        assert!(within(child.wait()).await.expect("its status").success());
    }
}

/// A server on this machine that answers every connection with what it was sent, in capitals.
async fn shouting() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("its address").port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut heard = String::new();
                stream.read_to_string(&mut heard).await.expect("words");
                stream.write_all(heard.to_uppercase().as_bytes()).await.expect("an answer");
            });
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread")]
async fn ports_are_forwarded() {
    let node = Node::start().await;
    let port = shouting().await;
    for websockets in [true, false] {
        let mut command = node.kubectl(websockets, &["port-forward", POD, &format!(":{port}")]);
        let mut child = command.stdout(Stdio::piped()).spawn().expect("kubectl");
        let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let line = within(lines.next_line()).await.expect("a line").expect("a line");
        let local = line.trim_start_matches("Forwarding from ").split(" -> ").next().expect("an address").to_owned();
        for _ in 0..3 {
            let mut stream = TcpStream::connect(&local).await.expect("the forwarded port");
            stream.write_all(b"hello").await.expect("words");
            stream.shutdown().await.expect("their end");
            let mut answer = String::new();
            within(stream.read_to_string(&mut answer)).await.expect("an answer");
            assert_eq!(answer, "HELLO", "websockets: {websockets}");
        }
        child.start_kill().expect("it runs");
        within(child.wait()).await.expect("it ended");
    }
}

/// A web server on an address, that answers one page and tells of its request.
async fn web(address: std::net::IpAddr) -> u16 {
    let listener = TcpListener::bind((address, 0)).await.expect("a port");
    let port = listener.local_addr().expect("its address").port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut head, mut buffer) = (String::new(), [0; 4096]);
                while !head.contains("\r\n\r\n") {
                    let n = stream.read(&mut buffer).await.expect("a request");
                    head.push_str(&text(&buffer[..n]));
                }
                let page = format!("<a href=\"/link\">{}</a>", head.lines().next().unwrap_or_default());
                let kind = "content-type: text/html";
                let answer = format!("HTTP/1.1 200 OK\r\n{kind}\r\ncontent-length: {}\r\n\r\n{page}", page.len());
                stream.write_all(answer.as_bytes()).await.expect("an answer");
            });
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_services_and_nodes_are_reached_through_the_proxy() {
    let node = Node::start().await;
    assert!(!node.address.is_loopback(), "this machine has no address but loopback, and proxies do not lead there");
    let port = web(node.address).await;
    let base = "/api/v1/namespaces/default";
    let path = format!("{base}/pods/{POD}:{port}/proxy");
    let page = said(&node, true, &["get", "--raw", &format!("{path}/a//b/?x=1")], b"").await;
    assert_eq!(page, format!("<a href=\"{path}/link\">GET /a/b/?x=1 HTTP/1.1</a>"));
    let port_number = i64::from(port);
    let service = tree!({"metadata": {"name": "web"}, "spec": {
        "selector": {"app": POD}, "ports": [{"name": "http", "port": 80, "targetPort": (port_number)}]
    }});
    node.plane.call("POST", &format!("{base}/services"), Some(&service)).await;
    node.plane.until(&format!("{base}/endpoints/web"), |_, e| !e.list_at(&["subsets"]).is_empty()).await;
    for name in ["web:http", "web:80", "http:web:http"] {
        let page = said(&node, true, &["get", "--raw", &format!("{base}/services/{name}/proxy/x")], b"").await;
        assert_eq!(page, format!("<a href=\"{base}/services/{name}/proxy/link\">GET /x HTTP/1.1</a>"));
    }
    let (code, status) =
        node.plane.call_as(node.plane.admin(), "GET", &format!("{base}/services/web:81/proxy/"), None).await;
    assert_eq!((code, status.str_at(&["message"])), (503, Some("no service port 81 found for service \"web\"")));
    assert_eq!(said(&node, true, &["get", "--raw", "/api/v1/nodes/n1/proxy/healthz"], b"").await, "ok");
    let pods = said(&node, true, &["get", "--raw", "/api/v1/nodes/n1/proxy/pods"], b"").await;
    assert!(pods.contains("\"name\":\"box\""), "{pods}");
    let metrics = said(&node, true, &["get", "--raw", "/api/v1/nodes/n1/proxy/metrics/resource"], b"").await;
    assert!(metrics.contains("container_memory_working_set_bytes{container=\"main\""), "{metrics}");
    let summary = said(&node, true, &["get", "--raw", "/api/v1/nodes/n1/proxy/stats/summary"], b"").await;
    assert!(summary.contains("\"nodeName\":\"n1\""), "{summary}");
}

/// A token of the default service account.
async fn token(node: &Node) -> String {
    let account = "/api/v1/namespaces/default/serviceaccounts/default/token";
    let request = tree!({"kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1", "spec": {}});
    let made = node.plane.call("POST", account, Some(&request)).await;
    made.str_at(&["status", "token"]).expect("a token").to_owned()
}

/// One request straight to the kubelet.
async fn kubelet(node: &Node, who: Credentials, path: &str) -> (u16, String) {
    let ca = std::fs::read(node.plane.folder.path().join("data/pki/ca.crt")).expect("the authority's certificate");
    let authority = rustls_pki_types::pem::PemObject::from_pem_slice(&ca).expect("a certificate");
    let transport = client::HttpsTransport::new(&node.address.to_string(), node.port, vec![authority], who);
    let request = http::Request::builder().uri(path).body(bytes::Bytes::new()).expect("a request");
    let transport = transport.expect("a transport");
    let answer = client::Transport::call(&transport, request).await.expect("an answer");
    let code = answer.status().as_u16();
    let body = http_body_util::BodyExt::collect(answer.into_body()).await.expect("a body").to_bytes();
    (code, text(&body))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_kubelet_lets_in_whom_the_api_server_allows() {
    let node = Node::start().await;
    assert_eq!(kubelet(&node, Credentials::Anonymous, "/healthz").await, (401, "Unauthorized".to_owned()));
    assert_eq!(kubelet(&node, Credentials::Token("x".to_owned()), "/healthz").await.0, 401);
    assert_eq!(kubelet(&node, node.plane.admin(), "/healthz").await, (200, "ok".to_owned()));
    let token = token(&node).await;
    let (code, why) = kubelet(&node, Credentials::Token(token.clone()), "/pods").await;
    assert_eq!(code, 403, "{why}");
    assert!(why.contains("user=system:serviceaccount:default:default, verb=get, resource=nodes"), "{why}");
    let role = tree!({"metadata": {"name": "stats"}, "rules": [
        {"apiGroups": [""], "resources": ["nodes/stats"], "verbs": ["get"]}
    ]});
    let binding = tree!({"metadata": {"name": "stats"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "stats"},
        "subjects": [{"kind": "ServiceAccount", "namespace": "default", "name": "default"}]});
    let rbac = "/apis/rbac.authorization.k8s.io/v1";
    node.plane.call("POST", &format!("{rbac}/clusterroles"), Some(&role)).await;
    node.plane.call("POST", &format!("{rbac}/clusterrolebindings"), Some(&binding)).await;
    let (code, summary) = kubelet(&node, Credentials::Token(token), "/stats/summary").await;
    assert_eq!(code, 200, "{summary}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_may_only_read_runs_no_commands() {
    let node = Node::start().await;
    let base = "/apis/rbac.authorization.k8s.io/v1/namespaces/default";
    let role = tree!({"metadata": {"name": "reader"}, "rules": [
        {"apiGroups": [""], "resources": ["pods", "pods/exec"], "verbs": ["get"]}
    ]});
    let binding = tree!({"metadata": {"name": "reader"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"},
        "subjects": [{"kind": "ServiceAccount", "namespace": "default", "name": "default"}]});
    node.plane.call("POST", &format!("{base}/roles"), Some(&role)).await;
    node.plane.call("POST", &format!("{base}/rolebindings"), Some(&binding)).await;
    let path = format!("/api/v1/namespaces/default/pods/{POD}/exec?command=true&stdout=true");
    let reader = Credentials::Token(token(&node).await);
    let (code, status) = node.plane.call_as(reader, "GET", &path, None).await;
    let message = status.str_at(&["message"]).unwrap_or_default();
    assert_eq!(code, 403, "{message}");
    assert!(message.contains("cannot create resource \"pods/exec\""), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kubelet_that_is_gone_is_a_clear_failure() {
    let node = Node::start().await;
    let nobody = i64::from(crate::plane::free_port());
    let moved = tree!({"status": {"daemonEndpoints": {"kubeletEndpoint": {"Port": nobody}}}});
    node.plane.call("PATCH", "/api/v1/nodes/n1/status", Some(&moved)).await;
    let base = format!("/api/v1/namespaces/default/pods/{POD}");
    let (code, status) = node.plane.call_as(node.plane.admin(), "GET", &format!("{base}/log"), None).await;
    let message = status.str_at(&["message"]).unwrap_or_default().to_owned();
    assert_eq!(code, 500);
    assert!(message.starts_with("Get \"https://") && message.ends_with("connect: connection refused"), "{message}");
    let (code, status) = node.plane.call_as(node.plane.admin(), "GET", "/api/v1/nodes/n1/proxy/healthz", None).await;
    let message = status.str_at(&["message"]).unwrap_or_default().to_owned();
    assert_eq!(code, 503);
    assert!(message.starts_with("error trying to reach service: dial tcp"), "{message}");
    let exec = run(&node, true, &["exec", POD, "--", "true"], b"").await;
    assert!(text(&exec.stderr).contains("error dialing backend: dial tcp"), "{}", text(&exec.stderr));
    let (code, status) =
        node.plane.call_as(node.plane.admin(), "GET", &format!("{base}/exec?command=x&stdout=true"), None).await;
    assert_eq!((code, status.str_at(&["message"])), (400, Some("Upgrade request required")));
}
