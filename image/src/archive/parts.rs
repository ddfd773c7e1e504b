//! What an image is made of, and how its parts are read and checked.

use super::{CONFIG_BYTES_MAX, LAYERS_MAX, Member, Members, PLATFORM};
use crate::exit::Failure;
use crate::interrupt::Interrupt;
use anyhow::Result;
use ring::digest::{Context, SHA256, digest};
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::io::Read;

/// How much is hashed between two looks at the interrupt, in bytes.
const CHUNK: usize = 1 << 20;
/// Before the digits of every digest.
pub const ALGORITHM: &str = "sha256:";
/// The media type of a layer that is a tar, before what says how it is compressed.
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// A reference to a blob, as manifests have it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What kind of content it is.
    pub media_type: String,
    /// `sha256:` and 64 hexadecimal digits.
    pub digest: String,
    /// Its length in bytes.
    pub size: u64,
}

impl Descriptor {
    /// That of some content.
    pub fn of(media_type: &str, content: &[u8]) -> Descriptor {
        let digest = named(digest(&SHA256, content).as_ref());
        Descriptor { media_type: media_type.to_owned(), digest, size: content.len() as u64 }
    }

    /// The digits of its digest; none when that is not a SHA-256.
    pub fn digits(&self) -> Option<&str> {
        let digits = self.digest.strip_prefix(ALGORITHM)?;
        let hexadecimal = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        (digits.len() == 64 && digits.bytes().all(hexadecimal)).then_some(digits)
    }
}

/// Where a blob's content is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// In the archive.
    Member(Member),
    /// Made here.
    Bytes(Vec<u8>),
}

impl Source {
    /// Its path in the archive.
    pub fn path(&self) -> Option<&str> {
        match self {
            Source::Member(member) => Some(&member.path),
            Source::Bytes(_) => None,
        }
    }
}

/// A blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob {
    /// `sha256:` and 64 hexadecimal digits.
    pub digest: String,
    /// Its length in bytes.
    pub size: u64,
    /// Where its content is.
    pub source: Source,
    /// Whether its digest is known to be that of its content. If not, whoever sends it checks it on the way: most layers
    /// are on the machine already, and need not be read at all.
    pub is_checked: bool,
}

/// How a layer is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// With gzip.
    Gzip,
    /// With Zstandard.
    Zstd,
}

/// What a compressed layer is before compression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packed {
    /// How it is compressed.
    pub form: Form,
    /// Its digest before, as the configuration tells; not checked yet.
    pub diff: String,
}

/// An image for the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// What the archive calls it; may be none.
    pub names: Vec<String>,
    /// Its manifest.
    pub manifest: Descriptor,
    /// The digest of its configuration, which is what Docker calls its ID.
    pub id: String,
    /// All its blobs, each once: layers, configuration, manifest.
    pub blobs: Vec<Blob>,
    /// Those of its layers that are compressed, by their digests.
    pub packed: BTreeMap<String, Packed>,
}

/// What we need of a configuration.
#[derive(Deserialize)]
pub struct Config {
    #[serde(default)]
    os: String,
    #[serde(default)]
    architecture: String,
    rootfs: RootFs,
}

#[derive(Deserialize)]
struct RootFs {
    #[serde(default)]
    diff_ids: Vec<String>,
}

impl Config {
    /// Whether the machine can run it.
    pub fn fits(&self) -> bool {
        (self.os.as_str(), self.architecture.as_str()) == PLATFORM
    }

    /// What it is for, as people write it.
    pub fn platform(&self) -> String {
        format!("{}/{}", self.os, self.architecture)
    }

    /// The layers' digests before compression.
    pub fn diff_ids(&self) -> &[String] {
        &self.rootfs.diff_ids
    }
}

/// Reads and checks parts of one archive.
pub struct Reader<'a> {
    /// The archive.
    pub members: &'a Members,
    /// Asked while much is hashed.
    pub interrupt: &'a Interrupt,
    /// Told what is being read.
    pub progress: &'a dyn Fn(&str),
    /// Digests of members by where they begin: what many images share is hashed once.
    pub hashed: RefCell<HashMap<u64, String>>,
}

impl Reader<'_> {
    /// A member that is JSON, with its bytes.
    pub fn json<T: serde::de::DeserializeOwned>(&self, path: &str, bytes_max: u64) -> Result<(T, Vec<u8>, Member)> {
        let member = self.members.get(path)?;
        let content = self.members.content(member, bytes_max)?;
        let parsed = serde_json::from_slice(&content).map_err(|error| self.members.wrong(path, error))?;
        Ok((parsed, content, member.clone()))
    }

    /// A configuration, checked to be one with as many layers as there are.
    pub fn config(&self, path: &str, layers: usize) -> Result<(Config, Vec<u8>, Member)> {
        let (config, content, member): (Config, _, _) = self.json(path, CONFIG_BYTES_MAX)?;
        let told = config.diff_ids().len();
        if told != layers || layers > LAYERS_MAX {
            let why =
                format!("tells {told} layers, and there are {layers}; they must agree and be at most {LAYERS_MAX}");
            return Err(self.members.wrong(path, why).into());
        }
        Ok((config, content, member))
    }

    /// The digest of a member's content.
    pub fn hash(&self, member: &Member) -> Result<String> {
        if let Some(digest) = self.hashed.borrow().get(&member.offset) {
            return Ok(digest.clone());
        }
        let digest = self.hash_anew(member)?;
        self.hashed.borrow_mut().insert(member.offset, digest.clone());
        Ok(digest)
    }

    fn hash_anew(&self, member: &Member) -> Result<String> {
        let failed = |error: std::io::Error| self.members.wrong(&member.path, error);
        (self.progress)(&format!("checking {}", member.path));
        let mut reader = self.members.reader(member, 0).map_err(failed)?;
        let mut hash = Context::new(&SHA256);
        let mut chunk = vec![0; CHUNK];
        loop {
            self.interrupt.check()?;
            match reader.read(&mut chunk).map_err(failed)? {
                0 => break,
                length => hash.update(&chunk[..length]),
            }
        }
        Ok(named(hash.finish().as_ref()))
    }

    /// How a layer is compressed, by its first bytes; `None` when it is not.
    pub fn form(&self, member: &Member) -> Result<Option<Form>, Failure> {
        let mut magic = [0; 4];
        let failed = |error: std::io::Error| self.members.wrong(&member.path, error);
        let mut reader = self.members.reader(member, 0).map_err(failed)?;
        // A layer of less than four bytes is no tar; the machine says so.
        let length = reader.read(&mut magic).map_err(failed)?;
        Ok(match &magic[..length] {
            [0x1f, 0x8b, ..] => Some(Form::Gzip),
            [0x28, 0xb5, 0x2f, 0xfd] => Some(Form::Zstd),
            _ => None,
        })
    }
}

/// The media type of a layer that is compressed like this.
pub fn layer_type(form: Option<Form>) -> String {
    match form {
        Some(Form::Gzip) => format!("{LAYER}+gzip"),
        Some(Form::Zstd) => format!("{LAYER}+zstd"),
        None => LAYER.to_owned(),
    }
}

/// A hash as a digest is written.
pub fn named(hash: &[u8]) -> String {
    let digits: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{ALGORITHM}{digits}")
}

/// Each blob once: images share layers, and an image may hold the same empty layer many times.
pub fn distinct(blobs: Vec<Blob>) -> Vec<Blob> {
    let mut seen = std::collections::HashSet::new();
    blobs.into_iter().filter(|blob| seen.insert(blob.digest.clone())).collect()
}
