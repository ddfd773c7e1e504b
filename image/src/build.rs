//! Builds the machine image: kernel and root file system, from packages, fragments and our own programs.
//!
//! The story is `run`; each step is a module. Every step takes what an earlier run has left in the cache. It boots
//! nothing.

mod bill;
mod blank;
pub mod disk;
pub mod elf;
mod features;
pub mod folders;
mod kernel;
mod manifest;
mod own;
mod pack;
pub mod packages;
mod release;
mod root;
mod sandbox;
mod tool;
pub mod tree;
pub mod unpack;
pub mod userland;

use crate::interrupt::Interrupt;
use crate::output::Output;
use crate::steps::Step;
use anyhow::{Context, Result};
use folders::Folders;
pub use manifest::Manifest;
use packages::fetch::{Fetcher, file_sha256};
pub use packages::fetch::{hexadecimal, sha256};
use packages::lock::{Key, Lock};
use packages::{Provider, archive, keyring};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use unpack::Shelf;
use userland::Part;

/// The kernel's name in the image folder.
pub const KERNEL: &str = "bzImage";
/// The root file system's name in the image folder: compressed outside of the file system, so that the emulator unpacks
/// it. Emulated, the machine is Ready a quarter of a second sooner than when it unpacks it itself.
pub const ROOT: &str = "root.qcow2";
/// The root file system of disks and CDs: compressed inside, for readers that know nothing of it.
const DISK_ROOT: &str = "root.erofs";
/// The client for the host, below the image folder.
pub const KUBECTL: &str = "tools/kubectl";

/// What to build.
pub struct Order {
    /// Pin the newest versions first.
    pub update_lock: bool,
    /// Leave the Docker engine out.
    pub without_docker: bool,
    /// Put a shell in.
    pub debug: bool,
    /// Go on without programs of this workspace.
    pub allow_missing_own: bool,
    /// Where the image goes, if not into the checkout.
    pub target: Option<PathBuf>,
    /// Disk images that are made besides kernel and root.
    pub formats: Vec<&'static disk::Format>,
    /// The folder of a release, which has all formats.
    pub release: Option<PathBuf>,
}

/// What was built.
pub struct Made {
    folder: PathBuf,
    /// Its description.
    pub manifest: Manifest,
}

impl Made {
    /// For people: where it is and how large.
    pub fn summary(&self) -> String {
        let megabytes = |name: &str| self.manifest.files.get(name).map_or(0.0, |entry| entry.size as f64 / 1e6);
        let (kernel, root) = (megabytes(KERNEL), megabytes(ROOT));
        let folder = self.folder.display();
        let mut text = format!("{folder}: kernel {kernel:.1} MB, root {root:.1} MB, together {:.1} MB", kernel + root);
        for format in disk::FORMATS {
            let name = disk::file_name(format);
            if let Some(entry) = self.manifest.files.get(&name) {
                text += &format!("\n{name}: {:.1} MB, {}", entry.size as f64 / 1e6, format.about);
            }
        }
        text
    }
}

/// Builds the image, or finds that it is built.
///
/// # Errors
/// See the steps; interrupted work leaves only complete files behind.
pub fn run(order: &Order, output: &Output, interrupt: &Interrupt) -> Result<Made> {
    let folders = Folders::find(order.target.as_deref())?;
    let packages = userland::of(&parts(order));
    let kernel_source = userland::of(&[Part::Kernel])[0];
    let fetcher = Fetcher::new(archive(), &folders.cache.join("packages"), interrupt.clone());
    let mut provider = Provider { fetcher, lock: read_lock(&folders.lock)?, keyring: keyring(), output };
    if order.update_lock {
        let all: Vec<Key> = userland::TABLE.iter().map(userland::Package::key).collect();
        provider.update(&all)?;
        std::fs::write(&folders.lock, provider.lock.print()).context("writing the lock file")?;
    }

    let recipe =
        kernel::Recipe { source: kernel_source, fragments: &folders.fragments, cache: &folders.cache.join("kernel") };
    let pinned = provider.lock.pins.get(&kernel_source.key()).map_or("", |pin| pin.version.as_str()).to_owned();
    let known = kernel::Plan::make(&recipe, &pinned)?.finished().is_some();
    let mut wanted: Vec<Key> = packages.iter().map(|package| package.key()).collect();
    let makes_disks = !order.formats.is_empty();
    let helpers =
        if makes_disks { &[Part::Packer, Part::Client, Part::Loader][..] } else { &[Part::Packer, Part::Client] };
    wanted.extend(userland::of(helpers).iter().map(|package| package.key()));
    if !known {
        wanted.push(kernel_source.key());
    }
    let files = provider.provide(&wanted)?;
    let shelf = Shelf { files, lock: provider.lock };

    let plan = kernel::Plan::make(&recipe, shelf.version(kernel_source)?)?;
    let bz_image = kernel::build(&recipe, &plan, &shelf, output, interrupt)?;
    std::fs::create_dir_all(&folders.target).with_context(|| format!("making {}", folders.target.display()))?;
    copy_new(&bz_image, &folders.target.join(KERNEL))?;
    client(&shelf, &folders, output, interrupt)?;
    let mut manifest = root_file_system(order, &packages, &shelf, &folders, output, interrupt)?;
    if makes_disks {
        disks(order, &shelf, &folders, &mut manifest, output, interrupt)?;
    }
    manifest.write(&folders.target)?;
    if let Some(release) = &order.release {
        let step = Step::begin(output, "release");
        let sources = [packages.as_slice(), &userland::of(&[Part::Packer, Part::Client, Part::Loader, Part::Kernel])];
        let crates = std::fs::read_to_string(&folders.crates).context("reading Cargo.lock")?;
        let bill = bill::bill(&manifest.version, &shelf.lock, &sources.concat(), &crates)?;
        release::write(release, &folders.target, &folders.built, &bill)?;
        step.done(&release.display().to_string());
    }
    Ok(Made { folder: folders.target, manifest })
}

/// The disk images, and what they are in the manifest.
fn disks(
    order: &Order,
    shelf: &Shelf,
    folders: &Folders,
    manifest: &mut Manifest,
    output: &Output,
    interrupt: &Interrupt,
) -> Result<()> {
    let loader = disk::loader::Loader::prepare(shelf, &folders.cache.join("tools"), interrupt)?;
    let live =
        if order.formats.iter().any(|format| format.needs_live) { own::live(&folders.built)? } else { Vec::new() };
    let (kernel, root) = (folders.target.join(KERNEL), folders.target.join(DISK_ROOT));
    let parts = disk::Parts::read(&kernel, &root, disk::live::archive(&live), loader, &manifest.version)?;
    for format in &order.formats {
        let step = Step::begin(output, disk::file_name(format));
        let name = format.make(&parts, &folders.target, interrupt)?;
        let entry = manifest::describe(&folders.target.join(&name))?;
        step.done(&format!("{:.1} MB", entry.size as f64 / 1e6));
        manifest.files.insert(name, entry);
    }
    Ok(())
}

/// Files are made for their owner alone; an image is for everybody.
fn readable(file: &std::fs::File) -> std::io::Result<()> {
    let mode = file.metadata()?.permissions().mode();
    file.set_permissions(std::fs::Permissions::from_mode(mode & 0o777 | 0o444))
}

/// What goes into the image.
fn parts(order: &Order) -> Vec<Part> {
    let mut parts = vec![Part::Core];
    if !order.without_docker {
        parts.push(Part::Docker);
    }
    if order.debug {
        parts.push(Part::Debug);
    }
    parts
}

/// The committed lock; none yet pins nothing.
fn read_lock(file: &Path) -> Result<Lock> {
    match std::fs::read_to_string(file) {
        Ok(text) => Lock::parse(&text).with_context(|| file.display().to_string()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Lock::default()),
        Err(error) => Err(error).with_context(|| format!("reading {}", file.display())),
    }
}

/// The root file system, packed unless the last one was made from the same things.
fn root_file_system(
    order: &Order,
    packages: &[&userland::Package],
    shelf: &Shelf,
    folders: &Folders,
    output: &Output,
    interrupt: &Interrupt,
) -> Result<Manifest> {
    let step = Step::begin(output, "root file system");
    let (fixed, built) = (folders.fixed.as_path(), folders.built.as_path());
    let lenient = order.allow_missing_own;
    let mut tree = root::assemble(&root::Parts { packages, shelf, fixed, built, lenient }, output, interrupt)?;
    blank::add(&mut tree, &folders.target, interrupt)?;
    let packer = pack::Packer::prepare(shelf, &folders.cache.join("tools"), interrupt)?;
    let inputs = identity(&tree, &packer)?;
    let mut manifest = Manifest {
        format: manifest::FORMAT,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        inputs,
        docker: !order.without_docker,
        debug: order.debug,
        files: [(KERNEL.to_owned(), manifest::describe(&folders.target.join(KERNEL))?)].into(),
        packages: packages
            .iter()
            .map(|p| Ok((p.name.to_owned(), shelf.version(p)?.to_owned())))
            .collect::<Result<_>>()?,
        authorities: root::authorities(&tree)?,
    };
    let before = Manifest::read(&folders.target).filter(|before| before.inputs == manifest.inputs);
    let mut told = "unchanged".to_owned();
    for (name, is_wanted) in [(ROOT, true), (DISK_ROOT, !order.formats.is_empty())] {
        let file = folders.target.join(name);
        let kept = before.as_ref().filter(|before| before.describes(&folders.target, name));
        let entry = match kept.and_then(|before| before.files.get(name)) {
            Some(entry) => entry.clone(),
            None if !is_wanted => continue,
            None => {
                step.at(&format!("packing {name}"));
                if name == ROOT {
                    direct(&packer, &tree, &file, interrupt)?;
                } else {
                    packer.pack(&tree, pack::Form::Compressed, &folders.target, &file, interrupt)?;
                }
                let entry = manifest::describe(&file)?;
                told = format!("{:.1} MB", entry.size as f64 / 1e6);
                entry
            }
        };
        manifest.files.insert(name.to_owned(), entry);
    }
    step.done(&told);
    Ok(manifest)
}

/// Packs the root that the emulator unpacks.
fn direct(packer: &pack::Packer, tree: &tree::Tree, file: &Path, interrupt: &Interrupt) -> Result<()> {
    let folder = file.parent().context("a file in a folder")?;
    let scratch = tempfile::tempdir_in(folder).with_context(|| format!("a folder in {}", folder.display()))?;
    let plain = scratch.path().join("plain");
    packer.pack(tree, pack::Form::Plain, scratch.path(), &plain, interrupt)?;
    let bytes = std::fs::read(&plain).with_context(|| format!("reading {}", plain.display()))?;
    let mut product = tempfile::NamedTempFile::new_in(folder)?;
    disk::compressed(bytes, product.as_file_mut(), interrupt).with_context(|| format!("writing {}", file.display()))?;
    readable(product.as_file())?;
    product.persist(file).with_context(|| format!("taking {}", file.display()))?;
    Ok(())
}

/// One hash over everything that decides the bytes of the root file system.
fn identity(tree: &tree::Tree, packer: &pack::Packer) -> Result<String> {
    let text = format!("{}\n{}\n{}", packer.identity(), disk::qcow2::identity(), tree.fingerprint());
    Ok(sha256(text.as_bytes()))
}

/// The client that fits the cluster, for hosts whose own is too old.
fn client(shelf: &Shelf, folders: &Folders, output: &Output, interrupt: &Interrupt) -> Result<()> {
    let packages = userland::of(&[Part::Client]);
    let place = folders.target.join(KUBECTL);
    let mark = folders.target.join(format!("{KUBECTL}.version"));
    let version = shelf.version(packages[0])?;
    if place.exists() && std::fs::read_to_string(&mark).is_ok_and(|had| had == version) {
        return Ok(());
    }
    let step = Step::begin(output, format!("kubectl {version}"));
    let mut tree = tree::Tree::default();
    unpack::unpack(&packages, shelf, &mut tree, interrupt)?;
    let (_, content) = tree.files().next().context("the package of kubectl holds nothing")?;
    let folder = place.parent().context("the client lies in a folder")?;
    std::fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    std::io::Write::write_all(&mut file, content)?;
    file.as_file().set_permissions(std::fs::Permissions::from_mode(0o755))?;
    file.persist(&place)?;
    std::fs::write(&mark, version)?;
    step.done("");
    Ok(())
}

/// Copies unless the same is there, and never leaves half a file.
fn copy_new(from: &Path, to: &Path) -> Result<()> {
    if to.exists() && file_sha256(to)? == file_sha256(from)? {
        return Ok(());
    }
    let folder = to.parent().context("a file in a folder")?;
    let fresh = tempfile::NamedTempFile::new_in(folder)?;
    std::fs::copy(from, fresh.path()).with_context(|| format!("copying {}", from.display()))?;
    fresh.persist(to)?;
    Ok(())
}
