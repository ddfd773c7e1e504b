//! Builds a container's environment from what was fetched. Pure. Order and errors as upstream's
//! `makeEnvironmentVariables`; the errors become `CreateContainerConfigError`.
//!
//! It must not fetch anything.

use super::fetch::Fetched;
use super::{Facts, expand, field, file, resource, services};
use client::Meta;
use k8s_openapi::api::core::v1::{ConfigMap, Container, EnvFromSource, EnvVar, EnvVarSource, Pod, Secret};
use std::collections::BTreeMap;

/// Why there is no environment, in upstream's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Failure(pub String);

impl From<String> for Failure {
    fn from(text: String) -> Failure {
        Failure(text)
    }
}

/// Values by name.
pub type Variables = BTreeMap<String, String>;

/// The whole environment: `envFrom`, then `env` over it, then Services where nothing else has the name.
///
/// # Errors
/// What the container names and what is not there, unless it is optional.
pub fn environment(pod: &Pod, container: &Container, fetched: &Fetched, facts: &Facts) -> Result<Variables, Failure> {
    let links = pod.spec.as_ref().and_then(|s| s.enable_service_links).unwrap_or(true);
    let from_services = services::variables(&fetched.services, pod.namespace(), links);
    let mut all = Variables::new();
    for source in container.env_from.iter().flatten() {
        take_all(source, fetched, &mut all)?;
    }
    for variable in container.env.iter().flatten() {
        let known = |name: &str| all.get(name).or_else(|| from_services.get(name)).cloned();
        let value = match value_of(variable) {
            Value::Plain(text) => Some(expand(text, known)),
            Value::From(source) => from(source, &Asking { pod, container, fetched, facts })?,
        };
        if let Some(value) = value {
            all.insert(variable.name.clone(), value);
        }
    }
    for (name, value) in from_services {
        all.entry(name).or_insert(value);
    }
    Ok(all)
}

enum Value<'a> {
    Plain(&'a str),
    From(&'a EnvVarSource),
}

fn value_of(variable: &EnvVar) -> Value<'_> {
    match (variable.value.as_deref().unwrap_or_default(), &variable.value_from) {
        ("", Some(source)) => Value::From(source),
        (text, _) => Value::Plain(text),
    }
}

fn config_map<'a>(fetched: &'a Fetched, name: &str, optional: bool) -> Result<Option<&'a ConfigMap>, Failure> {
    match fetched.config_maps.get(name) {
        Some(map) => Ok(Some(map)),
        None if optional => Ok(None),
        None => Err(Failure(format!("configmap {name:?} not found"))),
    }
}

fn secret<'a>(fetched: &'a Fetched, name: &str, optional: bool) -> Result<Option<&'a Secret>, Failure> {
    match fetched.secrets.get(name) {
        Some(secret) => Ok(Some(secret)),
        None if optional => Ok(None),
        None => Err(Failure(format!("secret {name:?} not found"))),
    }
}

/// A Secret's bytes as a variable has them. `execve` takes any bytes, the CRI's protobuf only text.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn take_all(source: &EnvFromSource, fetched: &Fetched, all: &mut Variables) -> Result<(), Failure> {
    let named = |key: &str| format!("{}{key}", source.prefix.as_deref().unwrap_or_default());
    if let Some(wanted) = &source.config_map_ref {
        let map = config_map(fetched, &wanted.name, wanted.optional == Some(true))?;
        all.extend(map.into_iter().flat_map(|m| m.data.iter().flatten()).map(|(k, v)| (named(k), v.clone())));
    } else if let Some(wanted) = &source.secret_ref {
        let secret = secret(fetched, &wanted.name, wanted.optional == Some(true))?;
        all.extend(secret.into_iter().flat_map(|s| s.data.iter().flatten()).map(|(k, v)| (named(k), text(&v.0))));
    }
    Ok(())
}

struct Asking<'a> {
    pod: &'a Pod,
    container: &'a Container,
    fetched: &'a Fetched,
    facts: &'a Facts,
}

/// The value of one source; none when it is optional and not there.
fn from(source: &EnvVarSource, to: &Asking<'_>) -> Result<Option<String>, Failure> {
    let place = |name: &str| format!("{}/{name}", to.pod.namespace());
    if let Some(wanted) = &source.field_ref {
        return Ok(Some(field(to.pod, &wanted.field_path, to.facts)?));
    }
    if let Some(wanted) = &source.resource_field_ref {
        return Ok(Some(resource(to.pod, wanted, Some(to.container), &to.facts.allocatable)?));
    }
    if let Some(wanted) = &source.config_map_key_ref {
        let optional = wanted.optional == Some(true);
        let Some(map) = config_map(to.fetched, &wanted.name, optional)? else { return Ok(None) };
        return match map.data.as_ref().and_then(|d| d.get(&wanted.key)) {
            Some(value) => Ok(Some(value.clone())),
            None if optional => Ok(None),
            None => Err(format!("couldn't find key {} in ConfigMap {}", wanted.key, place(&wanted.name)).into()),
        };
    }
    if let Some(wanted) = &source.secret_key_ref {
        let optional = wanted.optional == Some(true);
        let Some(secret) = secret(to.fetched, &wanted.name, optional)? else { return Ok(None) };
        return match secret.data.as_ref().and_then(|d| d.get(&wanted.key)) {
            Some(value) => Ok(Some(text(&value.0))),
            None if optional => Ok(None),
            None => Err(format!("couldn't find key {} in Secret {}", wanted.key, place(&wanted.name)).into()),
        };
    }
    let Some(wanted) = &source.file_key_ref else { return Ok(Some(String::new())) };
    let read = to.fetched.files.get(&(wanted.volume_name.clone(), wanted.path.clone()));
    let text = read.cloned().unwrap_or_else(|| Err("couldn't parse env file".to_owned()))?;
    let value = file::value(&text, &wanted.key).map_err(|why| {
        tracing::info!(why, "a file of variables does not follow the syntax");
        Failure("couldn't parse env file".to_owned())
    })?;
    match value.is_empty() {
        false => Ok(Some(value)),
        true if wanted.optional == Some(true) => Ok(None),
        true => {
            let (key, path) = (&wanted.key, &wanted.path);
            Err(format!("environment variable key {key:?} not found in file {path:?}").into())
        }
    }
}

#[cfg(test)]
mod tests;
