//! A load against a machine that is played: one thread, one connection at a time, breaking off when it is told to.

use super::window::BLOCK;
use super::{By, Loaded, Road, Way, load};
use crate::archive::{Archive, Blob, Descriptor, Form, Image, Members, Packed, Source};
use crate::cluster::access::Api;
use crate::cluster::{Cluster, emulator};
use crate::exit::{Code, Failure};
use crate::interrupt::Interrupt;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex};

/// What the machine has and does.
#[derive(Default)]
struct Machine {
    blobs: BTreeMap<String, Vec<u8>>,
    sizes: BTreeMap<String, u64>,
    /// What came through its window, by kind and digest.
    parts: BTreeMap<String, Vec<u8>>,
    /// Bytes of the next blob after which the connection breaks.
    breaks_after: Option<usize>,
    /// What it says to the last step instead of making the image.
    says: Option<(u16, &'static str)>,
    requests: Vec<String>,
    /// The digests of pieces as they came.
    order: Vec<String>,
    /// The manifests that were told with them.
    manifests: Vec<String>,
    /// Whether it loses every blob that came through its window.
    forgets: bool,
    /// Its disk, where it has a window.
    disk: Option<Disk>,
}

/// A disk with a window in two places, the first part of which is the later one.
struct Disk {
    file: std::fs::File,
    /// Whether somebody else's load is marked there.
    is_strange: bool,
}

const HALF: u64 = 3 * BLOCK;
const PLACES: [u64; 2] = [8 * BLOCK, BLOCK];

impl Disk {
    fn offer(&self) -> Value {
        for (index, at) in PLACES.iter().enumerate() {
            let load = if self.is_strange { "1" } else { "0" };
            self.file.write_all_at(format!("skerry window {load} 0 {index}\n\0").as_bytes(), *at).unwrap();
        }
        json!({ "places": PLACES.map(|at| json!({ "at": at, "length": HALF })) })
    }

    /// The window as its file shows it.
    fn window(&self) -> Vec<u8> {
        let mut window = vec![0; 2 * HALF as usize];
        let (first, second) = window.split_at_mut(HALF as usize);
        self.file.read_exact_at(first, PLACES[0]).unwrap();
        self.file.read_exact_at(second, PLACES[1]).unwrap();
        window
    }
}

impl Machine {
    /// Takes what is in its window.
    fn take(&mut self, question: &Value) {
        let window = self.disk.as_ref().unwrap().window();
        let mark = format!("skerry window 0 {} 0\n\0", question["serial"]);
        assert!(window.starts_with(mark.as_bytes()), "no {mark:?}");
        self.manifests.push(question["manifest"]["digest"].as_str().unwrap().to_owned());
        for piece in question["pieces"].as_array().unwrap() {
            self.order.push(piece["digest"].as_str().unwrap().to_owned());
            let number = |key: &str| piece[key].as_u64().unwrap() as usize;
            assert!(number("at").is_multiple_of(BLOCK as usize) && number("at") > 0);
            let name = format!("{} {}", piece["kind"].as_str().unwrap(), piece["digest"].as_str().unwrap());
            let part = self.parts.entry(name).or_default();
            assert_eq!(part.len(), number("offset"));
            part.extend_from_slice(&window[number("at")..number("at") + number("length")]);
            if piece["last"] == true && piece["kind"] == "blob" && !self.forgets {
                self.blobs.insert(piece["digest"].as_str().unwrap().to_owned(), part.clone());
            }
        }
    }
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
            let window = self.disk.as_ref().filter(|_| question["window"] == true).map(Disk::offer);
            return (200, json!({ "load": "0", "missing": missing, "window": window }));
        }
        if target.ends_with("/pieces") {
            if let Some((code, message)) = self.says.take() {
                return (code, json!({ "kind": "Status", "message": message }));
            }
            self.take(&question);
            return (200, json!({}));
        }
        match self.says.take() {
            Some((code, message)) => (code, json!({ "kind": "Status", "message": message })),
            None if self.sizes.keys().any(|digest| !self.blobs.contains_key(digest)) => {
                (404, json!({ "kind": "Status", "message": "a blob has not been sent" }))
            }
            None => (200, json!({ "names": question["names"], "id": "i", "digest": question["manifest"]["digest"] })),
        }
    }
}

fn image(contents: &[&[u8]]) -> (Archive, Image) {
    let blob = |content: &&[u8]| {
        let described = Descriptor::of("x", content);
        let source = Source::Bytes(content.to_vec());
        Blob { digest: described.digest, size: described.size, source, is_checked: false }
    };
    let manifest = Descriptor::of("m", contents[0]);
    let image = Image {
        names: vec![],
        manifest,
        id: "i".to_owned(),
        blobs: contents.iter().map(blob).collect(),
        packed: BTreeMap::new(),
    };
    let members = Members::read(tempfile::tempfile().unwrap(), "x.tar").unwrap();
    (Archive { members, images: vec![image.clone()] }, image)
}

fn run(api: &Api, contents: &[&[u8]]) -> anyhow::Result<Loaded> {
    let (archive, image) = image(contents);
    let road = Road { api, way: None, interrupt: &Interrupt::never(), progress: &|_, _| () };
    load(&road, &archive, &image, &["app:1".to_owned()])
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

/// A cluster's folder with a disk, and the machine that has that disk.
fn at_hand(says: Option<(u16, &'static str)>, is_strange: bool) -> (tempfile::TempDir, Arc<Mutex<Machine>>, Api, Way) {
    let folder = tempfile::tempdir().unwrap();
    let cluster = Cluster { name: "x".to_owned(), folder: folder.path().to_owned() };
    let options = std::fs::File::options().create(true).truncate(true).read(true).write(true).clone();
    let file = options.open(cluster.path(emulator::DISK)).unwrap();
    file.set_len(16 * BLOCK).unwrap();
    let way = Way::to(&cluster).unwrap();
    assert!(Way::to(&cluster).is_none(), "one load has it at a time");
    let (machine, api) = machine(Machine { says, disk: Some(Disk { file, is_strange }), ..Machine::default() });
    (folder, machine, api, way)
}

fn run_by(api: &Api, way: &Way, archive: &Archive, image: &Image) -> anyhow::Result<Loaded> {
    let road = Road { api, way: Some(way), interrupt: &Interrupt::never(), progress: &|_, _| () };
    load(&road, archive, image, &["app:1".to_owned()])
}

#[test]
fn what_is_missing_goes_through_the_window_of_a_machine_at_hand() {
    let (_folder, machine, api, way) = at_hand(None, false);
    let large: Vec<u8> = (0..5 * HALF + 77).map(|at| (at / 3) as u8).collect();
    let exact = vec![6; 2 * BLOCK as usize];
    let (archive, image) = image(&[b"one", &large, &exact, b""]);
    let loaded = run_by(&api, &way, &archive, &image).unwrap();
    assert_eq!((loaded.by, loaded.sent), (By::Disk, large.len() as u64 + exact.len() as u64 + 3));
    let machine = machine.lock().unwrap();
    for content in [&b"one"[..], &large, &exact, b""] {
        assert!(machine.blobs[&Descriptor::of("", content).digest] == content, "{} bytes", content.len());
    }
    assert!(!machine.requests.iter().any(|line| line.starts_with("PUT")), "{:?}", machine.requests);
}

#[test]
fn a_compressed_layer_goes_through_the_window_unpacked_too() {
    let (_folder, machine, api, way) = at_hand(None, false);
    let content = vec![9; 70_000];
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(&content).unwrap();
    let blob = encoder.finish().unwrap();
    let (archive, mut image) = image(&[&blob]);
    let diff = Descriptor::of("", &content).digest;
    image.packed.insert(image.blobs[0].digest.clone(), Packed { form: Form::Gzip, diff: diff.clone() });
    assert_eq!(run_by(&api, &way, &archive, &image).unwrap().sent, blob.len() as u64);
    assert!(machine.lock().unwrap().parts[&format!("layer {diff}")] == content);
    image.packed.values_mut().next().unwrap().diff = Descriptor::of("", b"another").digest;
    machine.lock().unwrap().blobs.clear();
    let failure = Failure::of(run_by(&api, &way, &archive, &image).unwrap_err());
    assert!(failure.code == Code::Refused && failure.message.contains("unpacks to"), "{}", failure.message);
}

#[test]
fn a_blob_that_is_not_what_its_digest_says_is_never_whole_on_the_machine() {
    let (_folder, machine, api, way) = at_hand(None, false);
    let (archive, mut image) = image(&[b"one", &vec![5; 9 * BLOCK as usize]]);
    image.blobs[1].source = Source::Bytes(vec![6; 9 * BLOCK as usize]);
    let failure = Failure::of(run_by(&api, &way, &archive, &image).unwrap_err());
    assert_eq!(failure.code, Code::Refused);
    assert!(failure.message.contains("its content has the digest"), "{}", failure.message);
    let machine = machine.lock().unwrap();
    assert!(!machine.blobs.contains_key(&image.blobs[1].digest) && !machine.parts.is_empty());
    assert!(!machine.requests.iter().any(|line| line.contains("/skerry/v1/images ")), "{:?}", machine.requests);
}

#[test]
fn the_machine_is_told_the_manifest_and_gets_it_first() {
    let (_folder, machine, api, way) = at_hand(None, false);
    let (archive, mut image) = image(&[b"layer", b"config", b"manifest"]);
    image.id.clone_from(&image.blobs[1].digest);
    image.manifest = Descriptor::of("m", b"manifest");
    run_by(&api, &way, &archive, &image).unwrap();
    let machine = machine.lock().unwrap();
    assert_eq!(machine.order.last(), Some(&image.blobs[0].digest), "{:?}", machine.order);
    // Each half holds two of them.
    assert_eq!(machine.manifests, [image.manifest.digest.clone(), image.manifest.digest]);
}

#[test]
fn a_window_that_is_not_this_load_s_is_left_alone() {
    let (folder, machine, api, way) = at_hand(None, true);
    let before = std::fs::read(folder.path().join(emulator::DISK)).unwrap();
    let (archive, image) = image(&[b"one"]);
    assert_eq!(run_by(&api, &way, &archive, &image).unwrap().by, By::Network);
    let after = std::fs::read(folder.path().join(emulator::DISK)).unwrap();
    // The machine has written its marks since, and nobody anything else.
    let used = |bytes: &[u8]| bytes.chunks(BLOCK as usize).filter(|block| block.iter().any(|byte| *byte != 0)).count();
    assert_eq!((used(&before), used(&after)), (0, PLACES.len()));
    assert_eq!(machine.lock().unwrap().blobs.len(), 1);
}

#[test]
fn a_machine_that_does_not_take_its_window_is_served_over_the_network() {
    for code in [409, 400, 500] {
        let (_folder, machine, api, way) = at_hand(Some((code, "not this time")), false);
        let (archive, image) = image(&[b"one"]);
        assert_eq!(run_by(&api, &way, &archive, &image).unwrap().by, By::Network);
        let machine = machine.lock().unwrap();
        let count = |what: &str| machine.requests.iter().filter(|line| line.contains(what)).count();
        assert_eq!((count("/pieces"), count("PUT")), (1, 1), "{code}");
    }
}

#[test]
fn a_machine_that_lacks_what_went_through_its_window_is_served_over_the_network() {
    let (_folder, machine, api, way) = at_hand(None, false);
    machine.lock().unwrap().forgets = true;
    let (archive, image) = image(&[b"one"]);
    assert_eq!(run_by(&api, &way, &archive, &image).unwrap().by, By::Network);
    assert_eq!(machine.lock().unwrap().blobs.len(), 1);
}
