//! Both ends of both transports, joined in memory, and peers that misbehave.

use crate::channel::PROTOCOLS;
use crate::command::{Session, Size, Sizes, Version, Want, bridge};
use crate::forward::{Forward, Forwards, serve_channels};
use crate::spdy::connection::STREAMS_MAX;
use crate::spdy::frame::{Decoder, Frame, encode};
use crate::spdy::headers::{Deflater, Inflater};
use crate::spdy::{Connection, Headers, Side};
use crate::status::Outcome;
use crate::tunnel::Tunnel;
use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, duplex};

/// Bytes that a pipe between the two ends holds; small, so that writers wait.
const PIPE: usize = 4096;
const ALL: Want = Want { stdin: true, stdout: true, stderr: true, tty: false };

fn pair() -> (Connection, Connection) {
    let (near, far) = duplex(PIPE);
    (Connection::new(near, Side::Client), Connection::new(far, Side::Server))
}

fn headers(kind: &str) -> Headers {
    vec![("streamtype".to_owned(), kind.to_owned())]
}

async fn text(mut from: impl AsyncRead + Unpin) -> String {
    let mut said = String::new();
    from.read_to_string(&mut said).await.unwrap();
    said
}

async fn say(mut to: impl AsyncWrite + Unpin, said: &str) {
    to.write_all(said.as_bytes()).await.unwrap();
    to.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_stream_is_half_closed_and_answers_afterwards() {
    let (client, server) = pair();
    let (mut mine, theirs) = tokio::join!(client.open(headers("data")), server.accept());
    let mine = mine.as_mut().unwrap();
    let mut theirs = theirs.unwrap();
    assert_eq!(theirs.headers, headers("data"));
    mine.write_all(b"question").await.unwrap();
    mine.shutdown().await.unwrap();
    assert_eq!(text(&mut theirs.stream).await, "question");
    say(&mut theirs.stream, "answer").await;
    assert_eq!(text(&mut *mine).await, "answer");
    assert!(mine.write_all(b"more").await.is_err(), "our half is closed");
}

#[tokio::test]
async fn megabytes_go_both_ways_at_once_on_many_streams() {
    let (client, server) = pair();
    let serving = tokio::spawn(async move {
        let mut echoes = Vec::new();
        for _ in 0..4 {
            let stream = server.accept().await.unwrap().stream;
            echoes.push(tokio::spawn(async move {
                let (mut from, mut to) = tokio::io::split(stream);
                tokio::io::copy(&mut from, &mut to).await.unwrap();
                to.shutdown().await.unwrap();
            }));
        }
        for echo in echoes {
            echo.await.unwrap();
        }
        server
    });
    let mut asking = Vec::new();
    for letter in [b'a', b'b', b'c', b'd'] {
        let (mut from, mut to) = tokio::io::split(client.open(headers("echo")).await.unwrap());
        let bytes = vec![letter; 1 << 20];
        let wants = bytes.clone();
        asking.push(tokio::spawn(async move {
            to.write_all(&bytes).await.unwrap();
            to.shutdown().await.unwrap();
        }));
        asking.push(tokio::spawn(async move {
            let mut found = Vec::new();
            from.read_to_end(&mut found).await.unwrap();
            assert!(found == wants, "stream {letter} came back changed");
        }));
    }
    for task in asking {
        task.await.unwrap();
    }
    drop(serving.await.unwrap());
}

#[tokio::test]
async fn a_dropped_stream_is_reset_and_the_connection_lives_on() {
    let (client, server) = pair();
    let (mine, theirs) = tokio::join!(client.open(headers("a")), server.accept());
    let mut mine = mine.unwrap();
    drop(theirs.unwrap().stream);
    let error = mine.read_u8().await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    let (mine, theirs) = tokio::join!(client.open(headers("b")), server.accept());
    say(mine.unwrap(), "still here").await;
    assert_eq!(text(theirs.unwrap().stream).await, "still here");
}

#[tokio::test]
async fn what_was_written_before_the_close_arrives() {
    let (client, server) = pair();
    let (mine, theirs) = tokio::join!(client.open(headers("a")), server.accept());
    let mut theirs = theirs.unwrap().stream;
    theirs.write_all(b"last words").await.unwrap();
    let closing = tokio::spawn(server.close());
    assert_eq!(text(mine.unwrap()).await, "last words");
    closing.await.unwrap();
    client.ended().await;
    assert!(client.open(headers("late")).await.is_err());
    assert!(client.accept().await.is_none());
}

/// A peer that speaks in frames, to say what no correct one says.
struct Raw {
    io: DuplexStream,
    deflater: Deflater,
    decoder: Decoder,
}

impl Raw {
    fn against_server() -> (Self, Connection) {
        let (io, far) = duplex(1 << 20);
        (Self { io, deflater: Deflater::default(), decoder: Decoder::default() }, Connection::new(far, Side::Server))
    }

    async fn send(&mut self, frame: Frame) {
        let mut out = BytesMut::new();
        encode(&frame, &mut out);
        self.io.write_all(&out).await.unwrap();
    }

    async fn open(&mut self, id: u32) {
        let block = self.deflater.block(&headers("data")).into();
        self.send(Frame::SynStream { id, fin: false, block }).await;
    }

    /// The next frame, `None` at the end of the connection.
    async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.decoder.decode().unwrap() {
                return Some(frame);
            }
            if self.io.read_buf(self.decoder.buffer()).await.unwrap() == 0 {
                return None;
            }
        }
    }
}

#[tokio::test]
async fn pings_are_answered_and_data_of_unknown_streams_is_dropped() {
    let (mut raw, _server) = Raw::against_server();
    raw.send(Frame::Data { id: 99, fin: true, bytes: Bytes::from_static(b"nobody") }).await;
    raw.send(Frame::RstStream { id: 99, status: 1 }).await;
    raw.send(Frame::WindowUpdate { id: 99, delta: 1 }).await;
    raw.send(Frame::Settings).await;
    raw.send(Frame::Ping(1)).await;
    assert_eq!(raw.next().await, Some(Frame::Ping(1)));
}

#[tokio::test]
async fn a_reply_carries_headers_that_can_be_read() {
    let (mut raw, server) = Raw::against_server();
    raw.open(1).await;
    let _held = server.accept().await.unwrap();
    let Some(Frame::SynReply { id: 1, fin: false, block }) = raw.next().await else { panic!("no reply") };
    assert_eq!(Inflater::default().headers(&block).unwrap(), Headers::new());
}

#[tokio::test]
async fn a_peer_that_breaks_the_rules_loses_the_connection() {
    let bad: [fn(&mut Raw) -> Frame; 4] = [
        |_| Frame::SynStream { id: 1, fin: false, block: Bytes::from_static(b"no zlib") },
        |raw| Frame::SynStream { id: 2, fin: false, block: raw.deflater.block(&Headers::new()).into() },
        |raw| Frame::SynStream {
            id: 1,
            fin: false,
            block: raw.deflater.block(&vec![("a".into(), "0".repeat(1 << 20))]).into(),
        },
        |_| Frame::Headers { id: 1, block: Bytes::new() },
    ];
    for frame in bad {
        let (mut raw, server) = Raw::against_server();
        let frame = frame(&mut raw);
        raw.send(frame.clone()).await;
        server.ended().await;
        assert!(server.accept().await.is_none(), "{frame:?}");
    }
    let (mut raw, server) = Raw::against_server();
    raw.open(3).await;
    raw.open(3).await;
    assert!(server.accept().await.is_some());
    server.ended().await;
}

#[tokio::test]
async fn streams_beyond_the_limit_are_refused_one_by_one() {
    let (mut raw, server) = Raw::against_server();
    let accepting = tokio::spawn(async move {
        let mut held = Vec::new();
        while let Some(incoming) = server.accept().await {
            held.push(incoming);
        }
        held.len()
    });
    let limit = u32::try_from(STREAMS_MAX).unwrap();
    for n in 0..=limit {
        raw.open(2 * n + 1).await;
        let answer = raw.next().await;
        match answer {
            Some(Frame::SynReply { id, .. }) => assert!(id < 2 * limit + 1),
            Some(Frame::RstStream { id, status }) => assert_eq!((id, status), (2 * limit + 1, 3)),
            other => panic!("{other:?}"),
        }
    }
    raw.send(Frame::GoAway { last: 0, status: 0 }).await;
    assert_eq!(accepting.await.unwrap(), STREAMS_MAX);
}

/// A command that repeats its input on both outputs and ends with a code.
async fn command(mut session: Session, code: u8) {
    let said = text(session.stdin.as_mut().unwrap()).await;
    session.stdout.as_mut().unwrap().write_all(said.to_uppercase().as_bytes()).await.unwrap();
    session.stderr.as_mut().unwrap().write_all(b"warning").await.unwrap();
    session.finish(&Outcome::Exit(code)).await.unwrap();
}

async fn ask(mut session: Session) -> (String, String, Outcome) {
    say(session.stdin.as_mut().unwrap(), "hello").await;
    let (stdout, stderr) = (session.stdout.take().unwrap(), session.stderr.take().unwrap());
    let (stdout, stderr, outcome) = tokio::join!(text(stdout), text(stderr), session.outcome());
    (stdout, stderr, outcome)
}

fn wants(code: u8) -> (String, String, Outcome) {
    ("HELLO".to_owned(), "warning".to_owned(), Outcome::Exit(code))
}

#[tokio::test]
async fn a_command_runs_over_spdy() {
    let (near, far) = duplex(PIPE);
    let server = async { command(Session::serve_spdy(far, ALL, Version::V4).await.unwrap(), 3).await };
    let client = async { ask(Session::connect_spdy(near, ALL).await.unwrap()).await };
    assert_eq!(tokio::join!(server, client).1, wants(3));
}

#[tokio::test]
async fn a_command_runs_over_websocket_and_version_5_ends_its_input() {
    let (near, far) = duplex(PIPE);
    let v5 = &PROTOCOLS[0];
    let server = async { command(Session::websocket(far, Side::Server, v5, ALL).await.unwrap(), 0).await };
    let client = async { ask(Session::websocket(near, Side::Client, v5, ALL).await.unwrap()).await };
    let (stdout, _, outcome) = tokio::join!(server, client).1;
    // Code 0 with a failure Status is what was asked for here; the Status travels as it is.
    assert_eq!((stdout.as_str(), outcome), ("HELLO", Outcome::Exit(0)));
}

#[tokio::test]
async fn a_command_is_bridged_from_websocket_to_a_runtime_that_speaks_spdy() {
    let ((client_io, near_io), (far_io, runtime_io)) = (duplex(PIPE), duplex(PIPE));
    let v5 = &PROTOCOLS[0];
    let runtime = async { command(Session::serve_spdy(runtime_io, ALL, Version::V4).await.unwrap(), 42).await };
    let kubelet = async {
        let near = Session::websocket(near_io, Side::Server, v5, ALL).await.unwrap();
        let far = Session::connect_spdy(far_io, ALL).await.unwrap();
        bridge(near, far).await.unwrap();
    };
    let client = async { ask(Session::websocket(client_io, Side::Client, v5, ALL).await.unwrap()).await };
    assert_eq!(tokio::join!(runtime, kubelet, client).2, wants(42));
}

#[tokio::test]
async fn a_runtime_that_resets_its_streams_when_the_command_has_ended_loses_nothing() {
    let ((client_io, near_io), (far_io, runtime_io)) = (duplex(PIPE), duplex(PIPE));
    let v5 = &PROTOCOLS[0];
    let runtime = async {
        let mut raw = Raw { io: runtime_io, deflater: Deflater::default(), decoder: Decoder::default() };
        let (mut inflater, mut opened) = (Inflater::default(), Vec::new());
        while opened.len() < 4 {
            let Some(Frame::SynStream { id, block, .. }) = raw.next().await else { continue };
            opened.push((id, inflater.headers(&block).unwrap()[0].1.clone()));
            let block = raw.deflater.block(&Headers::new()).into();
            raw.send(Frame::SynReply { id, fin: false, block }).await;
        }
        for (id, kind) in &opened {
            let bytes = match kind.as_str() {
                "stdout" => Bytes::from_static(b"HELLO"),
                "stderr" => Bytes::from_static(b"warning"),
                "error" => Outcome::Exit(42).to_json().into(),
                _ => continue,
            };
            raw.send(Frame::Data { id: *id, fin: false, bytes }).await;
        }
        // As containerd ends a command: every stream is reset, and the connection with them.
        for (id, _) in opened {
            raw.send(Frame::RstStream { id, status: 5 }).await;
        }
    };
    let kubelet = async {
        let near = Session::websocket(near_io, Side::Server, v5, ALL).await.unwrap();
        let far = Session::connect_spdy(far_io, ALL).await.unwrap();
        bridge(near, far).await.unwrap();
    };
    let client = async { ask(Session::websocket(client_io, Side::Client, v5, ALL).await.unwrap()).await };
    assert_eq!(tokio::join!(runtime, kubelet, client).2, wants(42));
}

#[tokio::test]
async fn a_client_that_leaves_ends_the_bridge_and_the_runtimes_session() {
    let ((client_io, near_io), (far_io, runtime_io)) = (duplex(PIPE), duplex(PIPE));
    let v5 = &PROTOCOLS[0];
    let kubelet = async {
        let near = Session::websocket(near_io, Side::Server, v5, ALL).await.unwrap();
        let far = Session::connect_spdy(far_io, ALL).await.unwrap();
        bridge(near, far).await.unwrap_err().to_string()
    };
    let runtime = async {
        let session = Session::serve_spdy(runtime_io, ALL, Version::V4).await.unwrap();
        drop(client_io);
        session.ended().await;
    };
    assert!(tokio::join!(kubelet, runtime).0.contains("the client left"));
}

#[tokio::test]
async fn a_terminal_has_sizes_and_no_error_output() {
    let want = Want { tty: true, ..ALL };
    let (near, far) = duplex(PIPE);
    let (client, server) = tokio::join!(Session::connect_spdy(near, want), Session::serve_spdy(far, want, Version::V4));
    let (mut client, mut server) = (client.unwrap(), server.unwrap());
    assert!(server.stderr.is_none());
    let mut to = client.resize.take().unwrap();
    let sizes = [Size { width: 80, height: 24 }, Size { width: 132, height: 50 }];
    for size in sizes {
        to.write_all(&size.to_json()).await.unwrap();
    }
    to.shutdown().await.unwrap();
    let mut found = Sizes::new(server.resize.take().unwrap());
    assert_eq!(found.next().await.unwrap(), Some(sizes[0]));
    assert_eq!(found.next().await.unwrap(), Some(sizes[1]));
    assert_eq!(found.next().await.unwrap(), None);
    assert!(Sizes::new(&b"{\"Width\":1}"[..]).next().await.is_err());
    assert!(Sizes::new(&b"nonsense"[..]).next().await.is_err());
    assert!(Sizes::new(&b" ".repeat(5000)[..]).next().await.is_err());
}

#[tokio::test]
async fn a_stream_that_was_not_agreed_ends_the_session() {
    for kinds in [&["error", "stdin", "video"][..], &["error", "stdin", "stdin"]] {
        let (near, far) = duplex(PIPE);
        let client = Connection::new(near, Side::Client);
        let opening = async {
            let mut held = Vec::new();
            for kind in kinds {
                held.push(client.open(headers(kind)).await);
            }
            held
        };
        let (_held, served) = tokio::join!(opening, Session::serve_spdy(far, ALL, Version::V4));
        assert!(served.unwrap_err().to_string().contains("the client opened"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_opens_nothing_is_given_up() {
    let (_near, far) = duplex(PIPE);
    let served = Session::serve_spdy(far, ALL, Version::V4).await;
    assert!(served.unwrap_err().to_string().contains("waiting for the streams"));
}

/// Forwards every connection to an echo, but refuses port 99.
async fn forwarding(mut forwards: Forwards) {
    while let Some(forward) = forwards.accept().await {
        tokio::spawn(async move {
            if forward.port == 99 {
                return forward.fail("connection refused").await.unwrap();
            }
            let (near, far) = duplex(PIPE);
            tokio::spawn(async move {
                let (mut from, mut to) = tokio::io::split(far);
                tokio::io::copy(&mut from, &mut to).await.unwrap();
                to.shutdown().await.unwrap();
            });
            forward.run(near).await.unwrap();
        });
    }
}

async fn check_forwarding(client: Forwards) {
    let (first, second) = tokio::join!(client.open(80), client.open(8080));
    for (forward, said) in [(first.unwrap(), "one"), (second.unwrap(), "two")] {
        let Forward { mut data, error, .. } = forward;
        say(&mut data, said).await;
        assert_eq!(text(data).await, said);
        assert_eq!(Forward::report(error).await.unwrap(), "");
    }
    let refused = client.open(99).await.unwrap();
    assert_eq!(Forward::report(refused.error).await.unwrap(), "connection refused");
    client.close().await;
}

#[tokio::test]
async fn ports_are_forwarded_over_spdy() {
    let (near, far) = duplex(PIPE);
    tokio::join!(forwarding(Forwards::new(far, Side::Server)), check_forwarding(Forwards::new(near, Side::Client)));
}

#[tokio::test]
async fn ports_are_forwarded_over_spdy_inside_a_websocket() {
    let (near, far) = duplex(PIPE);
    let server = async { forwarding(Forwards::new(Tunnel::new(far, Side::Server).await, Side::Server)).await };
    let client = async { check_forwarding(Forwards::new(Tunnel::new(near, Side::Client).await, Side::Client)).await };
    tokio::join!(server, client);
}

#[tokio::test]
async fn clients_without_request_ids_are_paired_by_their_numbers() {
    let (near, far) = duplex(PIPE);
    let client = Connection::new(near, Side::Client);
    let mut server = Forwards::new(far, Side::Server);
    let header = |kind: &str| -> Headers { vec![("streamtype".into(), kind.into()), ("port".into(), "80".into())] };
    let opening = async { (client.open(header("error")).await.unwrap(), client.open(header("data")).await.unwrap()) };
    let ((_error, data), forward) = tokio::join!(opening, server.accept());
    assert_eq!(forward.unwrap().data.id(), data.id());
}

#[tokio::test]
async fn channels_name_their_ports_first() {
    let (near, far) = duplex(PIPE);
    let v4 = &PROTOCOLS[1];
    let (_client, mut streams) = crate::websocket::channels(near, Side::Client, v4, 4).await;
    let (_server, mut forwards) = serve_channels(far, v4, &[80, 8080]).await.unwrap();
    for (n, port) in [(0, 80u16), (1, 80), (2, 8080), (3, 8080)] {
        assert_eq!(streams[n].read_u16_le().await.unwrap(), port, "channel {n}");
    }
    forwards[1].data.write_all(b"hello").await.unwrap();
    let mut found = [0; 5];
    streams[2].read_exact(&mut found).await.unwrap();
    assert_eq!(&found, b"hello");
}
