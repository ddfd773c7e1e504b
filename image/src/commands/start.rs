//! `skerry start`: makes a cluster and boots it, or finds that it runs; ends when it can be used.

mod handed;
mod resume;
mod undo;

pub use undo::cut;

use super::{Command, Context};
use crate::cluster::accelerator::{self, Choice};
use crate::cluster::ask::Supervisor;
use crate::cluster::emulator::{Accelerator, CODE, CONFIG_DISK, DISK, Hardware, STORE_KEY};
use crate::cluster::images::Image;
use crate::cluster::outward::Outward;
use crate::cluster::ports::{self, Protocol};
use crate::cluster::settings::{self, Driver, Settings, Wish};
use crate::cluster::wait::{Wait, not_up};
use crate::cluster::{Cluster, access, context as kubeconfig, enter, life};
use crate::exit::{Code, Failure};
use crate::steps::Step;
use crate::supervisor::Order;
use crate::virtualbox::manage::{self, VirtualBox};
use anyhow::{Context as _, Result, anyhow};
use clap::parser::ValueSource;
use clap::{Args, FromArgMatches};
use serde_json::{Value, json};
use std::fmt::Write;
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::Instant;
use undo::Undo;

/// The line of the table.
pub const COMMAND: Command = Command {
    name: "start",
    about: "Start a cluster, making it first if need be, and wait until it can be used",
    hidden: false,
    arguments: |command| Arguments::augment_args(command),
    run: |matches, context| {
        let mut arguments = Arguments::from_arg_matches(matches)?;
        // These have no default of their own: one that is there is the user's preference for new clusters.
        let is_preference = |id: &&str| matches.value_source(id) == Some(ValueSource::DefaultValue);
        arguments.preferences = FOR_NEW_CLUSTERS.iter().copied().filter(is_preference).collect();
        context.runtime.block_on(run(&arguments, context))
    },
};

/// What is waited for, from least to most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
enum Until {
    /// Nothing but that the emulator runs.
    None,
    /// The API, and credentials for it.
    Api,
    /// Node, DNS and default account.
    Ready,
}

/// Options that describe a cluster. What a user prefers for them counts when one is made, and changes none that is there.
const FOR_NEW_CLUSTERS: &[&str] = &[
    "memory",
    "cpus",
    "disk",
    "port",
    "image",
    "append",
    "insecure_registry",
    "runtime",
    "driver",
    "machine",
    "manifests",
];

#[derive(Args)]
struct Arguments {
    /// Which of `FOR_NEW_CLUSTERS` are preferences and were not asked for.
    #[arg(skip)]
    preferences: Vec<&'static str>,
    /// Name of the cluster and of its kubeconfig context
    #[arg(long, env = "SKERRY_NAME", default_value = "skerry")]
    name: String,
    /// Memory, such as 1024M or 4G [default: 2G]
    #[arg(long, env = "SKERRY_MEMORY", value_name = "SIZE", value_parser = settings::memory)]
    memory: Option<u64>,
    /// Processors [default: 2]
    #[arg(long, env = "SKERRY_CPUS", value_name = "COUNT",
        value_parser = clap::value_parser!(u32).range(1..=i64::from(settings::CPUS_MAX)))]
    cpus: Option<u32>,
    /// Size of the state disk, which takes only the space that it needs [default: 20G]
    #[arg(long, env = "SKERRY_DISK", value_name = "SIZE", value_parser = settings::disk)]
    disk: Option<u64>,
    /// Port of the API on 127.0.0.1 [default: 6443, or the next free one]
    #[arg(long, env = "SKERRY_PORT", value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
    /// Folder of the image [default: the one beside this program]
    #[arg(long, env = "SKERRY_IMAGE", value_name = "FOLDER")]
    image: Option<PathBuf>,
    /// How the machine's instructions are carried out
    #[arg(long, env = "SKERRY_ACCEL", value_enum, default_value_t = Choice::Auto)]
    accel: Choice,
    /// What runs the machine: fixed when the cluster is made [default: qemu]
    #[arg(long, env = "SKERRY_DRIVER", value_enum)]
    driver: Option<Driver>,
    /// What to wait for [default: ready; api with another engine]
    #[arg(long, env = "SKERRY_WAIT", value_enum)]
    wait: Option<Until>,
    /// How long to wait, such as 90s or 5m
    #[arg(long, env = "SKERRY_TIMEOUT", value_name = "TIME", default_value = "5m", value_parser = super::duration)]
    timeout: Duration,
    /// Hardware of the machine; a microvm is up sooner [default: q35]
    #[arg(long, env = "SKERRY_MACHINE", value_name = "HARDWARE", value_enum)]
    machine: Option<Hardware>,
    /// Folder of manifests that are applied at each boot; an empty word means none any more
    #[arg(long, env = "SKERRY_MANIFESTS", value_name = "FOLDER", value_parser = folder)]
    manifests: Option<PathBuf>,
    /// Words for the kernel's command line, such as skerry.boot.on_failure=poweroff
    #[arg(long, env = "SKERRY_APPEND", value_name = "WORDS")]
    append: Option<String>,
    /// File with certificate authorities, PEM, that images are fetched by too; "none" takes them back
    #[arg(long, env = "SKERRY_CA", value_name = "FILE", value_delimiter = ',')]
    ca: Vec<PathBuf>,
    /// Registry that speaks plain HTTP, such as host.skerry.internal:5000; an empty one takes them back
    #[arg(long, env = "SKERRY_INSECURE_REGISTRY", value_name = "HOST:PORT", value_delimiter = ',')]
    insecure_registry: Vec<String>,
    /// The pods' container engine: containerd, or the path of another's CRI socket on the machine [default: containerd]
    #[arg(long, env = "SKERRY_RUNTIME", value_name = "containerd|SOCKET")]
    runtime: Option<String>,
}

impl Arguments {
    /// What counts for a cluster that is to be made, or for one that is there.
    fn wish(&self, is_new: bool) -> Result<Wish> {
        let counts = |id: &str| is_new || !self.preferences.contains(&id);
        let manifests = self.manifests.as_ref().filter(|_| counts("manifests"));
        Ok(Wish {
            memory_mb: self.memory.filter(|_| counts("memory")).map(megabytes),
            cpus: self.cpus.filter(|_| counts("cpus")),
            disk_bytes: self.disk.filter(|_| counts("disk")),
            append: self.append.clone().filter(|_| counts("append")),
            insecure: if counts("insecure_registry") { self.insecure_registry.clone() } else { Vec::new() },
            runtime: self.runtime.clone().filter(|_| counts("runtime")),
            driver: self.driver,
            hardware: self.machine.filter(|_| counts("machine")),
            // A later start may be typed elsewhere.
            manifests: manifests.map(|folder| absolute(folder)).transpose()?,
        })
    }

    /// The folder of the image that was asked for, or that is preferred for a new cluster.
    fn image(&self, is_new: bool) -> Option<&Path> {
        self.image.as_deref().filter(|_| is_new || !self.preferences.contains(&"image"))
    }
}

fn megabytes(bytes: u64) -> u32 {
    u32::try_from(bytes >> 20).unwrap_or(u32::MAX)
}

/// A folder, or the empty word.
fn folder(text: &str) -> Result<PathBuf, std::convert::Infallible> {
    Ok(PathBuf::from(text))
}

fn absolute(folder: &Path) -> Result<PathBuf> {
    if folder.as_os_str().is_empty() { Ok(PathBuf::new()) } else { Ok(std::path::absolute(folder)?) }
}

async fn run(arguments: &Arguments, context: &Context) -> Result<()> {
    let began = std::time::Instant::now();
    let deadline = Instant::now() + arguments.timeout;
    let cluster = Cluster::named(&arguments.name)?;
    let mut undo = Undo::new(&cluster);
    let started = start(arguments, context, &cluster, &mut undo, deadline).await;
    match started {
        Ok(started) => finish(context, &cluster, &started, began.elapsed()),
        Err(error) => {
            if Failure::of_kind(&error, Code::Refused) && undo.has_launched() && !is_up(&cluster).await {
                // It stands still with a disk that belongs to another image, and there is nothing to look into.
                undo::end(&cluster, &context.output).await;
            }
            undo.run(&context.output, context.interrupt.is_set()).await;
            Err(error)
        }
    }
}

/// Whether the machine can be used, whatever this command did not like.
async fn is_up(cluster: &Cluster) -> bool {
    let Ok(Some(mut supervisor)) = Supervisor::connect(cluster).await else { return false };
    let report = supervisor.ask::<crate::cluster::ask::Report>(&json!({"do": "status"})).await;
    report.is_ok_and(|report| report.milestone("ready").is_some())
}

/// How the machine came to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    /// It ran already.
    Ran,
    /// It was booted.
    Booted,
    /// It went on from where it was suspended.
    Resumed,
}

/// What came of it.
struct Started {
    settings: Settings,
    kubeconfig: Option<PathBuf>,
    wait: Until,
    report: crate::cluster::ask::Report,
    how: How,
}

async fn start(
    arguments: &Arguments,
    context: &Context,
    cluster: &Cluster,
    undo: &mut Undo<'_>,
    deadline: Instant,
) -> Result<Started> {
    let (output, interrupt) = (&context.output, &context.interrupt);
    if !cluster.exists() {
        // What can be said before anything is made.
        match arguments.driver.unwrap_or_default() {
            Driver::Qemu => drop(accelerator::Emulator::find()?),
            Driver::Virtualbox => drop(VirtualBox::find()?),
        }
        Image::find(arguments.image(true))?;
    }
    undo.begin()?;
    let running = if cluster.exists() { life::reach(cluster).await? } else { None };
    let (settings, supervisor, how) = match running {
        Some(supervisor) => {
            let settings = Settings::read(cluster)?;
            if settings.clone().with(&arguments.wish(false)?, false)? != settings || !arguments.ca.is_empty() {
                output.warn("the cluster runs already: other sizes count after skerry stop and skerry start");
            }
            (settings, go_on(supervisor, cluster).await?, How::Ran)
        }
        None => launch(arguments, context, cluster, undo).await?,
    };
    interrupt.check()?;
    let mut wait = Wait::begin(cluster, supervisor, deadline, interrupt).await?;
    let mut kubeconfig = None;
    // Another engine may come by way of the API only, as a container of Docker: the node waits for it, we do not.
    let usual = if settings.runtime.is_some() { Until::Api } else { Until::Ready };
    let wanted = arguments.wait.unwrap_or(usual);
    // One that goes on is there at once, and must be told the time.
    let until = if how == How::Resumed { wanted.max(Until::Api) } else { wanted };
    if until != Until::None {
        // What has been reached long ago is no news.
        let silent = how == How::Resumed;
        for (name, title, what) in [
            ("init", "Kernel", "the kernel to start its first program"),
            ("containerd", "Container runtime", "the container runtime"),
            ("api", "API", "the API to answer"),
        ] {
            let step = Step::begin(output, title);
            wait.milestone(name, what).await?;
            if !silent {
                step.done("");
            }
        }
        let step = Step::begin(output, "Access");
        enter::enter(cluster, settings.port, deadline, &context.interrupt).await?;
        kubeconfig = merge(context, cluster)?;
        step.done(&kubeconfig.as_ref().map(|path| path.display().to_string()).unwrap_or_default());
        match how {
            How::Resumed => resume::clock(context, cluster, deadline).await?,
            // An earlier command may have been interrupted before it set the clock, or the host has slept.
            How::Ran => resume::clock_again(cluster, output).await?,
            How::Booted => {}
        }
    }
    if until == Until::Ready {
        let step = Step::begin(output, "Ready");
        wait.milestone("ready", "node, DNS and default account").await?;
        step.done("node, DNS, default account");
        if settings.manifests.is_some() && how != How::Resumed {
            handed::wait(&mut wait, output).await?;
        }
    }
    Ok(Started { settings, kubeconfig, wait: until, report: wait.report, how })
}

/// A machine that the host's full disk has stopped runs on; any other does not mind.
async fn go_on(mut supervisor: Supervisor, cluster: &Cluster) -> Result<Supervisor> {
    let report: crate::cluster::ask::Report = supervisor.ask(&json!({"do": "status"})).await?;
    if report.paused.is_some() {
        supervisor.ask::<Value>(&json!({"do": "go-on"})).await?;
    }
    life::running(cluster).await
}

/// Makes what is missing and starts the machine.
async fn launch(
    arguments: &Arguments,
    context: &Context,
    cluster: &Cluster,
    undo: &mut Undo<'_>,
) -> Result<(Settings, Supervisor, How)> {
    let output = &context.output;
    let step = Step::begin(output, "Host");
    let known = if cluster.exists() { Some(Settings::read(cluster)?) } else { None };
    let chosen = arguments
        .image(known.is_none())
        .map(Path::to_owned)
        .or_else(|| known.as_ref().map(|known| known.image.clone()));
    let image = Image::find(chosen.as_deref())?;
    let driver = known.as_ref().map(|known| known.driver).or(arguments.driver).unwrap_or_default();
    let accelerator = match driver {
        Driver::Qemu => {
            let emulator = accelerator::Emulator::find()?;
            step.at("looking whether KVM works");
            let accelerator = accelerator::choose(arguments.accel, &emulator, &image, &context.interrupt).await?;
            step.done(&format!("QEMU {}, {}", emulator.version, accelerator.word()));
            accelerator
        }
        Driver::Virtualbox => {
            step.done(&format!("VirtualBox {}", VirtualBox::find()?.version));
            // It knows no other way than the processor's own.
            Accelerator::Kvm
        }
    };

    let step = Step::begin(output, "Machine");
    let port = port(arguments, cluster, known.as_ref())?;
    let is_new = known.is_none();
    let mut settings =
        known.unwrap_or_else(|| Settings::new(port, image.folder.clone())).with(&arguments.wish(is_new)?, is_new)?;
    settings.port = port;
    settings.image.clone_from(&image.folder);
    let (outward, warnings) =
        Outward::of_host(cluster, &arguments.ca, &settings.insecure, &image.manifest.authorities)?;
    outward.write(cluster)?;
    let outward = outward.describe();
    let outward = if outward.is_empty() { outward } else { format!(", {outward}") };
    let described = format!("{}{outward}", describe(&settings, accelerator));
    let warn = || warnings.iter().for_each(|warning| output.warn(warning));
    if settings.driver == Driver::Qemu
        && let Some(note) = resume::decide(cluster, &settings, accelerator, &image, output)?
    {
        settings.write(cluster)?;
        context.interrupt.check()?;
        step.done(&described);
        if let Some(supervisor) = resume::go_on(cluster, accelerator, &settings, &note, output).await? {
            warn();
            return Ok((settings, supervisor, How::Resumed));
        }
        return boot(context, cluster, undo, settings, accelerator).await;
    }
    step.done(&described);
    warn();
    boot(context, cluster, undo, settings, accelerator).await
}

/// Boots the machine.
async fn boot(
    context: &Context,
    cluster: &Cluster,
    undo: &mut Undo<'_>,
    settings: Settings,
    accelerator: Accelerator,
) -> Result<(Settings, Supervisor, How)> {
    secrets(cluster)?;
    match settings.driver {
        Driver::Qemu => {
            handed::write(&settings, &cluster.path(CONFIG_DISK))?;
            state_disk(cluster, &settings)?;
        }
        Driver::Virtualbox => {
            let manifests = handed::manifests(&settings)?;
            manage::prepare(cluster, &settings, manifests, undo.made(), &context.interrupt)?;
        }
    }
    settings.write(cluster)?;
    context.interrupt.check()?;
    undo.launched();
    life::supervise(cluster, Order::Launch(accelerator))?;
    match life::reach(cluster).await? {
        Some(supervisor) => Ok((settings, supervisor, How::Booted)),
        // It may have ended before anybody could ask it.
        None => {
            let how = life::last_end(cluster).map_or_else(|| "is gone".to_owned(), |end| end.words());
            Err(not_up(cluster, &format!("the machine {how}"), "").into())
        }
    }
}

fn describe(settings: &Settings, accelerator: Accelerator) -> String {
    let kind = if accelerator == Accelerator::Tcg { ", emulated: slower than with KVM" } else { "" };
    let (cpus, memory, disk) = (settings.cpus, settings.memory_mb, settings.disk_bytes >> 30);
    let hardware = if settings.hardware == Hardware::Q35 { "" } else { ", microvm" };
    format!("{cpus} CPUs, {memory} MiB memory, {disk} GiB disk{hardware}{kind}")
}

/// The port of the API: what was asked for, else what it had, else the next that is free and nobody else's.
fn port(arguments: &Arguments, cluster: &Cluster, known: Option<&Settings>) -> Result<u16> {
    let others: Vec<u16> = Cluster::all()?
        .iter()
        .filter(|other| other.name != cluster.name)
        // One whose settings are damaged keeps no port.
        .filter_map(|other| Settings::read(other).ok())
        .map(|settings| settings.port)
        .collect();
    let is_preference = arguments.preferences.contains(&"port");
    let asked = arguments.port.filter(|_| !is_preference);
    let usual = arguments.port.filter(|_| is_preference).unwrap_or(ports::API);
    let preferred = known.map_or(usual, |known| known.port);
    ports::choose(asked, preferred, &others, |port| ports::is_free(Protocol::Tcp, port))
}

/// Makes the state disk, or lets it grow. It is sparse: space is taken as it is written.
fn state_disk(cluster: &Cluster, settings: &Settings) -> Result<()> {
    let path = cluster.path(DISK);
    let mut options = OpenOptions::new();
    let file = options.create(true).truncate(false).write(true).mode(0o600).open(&path);
    let grow = || -> std::io::Result<()> {
        let file = file?;
        if file.metadata()?.len() < settings.disk_bytes {
            file.set_len(settings.disk_bytes)?;
        }
        Ok(())
    };
    grow().map_err(|error| {
        let failure = Failure::new(Code::HostLacks, format!("making the state disk {}: {error}", path.display()));
        anyhow!(failure.advice("free some space, choose a smaller --disk, or set XDG_DATA_HOME to another place"))
    })
}

/// The key of what is stored, made once; and a one-time code, made for each boot.
fn secrets(cluster: &Cluster) -> Result<()> {
    let key = cluster.path(STORE_KEY);
    if !key.exists() {
        let bytes = pki::key::random::<32>()?;
        let text = bytes.iter().fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").expect("a string takes everything");
            text
        });
        pki::folder::replace(&key, text.as_bytes(), 0o600)?;
    }
    let code = pki::login::Code::generate()?;
    pki::folder::replace(&cluster.path(CODE), code.to_text().as_bytes(), 0o600)
}

/// Puts the context into the user's kubeconfig. A home that cannot be written does not spoil a cluster that runs.
fn merge(context: &Context, cluster: &Cluster) -> Result<Option<PathBuf>> {
    let entry = access::entry(cluster)?.context("the credentials were written")?;
    match kubeconfig::merge(&entry) {
        Ok(path) => Ok(Some(path)),
        Err(error) => {
            context.output.warn(&format!("no context in your kubeconfig: {error:#}"));
            context.output.say(&format!("  export KUBECONFIG={}", cluster.path(access::FILE).display()));
            Ok(None)
        }
    }
}

/// The last words: what to type next.
fn finish(context: &Context, cluster: &Cluster, started: &Started, took: Duration) -> Result<()> {
    let seconds = (took.as_secs_f64() * 10.0).round() / 10.0;
    let server = format!("https://127.0.0.1:{}", started.settings.port);
    let value = json!({
        "cluster": cluster.name,
        "server": server,
        "context": started.kubeconfig.as_ref().map(|_| cluster.name.clone()),
        "kubeconfig": started.kubeconfig.clone().unwrap_or_else(|| cluster.path(access::FILE)),
        "accelerator": started.report.accelerator,
        "seconds": seconds,
        "resumed": started.how == How::Resumed,
        "milestones": started.report.milestones,
    });
    let name = &cluster.name;
    context.output.say("");
    context.output.say(&match (started.wait, &started.kubeconfig) {
        (Until::None, _) => format!("Cluster {name:?} is booting.  See:  skerry status --name {name}"),
        (Until::Api, Some(_)) if started.settings.runtime.is_some() => format!(
            "Cluster {name:?} answers after {seconds} s; its node is Ready once the engine at {} is there.  Try:  \
             kubectl --context {name} get nodes -w",
            started.settings.runtime.as_deref().unwrap_or_default()
        ),
        (_, Some(_)) => {
            format!("Cluster {name:?} is up after {seconds} s.  Try:  kubectl --context {name} get pods -A")
        }
        (_, None) => format!("Cluster {name:?} is up after {seconds} s at {server}."),
    });
    Ok(context.output.data("", &value)?)
}
