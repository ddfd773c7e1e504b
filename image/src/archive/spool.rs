//! The archive as a file that can be read at any place: itself, or a temporary copy of what comes from standard input
//! or is compressed.

use super::refused;
use crate::interrupt::Interrupt;
use anyhow::{Context, Result};
use flate2::read::MultiGzDecoder;
use std::fs::File;
use std::io::{Cursor, Read, Seek, SeekFrom, Write};
use std::path::Path;

/// Bytes of an archive, uncompressed. A compressed one that grows beyond this is a trap or a mistake.
pub const ARCHIVE_BYTES_MAX: u64 = 64 << 30;
/// How much is copied between two looks at the interrupt, in bytes.
const CHUNK: usize = 1 << 20;
/// How many of the first bytes tell what a file is.
const MAGIC: usize = 6;

/// What a file is by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Gzip,
    /// Compressed with something that is not read here, by its program's name.
    Other(&'static str),
    Plain,
}

fn form(magic: &[u8]) -> Form {
    match magic {
        [0x1f, 0x8b, ..] => Form::Gzip,
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Form::Other("zstd"),
        [0xfd, b'7', b'z', b'X', b'Z', ..] => Form::Other("xz"),
        [b'B', b'Z', b'h', ..] => Form::Other("bzip2"),
        _ => Form::Plain,
    }
}

/// Opens the archive; `-` is standard input.
///
/// # Errors
/// `Refused` when it cannot be opened, is compressed otherwise than with gzip, or is too long.
pub fn open(path: &Path, interrupt: &Interrupt, progress: &dyn Fn(&str)) -> Result<File> {
    let shown = path.display().to_string();
    if path == Path::new("-") {
        return spool("-", Box::new(std::io::stdin().lock()), interrupt, progress);
    }
    let failed = |error: std::io::Error| refused(&shown, error).advice("name a file that you can read");
    let mut file = File::open(path).map_err(failed)?;
    if file.metadata().map_err(failed)?.is_dir() {
        let advice = format!("pack it: tar -C {shown} -cf image.tar .");
        return Err(refused(&shown, "is a folder, not an archive").advice(advice).into());
    }
    let mut magic = [0; MAGIC];
    let length = file.read(&mut magic).map_err(failed)?;
    if form(&magic[..length]) == Form::Plain && file.seek(SeekFrom::Start(0)).is_ok() {
        return Ok(file);
    }
    // The file stands behind its first bytes, and a pipe has no way back: they are put before the rest.
    spool(&shown, Box::new(Cursor::new(magic[..length].to_vec()).chain(file)), interrupt, progress)
}

fn spool(file: &str, mut source: Box<dyn Read + '_>, interrupt: &Interrupt, progress: &dyn Fn(&str)) -> Result<File> {
    let mut magic = Vec::new();
    source.by_ref().take(MAGIC as u64).read_to_end(&mut magic).map_err(|error| refused(file, error))?;
    let form = form(&magic);
    let whole = Cursor::new(magic).chain(source);
    let mut plain: Box<dyn Read + '_> = match form {
        Form::Gzip => Box::new(MultiGzDecoder::new(whole)),
        Form::Plain => Box::new(whole),
        Form::Other(program) => {
            let advice = format!("decompress it first: {program} -dc FILE | skerry image load -");
            return Err(refused(file, format!("is compressed with {program}")).advice(advice).into());
        }
    };
    progress(if form == Form::Gzip { "decompressing" } else { "reading" });
    let mut copy = tempfile::tempfile().context("making a temporary file for the archive")?;
    let mut chunk = vec![0; CHUNK];
    let mut total = 0;
    loop {
        interrupt.check()?;
        let length = plain.read(&mut chunk).map_err(|error| refused(file, format!("after {total} bytes: {error}")))?;
        if length == 0 {
            break;
        }
        total += length as u64;
        if total > ARCHIVE_BYTES_MAX {
            return Err(
                refused(file, format!("has more than {} GiB when read in full", ARCHIVE_BYTES_MAX >> 30)).into()
            );
        }
        copy.write_all(&chunk[..length]).context("writing a temporary copy of the archive (TMPDIR says where)")?;
    }
    copy.seek(SeekFrom::Start(0)).context("going back to the beginning of a temporary file")?;
    Ok(copy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_compressed_a_file_is_seen_from_its_first_bytes() {
        assert_eq!(form(&[0x1f, 0x8b, 8, 0, 0, 0]), Form::Gzip);
        assert_eq!(form(&[0x28, 0xb5, 0x2f, 0xfd, 0, 0]), Form::Other("zstd"));
        assert_eq!(form(b""), Form::Plain);
    }

    #[test]
    fn a_compressed_stream_that_breaks_off_is_refused_by_name() {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(&[7; 100_000]).unwrap();
        let packed = packed.finish().unwrap();
        let half = Box::new(Cursor::new(packed[..packed.len() / 2].to_vec()));
        let error = spool("x.tgz", half, &Interrupt::never(), &|_| ()).unwrap_err();
        assert!(format!("{error:#}").starts_with("x.tgz: after "), "{error:#}");
        let mut file = spool("x.tgz", Box::new(Cursor::new(packed)), &Interrupt::never(), &|_| ()).unwrap();
        let mut content = Vec::new();
        file.read_to_end(&mut content).unwrap();
        assert_eq!(content, [7; 100_000]);
    }
}
