//! The resolver on a small archive made here and signed with a key made here.

use super::*;
use crate::interrupt::Interrupt;
use crate::output::Format;
use ring::digest::{SHA256, digest};
use std::process::Command;

/// An archive in a folder, with its own key.
struct Archive {
    folder: tempfile::TempDir,
    home: tempfile::TempDir,
    cache: tempfile::TempDir,
}

fn hash(bytes: &[u8]) -> String {
    fetch::hexadecimal(digest(&SHA256, bytes).as_ref())
}

impl Archive {
    fn new() -> Archive {
        let make = || tempfile::tempdir().unwrap();
        let archive = Archive { folder: make(), home: make(), cache: make() };
        archive.gpg(&["--passphrase", "", "--quick-generate-key", "archive@skerry.test", "rsa2048", "sign", "never"]);
        archive.gpg(&["--output", archive.keyring().to_str().unwrap(), "--export"]);
        archive
    }

    fn keyring(&self) -> PathBuf {
        self.home.path().join("keys.gpg")
    }

    fn gpg(&self, arguments: &[&str]) {
        let mut command = Command::new("gpg");
        command.arg("--homedir").arg(self.home.path()).args([
            "--batch",
            "--yes",
            "--quiet",
            "--pinentry-mode",
            "loopback",
        ]);
        let output = command.args(arguments).output().expect("gpg runs: package gnupg");
        assert!(output.status.success(), "gpg {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn put(&self, path: &str, bytes: &[u8]) {
        let place = self.folder.path().join(path);
        std::fs::create_dir_all(place.parent().unwrap()).unwrap();
        std::fs::write(place, bytes).unwrap();
    }

    /// Publishes a suite that holds these packages, `(name, version, content)`.
    fn publish(&self, suite: &str, packages: &[(&str, &str, &str)]) {
        let mut index = String::new();
        for (name, version, content) in packages {
            let path = format!("pool/{name}_{version}.deb");
            self.put(&path, content.as_bytes());
            let (size, sha256) = (content.len(), hash(content.as_bytes()));
            index +=
                &format!("Package: {name}\nVersion: {version}\nFilename: {path}\nSize: {size}\nSHA256: {sha256}\n\n");
        }
        let mut xz = lzma_rust2::XzWriter::new(Vec::new(), lzma_rust2::XzOptions::with_preset(1)).unwrap();
        std::io::Write::write_all(&mut xz, index.as_bytes()).unwrap();
        let xz = xz.finish().unwrap();
        self.put(&format!("dists/{suite}/main/binary-amd64/Packages.xz"), &xz);
        let (size, sha256) = (xz.len(), hash(&xz));
        let release = format!("Codename: {suite}\nSHA256:\n {sha256} {size} main/binary-amd64/Packages.xz\n");
        let plain = self.home.path().join("Release");
        std::fs::write(&plain, release).unwrap();
        let signed = self.folder.path().join(format!("dists/{suite}/InRelease"));
        self.gpg(&["--output", signed.to_str().unwrap(), "--clearsign", plain.to_str().unwrap()]);
    }

    fn provider<'a>(&self, output: &'a Output, lock: Lock) -> Provider<'a> {
        let base = format!("file://{}", self.folder.path().display());
        let fetcher = Fetcher::new(Some(base), self.cache.path(), Interrupt::never());
        Provider { fetcher, lock, keyring: self.keyring(), output }
    }
}

impl Drop for Archive {
    fn drop(&mut self) {
        // The agent that gpg leaves behind ends with its folder; asking it to is only quicker.
        let _ = Command::new("gpgconf").arg("--homedir").arg(self.home.path()).args(["--kill", "all"]).output();
    }
}

fn keys(names: &[&str]) -> Vec<Key> {
    names.iter().map(|name| ("s".to_owned(), (*name).to_owned())).collect()
}

fn quiet() -> Output {
    Output { format: Format::Text, terminal: false, colour: false }
}

#[test]
fn an_updated_lock_pins_the_newest_and_provides_it() {
    let archive = Archive::new();
    archive.publish("s", &[("a", "1.9-1", "old a"), ("a", "1.10-1", "new a"), ("b", "2", "b"), ("c", "3", "c")]);
    let output = quiet();
    let mut provider = archive.provider(&output, Lock::default());
    let wanted = keys(&["a", "b"]);
    provider.update(&wanted).unwrap();
    let versions: Vec<&str> = provider.lock.pins.values().map(|pin| pin.version.as_str()).collect();
    assert_eq!(versions, ["1.10-1", "2"]);
    let files = provider.provide(&wanted).unwrap();
    assert_eq!(std::fs::read_to_string(&files[&wanted[0]]).unwrap(), "new a");
}

#[test]
fn what_is_cached_needs_no_archive() {
    let archive = Archive::new();
    archive.publish("s", &[("a", "1", "a")]);
    let output = quiet();
    let mut provider = archive.provider(&output, Lock::default());
    provider.update(&keys(&["a"])).unwrap();
    provider.provide(&keys(&["a"])).unwrap();
    let fetcher = Fetcher::new(None, archive.cache.path(), Interrupt::never());
    let mut offline = Provider { fetcher, lock: provider.lock.clone(), keyring: archive.keyring(), output: &output };
    assert_eq!(offline.provide(&keys(&["a"])).unwrap().len(), 1);
}

#[test]
fn a_version_that_is_gone_is_replaced_by_the_newest_of_the_suite() {
    let archive = Archive::new();
    archive.publish("s", &[("a", "1", "a one"), ("b", "1", "b")]);
    let output = quiet();
    let mut first = archive.provider(&output, Lock::default());
    let wanted = keys(&["a", "b"]);
    first.update(&wanted).unwrap();
    std::fs::remove_file(archive.folder.path().join("pool/a_1.deb")).unwrap();
    archive.publish("s", &[("a", "2", "a two"), ("b", "1", "b")]);
    let mut second = archive.provider(&output, first.lock.clone());
    let files = second.provide(&wanted).unwrap();
    assert_eq!(std::fs::read_to_string(&files[&wanted[0]]).unwrap(), "a two");
    assert_eq!(second.lock.pins[&wanted[0]].version, "2");
}

#[test]
fn a_release_signed_by_a_stranger_is_refused() {
    let (archive, stranger) = (Archive::new(), Archive::new());
    archive.publish("s", &[("a", "1", "a")]);
    let output = quiet();
    let mut provider = archive.provider(&output, Lock::default());
    provider.keyring = stranger.keyring();
    let failure = Failure::of(provider.update(&keys(&["a"])).unwrap_err());
    assert_eq!(failure.code, Code::Refused, "{failure}");
    assert!(failure.message.contains("signature"), "{failure}");
}

#[test]
fn an_index_that_the_release_does_not_vouch_for_is_refused() {
    let archive = Archive::new();
    archive.publish("s", &[("a", "1", "a")]);
    let index = archive.folder.path().join("dists/s/main/binary-amd64/Packages.xz");
    let mut bytes = std::fs::read(&index).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&index, bytes).unwrap();
    let output = quiet();
    let failure = Failure::of(archive.provider(&output, Lock::default()).update(&keys(&["a"])).unwrap_err());
    assert_eq!(failure.code, Code::Refused, "{failure}");
}

#[test]
fn another_suite_under_the_asked_name_is_refused() {
    let archive = Archive::new();
    archive.publish("other", &[("a", "1", "a")]);
    std::fs::rename(archive.folder.path().join("dists/other"), archive.folder.path().join("dists/s")).unwrap();
    let output = quiet();
    let failure = Failure::of(archive.provider(&output, Lock::default()).update(&keys(&["a"])).unwrap_err());
    assert!(failure.message.contains("asked for the suite s"), "{failure}");
}

#[test]
fn a_package_without_a_pin_names_the_way_forward() {
    let archive = Archive::new();
    let output = quiet();
    let failure = Failure::of(archive.provider(&output, Lock::default()).provide(&keys(&["a"])).unwrap_err());
    assert_eq!(failure.advice.as_deref(), Some("run `skerry build --update-lock`"));
}

#[test]
fn dates_of_the_archive_are_read() {
    let epoch = http_date("Thu, 01 Jan 1970 00:00:10 UTC").unwrap();
    assert_eq!(epoch.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs(), 10);
    assert_eq!(http_date("tomorrow"), None);
}
