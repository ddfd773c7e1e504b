//! Kubeconfig files: one entry (cluster, user and context of one name) written, merged, read and removed.
//!
//! A user's kubeconfig holds other people's work, so it is edited as text: only the lines of the entry change. What the
//! edit must mean is computed beside it on the parsed values; where the text edit does not mean exactly that (a file in
//! flow style, with anchors, in JSON), the values are written out instead, and only then comments are lost.

mod text;

use crate::folder::replace;
use crate::pem;
use anyhow::{Context, Result, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use zeroize::Zeroizing;

/// Bytes of a kubeconfig at most; a cluster takes about 6 KiB.
const FILE_MAX: u64 = 16 << 20;
/// The lists that an entry has a part in.
const LISTS: [&str; 3] = ["clusters", "contexts", "users"];

/// A cluster, its user and its context, all of one name.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    /// The name of all three.
    pub name: String,
    /// The URL of the API server.
    pub server: String,
    /// Certificates of the authority, PEM.
    pub authority: String,
    /// The user's certificate, PEM.
    pub certificate: String,
    /// The user's key, PEM.
    pub key: Zeroizing<String>,
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entry").field("name", &self.name).field("server", &self.server).finish_non_exhaustive()
    }
}

impl Entry {
    /// An entry from the PEM text of a [`crate::Slot`], which holds certificate and key together.
    ///
    /// # Errors
    /// When either is missing.
    pub fn from_pair(name: &str, server: &str, authority: &str, pair: &str) -> Result<Self> {
        let certificate = &pem::certificates(pair.as_bytes()).context("reading the user's certificate")?[0];
        let key = crate::Key::from_pem(pair.as_bytes()).context("reading the user's key")?;
        Ok(Self {
            name: name.to_owned(),
            server: server.to_owned(),
            authority: authority.to_owned(),
            certificate: pem::certificate(certificate),
            key: key.to_pem(),
        })
    }

    /// The element of `list` that stands for this entry.
    fn item(&self, list: &str) -> Value {
        match list {
            "clusters" => json!({"name": self.name, "cluster": {
                "certificate-authority-data": STANDARD.encode(&self.authority), "server": self.server,
            }}),
            "contexts" => json!({"name": self.name, "context": {"cluster": self.name, "user": self.name}}),
            _ => json!({"name": self.name, "user": {
                "client-certificate-data": STANDARD.encode(&self.certificate),
                "client-key-data": STANDARD.encode(self.key.as_bytes()),
            }}),
        }
    }
}

/// One change of a kubeconfig.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    /// Puts an element into a list, in place of the one of its name.
    Put(&'static str, Value),
    /// Takes the element of a name out of a list.
    Take(&'static str, String),
    /// Names the current context.
    Current(String),
}

/// A kubeconfig that holds `entry` alone.
///
/// # Errors
/// When it cannot be encoded.
pub fn write(entry: &Entry) -> Result<String> {
    merge("", entry, true)
}

/// `existing` with `entry` in it; with `current` its context becomes the current one. Everything else stays.
///
/// # Errors
/// When `existing` is no kubeconfig.
pub fn merge(existing: &str, entry: &Entry, current: bool) -> Result<String> {
    let mut changes: Vec<Change> = LISTS.into_iter().map(|list| Change::Put(list, entry.item(list))).collect();
    if current {
        changes.push(Change::Current(entry.name.clone()));
    }
    edit(existing, &changes)
}

/// `existing` without the context `name`, and without its cluster and user where no other context uses them.
///
/// # Errors
/// When `existing` is no kubeconfig.
pub fn remove(existing: &str, name: &str) -> Result<String> {
    let config = parse(existing)?;
    let mut changes = vec![Change::Take("contexts", name.to_owned())];
    for (list, part) in [("clusters", "cluster"), ("users", "user")] {
        let mut others = items(&config, "contexts").filter(|item| item["name"] != name);
        if !others.any(|item| item["context"][part] == name) {
            changes.push(Change::Take(list, name.to_owned()));
        }
    }
    if current(&config).as_deref() == Some(name) {
        changes.push(Change::Current(String::new()));
    }
    edit(existing, &changes)
}

/// `existing` with `name` as its current context.
///
/// # Errors
/// When `existing` is no kubeconfig or has no such context.
pub fn use_context(existing: &str, name: &str) -> Result<String> {
    if !items(&parse(existing)?, "contexts").any(|item| item["name"] == name) {
        bail!("the kubeconfig has no context {name:?}");
    }
    edit(existing, &[Change::Current(name.to_owned())])
}

/// The current context of a kubeconfig.
///
/// # Errors
/// When `existing` is no kubeconfig.
pub fn current_context(existing: &str) -> Result<Option<String>> {
    Ok(current(&parse(existing)?))
}

/// The entry of context `name`; `None` when there is none, or it does not carry certificates as data.
///
/// # Errors
/// When `existing` is no kubeconfig, or data in it is not base64 text.
pub fn read(existing: &str, name: &str) -> Result<Option<Entry>> {
    let config = parse(existing)?;
    let named = |list: &str, name: &Value| items(&config, list).find(|item| item["name"] == *name).cloned();
    let Some(context) = named("contexts", &json!(name)) else { return Ok(None) };
    let cluster = named("clusters", &context["context"]["cluster"]).unwrap_or_default();
    let user = named("users", &context["context"]["user"]).unwrap_or_default();
    let data = |value: &Value| -> Result<Option<String>> {
        let Some(text) = value.as_str() else { return Ok(None) };
        let bytes = STANDARD.decode(text).with_context(|| format!("decoding data of context {name:?}"))?;
        Ok(Some(String::from_utf8(bytes).with_context(|| format!("decoding data of context {name:?}"))?))
    };
    let parts = (
        cluster["cluster"]["server"].as_str(),
        data(&cluster["cluster"]["certificate-authority-data"])?,
        data(&user["user"]["client-certificate-data"])?,
        data(&user["user"]["client-key-data"])?,
    );
    let (Some(server), Some(authority), Some(certificate), Some(key)) = parts else { return Ok(None) };
    let (name, server, key) = (name.to_owned(), server.to_owned(), Zeroizing::new(key));
    Ok(Some(Entry { name, server, authority, certificate, key }))
}

/// Reads the file at `path` (nothing when there is none), changes its text by `change`, and replaces it whole. A link is
/// followed, the mode is kept, and the lock that kubectl uses (`path` + `.lock`) is held meanwhile.
///
/// # Errors
/// When the file is locked, cannot be read or written, or `change` fails; then nothing has changed.
pub fn edit_file(path: &Path, change: impl FnOnce(&str) -> Result<String>) -> Result<()> {
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("making the folder {}", folder.display()))?;
    }
    let mut lock = path.clone().into_os_string();
    lock.push(".lock");
    let lock = Path::new(&lock);
    fs::OpenOptions::new().write(true).create_new(true).open(lock).with_context(|| {
        format!("locking {}: when no other program is changing it, remove {}", path.display(), lock.display())
    })?;
    let done = edit_locked(&path, change);
    fs::remove_file(lock).with_context(|| format!("unlocking {}", path.display()))?;
    done
}

fn edit_locked(path: &Path, change: impl FnOnce(&str) -> Result<String>) -> Result<()> {
    let (text, mode) = match fs::metadata(path) {
        Ok(found) if found.len() > FILE_MAX => bail!("{} has more than {FILE_MAX} bytes", path.display()),
        Ok(found) => {
            let text = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
            (Zeroizing::new(text), found.permissions().mode() & 0o777)
        }
        Err(e) if e.kind() == ErrorKind::NotFound => (Zeroizing::new(String::new()), 0o600),
        Err(e) => return Err(e).with_context(|| format!("reading {}", path.display())),
    };
    let changed = Zeroizing::new(change(&text).with_context(|| format!("changing {}", path.display()))?);
    if *changed == *text {
        return Ok(());
    }
    replace(path, changed.as_bytes(), mode)
}

fn parse(existing: &str) -> Result<Value> {
    if existing.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
        return Ok(json!({}));
    }
    let config: Value = serde_saphyr::from_str(existing).context("reading a kubeconfig as YAML")?;
    let config = if config.is_null() { json!({}) } else { config };
    let Some(map) = config.as_object() else { bail!("not a kubeconfig: the document is not a map") };
    for list in LISTS {
        match map.get(list) {
            None | Some(Value::Null) => {}
            Some(Value::Array(items)) if items.iter().all(Value::is_object) => {}
            Some(_) => bail!("not a kubeconfig: {list} is not a list of maps"),
        }
    }
    if map.get("kind").is_some_and(|kind| kind != "Config") {
        bail!("not a kubeconfig: its kind is {}", map["kind"]);
    }
    Ok(config)
}

fn items<'a>(config: &'a Value, list: &str) -> impl Iterator<Item = &'a Value> {
    config[list].as_array().into_iter().flatten()
}

fn current(config: &Value) -> Option<String> {
    config["current-context"].as_str().filter(|name| !name.is_empty()).map(str::to_owned)
}

/// What `config` means after `changes`.
fn apply(config: &Value, changes: &[Change]) -> Value {
    let mut map: Map<String, Value> = config.as_object().cloned().unwrap_or_default();
    map.entry("apiVersion").or_insert(json!("v1"));
    map.entry("kind").or_insert(json!("Config"));
    let list_of =
        |map: &Map<String, Value>, list: &str| map.get(list).and_then(Value::as_array).cloned().unwrap_or_default();
    for change in changes {
        match change {
            Change::Put(list, item) => {
                let mut there = list_of(&map, list);
                match there.iter_mut().find(|other| other["name"] == item["name"]) {
                    Some(other) => other.clone_from(item),
                    None => there.push(item.clone()),
                }
                map.insert((*list).to_owned(), Value::Array(there));
            }
            Change::Take(list, name) => {
                let mut there = list_of(&map, list);
                there.retain(|item| item["name"] != *name);
                map.insert((*list).to_owned(), Value::Array(there));
            }
            Change::Current(name) => {
                map.insert("current-context".to_owned(), json!(name));
            }
        }
    }
    Value::Object(map)
}

fn edit(existing: &str, changes: &[Change]) -> Result<String> {
    let before = parse(existing)?;
    let wanted = apply(&before, changes);
    if wanted == before {
        return Ok(existing.to_owned());
    }
    let edited = text::edit(existing, &before, changes);
    if let Some(edited) = edited.filter(|edited| parse(edited).is_ok_and(|means| means == wanted)) {
        return Ok(edited);
    }
    serde_saphyr::to_string(&wanted).context("writing a kubeconfig")
}

#[cfg(test)]
mod tests;
