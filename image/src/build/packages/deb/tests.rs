//! Packages made by hand, whole and broken.

use super::*;
use std::io::Write;

/// A tar with a folder, a file and a link.
fn data() -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut add = |path: &str, kind, mode, body: &[u8], link: &str| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(body.len() as u64);
        if link.is_empty() {
            tar.append_data(&mut header, path, body).unwrap();
        } else {
            tar.append_link(&mut header, path, link).unwrap();
        }
    };
    add("./usr/", tar::EntryType::Directory, 0o755, b"", "");
    add("./usr/tool", tar::EntryType::Regular, 0o755, b"#!tool", "");
    add("./usr/other", tar::EntryType::Symlink, 0o777, b"", "tool");
    tar.into_inner().unwrap()
}

fn ar(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut file = MAGIC.to_vec();
    for (name, body) in members {
        writeln!(file, "{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`", 0, 0, 0, 100644, body.len()).unwrap();
        file.extend_from_slice(body);
        if body.len() % 2 == 1 {
            file.push(b'\n');
        }
    }
    file
}

fn listing(bytes: &[u8]) -> Result<Vec<String>> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    let mut lines = Vec::new();
    unpack(file.path(), |path, mode, content| {
        lines.push(match content {
            Content::Folder => format!("{path} {mode:o} folder"),
            Content::Link(target) => format!("{path} -> {target}"),
            Content::File(_, reader) => {
                let mut text = String::new();
                reader.read_to_string(&mut text)?;
                format!("{path} {mode:o} {text}")
            }
        });
        Ok(())
    })?;
    Ok(lines)
}

const WANTED: [&str; 3] = ["usr 755 folder", "usr/tool 755 #!tool", "usr/other -> tool"];

#[test]
fn every_compression_gives_the_same_files() {
    let data = data();
    let mut xz = lzma_rust2::XzWriter::new(Vec::new(), lzma_rust2::XzOptions::with_preset(1)).unwrap();
    xz.write_all(&data).unwrap();
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gz.write_all(&data).unwrap();
    let zst = ruzstd::encoding::compress_to_vec(&data[..], ruzstd::encoding::CompressionLevel::Fastest);
    for (name, body) in [
        ("data.tar", data.clone()),
        ("data.tar.xz", xz.finish().unwrap()),
        ("data.tar.gz/", gz.finish().unwrap()),
        ("data.tar.zst", zst),
    ] {
        let package = ar(&[("debian-binary", b"2.0\n"), ("control.tar.xz", b"odd"), (name, &body)]);
        assert_eq!(listing(&package).unwrap(), WANTED, "{name}");
    }
}

#[test]
fn a_package_that_is_cut_short_is_an_error() {
    let data = data();
    let package = ar(&[("debian-binary", b"2.0\n"), ("data.tar", &data)]);
    for length in [4, 70, package.len() - data.len() + 100, package.len() - data.len() + 1030] {
        assert!(listing(&package[..length]).is_err(), "cut to {length} of {}", package.len());
    }
}

#[test]
fn what_is_no_package_is_an_error() {
    assert!(listing(b"PK\x03\x04 something else entirely").is_err());
    assert!(format!("{:#}", listing(&ar(&[("data.tar.br", b"xx")])).unwrap_err()).contains(".br"));
}

#[test]
fn a_path_that_leaves_the_root_is_refused() {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Regular);
    header.set_size(0);
    header.as_mut_bytes()[..9].copy_from_slice(b"../../etc");
    header.set_cksum();
    let mut tar = tar::Builder::new(Vec::new());
    tar.append(&header, &b""[..]).unwrap();
    let package = ar(&[("data.tar", &tar.into_inner().unwrap())]);
    assert!(format!("{:#}", listing(&package).unwrap_err()).contains("leaves the root"));
}
