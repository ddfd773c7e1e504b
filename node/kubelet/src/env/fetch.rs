//! Fetches what the environment of one container needs, so that building it stays pure.
//!
//! It must not decide what a missing object means.

use super::services::MASTER_NAMESPACE;
use crate::objects::{Names, Objects};
use api::Status;
use client::Meta;
use k8s_openapi::api::core::v1::{ConfigMap, Container, Pod, Secret, Service};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

/// Bytes of one file of variables. The values end up in one `execve`, which takes no more than 2 MiB together.
pub const FILE_BYTES_MAX: u64 = 1 << 20;

/// What the environment of a container is made from. What is not there is left out.
#[derive(Clone, Debug, Default)]
pub struct Fetched {
    /// By name.
    pub config_maps: BTreeMap<String, Arc<ConfigMap>>,
    /// By name.
    pub secrets: BTreeMap<String, Arc<Secret>>,
    /// Of the pod's namespace and of `default`.
    pub services: Vec<Arc<Service>>,
    /// Files of variables by volume and path within it, or why they could not be read.
    pub files: BTreeMap<(String, String), Result<String, String>>,
}

/// Fetches everything that the container names. `folder` tells where a volume of the pod is on the node.
///
/// # Errors
/// The server's `Status` when it could not be asked; an object that is not there is no error here.
pub async fn fetch(
    objects: &dyn Objects,
    pod: &Pod,
    container: &Container,
    folder: &(dyn Fn(&str) -> Option<PathBuf> + Sync),
) -> Result<Fetched, Status> {
    let names = Names::of_container(container);
    let mut fetched = Fetched::default();
    for name in names.config_maps {
        if let Some(found) = objects.config_map(pod.namespace(), &name).await? {
            fetched.config_maps.insert(name, found);
        }
    }
    for name in names.secrets {
        if let Some(found) = objects.secret(pod.namespace(), &name).await? {
            fetched.secrets.insert(name, found);
        }
    }
    fetched.services = objects.services(MASTER_NAMESPACE).await?;
    let links = pod.spec.as_ref().and_then(|s| s.enable_service_links).unwrap_or(true);
    if links && pod.namespace() != MASTER_NAMESPACE {
        fetched.services.extend(objects.services(pod.namespace()).await?);
    }
    for reference in container.env.iter().flatten().filter_map(|v| v.value_from.as_ref()?.file_key_ref.as_ref()) {
        let key = (reference.volume_name.clone(), reference.path.clone());
        let text = match folder(&reference.volume_name) {
            Some(folder) => read(folder, reference.path.clone()).await,
            None => Err(format!("cannot find the volume {:?} referenced by FileKeyRef", reference.volume_name)),
        };
        fetched.files.insert(key, text);
    }
    Ok(fetched)
}

/// Reads a file of a volume that containers may have written: no link leads out of it.
async fn read(folder: PathBuf, path: String) -> Result<String, String> {
    let said = |why: std::io::Error| {
        tracing::info!(%why, "a file of variables could not be read");
        "couldn't parse env file".to_owned()
    };
    let reading = tokio::task::spawn_blocking(move || crate::volumes::beneath::read(&folder, &path, FILE_BYTES_MAX));
    let bytes = reading.await.map_err(|why| said(std::io::Error::other(why)))?.map_err(said)?;
    String::from_utf8(bytes).map_err(|why| said(std::io::Error::other(why)))
}
