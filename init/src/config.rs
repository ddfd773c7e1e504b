//! What the machine was told: the merged `skerry.*` keys. Pure: sources come in as text, complaints go out as values.
//!
//! It must not read files or devices; `phases::config` does that.

pub mod keys;
pub mod sources;

use keys::{Fallback, KEYS, Key, OWN_PARTS, PASSED_PARTS};
use std::collections::BTreeMap;
use std::fmt;

/// The longest value of a key in bytes: room for a certificate's fingerprint list, not for files.
pub const VALUE_BYTES_MAX: usize = 4096;
/// The most keys one machine is given. The table has a dozen, the parts of `node` a few dozen.
pub const KEYS_MAX: usize = 256;

/// Where a key came from, in rising precedence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// `skerry.toml` on the volume labelled SKERRY.
    ConfigDisk,
    /// QEMU's firmware configuration device.
    FwCfg,
    /// The kernel's command line, which every process can read.
    CommandLine,
}

impl fmt::Display for Source {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Source::ConfigDisk => "config disk",
            Source::FwCfg => "fw_cfg",
            Source::CommandLine => "kernel command line",
        })
    }
}

/// Something wrong with what the machine was told. The text never holds the value of a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    /// The key, or the source as a whole when it could not be read.
    pub subject: String,
    /// What is wrong and what is done about it, in one line.
    pub problem: String,
    /// Whether the machine must not go on.
    pub stops: bool,
}

impl fmt::Display for Complaint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.subject, self.problem)
    }
}

/// The settings in force.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    own: BTreeMap<&'static str, String>,
    passed: BTreeMap<String, String>,
}

impl Config {
    /// Merges the keys of all sources over the defaults, whatever order they come in.
    pub fn merge(given: Vec<(Source, Vec<(String, String)>)>) -> (Config, Vec<Complaint>) {
        let mut given = given;
        given.sort_by_key(|(source, _)| *source);
        let mut config = Config::default();
        let mut complaints = Vec::new();
        for (source, pairs) in given {
            for (name, value) in pairs.into_iter().take(KEYS_MAX) {
                if let Err(complaint) = config.take(source, &name, value) {
                    complaints.push(complaint);
                }
            }
        }
        (config, complaints)
    }

    fn take(&mut self, source: Source, name: &str, value: String) -> Result<(), Complaint> {
        let refuse = |problem: String, stops| Err(Complaint { subject: name.to_owned(), problem, stops });
        if value.len() > VALUE_BYTES_MAX {
            return refuse(format!("value from the {source} is longer than {VALUE_BYTES_MAX} bytes; ignored"), false);
        }
        if source == Source::CommandLine && is_secret(name) {
            let why = "secrets do not belong on the command line, which every process can read";
            return refuse(format!("{why}; ignored, give it by fw_cfg or config disk"), false);
        }
        if let Some(key) = KEYS.iter().find(|key| key.name == name) {
            let shown = if is_secret(name) { "its value".to_owned() } else { format!("{value:?}") };
            match (key.kind.check(&value), key.on_bad) {
                (Ok(()), _) => {
                    self.own.insert(key.name, value);
                    Ok(())
                }
                (Err(want), Fallback::Default) => {
                    let instead = match is_secret(name) {
                        true => "ignored".to_owned(),
                        false => format!("using {:?}", self.text(key)),
                    };
                    refuse(format!("{shown} from the {source} is not {want}; {instead}"), false)
                }
                (Err(want), Fallback::Stop) => refuse(format!("{shown} from the {source} is not {want}"), true),
            }
        } else if passed_part(name).is_some() {
            self.passed.insert(name.to_owned(), value);
            Ok(())
        } else {
            let parts: Vec<&str> = OWN_PARTS.iter().chain(PASSED_PARTS).copied().collect();
            let near = nearest(name).map(|key| format!("; did you mean {key}?")).unwrap_or_default();
            refuse(format!("unknown key from the {source}, ignored{near} (parts are {})", parts.join(", ")), false)
        }
    }

    /// The value of `key` as it was given, or its default.
    pub fn text(&self, key: &Key) -> &str {
        self.own.get(key.name).map_or(key.default, String::as_str)
    }

    /// The value of a key of kind `Number`.
    pub fn number(&self, key: &Key) -> u32 {
        self.text(key).parse().expect("merge lets only numbers in, and a test parses every default")
    }

    /// The value of a key of kind `Flag`.
    pub fn flag(&self, key: &Key) -> bool {
        keys::flag(self.text(key)).expect("merge lets only flags in, and a test parses every default")
    }

    /// What goes to `node`: one TOML table per part, all values as text, sorted. Own keys that `node` also needs
    /// are among them.
    pub fn node_toml(&self) -> String {
        let mut parts: BTreeMap<&str, BTreeMap<&str, &str>> = BTreeMap::new();
        let own = KEYS.iter().filter(|key| key.for_node).map(|key| (key.name, self.text(key)));
        for (name, value) in own.chain(self.passed.iter().map(|(n, v)| (n.as_str(), v.as_str()))) {
            let Some((part, rest)) = split(name) else { continue };
            parts.entry(part).or_default().insert(rest, value);
        }
        toml::to_string(&parts).expect("two levels of text always are TOML")
    }
}

/// `skerry.<part>.<name>` taken apart.
fn split(name: &str) -> Option<(&str, &str)> {
    name.strip_prefix("skerry.")?.split_once('.')
}

/// The part of `node` that a key is for, if it is a well-formed one.
fn passed_part(name: &str) -> Option<&str> {
    let (part, rest) = split(name)?;
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-' | '.');
    (PASSED_PARTS.contains(&part) && !rest.is_empty() && rest.chars().all(plain)).then_some(part)
}

/// Whether a key holds something that must not be seen.
pub fn is_secret(name: &str) -> bool {
    // A proxy's address may hold the user's password.
    if matches!(split(name), Some(("proxy", "http" | "https"))) {
        return true;
    }
    let last = name.rsplit('.').next().unwrap_or(name);
    last.split(['_', '-']).any(|word| ["code", "key", "token", "secret", "password"].contains(&word))
}

/// The known key that is at most two letters away.
fn nearest(name: &str) -> Option<&'static str> {
    KEYS.iter().map(|key| (distance(key.name, name), key.name)).filter(|(far, _)| *far <= 2).min().map(|(_, key)| key)
}

/// Levenshtein distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests;
