//! Builds the upstream programs from the Go module proxy. Each program is built once and kept; an interrupted build
//! goes on where it stopped, because Go's own cache keeps the compiled packages.

use super::release::{Release, VERSION, staging_version};
use anyhow::{Context, bail};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// How a program is made from its Go package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// `go build`, with upstream's build tags and the version stamped in.
    Stamped,
    /// `go build`, as it is.
    Plain,
    /// `go test -c`, with upstream's build tags and the version stamped in.
    Test,
}

/// One program: its name in the cache, its package, how it is made.
struct Program(&'static str, &'static str, Kind);

/// What is built, in the order in which it becomes useful.
const PROGRAMS: &[Program] = &[
    Program("etcd", "go.etcd.io/etcd/server/v3", Kind::Plain),
    Program("kube-apiserver", "./cmd/kube-apiserver", Kind::Stamped),
    Program("kubectl", "./cmd/kubectl", Kind::Stamped),
    Program("kube-controller-manager", "./cmd/kube-controller-manager", Kind::Stamped),
    Program("kube-scheduler", "./cmd/kube-scheduler", Kind::Stamped),
    Program("ginkgo", "github.com/onsi/ginkgo/v2/ginkgo", Kind::Plain),
    Program("e2e.test", "./test/e2e", Kind::Test),
    Program("agnhost", "./test/images/agnhost", Kind::Stamped),
];

/// The build tags of upstream's release builds (hack/lib/golang.sh, `gotags`).
const TAGS: &str = "selinux,notest,grpcnotrace";

/// Compiler processes at a time; a linker of a big program alone takes over a gigabyte.
const COMPILERS: &str = "2";

/// Seconds between two lines of progress while a program is being built.
const PROGRESS_EVERY: Duration = Duration::from_secs(30);

/// Builds every program that the cache lacks.
///
/// # Errors
/// Says which step failed and where its log is. What was built before stays.
pub fn build(release: &Release) -> anyhow::Result<()> {
    let missing: Vec<&Program> = PROGRAMS.iter().filter(|p| !release.program(p.0).exists()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    for folder in ["bin", "log"] {
        let path = release.folder().join(folder);
        std::fs::create_dir_all(&path).with_context(|| format!("create {}", path.display()))?;
    }
    prepare_sources(release)?;
    let started = Instant::now();
    for (at, program) in missing.iter().enumerate() {
        eprintln!("[{}/{}] building {} {VERSION}", at + 1, missing.len(), program.0);
        build_one(release, program)?;
    }
    eprintln!(
        "built {} programs in {} s into {}",
        missing.len(),
        started.elapsed().as_secs(),
        release.folder().display()
    );
    Ok(())
}

/// Puts a writable copy of the module into the cache, able to be a main module.
fn prepare_sources(release: &Release) -> anyhow::Result<()> {
    let sources = release.sources();
    if sources.join("go.mod").exists() {
        return Ok(());
    }
    eprintln!("fetching k8s.io/kubernetes v{VERSION} from the Go module proxy");
    let module = module_folder()?;
    let part = release.folder().join("src.part");
    if part.exists() {
        std::fs::remove_dir_all(&part).with_context(|| format!("remove {}", part.display()))?;
    }
    let status = Command::new("cp").args(["-r", "--no-preserve=mode"]).arg(&module).arg(&part).status();
    if !status.context("run cp")?.success() {
        bail!("could not copy {} to {}", module.display(), part.display());
    }
    for workspace in ["go.work", "go.work.sum"] {
        let path = part.join(workspace);
        if path.exists() {
            std::fs::remove_file(&path).with_context(|| format!("remove {}", path.display()))?;
        }
    }
    let manifest = part.join("go.mod");
    let text = std::fs::read_to_string(&manifest).with_context(|| format!("read {}", manifest.display()))?;
    std::fs::write(&manifest, published_staging(&text, &staging_version(VERSION)))
        .with_context(|| format!("write {}", manifest.display()))?;
    std::fs::rename(&part, &sources).with_context(|| format!("rename to {}", sources.display()))
}

/// Downloads the module and returns where Go unpacked it.
fn module_folder() -> anyhow::Result<PathBuf> {
    let wanted = format!("k8s.io/kubernetes@v{VERSION}");
    let output = go().current_dir("/").args(["mod", "download", "-json", &wanted]).output();
    let output = output.context("run go; install a Go toolchain of at least the version in the module's go.mod")?;
    let answer: serde_json::Value =
        serde_json::from_slice(&output.stdout).with_context(|| format!("the answer of go mod download {wanted}"))?;
    match answer["Dir"].as_str() {
        Some(folder) if output.status.success() => Ok(PathBuf::from(folder)),
        _ => bail!("go mod download {wanted}: {}", answer["Error"].as_str().unwrap_or("no reason given")),
    }
}

/// The `go` command with the settings that every step needs: no vendor folder, no workspace, no C, this toolchain.
fn go() -> Command {
    let mut command = Command::new("nice");
    command.args(["-n", "10", "go"]);
    command.env("GOFLAGS", "-mod=mod").env("GOWORK", "off").env("CGO_ENABLED", "0").env("GOTOOLCHAIN", "local");
    command
}

/// Rewrites the replacements of `go.mod` that point into the staging folder, which a module does not carry, to the
/// published modules of the same release. A replaced module that is not required is left out: nothing imports it.
fn published_staging(manifest: &str, version: &str) -> String {
    let required = |module: &str| manifest.lines().any(|line| line.trim().starts_with(&format!("{module} v")));
    let rewrite = |line: &str| match line.trim().split_once(" => ./staging/") {
        None => Some(line.to_owned()),
        Some((module, _)) => required(module).then(|| format!("\t{module} => {module} {version}")),
    };
    manifest.lines().filter_map(rewrite).map(|line| line + "\n").collect()
}

/// The linker flags that make a program say which release it is (hack/lib/version.sh).
fn stamp(version: &str) -> String {
    let minor = version.split('.').nth(1).unwrap_or_default();
    let mut flags = "-s -w".to_owned();
    for package in ["k8s.io/component-base/version", "k8s.io/client-go/pkg/version"] {
        let fields = [("gitVersion", format!("v{version}")), ("gitMajor", "1".into()), ("gitMinor", minor.to_owned())];
        for (field, value) in fields.iter().chain(&[("gitTreeState", "clean".to_owned())]) {
            flags.push_str(&format!(" -X {package}.{field}={value}"));
        }
    }
    flags
}

fn build_one(release: &Release, Program(name, package, kind): &Program) -> anyhow::Result<()> {
    let part = release.folder().join("bin").join(format!("{name}.part"));
    let log = release.build_log(name);
    let out = File::create(&log).with_context(|| format!("create {}", log.display()))?;
    let mut command = go();
    match kind {
        Kind::Test => command.args(["test", "-c"]),
        Kind::Plain | Kind::Stamped => command.arg("build"),
    };
    command.args(["-trimpath", "-p", COMPILERS]);
    match kind {
        Kind::Plain => command.args(["-ldflags", "-s -w"]),
        Kind::Stamped | Kind::Test => command.args(["-tags", TAGS, "-ldflags", &stamp(VERSION)]),
    };
    command.arg("-o").arg(&part).arg(package).current_dir(release.sources());
    command.stdout(out.try_clone().context("share the build log")?).stderr(out);
    let child = command.spawn().context("run go")?;
    let (seconds, peak) = wait_showing_progress(name, child, &log)?;
    std::fs::rename(&part, release.program(name)).with_context(|| format!("keep {}", part.display()))?;
    let size = std::fs::metadata(release.program(name)).map(|m| m.len() >> 20).unwrap_or_default();
    eprintln!("  {name}: {seconds} s, peak {} MiB of memory, {size} MiB", peak >> 20);
    Ok(())
}

/// Waits for the compiler; returns the seconds it took and the most memory it and its children held at once, in bytes.
fn wait_showing_progress(name: &str, mut child: std::process::Child, log: &Path) -> anyhow::Result<(u64, u64)> {
    let started = Instant::now();
    let (mut shown, mut peak) = (started, 0);
    loop {
        if let Some(status) = child.try_wait().context("wait for go")? {
            if !status.success() {
                bail!("building {name} failed ({status}); see {}", log.display());
            }
            return Ok((started.elapsed().as_secs(), peak));
        }
        peak = peak.max(family_memory(child.id()));
        if shown.elapsed() >= PROGRESS_EVERY {
            shown = Instant::now();
            eprintln!("  {name}: {} s, {} MiB of memory in use", started.elapsed().as_secs(), peak >> 20);
        }
        std::thread::sleep(Duration::from_millis(500));
    }
}

/// The resident memory of a process and all its descendants, in bytes.
fn family_memory(root: u32) -> u64 {
    let Ok(entries) = std::fs::read_dir("/proc") else { return 0 };
    let all: Vec<(u32, u32, u64)> = entries.flatten().filter_map(|e| process(&e.path())).collect();
    let mut family = vec![root];
    let mut next = 0;
    while let Some(parent) = family.get(next).copied() {
        family.extend(all.iter().filter(|p| p.1 == parent).map(|p| p.0));
        next += 1;
    }
    all.iter().filter(|p| family.contains(&p.0)).map(|p| p.2).sum()
}

/// Process, parent and resident bytes out of one folder of /proc.
fn process(folder: &Path) -> Option<(u32, u32, u64)> {
    let id: u32 = folder.file_name()?.to_str()?.parse().ok()?;
    let stat = std::fs::read_to_string(folder.join("stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
    /// Resident memory is counted in pages of this size on x86-64 and, by default, arm64.
    const PAGE: u64 = 4096;
    Some((id, fields.get(1)?.parse().ok()?, fields.get(21)?.parse::<u64>().ok()? * PAGE))
}

#[cfg(test)]
mod tests {
    use super::{published_staging, stamp};

    #[test]
    fn staging_folders_become_published_modules_and_unneeded_ones_go() {
        let manifest = "require (\n\tk8s.io/api v0.0.0\n)\nreplace (\n\tk8s.io/api => ./staging/src/k8s.io/api\n\tk8s.io/sample => ./staging/src/k8s.io/sample\n)\n";
        let wanted = "require (\n\tk8s.io/api v0.0.0\n)\nreplace (\n\tk8s.io/api => k8s.io/api v0.36.4\n)\n";
        assert_eq!(published_staging(manifest, "v0.36.4"), wanted);
    }

    #[test]
    fn both_version_packages_are_stamped() {
        let flags = stamp("1.36.4");
        assert!(flags.contains("-X k8s.io/component-base/version.gitVersion=v1.36.4"), "{flags}");
        assert!(flags.contains("-X k8s.io/client-go/pkg/version.gitMinor=36"), "{flags}");
    }
}
