//! `/containerLogs`: what a container has written, as the container engine keeps it in files.
//!
//! Pure core: `options`, `line`, `tail`, `choice`. `files` finds and opens, `read` sends and follows.

mod choice;
mod files;
pub(super) mod line;
mod options;
mod read;
mod tail;

use super::answer::{self, Answer, Refusal};
use super::query::Query;
use super::view::{Container, Running, State};
use super::{Shared, path::Object};
use options::Options;
use std::sync::Arc;

/// Answers a GET for a container's log.
///
/// # Errors
/// 404 for an unknown pod or container, 422 for options that make no sense, 400 when there is no log yet.
pub(super) async fn run(shared: &Arc<Shared>, object: &Object, query: &Query) -> Result<Answer, Refusal> {
    let options = Options::parse(query, shared.now())?;
    let (namespace, name, container) = (object.namespace.as_str(), object.name.as_str(), object.container.as_str());
    let running = shared.view.running(namespace, name);
    let running = running.ok_or_else(|| Refusal::new(404, format!("pod {name:?} does not exist")))?;
    if !choice::declared(&running.pod, container) {
        return Err(Refusal::new(404, format!("container {container:?} not found in pod {name:?}")));
    }
    let id = choice::container(&running.pod, container, options.previous).map_err(|why| Refusal::new(400, why))?;
    let found = of_id(&running, &id);
    let found = found.ok_or_else(|| {
        Refusal::new(400, format!("the log of container {id:?} in pod {name:?} is gone: the container was removed"))
    })?;
    let alive = {
        let (view, namespace, name) = (shared.view.clone(), namespace.to_owned(), name.to_owned());
        move || {
            let running = view.running(&namespace, &name);
            running.is_some_and(|running| of_id(&running, &id).is_some_and(|c| c.state != State::Exited))
        }
    };
    let following = match options.follow {
        true => {
            let place = shared.followers.clone().try_acquire_owned();
            let place = place.map_err(|_| Refusal::new(429, "too many logs are being followed on this node"))?;
            Some(read::Following { alive: Box::new(alive), changes: shared.view.changes(), place })
        }
        false => None,
    };
    let chunks = read::start(found.log.clone(), options, following).await;
    Ok(answer::stream("text/plain", chunks.map_err(|error| Refusal::new(400, format!("{error:#}")))?))
}

fn of_id<'a>(running: &'a Running, id: &str) -> Option<&'a Container> {
    running.containers.iter().find(|container| container.id == id)
}

#[cfg(test)]
mod tests;
