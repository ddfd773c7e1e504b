//! A container engine whose containers are this machine: commands are its programs, and their streams are served over
//! SPDY as containerd serves them.

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http_body_util::Full;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use kubelet::server::{Measured, Ran, Runtime, Streams};
use std::collections::HashMap;
use std::convert::Infallible;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use wire::command::Sizes;
use wire::{Outcome, Session, Version, Want};

/// The engine.
pub struct Engine {
    address: std::net::SocketAddr,
    asked: Mutex<HashMap<String, (Vec<String>, Streams)>>,
}

/// Starts one.
pub async fn start(stop: CancellationToken) -> Arc<Engine> {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("its address");
    let engine = Arc::new(Engine { address, asked: Mutex::default() });
    let serving = engine.clone();
    tokio::spawn(async move {
        while let Some(Ok((stream, _))) = stop.run_until_cancelled(listener.accept()).await {
            let engine = serving.clone();
            let service = service_fn(move |request| {
                let answer = engine.answer(request);
                async move { Ok::<_, Infallible>(answer) }
            });
            let http = hyper::server::conn::http1::Builder::new();
            tokio::spawn(http.serve_connection(TokioIo::new(stream), service).with_upgrades());
        }
    });
    engine
}

impl Engine {
    fn url(&self, command: Vec<String>, streams: Streams) -> String {
        let mut asked = self.asked.lock().expect("the table");
        let token = asked.len().to_string();
        asked.insert(token.clone(), (command, streams));
        format!("http://{}/exec/{token}", self.address)
    }

    fn answer(&self, mut request: http::Request<hyper::body::Incoming>) -> http::Response<Full<Bytes>> {
        let token = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
        let asked = self.asked.lock().expect("the table").get(&token).cloned();
        let (command, streams) = asked.expect("a token that was given out");
        assert_eq!(request.headers()["x-stream-protocol-version"], "v4.channel.k8s.io");
        let upgraded = hyper::upgrade::on(&mut request);
        let want = Want { stdin: streams.stdin, stdout: streams.stdout, stderr: streams.stderr, tty: streams.tty };
        tokio::spawn(async move {
            let io = TokioIo::new(upgraded.await.expect("the connection"));
            let session = Session::serve_spdy(io, want, Version::V4).await.expect("the streams");
            run(session, command, streams.tty).await;
        });
        http::Response::builder()
            .status(101)
            .header("connection", "Upgrade")
            .header("upgrade", "SPDY/3.1")
            .header("x-stream-protocol-version", "v4.channel.k8s.io")
            .body(Full::default())
            .expect("an answer")
    }
}

/// With a terminal: tells its sizes until `q` is typed. Else: runs the program.
async fn run(mut session: Session, command: Vec<String>, tty: bool) {
    if tty {
        return terminal(session).await;
    }
    let mut child = tokio::process::Command::new(&command[0])
        .args(&command[1..])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("the program");
    let (mut to, mut from, mut wrong) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (mut stdin, mut stdout, mut stderr) = (session.stdin.take(), session.stdout.take(), session.stderr.take());
    let input = tokio::spawn(async move {
        if let (Some(from), Some(to)) = (&mut stdin, &mut to) {
            // Breaks when the program does not read to the end.
            tokio::io::copy(from, to).await.ok();
        }
    });
    let output = async {
        if let (Some(from), Some(to)) = (&mut from, &mut stdout) {
            tokio::io::copy(from, to).await.ok();
        }
    };
    let errors = async {
        if let (Some(from), Some(to)) = (&mut wrong, &mut stderr) {
            tokio::io::copy(from, to).await.ok();
        }
    };
    let (status, ..) = tokio::join!(child.wait(), output, errors);
    input.abort();
    (session.stdout, session.stderr) = (stdout, stderr);
    let code = status.expect("its status").code().and_then(|code| u8::try_from(code).ok());
    let outcome = match code {
        Some(0) => Outcome::Success,
        Some(code) => Outcome::Exit(code),
        None => Outcome::Failed("it was killed".to_owned()),
    };
    session.finish(&outcome).await.ok();
}

async fn terminal(mut session: Session) {
    let mut sizes = Sizes::new(session.resize.take().expect("a terminal has a size"));
    let (mut stdin, mut stdout) = (session.stdin.take().expect("input"), session.stdout.take().expect("output"));
    let mut typed = [0; 16];
    loop {
        tokio::select! {
            size = sizes.next() => match size.expect("a size") {
                Some(size) => {
                    let text = format!("size {}x{}\r\n", size.width, size.height);
                    stdout.write_all(text.as_bytes()).await.expect("output");
                }
                None => break,
            },
            read = stdin.read(&mut typed) => match read.expect("input") {
                0 => break,
                n if typed[..n].contains(&b'q') => break,
                _ => {}
            },
        }
    }
    session.stdout = Some(stdout);
    session.finish(&Outcome::Success).await.ok();
}

impl Runtime for Engine {
    fn exec<'a>(
        &'a self,
        _: &'a str,
        command: &'a [String],
        streams: Streams,
    ) -> BoxFuture<'a, anyhow::Result<String>> {
        Box::pin(async move { Ok(self.url(command.to_vec(), streams)) })
    }

    fn attach<'a>(&'a self, _: &'a str, streams: Streams) -> BoxFuture<'a, anyhow::Result<String>> {
        let first = ["sh", "-c", "echo attached; cat"].map(str::to_owned);
        Box::pin(async move { Ok(self.url(first.to_vec(), streams)) })
    }

    fn run<'a>(&'a self, _: &'a str, command: &'a [String], _: Duration) -> BoxFuture<'a, anyhow::Result<Ran>> {
        Box::pin(async move {
            let ran = tokio::process::Command::new(&command[0]).args(&command[1..]).output().await?;
            Ok(Ran { stdout: ran.stdout, stderr: ran.stderr, code: ran.status.code().unwrap_or(-1) })
        })
    }

    fn measured(&self) -> BoxFuture<'_, anyhow::Result<Vec<Measured>>> {
        let one = Measured { id: "c1".to_owned(), cpu_ns: Some(7), memory_working_set: Some(9), ..Measured::default() };
        Box::pin(async move { Ok(vec![one]) })
    }
}
