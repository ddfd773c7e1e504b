//! Against resolvers of our own on 127.0.0.1: one that answers, lies, truncates, or is silent.

use super::*;
use hickory_proto::op::Query;
use hickory_proto::rr::rdata::A;
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use std::net::Ipv4Addr;
use std::str::FromStr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};

fn key(name: &str) -> Key {
    let name = Name::from_str(name).expect("a name");
    Key { name, asked: RecordType::A, class: DNSClass::IN, dnssec_ok: false, checking_disabled: false }
}

fn reply(question: &Message, last: u8) -> Message {
    let mut reply = Message::response(question.metadata.id, OpCode::Query);
    reply.queries.clone_from(&question.queries);
    let name = question.queries[0].name().clone();
    reply.add_answer(Record::from_rdata(name, 60, RData::A(A(Ipv4Addr::new(1, 2, 3, last)))));
    reply
}

/// A resolver that sends what `answer` makes of each question; the second value counts questions.
async fn resolver(answer: fn(&Message) -> Vec<Message>) -> (SocketAddr, Arc<AtomicUsize>) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
    let address = socket.local_addr().expect("an address");
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = asked.clone();
    tokio::spawn(async move {
        let mut buffer = [0u8; 2048];
        loop {
            let (length, client) = socket.recv_from(&mut buffer).await.expect("a question");
            counter.fetch_add(1, Ordering::SeqCst);
            for reply in answer(&Message::from_vec(&buffer[..length]).expect("a message")) {
                socket.send_to(&reply.to_vec().expect("bytes"), client).await.expect("sent");
            }
        }
    });
    (address, asked)
}

fn forwarder(resolvers: &[SocketAddr]) -> Arc<Forwarder> {
    let forwarder = Arc::new(Forwarder::default());
    forwarder.use_resolvers(resolvers);
    forwarder
}

fn last_byte(message: &Arc<Message>) -> u8 {
    match &message.answers[0].data {
        RData::A(A(address)) => address.octets()[3],
        other => panic!("not an address: {other}"),
    }
}

#[tokio::test]
async fn an_answer_is_kept_and_many_who_ask_at_once_ask_once() {
    let (address, asked) = resolver(|q| vec![reply(q, 4)]).await;
    let forwarder = forwarder(&[address]);
    let all = (0..20).map(|_| forwarder.resolve(key("a.example.")));
    for answer in futures_util::future::join_all(all).await {
        assert_eq!(last_byte(&answer), 4);
    }
    assert_eq!(last_byte(&forwarder.resolve(key("a.example.")).await), 4);
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn answers_with_a_wrong_id_or_question_are_read_past() {
    let (address, _) = resolver(|question| {
        let mut wrong_id = reply(question, 66);
        wrong_id.metadata.id = wrong_id.metadata.id.wrapping_add(1);
        let mut wrong_name = reply(question, 67);
        wrong_name.queries = vec![Query::query(Name::from_str("evil.example.").expect("a name"), RecordType::A)];
        vec![wrong_id, wrong_name, reply(question, 4)]
    })
    .await;
    assert_eq!(last_byte(&forwarder(&[address]).resolve(key("a.example.")).await), 4);
}

#[tokio::test]
async fn a_truncated_answer_is_fetched_by_tcp() {
    let (address, _) = resolver(|question| {
        let mut short = reply(question, 1);
        short.metadata.truncation = true;
        short.answers.clear();
        vec![short]
    })
    .await;
    let listener = TcpListener::bind(address).await.expect("the same port over TCP");
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let length = stream.read_u16().await.expect("a length");
        let mut buffer = vec![0u8; usize::from(length)];
        stream.read_exact(&mut buffer).await.expect("a question");
        let bytes = reply(&Message::from_vec(&buffer).expect("a message"), 9).to_vec().expect("bytes");
        stream.write_u16(bytes.len() as u16).await.expect("sent");
        stream.write_all(&bytes).await.expect("sent");
    });
    assert_eq!(last_byte(&forwarder(&[address]).resolve(key("a.example.")).await), 9);
}

#[tokio::test]
async fn a_resolver_that_fails_is_passed_over_and_failures_are_not_kept() {
    let (bad, asked) = resolver(|question| {
        let mut failed = reply(question, 1);
        failed.answers.clear();
        failed.metadata.response_code = ResponseCode::ServFail;
        vec![failed]
    })
    .await;
    let (good, _) = resolver(|q| vec![reply(q, 5)]).await;
    assert_eq!(last_byte(&forwarder(&[bad, good]).resolve(key("a.example.")).await), 5);
    let alone = forwarder(&[bad]);
    let before = asked.load(Ordering::SeqCst);
    for _ in 0..2 {
        let answer = alone.resolve(key("a.example.")).await;
        assert_eq!(answer.metadata.response_code, ResponseCode::ServFail);
    }
    assert_eq!(asked.load(Ordering::SeqCst) - before, 2 * ROUNDS);
}

#[tokio::test]
async fn no_resolver_is_a_failure_at_once() {
    let answer = forwarder(&[]).resolve(key("a.example.")).await;
    assert_eq!(answer.metadata.response_code, ResponseCode::ServFail);
}

#[tokio::test]
async fn a_silent_resolver_costs_three_waits_and_then_nothing() {
    let (address, asked) = resolver(|_| Vec::new()).await;
    let forwarder = forwarder(&[address]);
    for n in 0..4 {
        let answer = forwarder.resolve(key(&format!("n{n}.example."))).await;
        assert_eq!(answer.metadata.response_code, ResponseCode::ServFail);
    }
    // Two rounds for the first name, one for the second; the others fail without a packet, or after a second with one
    // probe: a machine under load may take longer than the pause between two names.
    let packets = asked.load(Ordering::SeqCst);
    assert!((SILENCES_MAX as usize..6).contains(&packets), "{packets} packets for 4 names, 8 without a breaker");
}

#[tokio::test]
async fn other_resolvers_are_used_and_old_answers_forgotten() {
    let (first, _) = resolver(|q| vec![reply(q, 1)]).await;
    let (second, _) = resolver(|q| vec![reply(q, 2)]).await;
    let forwarder = forwarder(&[first]);
    assert_eq!(last_byte(&forwarder.resolve(key("a.example.")).await), 1);
    forwarder.use_resolvers(&[second]);
    assert_eq!(last_byte(&forwarder.resolve(key("a.example.")).await), 2);
}

#[test]
fn kept_answers_age_leave_and_are_bounded() {
    let question = |n: usize| {
        let mut message = Message::query();
        message.add_query(Query::query(Name::from_str(&format!("n{n}.example.")).expect("a name"), RecordType::A));
        message
    };
    let (mut cache, start) = (Cache::default(), Instant::now());
    for n in 0..=ENTRIES_MAX {
        cache.put(key(&format!("n{n}.example.")), Arc::new(reply(&question(n), 1)), start);
    }
    assert!(cache.get(&key("n0.example."), start).is_none(), "the oldest left");
    let later = cache.get(&key("n1.example."), start + Duration::from_secs(25)).expect("still there");
    assert_eq!(later.answers[0].ttl, 35);
    assert!(cache.get(&key("n1.example."), start + Duration::from_secs(60)).is_none());
}
