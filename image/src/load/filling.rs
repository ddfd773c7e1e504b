//! The window as it is filled: one half, while the machine takes the other.

use super::Road;
use super::stream::Stream;
use super::window::{BLOCK, Window};
use crate::archive::Descriptor;
use crate::cluster::access::json_of;
use anyhow::{Context, Result, anyhow};
use serde_json::{Value, json};
use std::ops::Range;
use std::thread::{Scope, ScopedJoinHandle};

/// The window with what lies in it.
pub struct Filling<'scope, 'env> {
    road: &'env Road<'env>,
    /// Where the machine is asked, so that this goes on meanwhile.
    scope: &'scope Scope<'scope, 'env>,
    window: Window<'env>,
    /// That of the image.
    manifest: &'env Descriptor,
    /// The half that is being filled, from where the next piece begins.
    half: Range<u64>,
    pieces: Vec<Value>,
    /// How often the window was handed over.
    serial: u64,
    /// The machine, as it takes the other half.
    taking: Option<ScopedJoinHandle<'scope, Result<()>>>,
    done: u64,
    total: u64,
}

impl<'scope, 'env> Filling<'scope, 'env> {
    /// An empty one, for content of `total` bytes.
    pub fn new(
        road: &'env Road<'env>,
        scope: &'scope Scope<'scope, 'env>,
        window: Window<'env>,
        manifest: &'env Descriptor,
        total: u64,
    ) -> Filling<'scope, 'env> {
        let half = half(window.bytes(), 0);
        let (pieces, taking) = (Vec::new(), None);
        Filling { road, scope, window, manifest, half, pieces, serial: 0, taking, done: 0, total }
    }

    /// Puts a whole stream in, handing over as often as a half is full.
    ///
    /// # Errors
    /// What the stream, the disk and the machine say.
    pub fn add(&mut self, mut stream: Stream) -> Result<()> {
        let mut offset = 0;
        loop {
            if self.half.is_empty() {
                self.hand_over()?;
            }
            let (begins, mut length) = (self.half.start, 0);
            while !self.half.is_empty() && !stream.is_over() {
                self.road.interrupt.check()?;
                let chunk = stream.next(self.half.end - self.half.start)?;
                self.window.write(chunk, self.half.start).context("writing to the machine's disk")?;
                length += chunk.len() as u64;
                self.half.start = begins + length.next_multiple_of(BLOCK);
                (self.road.progress)(self.done + stream.consumed(), self.total);
            }
            let (kind, digest, last) = (stream.kind(), stream.digest(), stream.is_over());
            self.pieces.push(json!({
                "kind": kind, "digest": digest, "offset": offset, "length": length, "at": begins, "last": last,
            }));
            offset += length;
            if last {
                self.done += stream.consumed();
                // Before it is handed over, so that the machine does not take for whole what is not.
                return stream.check();
            }
        }
    }

    /// Marks what was filled, has the machine take it, and turns to the other half.
    ///
    /// # Errors
    /// What the machine said to the half before, and the disk.
    pub fn hand_over(&mut self) -> Result<()> {
        if self.pieces.is_empty() {
            return Ok(());
        }
        // The mark is for one of them, and the half to turn to must have been taken.
        self.taken()?;
        self.serial += 1;
        self.window.mark(self.serial).context("writing to the machine's disk")?;
        let question = json!({
            "load": self.window.load(), "serial": self.serial, "pieces": std::mem::take(&mut self.pieces),
            "manifest": self.manifest,
        });
        self.half = half(self.window.bytes(), self.serial);
        let api = self.road.api;
        self.taking = Some(self.scope.spawn(move || {
            let body = question.to_string();
            let answer = api.post("/skerry/v1/images/pieces", "application/json", &mut body.as_bytes())?;
            // Read to its end, so that the next question can take the same connection.
            json_of(answer).map(drop)
        }));
        Ok(())
    }

    /// Waits until the machine has taken what was handed over.
    ///
    /// # Errors
    /// What it said.
    pub fn taken(&mut self) -> Result<()> {
        let Some(taking) = self.taking.take() else { return Ok(()) };
        taking.join().unwrap_or_else(|_| Err(anyhow!("asking the machine to take its window panicked")))
    }
}

/// The half of a window to be filled when it was handed over so often. The block with the mark is in none.
fn half(bytes: u64, serial: u64) -> Range<u64> {
    let middle = (bytes / 2).next_multiple_of(BLOCK);
    if serial.is_multiple_of(2) { BLOCK..middle } else { middle..bytes }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_whole_blocks_beside_the_mark_and_each_other() {
        for blocks in [4, 5, 6, 4096] {
            let (one, two) = (half(blocks * BLOCK, 0), half(blocks * BLOCK, 1));
            assert!(!one.is_empty() && !two.is_empty(), "{blocks}");
            assert_eq!((one.start, one.end, two.end), (BLOCK, two.start, blocks * BLOCK));
            assert!(one.end.is_multiple_of(BLOCK));
        }
    }
}
