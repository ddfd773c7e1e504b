//! The kernel: source package and fragments in, one file out, cached by what it was made of.

mod config;
mod host;

use super::packages::deb::{self, Content};
use super::packages::fetch::sha256;
use super::unpack::Shelf;
use super::userland::Package;
use crate::exit::{Code, Failure};
use crate::interrupt::Interrupt;
use crate::output::Output;
use crate::steps::Step;
use anyhow::{Context, Result, anyhow, ensure};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// The file that `make` leaves, below its output folder.
const PRODUCT: &str = "arch/x86/boot/bzImage";
/// What the cache calls it.
const FILE: &str = "bzImage";
/// How many last lines of a failed build are shown.
const TAIL: usize = 15;
/// Fixed, so that the same input gives the same bytes.
const STAMP: &[(&str, &str)] = &[
    ("KBUILD_BUILD_TIMESTAMP", "2000-01-01 00:00:00 UTC"),
    ("KBUILD_BUILD_USER", "skerry"),
    ("KBUILD_BUILD_HOST", "skerry"),
    ("KBUILD_BUILD_VERSION", "1"),
    ("LC_ALL", "C"),
];

/// What a kernel is made from.
pub struct Recipe<'a> {
    /// The source package.
    pub source: &'a Package,
    /// Folder of the fragments.
    pub fragments: &'a Path,
    /// The cache folder for kernels.
    pub cache: &'a Path,
}

/// What the kernel of a recipe is identified by.
pub struct Plan {
    wanted: config::Symbols,
    /// The place of the finished kernel.
    folder: PathBuf,
}

impl Plan {
    /// Reads the fragments and asks the compiler for its version.
    ///
    /// # Errors
    /// When a fragment is malformed or the host has no compiler.
    pub fn make(recipe: &Recipe<'_>, version: &str) -> Result<Plan> {
        let wanted = config::read_folder(recipe.fragments)?;
        let compiler = host::compiler()?;
        let key = sha256(format!("{version}\n{compiler}\n{}", wanted.print()).as_bytes());
        Ok(Plan { wanted, folder: recipe.cache.join(&key[..16]) })
    }

    /// The kernel, when it has been built before.
    pub fn finished(&self) -> Option<PathBuf> {
        let file = self.folder.join(FILE);
        file.exists().then_some(file)
    }
}

/// The kernel: from the cache, else built. An interrupted build goes on where it was.
///
/// # Errors
/// `HostLacks` without the tools, `Refused` when a symbol of a fragment did not take, else what the build said.
pub fn build(recipe: &Recipe<'_>, plan: &Plan, shelf: &Shelf, output: &Output, stop: &Interrupt) -> Result<PathBuf> {
    if let Some(file) = plan.finished() {
        Step::begin(output, "kernel").done("cached");
        return Ok(file);
    }
    host::check()?;
    let work = plan.folder.with_extension("partial");
    std::fs::create_dir_all(&work).with_context(|| format!("making {}", work.display()))?;
    let source = unpack_source(recipe, shelf, &work, output, stop)?;
    let objects = work.join("objects");
    configure(&plan.wanted, &source, &objects, output, stop)?;
    compile(&source, &objects, output, stop)?;
    let finished = plan.folder.with_extension("finished");
    std::fs::create_dir_all(&finished)?;
    std::fs::copy(objects.join(PRODUCT), finished.join(FILE)).context("taking the finished kernel")?;
    std::fs::copy(objects.join(".config"), finished.join("config")).context("taking the kernel's configuration")?;
    std::fs::rename(&finished, &plan.folder).context("taking the finished kernel into the cache")?;
    std::fs::remove_dir_all(&work).with_context(|| format!("removing {}", work.display()))?;
    plan.finished().ok_or_else(|| anyhow!("the kernel vanished from {}", plan.folder.display()))
}

/// The source tree: a tar inside the package, unpacked once.
fn unpack_source(
    recipe: &Recipe<'_>,
    shelf: &Shelf,
    work: &Path,
    output: &Output,
    stop: &Interrupt,
) -> Result<PathBuf> {
    let place = work.join("source");
    if place.exists() {
        return Ok(place);
    }
    let step = Step::begin(output, "unpack the kernel source");
    let partial = work.join("source.partial");
    if partial.exists() {
        std::fs::remove_dir_all(&partial)?;
    }
    let mut found = false;
    deb::unpack(shelf.get(recipe.source)?, |path, _, content| {
        if let Content::File(_, reader) = content
            && path.ends_with(".tar.xz")
        {
            found = true;
            unpack_tar(reader, &partial, stop)?;
        }
        Ok(())
    })?;
    ensure!(found, "the package {} holds no source archive", recipe.source.name);
    std::fs::rename(&partial, &place)?;
    step.done("");
    Ok(place)
}

/// Unpacks all files, without the archive's own top folder.
fn unpack_tar(reader: &mut dyn Read, folder: &Path, stop: &Interrupt) -> Result<()> {
    let mut tar = tar::Archive::new(lzma_rust2::XzReader::new(reader, true));
    // The build compares ages: all files as old as they were, links and modes as they are.
    tar.set_preserve_mtime(true);
    for entry in tar.entries()? {
        stop.check()?;
        let mut entry = entry?;
        let path: PathBuf = entry.path()?.components().skip(1).collect();
        if path.as_os_str().is_empty() {
            continue;
        }
        ensure!(path.components().all(|part| part != std::path::Component::ParentDir), "{} leaves", path.display());
        let place = folder.join(&path);
        std::fs::create_dir_all(place.parent().unwrap_or(folder))?;
        entry.unpack(&place).with_context(|| format!("unpacking {}", path.display()))?;
    }
    Ok(())
}

/// Everything off, then the fragments; and a look whether each symbol took.
fn configure(wanted: &config::Symbols, source: &Path, objects: &Path, output: &Output, stop: &Interrupt) -> Result<()> {
    let step = Step::begin(output, "configure the kernel");
    std::fs::create_dir_all(objects)?;
    let merged = objects.join("fragments.config");
    std::fs::write(&merged, wanted.print())?;
    let mut make = make(source, objects);
    make.env("KCONFIG_ALLCONFIG", &merged).arg("allnoconfig");
    watch(make, &objects.join("configure.log"), "configuring the kernel", stop, |_| ())?;
    let text = std::fs::read_to_string(objects.join(".config")).context("reading the kernel's configuration")?;
    let lost = wanted.lost_in(&config::Symbols::parse(&text)?);
    if !lost.is_empty() {
        let failure =
            Failure::new(Code::Refused, format!("symbols of kernel-config did not take:\n  {}", lost.join("\n  ")));
        return Err(failure.advice("they lack a dependency, or this kernel has no such symbol").into());
    }
    step.done(&format!("{} symbols on", config::Symbols::parse(&text)?.on()));
    Ok(())
}

fn compile(source: &Path, objects: &Path, output: &Output, stop: &Interrupt) -> Result<()> {
    let step = Step::begin(output, "build the kernel (minutes; later builds take it from the cache)");
    let jobs = std::thread::available_parallelism().map_or(1, usize::from);
    let mut make = make(source, objects);
    make.arg(format!("-j{jobs}")).arg(FILE);
    let mut built = 0;
    watch(make, &objects.join("build.log"), "building the kernel", stop, |line| {
        built += usize::from(line.starts_with("  CC ") || line.starts_with("  AS "));
        step.at(&format!("{built} files"));
    })?;
    step.done("");
    Ok(())
}

fn make(source: &Path, objects: &Path) -> Command {
    let mut make = Command::new("make");
    make.arg("-C").arg(source).arg(format!("O={}", objects.display())).envs(STAMP.iter().copied());
    // A make above us must not lend us its jobs, nor its flags.
    make.env_remove("MAKEFLAGS").env_remove("MAKELEVEL").env_remove("KCONFIG_CONFIG");
    make
}

/// Runs a program with its output in a log file and each line shown to `each`; on interrupt its whole group ends.
fn watch(mut command: Command, log: &Path, doing: &str, stop: &Interrupt, mut each: impl FnMut(&str)) -> Result<()> {
    let file = File::create(log).with_context(|| format!("making {}", log.display()))?;
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(file.try_clone()?).process_group(0);
    let mut child = command.spawn().with_context(|| format!("{doing}: starting {:?}", command.get_program()))?;
    let out = BufReader::new(child.stdout.take().ok_or_else(|| anyhow!("{doing}: no output"))?);
    let mut log_file = file;
    for line in out.lines() {
        let line = line?;
        std::io::Write::write_all(&mut log_file, format!("{line}\n").as_bytes())?;
        each(&line);
        if let Err(interrupted) = stop.check() {
            end(&mut child)?;
            return Err(interrupted.into());
        }
    }
    if child.wait()?.success() {
        return Ok(());
    }
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let tail = lines[lines.len().saturating_sub(TAIL)..].join("\n  ");
    let failure = Failure::new(Code::Unexpected, format!("{doing} failed:\n  {tail}"));
    Err(failure.advice(format!("the whole log is {}", log.display())).into())
}

fn end(child: &mut Child) -> Result<()> {
    let group = Pid::from_raw(i32::try_from(child.id())?);
    killpg(group, Signal::SIGTERM).context("stopping the build")?;
    child.wait()?;
    Ok(())
}
