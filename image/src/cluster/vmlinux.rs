//! The kernel without its unpacker: an emulator can start it at its PVH entry, which saves the time of unpacking under
//! emulation. It is taken out of the bzImage when it is first needed, so that no image has to carry both.

use super::images::Image;
use super::place;
use crate::build::KERNEL;
use crate::exit::{Code, Failure};
use anyhow::{Context, Result, anyhow, bail, ensure};
use std::path::PathBuf;

/// Where the setup header says how many sectors it has (Documentation/arch/x86/boot.rst of the kernel).
const SETUP_SECTORS: usize = 0x1f1;
/// The header's mark.
const MARK: (usize, &[u8]) = (0x202, b"HdrS");
/// Offset and length of the packed kernel, from the end of the setup sectors on.
const PAYLOAD_OFFSET: usize = 0x248;
const PAYLOAD_LENGTH: usize = 0x24c;
const SECTOR: usize = 512;
/// LZ4's older frame, which the kernel's build makes.
const LZ4_LEGACY: u32 = 0x184c_2102;
/// Bytes that one block of it unpacks to at most.
const BLOCK_MAX: usize = 8 << 20;
/// What no kernel of ours comes near, unpacked.
const KERNEL_BYTES_MAX: usize = 256 << 20;

/// The unpacked kernel of an image, in the user's cache.
///
/// # Errors
/// `Refused` when the image's kernel is none that can be unpacked.
pub fn of(image: &Image) -> Result<PathBuf> {
    let sha256 = image.manifest.files.get(KERNEL).map(|entry| entry.sha256.clone()).unwrap_or_default();
    let folder = place::cache()?;
    let path = folder.join(format!("vmlinux-{}", sha256.get(..16).unwrap_or("unknown")));
    if !sha256.is_empty() && path.exists() {
        return Ok(path);
    }
    let packed = std::fs::read(image.kernel()).with_context(|| format!("reading {}", image.kernel().display()))?;
    let kernel = unpack(&packed).map_err(|error| {
        let failure = Failure::new(Code::Refused, format!("{}: {error:#}", image.kernel().display()));
        anyhow!(failure.advice("start the cluster with --machine q35"))
    })?;
    std::fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    pki::folder::replace(&path, &kernel, 0o644)?;
    Ok(path)
}

/// The ELF file inside a bzImage.
///
/// # Errors
/// Says what is not as it should be.
pub fn unpack(image: &[u8]) -> Result<Vec<u8>> {
    ensure!(image.get(MARK.0..MARK.0 + MARK.1.len()) == Some(MARK.1), "is no bzImage");
    let sectors = image.get(SETUP_SECTORS).copied().map_or(0, usize::from);
    let start = (sectors + 1) * SECTOR + number(image, PAYLOAD_OFFSET)?;
    let payload = image.get(start..start.saturating_add(number(image, PAYLOAD_LENGTH)?)).context("is cut short")?;
    ensure!(u32::try_from(number(payload, 0)?)? == LZ4_LEGACY, "its kernel is not packed with LZ4");
    // The build adds the length of what was packed.
    let length = number(payload, payload.len() - 4)?;
    ensure!(length <= KERNEL_BYTES_MAX, "its kernel would have {length} bytes");
    let mut out = Vec::with_capacity(length);
    let mut at = 4;
    while out.len() < length {
        let size = number(payload, at)?;
        let block = payload.get(at + 4..(at + 4).saturating_add(size)).context("a block is cut short")?;
        unpack_block(block, &mut out)?;
        at += 4 + size;
    }
    ensure!(out.len() == length && out.starts_with(b"\x7fELF"), "its kernel is no ELF file");
    Ok(out)
}

fn number(bytes: &[u8], at: usize) -> Result<usize> {
    let four = bytes.get(at..at.saturating_add(4)).context("is cut short")?;
    Ok(usize::try_from(u32::from_le_bytes(four.try_into()?))?)
}

/// One block of LZ4: runs of literals, each followed by a copy of what came before.
fn unpack_block(block: &[u8], out: &mut Vec<u8>) -> Result<()> {
    let begin = out.len();
    let mut rest = block;
    while let Some((token, after)) = rest.split_first() {
        rest = after;
        let literals = length(usize::from(token >> 4), &mut rest)?;
        let (run, after) = rest.split_at_checked(literals).context("literals are cut short")?;
        out.extend_from_slice(run);
        rest = after;
        // The last sequence has literals only.
        let Some((offset, after)) = rest.split_first_chunk::<2>() else {
            ensure!(rest.is_empty(), "an offset is cut short");
            break;
        };
        rest = after;
        let offset = usize::from(u16::from_le_bytes(*offset));
        let count = length(usize::from(token & 15), &mut rest)? + 4;
        if offset == 0 || offset > out.len() - begin {
            bail!("a copy reaches before the block");
        }
        ensure!(out.len() - begin + count <= BLOCK_MAX, "a block is too long");
        // The copy may reach into itself, which repeats what is there.
        let from = out.len() - offset;
        for at in from..from + count {
            out.push(out[at]);
        }
    }
    Ok(())
}

/// A length of four bits that goes on in further bytes when it is 15.
fn length(low: usize, rest: &mut &[u8]) -> Result<usize> {
    let mut length = low;
    if low == 15 {
        loop {
            let (byte, after) = rest.split_first().context("a length is cut short")?;
            *rest = after;
            length += usize::from(*byte);
            if *byte != 255 {
                break;
            }
            ensure!(length <= BLOCK_MAX, "a length is too long");
        }
    }
    Ok(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A bzImage around one block.
    fn around(block: &[u8], length: u32) -> Vec<u8> {
        let mut image = vec![0; 2 * SECTOR];
        image[SETUP_SECTORS] = 1;
        image[MARK.0..MARK.0 + 4].copy_from_slice(MARK.1);
        image[PAYLOAD_OFFSET] = 16;
        let payload = u32::try_from(4 + 4 + block.len() + 4).unwrap();
        image[PAYLOAD_LENGTH..PAYLOAD_LENGTH + 4].copy_from_slice(&payload.to_le_bytes());
        image.extend([0; 16]);
        image.extend(LZ4_LEGACY.to_le_bytes());
        image.extend(u32::try_from(block.len()).unwrap().to_le_bytes());
        image.extend(block);
        image.extend(length.to_le_bytes());
        image
    }

    /// `\x7fELF`, then `ab` repeated by a copy that reaches into itself, then one letter.
    const BLOCK: &[u8] = &[0x64, 0x7f, b'E', b'L', b'F', b'a', b'b', 2, 0, 0x10, b'!'];

    #[test]
    fn a_kernel_is_taken_out_whole() {
        let kernel = unpack(&around(BLOCK, 15)).unwrap();
        assert_eq!(kernel, b"\x7fELFababababab!");
    }

    #[test]
    fn what_is_cut_or_changed_is_refused_and_never_panics() {
        let whole = around(BLOCK, 15);
        for length in 0..whole.len() {
            unpack(&whole[..length]).unwrap_err();
        }
        for at in 0..whole.len() {
            let mut other = whole.clone();
            other[at] ^= 0xff;
            drop(unpack(&other));
        }
        assert!(unpack(b"not a kernel").unwrap_err().to_string().contains("no bzImage"));
    }
}
