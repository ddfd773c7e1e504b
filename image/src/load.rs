//! Sends images to a cluster: asks what it lacks, and sends only that. The machine of a cluster on this host gets it
//! through its disk (`window`), any other over the network (`send`), two blobs at a time, going on where a connection broke
//! off.

mod filling;
mod send;
mod stream;
#[cfg(test)]
mod tests;
mod window;

pub use window::Way;

use crate::archive::{Archive, Image};
use crate::cluster::access::{Answered, Api, json_of};
use crate::exit::{Code, Failure};
use crate::interrupt::Interrupt;
use anyhow::{Context, Result, anyhow};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::time::Duration;

/// How often a load begins anew after the connection broke. What has arrived is not sent again.
const ROUNDS_MAX: u32 = 6;
/// The pause before the second round; it doubles. A machine that was paused, or whose node restarts, is back by then.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// What a cluster made of an image.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loaded {
    /// Its names, written out.
    pub names: Vec<String>,
    /// The digest of its configuration.
    pub id: String,
    /// The digest of its manifest.
    pub digest: String,
    /// Bytes that were sent; the rest was there.
    #[serde(default)]
    pub sent: u64,
    /// How they went.
    #[serde(default)]
    pub by: By,
}

/// How images go to a machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum By {
    /// Over the network.
    #[default]
    Network,
    /// Through its disk.
    Disk,
}

/// Where a load goes, and what goes with it on its way.
pub struct Road<'a> {
    /// The machine's API.
    pub api: &'a Api,
    /// The way through its disk; none when it is on another host or of another kind.
    pub way: Option<&'a Way>,
    /// Asked between two pieces.
    pub interrupt: &'a Interrupt,
    /// Told of bytes done and bytes in all.
    pub progress: &'a (dyn Fn(u64, u64) + Sync),
}

/// What the machine answers to the first step.
#[derive(Debug, Deserialize)]
struct Begun {
    load: String,
    missing: Vec<Missing>,
    #[serde(default)]
    window: Option<window::Offer>,
}

/// A blob that the machine lacks, from a byte on.
#[derive(Clone, Debug, Deserialize)]
struct Missing {
    digest: String,
    offset: u64,
}

/// Loads one image under these names.
///
/// # Errors
/// `Refused` when the machine does not take the image, in its words; `TimedOut` when it could not be reached for all
/// rounds; `Interrupted`.
pub fn load(road: &Road, archive: &Archive, image: &Image, names: &[String]) -> Result<Loaded> {
    let mut rounds = Rounds { sent: 0, by_disk: true };
    let mut pause = FIRST_PAUSE;
    for round in 1.. {
        match attempt(road, archive, image, names, &mut rounds) {
            Ok((loaded, by)) => return Ok(Loaded { sent: rounds.sent, by, ..loaded }),
            Err(error) => {
                road.interrupt.check()?;
                if !worth_another(&error) {
                    return Err(error);
                }
                if round == ROUNDS_MAX {
                    let message = format!("the cluster broke off {ROUNDS_MAX} times: {error:#}");
                    return Err(Failure::new(Code::TimedOut, message)
                        .advice("the same command goes on from here")
                        .into());
                }
            }
        }
        std::thread::sleep(pause);
        pause *= 2;
    }
    unreachable!("the last round returns")
}

/// How far a load is, over all its rounds.
struct Rounds {
    /// Bytes of blobs.
    sent: u64,
    /// Whether the disk is still a way: not once the machine lacked what had gone there.
    by_disk: bool,
}

/// One round, from the question to the image.
fn attempt(
    road: &Road,
    archive: &Archive,
    image: &Image,
    names: &[String],
    rounds: &mut Rounds,
) -> Result<(Loaded, By)> {
    let way = road.way.filter(|_| rounds.by_disk);
    let blobs: Vec<_> = image.blobs.iter().map(|blob| json!({ "digest": blob.digest, "size": blob.size })).collect();
    let question = json!({ "blobs": blobs, "window": way.is_some() });
    let begun: Begun = post(road.api, "/skerry/v1/images/missing", &question)?;
    let wanted = send::wanted(image, &begun.missing)?;
    let window = way.zip(begun.window).and_then(|(way, offer)| way.window(&begun.load, &offer));
    let through = window.map(|window| window::all(road, window, &archive.members, image, &wanted, &mut rounds.sent));
    let by = match through {
        Some(Ok(())) => By::Disk,
        Some(Err(error)) if is_final(&error) => return Err(error),
        // Whatever is in the way of the window, the network goes another one.
        _ => {
            road.interrupt.check()?;
            send::all(road, archive, &begun.load, wanted, &mut rounds.sent)?;
            By::Network
        }
    };
    let last = json!({ "load": begun.load, "names": names, "manifest": image.manifest });
    let made = post(road.api, "/skerry/v1/images", &last);
    let is_lacking = |error: &anyhow::Error| answered(error).is_some_and(|answered| answered.code == 404);
    rounds.by_disk &= !(by == By::Disk && made.as_ref().is_err_and(is_lacking));
    Ok((made?, by))
}

/// One question in JSON.
fn post<T: DeserializeOwned>(api: &Api, path: &str, question: &Value) -> Result<T> {
    let question = question.to_string();
    let answer = api.post(path, "application/json", &mut question.as_bytes()).map_err(refusal)?;
    serde_json::from_value(json_of(answer)?).with_context(|| format!("reading the answer of {path}"))
}

/// Whether it is about the image or the user, not the way to the machine.
fn is_final(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| cause.is::<Failure>())
}

/// What the machine answered, when that is what went wrong.
fn answered(error: &anyhow::Error) -> Option<&Answered> {
    error.chain().find_map(|cause| cause.downcast_ref::<Answered>())
}

/// Whether the same may go well a little later: the connection broke, or the machine says so.
fn worth_another(error: &anyhow::Error) -> bool {
    if is_final(error) {
        return false;
    }
    match answered(error) {
        Some(answered) => matches!(answered.code, 404 | 409 | 429 | 503),
        None => true,
    }
}

/// What the machine says of the image itself is the end of it.
fn refusal(error: anyhow::Error) -> anyhow::Error {
    match error.downcast_ref::<Answered>() {
        Some(answered) if matches!(answered.code, 400 | 413 | 422) => {
            anyhow!(Failure::new(Code::Refused, answered.message.clone()))
        }
        Some(answered) if matches!(answered.code, 401 | 403) => {
            let failure = Failure::new(Code::Refused, answered.message.clone());
            anyhow!(failure.advice("the credentials in the cluster's folder are not those of its administrator"))
        }
        _ => error,
    }
}
