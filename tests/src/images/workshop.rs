//! Makes the images of the catalogue: gets the packages, builds the layers, writes the archives. What was made from the
//! same things is left as it lies.

use super::archive;
use super::catalog::{self, Image};
use super::layer;
use super::rootfs;
use anyhow::{Context, Result, anyhow};
use image::build::folders;
use image::build::packages::fetch::{Fetcher, hexadecimal};
use image::build::packages::lock::Lock;
use image::build::packages::{Provider, archive as mirror, keyring};
use image::build::tree::Tree;
use image::build::unpack::{Shelf, unpack};
use image::build::userland::Package;
use image::interrupt::Interrupt;
use image::output::{Format, Output};
use ring::digest::{SHA256, digest};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The command that renews the pins, as advice and in the lock file's heading.
const RENEW: &str = "cargo run -p tests --bin shop-images -- --update-lock";

/// Every source that decides the bytes of an archive, besides the packages.
const RECIPE: &[&str] = &[
    include_str!("archive.rs"),
    include_str!("catalog.rs"),
    include_str!("front.conf"),
    include_str!("layer.rs"),
    include_str!("rootfs.rs"),
];

/// Where the pins of the images' packages are committed.
fn lock_file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("images/packages.lock")
}

/// Packages at hand, ready to become images.
pub struct Workshop {
    shelf: Shelf,
}

impl Workshop {
    /// Gets every package that the catalogue names: from the cache, else from the archive, at the locked version.
    ///
    /// # Errors
    /// When a package is neither cached nor to be had, or its signature does not hold.
    pub fn open() -> Result<Workshop> {
        let output = Output::new(Format::Text);
        let text =
            std::fs::read_to_string(lock_file()).with_context(|| format!("reading {}", lock_file().display()))?;
        let lock = Lock::parse(&text).with_context(|| lock_file().display().to_string())?;
        let mut provider = provider(lock, &output)?;
        let wanted: Vec<_> = catalog::packages().into_iter().map(Package::key).collect();
        if let Some((_, name)) = wanted.iter().find(|key| !provider.lock.pins.contains_key(key)) {
            return Err(anyhow!("{} has no {name}: run {RENEW}", lock_file().display()));
        }
        let files = provider.provide(&wanted)?;
        Ok(Workshop { shelf: Shelf { files, lock: provider.lock } })
    }

    /// Pins the newest version of every package.
    ///
    /// # Errors
    /// When the index cannot be had or is not signed, or lacks a package.
    pub fn renew_pins() -> Result<()> {
        let output = Output::new(Format::Text);
        let mut provider = provider(Lock::default(), &output)?;
        let wanted: Vec<_> = catalog::packages().into_iter().map(Package::key).collect();
        provider.update(&wanted)?;
        let pins = provider.lock.print();
        let pins: Vec<&str> = pins.lines().filter(|line| !line.starts_with('#')).collect();
        let heading = "# Every package of the tests' images: written by";
        let text = format!("{heading} `{RENEW}`.\n# suite package version sha256 size path-in-archive\n");
        std::fs::write(lock_file(), format!("{text}{}\n", pins.join("\n"))).context("writing the lock file")
    }

    /// The archive of one image below `folder`, made unless it is there already.
    ///
    /// # Errors
    /// When the packages do not hold what the catalogue says, or the disk does not take it.
    pub fn make(&self, image: &Image, folder: &Path) -> Result<PathBuf> {
        std::fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
        let place = folder.join(format!("{}.tar", image.file));
        let mark = folder.join(format!("{}.made-from", image.file));
        let identity = self.identity();
        if place.exists() && std::fs::read_to_string(&mark).is_ok_and(|had| had == identity) {
            return Ok(place);
        }
        let bytes = self.bytes(image).with_context(|| format!("making the image {}", image.name))?;
        write_whole(&place, &bytes)?;
        write_whole(&mark, identity.as_bytes())?;
        Ok(place)
    }

    /// Docker's client below `folder`, made unless it is there: the path of the program. Its plug-ins are where it looks
    /// for them when `DOCKER_CONFIG` names the same folder.
    ///
    /// # Errors
    /// As `make`.
    pub fn docker(&self, folder: &Path) -> Result<PathBuf> {
        for package in catalog::CLIENT {
            let mut tree = Tree::default();
            unpack(&[package], &self.shelf, &mut tree, &Interrupt::never())?;
            for path in package.files {
                let name = Path::new(path).file_name().context("a path of a file")?;
                let place = if path.contains("cli-plugins") { folder.join("cli-plugins") } else { folder.to_owned() };
                std::fs::create_dir_all(&place).with_context(|| format!("making {}", place.display()))?;
                let place = place.join(name);
                let content = tree.files().find(|(at, _)| at == path).map(|(_, content)| content);
                let content = content.with_context(|| format!("{} has no {path}", package.name))?;
                if std::fs::metadata(&place).is_ok_and(|data| data.len() == content.len() as u64) {
                    continue;
                }
                write_whole(&place, content)?;
                std::fs::set_permissions(&place, std::fs::Permissions::from_mode(0o755))?;
            }
        }
        Ok(folder.join("docker"))
    }

    /// The archive's bytes.
    ///
    /// # Errors
    /// As `make`.
    pub fn bytes(&self, image: &Image) -> Result<Vec<u8>> {
        let mut layers = Vec::new();
        for part in image.layers {
            let (tree, owners) = rootfs::assemble(part, &self.shelf)?;
            layers.push(layer::tar(&tree, &owners)?);
        }
        archive::pack(image.name, &layers, &image.start)
    }

    /// One hash over everything that decides the bytes.
    fn identity(&self) -> String {
        let text = format!("{}{}", self.shelf.lock.print(), RECIPE.concat());
        hexadecimal(digest(&SHA256, text.as_bytes()).as_ref())
    }
}

/// The product's resolver, with pins of our own.
fn provider(lock: Lock, output: &Output) -> Result<Provider<'_>> {
    let fetcher = Fetcher::new(mirror(), &folders::cache()?.join("packages"), Interrupt::never());
    Ok(Provider { fetcher, lock, keyring: keyring(), output })
}

/// Writes a file, whole or not at all.
fn write_whole(place: &Path, bytes: &[u8]) -> Result<()> {
    let fresh = place.with_extension("part");
    let mut file = std::fs::File::create(&fresh).with_context(|| format!("making {}", fresh.display()))?;
    file.write_all(bytes).with_context(|| format!("writing {}", fresh.display()))?;
    std::fs::rename(&fresh, place).with_context(|| format!("taking {}", place.display()))
}
