//! A load against a machine that is played: one thread, one connection at a time, breaking off when it is told to.

use super::{Loaded, load};
use crate::archive::{Archive, Blob, Descriptor, Image, Members, Source};
use crate::cluster::access::Api;
use crate::exit::{Code, Failure};
use crate::interrupt::Interrupt;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// What the machine has and does.
#[derive(Default)]
struct Machine {
    blobs: BTreeMap<String, Vec<u8>>,
    sizes: BTreeMap<String, u64>,
    /// Bytes of the next blob after which the connection breaks.
    breaks_after: Option<usize>,
    /// What it says to the last step instead of making the image.
    says: Option<(u16, &'static str)>,
    requests: Vec<String>,
}

/// Starts one; it serves until the test's process ends.
fn machine(machine: Machine) -> (Arc<Mutex<Machine>>, Api) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let api = Api::plain(&format!("http://{}", listener.local_addr().unwrap()));
    let shared = Arc::new(Mutex::new(machine));
    let served = shared.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, served) = (stream.unwrap(), served.clone());
            std::thread::spawn(move || while serve(&stream, &served).is_some() {});
        }
    });
    (shared, api)
}

/// One request; `None` when the connection is over.
fn serve(stream: &TcpStream, machine: &Mutex<Machine>) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut first = String::new();
    reader.read_line(&mut first).ok().filter(|length| *length > 0)?;
    let (mut length, mut chunked) = (0, false);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        if line.trim().is_empty() {
            break;
        }
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        chunked |= line.to_lowercase().starts_with("transfer-encoding: chunked");
    }
    let mut machine = machine.lock().unwrap();
    machine.requests.push(first.trim().to_owned());
    let target = first.split(' ').nth(1).unwrap().to_owned();
    let stop = if first.starts_with("PUT") { machine.breaks_after.take() } else { None };
    let mut body = vec![0; stop.unwrap_or(length).min(length)];
    reader.read_exact(&mut body).ok()?;
    while chunked {
        let mut size = String::new();
        reader.read_line(&mut size).ok()?;
        let mut chunk = vec![0; usize::from_str_radix(size.trim(), 16).unwrap() + 2];
        reader.read_exact(&mut chunk).ok()?;
        chunked = chunk.len() > 2;
        body.extend_from_slice(&chunk[..chunk.len() - 2]);
    }
    let (code, answer) = machine.answer(&first, &target, &body);
    if stop.is_some() {
        return None;
    }
    let answer = answer.to_string();
    let mut stream = stream;
    write!(stream, "HTTP/1.1 {code} X\r\ncontent-length: {}\r\n\r\n{answer}", answer.len()).ok()
}

impl Machine {
    fn answer(&mut self, first: &str, target: &str, body: &[u8]) -> (u16, Value) {
        if first.starts_with("PUT") {
            let digest = target.trim_start_matches("/skerry/v1/images/blobs/").split('?').next().unwrap();
            self.blobs.entry(digest.to_owned()).or_default().extend_from_slice(body);
            return (200, json!({}));
        }
        let question: Value = serde_json::from_slice(body).unwrap();
        if target.ends_with("/missing") {
            for blob in question["blobs"].as_array().unwrap() {
                self.sizes.insert(blob["digest"].as_str().unwrap().to_owned(), blob["size"].as_u64().unwrap());
            }
            let arrived = |digest: &String| self.blobs.get(digest).map_or(0, Vec::len) as u64;
            let missing: Vec<Value> = self
                .sizes
                .iter()
                .filter(|(digest, size)| !self.blobs.contains_key(*digest) || arrived(digest) < **size)
                .map(|(digest, _)| json!({ "digest": digest, "offset": arrived(digest) }))
                .collect();
            return (200, json!({ "load": "0", "missing": missing }));
        }
        match self.says.take() {
            Some((code, message)) => (code, json!({ "kind": "Status", "message": message })),
            None => (200, json!({ "names": question["names"], "id": "i", "digest": question["manifest"]["digest"] })),
        }
    }
}

fn image(contents: &[&[u8]]) -> (Archive, Image) {
    let blob = |content: &&[u8]| {
        let described = Descriptor::of("x", content);
        Blob { digest: described.digest, size: described.size, source: Source::Bytes(content.to_vec()) }
    };
    let manifest = Descriptor::of("m", contents[0]);
    let image = Image { names: vec![], manifest, id: "i".to_owned(), blobs: contents.iter().map(blob).collect() };
    let members = Members::read(tempfile::tempfile().unwrap(), "x.tar").unwrap();
    (Archive { members, images: vec![image.clone()] }, image)
}

fn run(api: &Api, contents: &[&[u8]]) -> anyhow::Result<Loaded> {
    let (archive, image) = image(contents);
    load(api, &archive, &image, &["app:1".to_owned()], &Interrupt::never(), &|_, _| ())
}

#[test]
fn only_what_the_cluster_lacks_is_sent() {
    let (machine, api) = machine(Machine::default());
    assert_eq!(run(&api, &[b"one", b"two!"]).unwrap().sent, 7);
    assert_eq!(run(&api, &[b"one", b"two!", b"three"]).unwrap().sent, 5);
    let machine = machine.lock().unwrap();
    assert_eq!(machine.blobs[&Descriptor::of("", b"three").digest], b"three");
}

#[test]
fn a_blob_that_broke_off_is_continued_and_not_repeated() {
    let (machine, api) = machine(Machine { breaks_after: Some(1000), ..Machine::default() });
    let content = vec![5; 3_000_000];
    let loaded = run(&api, &[&content]).unwrap();
    assert_eq!(loaded.names, ["app:1"]);
    let machine = machine.lock().unwrap();
    assert_eq!(machine.blobs.values().next().unwrap(), &content);
    let puts: Vec<&String> = machine.requests.iter().filter(|line| line.starts_with("PUT")).collect();
    assert!(puts[0].contains("&offset=0 ") && puts[1].contains("&offset=1000 "), "{puts:?}");
}

#[test]
fn what_the_machine_refuses_ends_the_load_in_its_words() {
    let (_machine, api) = machine(Machine { says: Some((400, "names: none")), ..Machine::default() });
    let failure = Failure::of(run(&api, &[b"one"]).unwrap_err());
    assert_eq!((failure.code, failure.message.as_str()), (Code::Refused, "names: none"));
    let (_machine, api) = self::machine(Machine { says: Some((503, "containerd restarts")), ..Machine::default() });
    assert!(run(&api, &[b"one"]).is_ok(), "a machine that is busy is asked again");
}

#[test]
fn a_machine_that_asks_for_what_it_was_not_told_of_gets_nothing() {
    let (machine, api) = machine(Machine::default());
    machine.lock().unwrap().sizes.insert("sha256:secret".to_owned(), 9);
    let (_, image) = image(&[b"one"]);
    let missing = [super::Missing { digest: "sha256:secret".to_owned(), offset: 0 }];
    assert!(super::send::wanted(&image, &missing).is_err());
    drop(api);
}
