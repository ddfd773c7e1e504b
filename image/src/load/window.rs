//! The way through the machine's disk: the machine tells where a file of its own, the window, lies on it, and what is
//! missing is written there, beneath its file system. On an emulated processor that is many times quicker than the
//! network: nothing has to be encrypted and hashed there, and compressed layers are unpacked here.
//!
//! Nothing is written before the machine's mark of this very load was read from every place that it named: that shows
//! that disk and places are the right ones. One load of a cluster at a time has its window; others take the network.

use super::Road;
use super::filling::Filling;
use super::send::{Wanted, reader};
use super::stream::Stream;
use crate::archive::{Image, Members};
use crate::cluster::{self, Cluster, emulator};
use anyhow::Result;
use nix::fcntl::Flock;
use serde::Deserialize;
use std::fs::File;
use std::os::unix::fs::FileExt;

/// Lengths and offsets in the window are multiples of this many bytes; its first block is for the mark.
pub const BLOCK: u64 = 4096;
/// Places that a window may lie in; the machine looks for at most 32.
const PLACES_MAX: usize = 64;
/// The smallest window with two halves, a block for the mark aside.
const WINDOW_BYTES_MIN: u64 = 4 * BLOCK;
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
        let is_even = offer.places.iter().all(|place| place.length.is_multiple_of(BLOCK));
        let is_large_enough = (WINDOW_BYTES_MIN..=WINDOW_BYTES_MAX).contains(&bytes);
        let is_sound = offer.places.len() <= PLACES_MAX && is_even && is_large_enough;
        let is_marked = |(index, place): (usize, &Place)| {
            let mark = mark(load, 0, index);
            let mut found = vec![0; mark.len() + 1];
            self.disk.read_exact_at(&mut found, place.at).is_ok() && found == [mark.as_bytes(), b"\0"].concat()
        };
        let is_ours = is_sound && offer.places.iter().enumerate().all(is_marked);
        is_ours.then(|| Window { disk: &self.disk, load, places: offer.places.clone(), bytes })
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
}

impl Window<'_> {
    /// The load that has it.
    pub fn load(&self) -> &str {
        self.load
    }

    /// How long it is, a number of whole blocks.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Marks it as filled for this time, counted from 1 on.
    ///
    /// # Errors
    /// What the disk says.
    pub fn mark(&self, serial: u64) -> std::io::Result<()> {
        self.write(&[mark(self.load, serial, 0).as_bytes(), b"\0"].concat(), 0)
    }

    /// Writes bytes at a place in it.
    ///
    /// # Errors
    /// What the disk says.
    pub fn write(&self, mut content: &[u8], at: u64) -> std::io::Result<()> {
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
/// `Refused` when a blob is not what its digest says, or a layer does not unpack to what the configuration says; what
/// disk and machine say.
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
    let (manifest, total) = (&image.manifest, wanted.iter().map(bytes).sum());
    // With manifest and configuration the machine unpacks layers while others are on their way.
    let (leading, layers): (Vec<_>, Vec<_>) =
        wanted.iter().partition(|wanted| [&manifest.digest, &image.id].contains(&&wanted.blob.digest));
    std::thread::scope(|scope| {
        let mut filling = Filling::new(road, scope, window, manifest, total);
        for wanted in leading.into_iter().chain(layers) {
            if let Some(packed) = packed(wanted) {
                let content = reader(members, wanted.blob, 0)?;
                filling.add(Stream::unpacked(content, packed, &wanted.blob.digest)?)?;
            }
            filling.add(Stream::blob(members, wanted.blob)?)?;
            *sent += wanted.blob.size;
        }
        filling.hand_over()?;
        filling.taken()
    })
}
