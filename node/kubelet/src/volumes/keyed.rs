//! The files that the keys of a ConfigMap or Secret become. Pure. Rules as upstream's `MakePayload`.
//!
//! It must not fetch anything.

use super::atomic::{File, Payload};
use super::plugin::Job;
use k8s_openapi::api::core::v1::{ConfigMap, KeyToPath, Secret};
use std::collections::BTreeMap;

/// Permissions of files for which nobody says any; the API server's default.
pub const MODE: i32 = 0o644;

/// Values by key.
pub type Values = BTreeMap<String, Vec<u8>>;

/// What is wanted of an object.
pub struct Wanted<'a> {
    /// Which keys, and where; all of them when empty.
    pub items: &'a [KeyToPath],
    /// Permissions where an item has none.
    pub mode: i32,
    /// Whether object and keys may be absent.
    pub optional: bool,
    /// How upstream complains of a missing key.
    pub complaint: &'static str,
}

/// Complaint about a key of a ConfigMap.
pub const NO_CONFIG_KEY: &str = "configmap references non-existent config key";
/// Complaint about a key of a Secret.
pub const NO_SECRET_KEY: &str = "references non-existent secret key";

/// Permissions as the kernel has them.
#[must_use]
pub fn bits(mode: i32) -> u32 {
    u32::try_from(mode).unwrap_or(0) & 0o7777
}

/// The files.
///
/// # Errors
/// The first key that is not there.
pub fn payload(values: &Values, wanted: &Wanted<'_>) -> Result<Payload, String> {
    let file = |data: &Vec<u8>, mode| File { data: data.clone(), mode: bits(mode), owner: None };
    if wanted.items.is_empty() {
        return Ok(values.iter().map(|(key, data)| (key.clone(), file(data, wanted.mode))).collect());
    }
    let mut payload = Payload::new();
    for item in wanted.items {
        match values.get(&item.key) {
            Some(data) => drop(payload.insert(item.path.clone(), file(data, item.mode.unwrap_or(wanted.mode)))),
            None if wanted.optional => (),
            None => return Err(format!("{}: {}", wanted.complaint, item.key)),
        }
    }
    Ok(payload)
}

/// The values of a ConfigMap; none when it is absent and may be.
///
/// # Errors
/// When it is absent and may not be, or the server cannot be asked.
pub async fn config_map(job: &Job<'_>, name: &str, optional: bool) -> Result<Values, String> {
    let found = job.objects.config_map(job.namespace(), name).await.map_err(|status| status.to_string())?;
    match found {
        Some(map) => Ok(config_values(&map)),
        None if optional => Ok(Values::new()),
        None => Err(format!("configmap {name:?} not found")),
    }
}

/// The values of a Secret; none when it is absent and may be.
///
/// # Errors
/// As [`config_map`].
pub async fn secret(job: &Job<'_>, name: &str, optional: bool) -> Result<Values, String> {
    let found = job.objects.secret(job.namespace(), name).await.map_err(|status| status.to_string())?;
    match found {
        Some(secret) => Ok(secret_values(&secret)),
        None if optional => Ok(Values::new()),
        None => Err(format!("secret {name:?} not found")),
    }
}

fn config_values(map: &ConfigMap) -> Values {
    let text = map.data.iter().flatten().map(|(key, text)| (key.clone(), text.clone().into_bytes()));
    text.chain(map.binary_data.iter().flatten().map(|(key, bytes)| (key.clone(), bytes.0.clone()))).collect()
}

fn secret_values(secret: &Secret) -> Values {
    secret.data.iter().flatten().map(|(key, bytes)| (key.clone(), bytes.0.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn made(items: Value, optional: bool) -> Result<Vec<(String, String, u32)>, String> {
        let values = Values::from([("a".into(), b"1".to_vec()), ("b".into(), b"2".to_vec())]);
        let items: Vec<KeyToPath> = serde_json::from_value(items).unwrap();
        let wanted = Wanted { items: &items, mode: 0o600, optional, complaint: NO_CONFIG_KEY };
        let files = payload(&values, &wanted)?;
        Ok(files.into_iter().map(|(p, f)| (p, String::from_utf8(f.data).unwrap(), f.mode)).collect())
    }

    #[test]
    fn without_items_every_key_is_a_file() {
        let wanted = [("a".into(), "1".into(), 0o600), ("b".into(), "2".into(), 0o600)];
        assert_eq!(made(json!([]), false).unwrap(), wanted);
    }

    #[test]
    fn items_choose_keys_paths_and_modes() {
        let items = json!([{"key": "b", "path": "x/y", "mode": 0o400}]);
        assert_eq!(made(items, false).unwrap(), [("x/y".into(), "2".into(), 0o400)]);
        let missing = json!([{"key": "z", "path": "z"}]);
        assert_eq!(made(missing.clone(), false).unwrap_err(), "configmap references non-existent config key: z");
        assert_eq!(made(missing, true).unwrap(), []);
    }
}
