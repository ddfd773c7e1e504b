//! `start` of a suspended cluster: it goes on from its memory when the machine is still the same, and boots otherwise.
//! Its clock has stood still in between and is set.

use crate::cluster::accelerator::Emulator;
use crate::cluster::access::{self, Answered, Api};
use crate::cluster::ask::Supervisor;
use crate::cluster::emulator::Accelerator;
use crate::cluster::images::Image;
use crate::cluster::saved::{self, Identity, Note};
use crate::cluster::settings::Settings;
use crate::cluster::{Cluster, life};
use crate::commands::Context;
use crate::exit::{Code, Failure};
use crate::output::Output;
use crate::steps::Step;
use crate::supervisor::Order;
use anyhow::{Context as _, Result};
use serde_json::json;
use std::io::Read;
use std::time::Duration;
use tokio::time::Instant;

/// Between two tries to set the clock.
const CLOCK_AGAIN: Duration = Duration::from_millis(250);

/// Whether the cluster goes on from its memory. Memory that is of no use is taken away, and said why.
///
/// # Errors
/// When it cannot be taken away.
pub fn decide(
    cluster: &Cluster,
    settings: &Settings,
    accelerator: Accelerator,
    image: &Image,
    output: &Output,
) -> Result<Option<Note>> {
    if !saved::is_anything(cluster) {
        return Ok(None);
    }
    let now = Identity::of(cluster, settings, accelerator, &Emulator::find()?, image)?;
    match saved::judge(cluster, &now) {
        Some(Ok(note)) => Ok(Some(note)),
        Some(Err(why)) => {
            give_up(cluster, &why, output)?;
            Ok(None)
        }
        None => {
            saved::discard(cluster)?;
            Ok(None)
        }
    }
}

fn give_up(cluster: &Cluster, why: &str, output: &Output) -> Result<()> {
    saved::discard(cluster)?;
    output.warn(&format!(
        "the memory that was kept cannot be used ({why}): the cluster boots anew, with all that is on its disk"
    ));
    Ok(())
}

/// Lets the machine go on. None when it does not take its memory, and may be booted.
///
/// # Errors
/// What would keep it from booting as well; the memory stays then.
pub async fn go_on(
    cluster: &Cluster,
    accelerator: Accelerator,
    settings: &Settings,
    note: &Note,
    output: &Output,
) -> Result<Option<Supervisor>> {
    let step = Step::begin(output, "Resumed");
    // Its port on this host may be another one now.
    access::relocate(cluster, settings.port)?;
    let resumed = life::supervise(cluster, Order::Resume(accelerator));
    let supervisor = match resumed {
        Ok(()) => life::reach(cluster).await?,
        Err(error) => {
            let failure = Failure::of(error);
            if matches!(failure.code, Code::Taken | Code::HostLacks) && saved::exists(cluster) {
                return Err(failure.into());
            }
            drop(step);
            give_up(cluster, &failure.message, output)?;
            return Ok(None);
        }
    };
    let since = life::now_ms().saturating_sub(note.saved_ms) / 1000;
    step.done(&format!("stopped for {since} s"));
    if supervisor.is_none() {
        output.warn("the machine ended as soon as it went on: the cluster boots as after a power cut");
    }
    Ok(supervisor)
}

/// Sets the machine's clock.
///
/// # Errors
/// When the machine does not answer until the deadline, or refuses the time.
pub async fn clock(context: &Context, cluster: &Cluster, deadline: Instant) -> Result<()> {
    let step = Step::begin(&context.output, "Clock");
    let api = Api::of(cluster)?;
    let failed = |error: anyhow::Error| {
        let failure = Failure::of(error);
        let advice = format!("its time is that of its suspension; skerry start --name {} tries again", cluster.name);
        Failure::new(failure.code, format!("setting the machine's clock: {}", failure.message)).advice(advice)
    };
    loop {
        let to = api.clone();
        let set = tokio::task::spawn_blocking(move || set_clock(&to)).await?;
        let error = match set {
            Ok(ms) => {
                step.done(&format!("set forward by {:.1} s", ms as f64 / 1000.0));
                return Ok(());
            }
            Err(error) => error,
        };
        // What the machine has answered, it answers again.
        if error.downcast_ref::<Answered>().is_some_and(|answered| answered.code != 503) || Instant::now() > deadline {
            return Err(failed(error).into());
        }
        tokio::select! {
            () = tokio::time::sleep(CLOCK_AGAIN) => {}
            () = context.interrupt.wait() => context.interrupt.check()?,
        }
    }
}

/// Sets the clock of a machine that runs, which is right most of the time. One of an older image cannot be told.
///
/// # Errors
/// When the credentials cannot be read, or the machine has ended meanwhile.
pub async fn clock_again(cluster: &Cluster, output: &Output) -> Result<()> {
    let api = Api::of(cluster)?;
    match tokio::task::spawn_blocking(move || set_clock(&api)).await? {
        Err(error) if error.downcast_ref::<Answered>().is_none_or(|answered| answered.code != 404) => {
            life::running(cluster).await?;
            output.warn(&format!("setting the machine's clock: {error:#}"));
        }
        Err(_) | Ok(0) => {}
        Ok(ms) => output.say(&format!("The machine's clock was set forward by {:.1} s.", ms as f64 / 1000.0)),
    }
    Ok(())
}

/// By how much the clock was behind, milliseconds.
fn set_clock(api: &Api) -> Result<u64> {
    let answer = api.post("/skerry/v1/clock", "application/json", &mut Now::default())?;
    access::json_of(answer)?["stepped_ms"].as_u64().context("the machine does not say how it set its clock")
}

/// A body that says what time it is when it is sent: until then a connection is made, which takes a while.
#[derive(Default)]
struct Now(Option<std::io::Cursor<Vec<u8>>>);

impl Read for Now {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let text = || std::io::Cursor::new(json!({"ms": life::now_ms()}).to_string().into_bytes());
        self.0.get_or_insert_with(text).read(into)
    }
}
