//! Image archives: what `docker save`, BuildKit, skopeo and others write, as images ready to be sent. The archive comes
//! from anywhere, so nothing in it is believed: every name, size, count and digest is checked, and nothing is unpacked.
//!
//! It knows no cluster.

mod docker;
mod members;
mod oci;
mod parts;
mod spool;
#[cfg(test)]
mod tests;

pub use members::{Member, Members};
pub use parts::{Blob, Descriptor, Form, Image, Packed, Source, named};

use crate::exit::{Code, Failure};
use crate::interrupt::Interrupt;
use anyhow::Result;
use std::path::Path;

/// Images of one archive. A whole registry does not come in one.
pub const IMAGES_MAX: usize = 256;
/// Names of one image, as the machine takes them.
pub const NAMES_MAX: usize = 64;
/// Layers of one image, as the machine can mount them.
pub const LAYERS_MAX: usize = 256;
/// Bytes of a manifest or an index, as registries limit them.
pub const MANIFEST_BYTES_MAX: u64 = 4 << 20;
/// Bytes of a configuration; its history is what makes it long.
pub const CONFIG_BYTES_MAX: u64 = 8 << 20;
/// What the machine runs.
pub const PLATFORM: (&str, &str) = ("linux", "amd64");

/// An archive that has been looked through.
pub struct Archive {
    /// Where its members are.
    pub members: Members,
    /// The images in it for the machine's platform.
    pub images: Vec<Image>,
}

/// Opens a file, or standard input for `-`, and looks through it. `progress` is told what is being read.
///
/// # Errors
/// `Refused` with file and member when it is no archive of images for this machine, or says what is not so;
/// `Interrupted`.
pub fn open(path: &Path, interrupt: &Interrupt, progress: &dyn Fn(&str)) -> Result<Archive> {
    let file = spool::open(path, interrupt, progress)?;
    let members = Members::read(file, &path.display().to_string())?;
    let images = images(&members, interrupt, progress)?;
    Ok(Archive { members, images })
}

/// The images of an archive: the OCI layout where there is one, for it keeps the digests that the builder gave.
fn images(members: &Members, interrupt: &Interrupt, progress: &dyn Fn(&str)) -> Result<Vec<Image>> {
    let reader = parts::Reader { members, interrupt, progress, hashed: Default::default() };
    let images = match (members.has(oci::INDEX), members.has(docker::MANIFEST)) {
        (true, true) => docker::name(&reader, oci::images(&reader)?)?,
        (true, false) => oci::images(&reader)?,
        (false, true) => docker::images(&reader)?,
        (false, false) => {
            let why = "holds neither index.json nor manifest.json, so it is no image archive";
            return Err(members.refused(why).advice("make one with: docker save --output FILE IMAGE").into());
        }
    };
    if images.is_empty() {
        return Err(members.refused("holds no image").into());
    }
    Ok(images)
}

/// The failure of a file that is not taken.
fn refused(file: &str, why: impl std::fmt::Display) -> Failure {
    Failure::new(Code::Refused, format!("{file}: {why}"))
}
