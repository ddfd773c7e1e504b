//! What goes into the window: a blob as it is, or a compressed layer unpacked and checked.

use super::send::reader;
use crate::archive::{Blob, Form, Members, Packed, named};
use crate::exit::{Code, Failure};
use anyhow::{Context, Result};
use flate2::read::MultiGzDecoder;
use ring::digest::{Context as Hash, SHA256};
use ruzstd::decoding::StreamingDecoder;
use std::cell::Cell;
use std::io::Read;
use std::rc::Rc;

/// Bytes of a chunk.
const CHUNK: usize = 1 << 20;
/// Bytes of an unpacked layer, as the machine takes them. One that grows beyond is a trap or a mistake.
const LAYER_BYTES_MAX: u64 = 16 << 30;

/// Content on its way.
pub struct Stream<'a> {
    content: Box<dyn Read + 'a>,
    /// Bytes that were read of the archive.
    consumed: Rc<Cell<u64>>,
    kind: Kind<'a>,
    /// Of what it gives; none for what has been checked.
    hash: Option<Hash>,
    given: u64,
    chunk: Vec<u8>,
    is_over: bool,
}

enum Kind<'a> {
    Blob { blob: &'a Blob, members: &'a Members },
    Layer { packed: &'a Packed, blob: &'a str },
}

impl<'a> Stream<'a> {
    /// A blob as it is.
    ///
    /// # Errors
    /// When the archive cannot be read.
    pub fn blob(members: &'a Members, blob: &'a Blob) -> Result<Stream<'a>> {
        let consumed = Rc::default();
        let content = Box::new(Counted { content: reader(members, blob, 0)?, count: Rc::clone(&consumed) });
        let hash = (!blob.is_checked).then(|| Hash::new(&SHA256));
        let kind = Kind::Blob { blob, members };
        Ok(Stream { content, consumed, kind, hash, given: 0, chunk: Vec::new(), is_over: blob.size == 0 })
    }

    /// A compressed layer as it was before.
    ///
    /// # Errors
    /// `Refused` when it does not begin as it must.
    pub fn unpacked(content: Box<dyn Read + 'a>, packed: &'a Packed, blob: &'a str) -> Result<Stream<'a>> {
        let consumed = Rc::default();
        let counted = Counted { content, count: Rc::clone(&consumed) };
        let content: Box<dyn Read + 'a> = match packed.form {
            Form::Gzip => Box::new(MultiGzDecoder::new(counted)),
            Form::Zstd => Box::new(StreamingDecoder::new(counted).map_err(|error| refused(blob, error))?),
        };
        let (kind, hash) = (Kind::Layer { packed, blob }, Some(Hash::new(&SHA256)));
        Ok(Stream { content, consumed, kind, hash, given: 0, chunk: Vec::new(), is_over: false })
    }

    /// The next bytes, at most so many; fewer than asked for only at its end.
    pub fn next(&mut self, bytes_max: u64) -> Result<&[u8]> {
        let wanted = usize::try_from(bytes_max).unwrap_or(CHUNK).min(CHUNK);
        self.chunk.clear();
        let read = self.content.by_ref().take(wanted as u64).read_to_end(&mut self.chunk);
        self.given += self.chunk.len() as u64;
        match &self.kind {
            Kind::Blob { blob, .. } => {
                read.context("reading the archive")?;
                anyhow::ensure!(!self.chunk.is_empty(), "the archive has become shorter while it was read");
                self.is_over = self.given >= blob.size;
            }
            Kind::Layer { blob, .. } => {
                read.map_err(|error| refused(blob, error))?;
                if self.given > LAYER_BYTES_MAX {
                    return Err(refused(blob, format!("unpacks to more than {} GiB", LAYER_BYTES_MAX >> 30)).into());
                }
                self.is_over = self.chunk.len() < wanted;
            }
        }
        if let Some(hash) = &mut self.hash {
            hash.update(&self.chunk);
        }
        Ok(&self.chunk)
    }

    /// Whether all of it was given.
    pub fn is_over(&self) -> bool {
        self.is_over
    }

    /// Bytes of the archive that were read for it.
    pub fn consumed(&self) -> u64 {
        self.consumed.get()
    }

    /// What it is, as the machine is told.
    pub fn kind(&self) -> &'static str {
        match self.kind {
            Kind::Blob { .. } => "blob",
            Kind::Layer { .. } => "layer",
        }
    }

    /// The digest of what it gives.
    pub fn digest(&self) -> &str {
        match self.kind {
            Kind::Blob { blob, .. } => &blob.digest,
            Kind::Layer { packed, .. } => &packed.diff,
        }
    }

    /// Whether it was what it is called.
    ///
    /// # Errors
    /// `Refused` when it was not.
    pub fn check(mut self) -> Result<()> {
        let Some(hash) = self.hash.take() else { return Ok(()) };
        let got = named(hash.finish().as_ref());
        if got == self.digest() {
            return Ok(());
        }
        Err(match self.kind {
            Kind::Blob { blob, members } => members.forged(blob.source.path().unwrap_or(&blob.digest), &got).into(),
            Kind::Layer { packed, blob } => {
                refused(blob, format!("unpacks to {got}, the configuration says {}", packed.diff)).into()
            }
        })
    }
}

fn refused(blob: &str, why: impl std::fmt::Display) -> Failure {
    Failure::new(Code::Refused, format!("layer {blob}: {why}"))
}

/// Counts what is read.
struct Counted<'a> {
    content: Box<dyn Read + 'a>,
    count: Rc<Cell<u64>>,
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let length = self.content.read(buffer)?;
        self.count.set(self.count.get() + length as u64);
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn gzip(content: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(content: &[u8]) -> Vec<u8> {
        ruzstd::encoding::compress_to_vec(content, ruzstd::encoding::CompressionLevel::Fastest)
    }

    fn digest(content: &[u8]) -> String {
        named(ring::digest::digest(&SHA256, content).as_ref())
    }

    /// All of a stream, in pieces of this length.
    fn drain(mut stream: Stream, piece: u64) -> Result<Vec<u8>> {
        let mut all = Vec::new();
        while !stream.is_over() {
            all.extend_from_slice(stream.next(piece)?);
        }
        stream.check().map(|()| all)
    }

    #[test]
    fn a_compressed_layer_comes_out_as_it_was() {
        let content: Vec<u8> = (0..3 * CHUNK + 5).map(|at| (at / 100) as u8).collect();
        for (form, packed) in [(Form::Gzip, gzip(&content)), (Form::Zstd, zstd(&content))] {
            let told = Packed { form, diff: digest(&content) };
            let stream = Stream::unpacked(Box::new(&packed[..]), &told, "b").unwrap();
            assert!(drain(stream, 8192).unwrap() == content, "{form:?}");
        }
    }

    #[test]
    fn a_layer_that_is_not_what_it_says_is_refused() {
        let whole = gzip(b"content of a layer that is long enough");
        let told = Packed { form: Form::Gzip, diff: digest(b"another") };
        let says = |bytes: &[u8]| {
            let stream = Stream::unpacked(Box::new(bytes.to_vec().leak() as &[u8]), &told, "sha256:b").unwrap();
            let failure = Failure::of(drain(stream, 4096).unwrap_err());
            assert_eq!(failure.code, Code::Refused);
            failure.message
        };
        assert!(says(&whole).contains("the configuration says sha256:"));
        assert!(says(&whole[..20]).starts_with("layer sha256:b: "), "cut short");
    }

    #[test]
    fn a_blob_ends_where_its_size_says_and_is_checked_unless_it_was() {
        let members = Members::read(tempfile::tempfile().unwrap(), "x.tar").unwrap();
        let content = vec![3; 8192];
        let blob = |named: &[u8], is_checked| {
            let source = crate::archive::Source::Bytes(content.clone());
            Blob { digest: digest(named), size: 8192, source, is_checked }
        };
        let right = blob(&content, false);
        let mut stream = Stream::blob(&members, &right).unwrap();
        assert_eq!((stream.next(4096).unwrap().len(), stream.is_over()), (4096, false));
        assert_eq!((stream.next(4096).unwrap().len(), stream.is_over()), (4096, true));
        assert!(stream.check().is_ok());
        let forged = blob(b"another", false);
        let failure = Failure::of(drain(Stream::blob(&members, &forged).unwrap(), 4096).unwrap_err());
        let why = format!("x.tar: {}: its content has the digest {}", forged.digest, right.digest);
        assert_eq!((failure.code, failure.message), (Code::Refused, why));
        assert!(drain(Stream::blob(&members, &blob(b"known", true)).unwrap(), 4096).is_ok());
    }
}
