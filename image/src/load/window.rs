//! The way through the machine's disk: the machine tells where a file of its own, the window, lies on it, and what is
//! missing is written there, beneath its file system. On an emulated processor that is many times quicker than the
//! network: nothing has to be encrypted and hashed there, and compressed layers are unpacked here.
//!
//! Nothing is written before the machine's mark of this very load was read from every place that it named: that shows
//! that disk and places are the right ones. One load of a cluster at a time has its window; others take the network.

use super::Road;
use super::send::{Wanted, reader};
use super::stream::Stream;
use crate::archive::{Image, Members};
use crate::cluster::access::json_of;
use crate::cluster::{self, Cluster, emulator};
use anyhow::{Context, Result};
use nix::fcntl::Flock;
use serde::Deserialize;
use serde_json::{Value, json};
use std::fs::File;
use std::os::unix::fs::FileExt;

/// Lengths and offsets in the window are multiples of this many bytes; its first block is for the mark.
pub const BLOCK: u64 = 4096;
/// Places that a window may lie in; the machine looks for at most 32.
const PLACES_MAX: usize = 64;
/// The largest window that is believed in.
const WINDOW_BYTES_MAX: u64 = 1 << 30;
/// Held by the load that has the window.
const LOCK: &str = "window.lock";

/// Where the machine says that its window is.
#[derive(Debug, Deserialize)]
pub struct Offer {
    places: Vec<Place>,
}

/// A stretch of the disk, in bytes.
#[derive(Clone, Copy, Debug, Deserialize)]
struct Place {
    at: u64,
    length: u64,
}

/// The disk of a machine on this host, for one load at a time.
pub struct Way {
    disk: File,
    _lock: Flock<File>,
}

impl Way {
    /// That of a cluster; none when it has no disk that can be written here, or another load has its window.
    pub fn to(cluster: &Cluster) -> Option<Way> {
        let disk = File::options().read(true).write(true).open(cluster.path(emulator::DISK)).ok()?;
        let lock = cluster::lock(&cluster.path(LOCK)).ok()??;
        Some(Way { disk, _lock: lock })
    }

    /// The window of a load, if it is where the machine says.
    pub fn window<'a>(&'a self, load: &'a str, offer: &Offer) -> Option<Window<'a>> {
        let bytes: u64 = offer.places.iter().map(|place| place.length.min(WINDOW_BYTES_MAX)).sum();
        let is_sound = offer.places.len() <= PLACES_MAX && (2 * BLOCK..=WINDOW_BYTES_MAX).contains(&bytes);
        let is_marked = |(index, place): (usize, &Place)| {
            let mark = mark(load, 0, index);
            let mut found = vec![0; mark.len() + 1];
            self.disk.read_exact_at(&mut found, place.at).is_ok() && found == [mark.as_bytes(), b"\0"].concat()
        };
        let is_ours = is_sound && offer.places.iter().enumerate().all(is_marked);
        is_ours.then(|| Window { disk: &self.disk, load, places: offer.places.clone(), bytes, serial: 0 })
    }
}

/// The mark of a filling at a place; 0 is the machine's own. The same text is in `kubelet::images::landing::window`.
fn mark(load: &str, serial: u64, index: usize) -> String {
    format!("skerry window {load} {serial} {index}\n")
}

/// A window that was found.
pub struct Window<'a> {
    disk: &'a File,
    load: &'a str,
    places: Vec<Place>,
    bytes: u64,
    serial: u64,
}

impl Window<'_> {
    /// Writes bytes at a place in the window.
    fn write(&self, mut content: &[u8], at: u64) -> std::io::Result<()> {
        let mut begins = 0;
        for place in &self.places {
            let inside = (at.max(begins) - begins).min(place.length);
            let length = usize::try_from(place.length - inside).unwrap_or(usize::MAX).min(content.len());
            // What came before is written, so the rest begins where this place does.
            if begins + place.length > at && length > 0 {
                self.disk.write_all_at(&content[..length], place.at + inside)?;
                content = &content[length..];
            }
            begins += place.length;
        }
        Ok(())
    }
}

/// Sends all that is wanted. `sent` grows by the bytes of blobs.
///
/// # Errors
/// `Refused` when a layer does not unpack to what the configuration says; what disk and machine say.
pub fn all(
    road: &Road,
    window: Window,
    members: &Members,
    image: &Image,
    wanted: &[Wanted],
    sent: &mut u64,
) -> Result<()> {
    let packed = |wanted: &Wanted| image.packed.get(&wanted.blob.digest);
    // A compressed layer is read twice: for what is unpacked, and for what is kept.
    let bytes = |wanted: &Wanted| wanted.blob.size * if packed(wanted).is_some() { 2 } else { 1 };
    let mut filling =
        Filling { road, window, at: BLOCK, pieces: Vec::new(), done: 0, total: wanted.iter().map(bytes).sum() };
    for wanted in wanted {
        if let Some(packed) = packed(wanted) {
            let content = reader(members, wanted.blob, 0)?;
            filling.add(Stream::unpacked(content, packed, &wanted.blob.digest)?)?;
        }
        filling.add(Stream::blob(reader(members, wanted.blob, 0)?, wanted.blob))?;
        *sent += wanted.blob.size;
    }
    filling.hand_over()
}

/// The window as it is filled.
struct Filling<'a> {
    road: &'a Road<'a>,
    window: Window<'a>,
    /// Where the next piece begins.
    at: u64,
    pieces: Vec<Value>,
    done: u64,
    total: u64,
}

impl Filling<'_> {
    /// Puts a whole stream in, handing the window over as often as it is full.
    fn add(&mut self, mut stream: Stream) -> Result<()> {
        let mut offset = 0;
        loop {
            if self.at >= self.window.bytes {
                self.hand_over()?;
            }
            let (begins, mut length) = (self.at, 0);
            while self.at < self.window.bytes && !stream.is_over() {
                self.road.interrupt.check()?;
                let chunk = stream.next(self.window.bytes - self.at)?;
                self.window.write(chunk, self.at).context("writing to the machine's disk")?;
                length += chunk.len() as u64;
                self.at = begins + length.next_multiple_of(BLOCK);
                (self.road.progress)(self.done + stream.consumed(), self.total);
            }
            let (kind, digest, last) = (stream.kind(), stream.digest(), stream.is_over());
            self.pieces.push(json!({
                "kind": kind, "digest": digest, "offset": offset, "length": length, "at": begins, "last": last,
            }));
            offset += length;
            if last {
                self.done += stream.consumed();
                return stream.check();
            }
        }
    }

    /// Marks the window and has the machine take what is in it.
    fn hand_over(&mut self) -> Result<()> {
        if self.pieces.is_empty() {
            return Ok(());
        }
        self.window.serial += 1;
        let mark = [mark(self.window.load, self.window.serial, 0).as_bytes(), b"\0"].concat();
        self.window.write(&mark, 0).context("writing to the machine's disk")?;
        let question = json!({
            "load": self.window.load, "serial": self.window.serial, "pieces": std::mem::take(&mut self.pieces),
        });
        self.at = BLOCK;
        let body = question.to_string();
        let answer = self.road.api.post("/skerry/v1/images/pieces", "application/json", &mut body.as_bytes())?;
        // Read to its end, so that the next question can take the same connection.
        json_of(answer).map(drop)
    }
}
