//! The keys of the machine's settings that are for `node`: one line each.

use anyhow::{Context, Result, anyhow};
use std::collections::BTreeMap;

/// Part and name, and what it is.
const KEYS: &[(&str, &str)] = &[
    ("ci.job", "Jobs whose end is the end of the machine"),
    ("ci.timeout", "seconds after which they have taken too long"),
    ("docker.enabled", "whether Docker's socket is opened"),
    ("docker.tcp", "whether Docker also answers on TCP 2376"),
    ("host.address", "where the host is reached, as host.skerry.internal"),
    ("login.code", "the one-time code of the first login"),
    ("node.index", "node n has the address 10.250.0.n"),
    ("node.log", "what to log, such as apiserver=debug,info"),
    ("node.name", "the node's name"),
    ("node.runtime", "the pods' container engine: containerd, or the path of another's CRI socket"),
    ("store.key", "the key for values on disk, 64 hexadecimal letters"),
];

/// What was given, by `part.name`; empty values are not given.
#[derive(Debug, Default)]
pub struct Given(BTreeMap<String, String>);

impl Given {
    /// Reads one TOML table per part with text for values, as init writes it. Unknown keys become complaints.
    ///
    /// # Errors
    /// When it is no such TOML.
    pub fn read(text: &str) -> Result<(Given, Vec<String>)> {
        let parts: BTreeMap<String, BTreeMap<String, String>> = toml::from_str(text)
            // The error's own text would quote the line, which may hold a secret.
            .map_err(|_| anyhow!("the settings are not one TOML table per part with texts for values"))?;
        let mut given = BTreeMap::new();
        let mut complaints = Vec::new();
        for (part, names) in parts {
            for (name, value) in names {
                let key = format!("{part}.{name}");
                if !KEYS.iter().any(|(known, _)| *known == key) {
                    let known: Vec<String> = KEYS.iter().map(|(known, _)| format!("skerry.{known}")).collect();
                    complaints.push(format!("unknown key skerry.{key}, ignored; known are {}", known.join(", ")));
                } else if !value.is_empty() {
                    given.insert(key, value);
                }
            }
        }
        Ok((Given(given), complaints))
    }

    /// A value.
    pub fn text(&self, key: &str) -> Option<&str> {
        debug_assert!(KEYS.iter().any(|(known, _)| *known == key), "{key} is missing in the table");
        self.0.get(key).map(String::as_str)
    }

    /// A flag.
    ///
    /// # Errors
    /// Names the key and the words that it takes.
    pub fn flag(&self, key: &str) -> Result<Option<bool>> {
        match self.text(key) {
            None => Ok(None),
            Some("yes" | "true" | "1") => Ok(Some(true)),
            Some("no" | "false" | "0") => Ok(Some(false)),
            Some(other) => anyhow::bail!("skerry.{key}={other}: give yes or no"),
        }
    }

    /// A number within bounds, both included.
    ///
    /// # Errors
    /// Names the key and the bounds.
    pub fn number(&self, key: &str, min: u32, max: u32) -> Result<Option<u32>> {
        let Some(text) = self.text(key) else { return Ok(None) };
        let number: u32 = text.parse().with_context(|| format!("skerry.{key}={text} is no number"))?;
        if !(min..=max).contains(&number) {
            anyhow::bail!("skerry.{key}={text}: give a number from {min} to {max}");
        }
        Ok(Some(number))
    }
}
