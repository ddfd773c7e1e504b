//! Whether quotas have enough left for a write, and what they stand at afterwards.

use super::Evaluator;
use crate::list::{self, Malformed, ResourceList};
use api::time::Instant;
use api::{Quantity, Tree, meta};
use std::collections::BTreeSet;

/// A write that may cost something.
#[derive(Clone, Copy, Debug)]
pub struct Change<'a> {
    /// The object as it shall be.
    pub object: &'a Tree,
    /// As it was; absent on a creation.
    pub old: Option<&'a Tree>,
    /// Whether it is of the status: what happened already is counted, but never refused.
    pub status: bool,
}

/// What a quota stands at after a write.
#[derive(Clone, Debug, PartialEq)]
pub struct Charge {
    /// Which of the quotas.
    pub quota: usize,
    /// Its new `status.used`.
    pub used: ResourceList,
}

/// Why a write is not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The write costs too much, or does not say what it costs: the words for a 403.
    #[error("{0}")]
    Forbidden(String),
    /// Some stored amount cannot be read.
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

/// A list for people: `cpu=1,pods=2`.
fn pretty(list: &ResourceList, names: &[&String]) -> String {
    let chosen = list.iter().filter(|(name, _)| names.contains(name));
    chosen.map(|(name, amount)| format!("{name}={amount}")).collect::<Vec<_>>().join(",")
}

/// What more an object costs than before, never less than nothing.
fn growth(new: &ResourceList, old: &ResourceList) -> ResourceList {
    let more = |(name, amount): (&String, &Quantity)| {
        let more = old.get(name).map_or_else(|| amount.clone(), |before| amount.minus(before));
        (more.sign() > 0).then(|| (name.clone(), more))
    };
    new.iter().filter_map(more).collect()
}

/// A quota as it stands, with what of it an evaluator counts.
struct Standing {
    name: String,
    hard: ResourceList,
    used: ResourceList,
}

impl Standing {
    fn read(quota: &Tree) -> Result<Standing, Malformed> {
        Ok(Standing {
            name: meta::name(quota).to_owned(),
            hard: list::read(quota, &["status", "hard"])?,
            used: list::read(quota, &["status", "used"])?,
        })
    }

    fn tracked(&self, evaluator: &Evaluator) -> BTreeSet<&str> {
        self.hard.keys().map(String::as_str).filter(|name| evaluator.tracks(name)).collect()
    }

    /// Refuses an object that does not say what it costs, and any while the controller has not counted yet.
    fn must_be_known(&self, evaluator: &Evaluator, object: &Tree) -> Result<(), Refusal> {
        let tracked = self.tracked(evaluator);
        if let Some(why) = evaluator.lacks(&tracked, object) {
            return Err(Refusal::Forbidden(format!("failed quota: {}: {why}", self.name)));
        }
        if tracked.iter().any(|name| !self.used.contains_key(*name)) {
            let names = tracked.into_iter().collect::<Vec<_>>().join(",");
            return Err(Refusal::Forbidden(format!("status unknown for quota: {}, resources: {names}", self.name)));
        }
        Ok(())
    }

    /// What it stands at when `cost` is added.
    fn after(&self, mut cost: ResourceList, status: bool) -> Result<ResourceList, Refusal> {
        cost.retain(|name, amount| self.hard.contains_key(name) && !amount.is_zero());
        let mut used = self.used.clone();
        list::add(&mut used, &cost);
        let beyond: Vec<&String> = cost.keys().filter(|name| used.get(*name) > self.hard.get(*name)).collect();
        if beyond.is_empty() || status {
            return Ok(used);
        }
        Err(Refusal::Forbidden(format!(
            "exceeded quota: {}, requested: {}, used: {}, limited: {}",
            self.name,
            pretty(&cost, &beyond),
            pretty(&self.used, &beyond),
            pretty(&self.hard, &beyond),
        )))
    }
}

/// What the quotas of a namespace stand at after a write: those that it changes.
///
/// # Errors
/// When a quota has not enough left, or the object does not say what the quota counts.
pub fn charge(evaluator: &Evaluator, quotas: &[Tree], change: Change, now: Instant) -> Result<Vec<Charge>, Refusal> {
    let object = change.object;
    let mut concerned = Vec::new();
    for (index, quota) in quotas.iter().enumerate() {
        let standing = Standing::read(quota)?;
        if !standing.tracked(evaluator).is_empty() && evaluator.in_scope(quota, object) {
            standing.must_be_known(evaluator, object)?;
            concerned.push((index, standing));
        }
    }
    if concerned.is_empty() {
        return Ok(Vec::new());
    }
    let cost = evaluator.usage(object, now)?;
    let negative: Vec<&str> = cost.iter().filter(|(_, a)| a.sign() < 0).map(|(name, _)| name.as_str()).collect();
    if !negative.is_empty() {
        let why = format!("quota usage is negative for resource(s): {}", negative.join(","));
        return Err(Refusal::Forbidden(why));
    }
    let more = change.old.map(|old| evaluator.usage(old, now).map(|before| growth(&cost, &before))).transpose()?;
    let mut charges = Vec::new();
    for (quota, standing) in concerned {
        // An object that comes under the quota by this change costs it the whole.
        let own = match (&more, change.old) {
            (Some(more), Some(old)) if evaluator.in_scope(&quotas[quota], old) => more,
            _ => &cost,
        };
        let used = standing.after(own.clone(), change.status)?;
        if used != standing.used {
            charges.push(Charge { quota, used });
        }
    }
    Ok(charges)
}
