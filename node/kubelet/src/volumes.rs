//! The volumes of pods on this node: made, kept up to date, given to containers, taken away. One file per kind of
//! volume, one line each in [`PLUGINS`]. Paths are upstream's: `ROOT/pods/UID/volumes/kubernetes.io~PLUGIN/VOLUME`.
//!
//! Every call is level-triggered: [`Volumes::set_up`] looks at what is there and does the rest, so it may be called
//! again at any time, after a restart too. It must not know the runtime, and it never deletes through a link or mount.

mod atomic;
pub mod beneath;
mod claim;
mod config_map;
mod downward;
mod empty_dir;
mod ephemeral;
mod files;
mod host_path;
mod image;
mod keyed;
mod local;
mod mounts;
mod nested;
mod ownership;
mod plugin;
mod projected;
pub mod reclaim;
mod secret;
mod subpath;
mod tear_down;
#[cfg(test)]
mod tests;
mod token;

pub use mounts::{Mount, Propagation};
pub use plugin::{Clock, Job, PLUGINS, Place, Plugin};

use crate::env::{Facts, Variables};
use crate::objects::Objects;
use client::Meta;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, Pod, Volume};
use plugin::plugin_of;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use token::Tokens;

/// One volume that could not be made ready. As text it is the message of upstream's `FailedMount` event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Its name in the pod.
    pub volume: String,
    /// Why, in upstream's words where it has some.
    pub message: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MountVolume.SetUp failed for volume {:?} : {}", self.volume, self.message)
    }
}

impl std::error::Error for Failure {}

/// The volumes of all pods of this node.
pub struct Volumes {
    pods: PathBuf,
    objects: Arc<dyn Objects>,
    clock: Clock,
    tokens: Tokens,
    /// By pod uid, then by volume: what [`Volumes::set_up`] has found or made. Its only writer are these methods.
    places: Mutex<HashMap<String, BTreeMap<String, Place>>>,
}

impl Volumes {
    /// Volumes below a kubelet's root, `/var/lib/kubelet`.
    #[must_use]
    pub fn new(root: &Path, objects: Arc<dyn Objects>, clock: Clock) -> Volumes {
        let (tokens, places) = (Tokens::default(), Mutex::default());
        Volumes { pods: root.join("pods"), objects, clock, tokens, places }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, BTreeMap<String, Place>>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The folder of everything of one pod.
    #[must_use]
    pub fn pod_folder(&self, uid: &str) -> PathBuf {
        self.pods.join(uid)
    }

    /// Makes every volume of the pod ready and brings its files up to date. Says when to call [`Volumes::refresh`] next
    /// because a token will want to be replaced.
    ///
    /// # Errors
    /// Every volume that is not ready; the others are. Each is a `FailedMount` event; try again after a change or a
    /// while.
    pub async fn set_up(&self, pod: &Pod, facts: &Facts) -> Result<Option<Timestamp>, Vec<Failure>> {
        self.bring(pod, facts, |_| true).await
    }

    /// Brings changed ConfigMaps, Secrets, labels and tokens to the files of a pod that is set up already; touches no
    /// other volume.
    ///
    /// # Errors
    /// As [`Volumes::set_up`]; the files stay as they were.
    pub async fn refresh(&self, pod: &Pod, facts: &Facts) -> Result<Option<Timestamp>, Vec<Failure>> {
        self.bring(pod, facts, |plugin| plugin.refreshes).await
    }

    async fn bring(
        &self,
        pod: &Pod,
        facts: &Facts,
        wanted: impl Fn(&Plugin) -> bool,
    ) -> Result<Option<Timestamp>, Vec<Failure>> {
        let mut failures = Vec::new();
        for volume in volumes_of(pod) {
            let failed = |message| Failure { volume: volume.name.clone(), message };
            let plugin = match plugin_of(volume) {
                Ok(plugin) if wanted(plugin) => plugin,
                Ok(_) => continue,
                Err(message) => {
                    failures.push(failed(message));
                    continue;
                }
            };
            let job = Job {
                pod,
                volume,
                facts,
                pod_folder: self.pod_folder(pod.uid()),
                objects: self.objects.as_ref(),
                tokens: &self.tokens,
                now: (self.clock)(),
            };
            match (plugin.set_up)(job).await {
                Ok(place) => {
                    self.lock().entry(pod.uid().to_owned()).or_default().insert(volume.name.clone(), place);
                }
                Err(message) => failures.push(failed(message)),
            }
        }
        if failures.is_empty() { Ok(self.tokens.next(pod.uid())) } else { Err(failures) }
    }

    /// Where a volume of a pod that was set up is on the node; none for an image.
    #[must_use]
    pub fn folder(&self, uid: &str, volume: &str) -> Option<PathBuf> {
        match self.lock().get(uid)?.get(volume)? {
            Place::Path { path, .. } => Some(path.clone()),
            Place::Image { .. } => None,
        }
    }

    /// What the container gets mounted, in the order of its `volumeMounts`; subPaths are made and bound here. To be
    /// called before each creation of a container, after [`Volumes::set_up`]. `recursive_read_only` says whether the
    /// runtime's handler can do that.
    ///
    /// # Errors
    /// The text of a `CreateContainerConfigError`.
    pub fn mounts(
        &self,
        pod: &Pod,
        container: &Container,
        variables: &Variables,
        recursive_read_only: bool,
    ) -> Result<Vec<Mount>, String> {
        let places = self.lock().get(pod.uid()).cloned().unwrap_or_default();
        let folder = self.pod_folder(pod.uid());
        let asked = mounts::Asked { places: &places, pod_folder: &folder, container, variables, recursive_read_only };
        mounts::mounts(&asked)
    }

    /// Unmounts and removes everything of a pod, once its containers are gone. Works from what is on the disk, so it
    /// needs no set-up before; that there is nothing is fine.
    ///
    /// # Errors
    /// What could not be unmounted or removed; the rest is left as it is, try again.
    pub async fn tear_down(&self, uid: &str) -> io::Result<()> {
        self.lock().remove(uid);
        self.tokens.forget(uid);
        let (pods, name) = (self.pods.clone(), uid.to_owned());
        tokio::task::spawn_blocking(move || tear_down::tear_down(&pods, &name)).await.map_err(io::Error::other)?
    }

    /// The uids of the pods that have something on the disk: those nobody knows are to be torn down.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn on_disk(&self) -> io::Result<Vec<String>> {
        let entries = match std::fs::read_dir(&self.pods) {
            Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut uids = Vec::new();
        for entry in entries {
            uids.extend(entry?.file_name().into_string());
        }
        uids.sort();
        Ok(uids)
    }
}

/// The volumes that a pod names.
fn volumes_of(pod: &Pod) -> impl Iterator<Item = &Volume> {
    pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten())
}
