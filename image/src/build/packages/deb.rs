//! Package files taken apart: an `ar` archive whose member `data.tar.*` holds the files. No program is run.

use anyhow::{Context, Result, anyhow, bail, ensure};
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;

/// What every `ar` archive begins with.
const MAGIC: &[u8] = b"!<arch>\n";
/// The length of a member's heading, in bytes.
const HEADING: usize = 60;
/// How much is read ahead, in bytes.
const BUFFER: usize = 1 << 20;

/// One entry of a package.
pub enum Content<'a> {
    /// A folder.
    Folder,
    /// A regular file: length in bytes and its content.
    File(u64, &'a mut dyn Read),
    /// A symbolic link to this target.
    Link(String),
}

/// Calls `each` for every folder, file and symbolic link, with its path (without a leading slash) and mode.
///
/// # Errors
/// When the file is no package, is cut short, holds a device or a hard link, or when `each` fails.
pub fn unpack(package: &Path, mut each: impl FnMut(&str, u32, Content<'_>) -> Result<()>) -> Result<()> {
    let named = || format!("unpacking {}", package.display());
    let file = File::open(package).with_context(named)?;
    let data = data_member(BufReader::with_capacity(BUFFER, file)).with_context(named)?;
    walk(data, &mut each).with_context(named)
}

/// A reader of the uncompressed `data.tar`.
fn data_member(mut archive: BufReader<File>) -> Result<Box<dyn Read>> {
    let mut magic = [0; MAGIC.len()];
    archive.read_exact(&mut magic).context("no archive")?;
    ensure!(magic == MAGIC, "no archive");
    loop {
        let mut heading = [0; HEADING];
        archive.read_exact(&mut heading).context("there is no data.tar, or the file is cut short")?;
        ensure!(&heading[58..] == b"`\n", "a malformed heading");
        let text = |range: std::ops::Range<usize>| std::str::from_utf8(&heading[range]).map(str::trim);
        let name = text(0..16)?.trim_end_matches('/').to_owned();
        let size: u64 = text(48..58)?.parse().with_context(|| format!("size of {name}"))?;
        if name.starts_with("data.tar") {
            return decompressed(&name, archive.take(size));
        }
        archive.seek(SeekFrom::Current(i64::try_from(size + size % 2)?))?;
    }
}

fn decompressed(name: &str, data: impl Read + 'static) -> Result<Box<dyn Read>> {
    match name.strip_prefix("data.tar").unwrap_or_default() {
        "" => Ok(Box::new(data)),
        ".xz" => Ok(Box::new(lzma_rust2::XzReader::new(data, true))),
        ".gz" => Ok(Box::new(flate2::read::GzDecoder::new(data))),
        ".zst" => {
            let reader = ruzstd::decoding::StreamingDecoder::new(data).map_err(|e| anyhow!("{name}: {e}"))?;
            Ok(Box::new(reader))
        }
        other => bail!("do not know the compression {other}"),
    }
}

fn walk(data: Box<dyn Read>, each: &mut impl FnMut(&str, u32, Content<'_>) -> Result<()>) -> Result<()> {
    let mut tar = tar::Archive::new(data);
    for entry in tar.entries()? {
        let mut entry = entry?;
        let path = String::from_utf8(entry.path_bytes().into_owned()).context("a path that is no text")?;
        let path = path.trim_start_matches("./").trim_matches('/').to_owned();
        ensure!(!path.split('/').any(|part| part == ".."), "{path:?} leaves the root");
        if path.is_empty() {
            continue;
        }
        let mode = entry.header().mode()? & 0o7777;
        let content = match entry.header().entry_type() {
            tar::EntryType::Directory => Content::Folder,
            tar::EntryType::Regular => Content::File(entry.size(), &mut entry),
            tar::EntryType::Symlink => {
                let target = entry.link_name_bytes().ok_or_else(|| anyhow!("{path} is a link to nowhere"))?;
                Content::Link(String::from_utf8(target.into_owned()).context("a link target that is no text")?)
            }
            other => bail!("{path} is a {other:?}, which the image does not take"),
        };
        each(&path, mode, content).with_context(|| path.clone())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
