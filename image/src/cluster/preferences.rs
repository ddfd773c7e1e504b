//! What the user prefers: `config.toml` in the user's configuration folder, one line for each option that is to have
//! another default. The keys are the options' own names; what their values may be, the options know.
//!
//! It must not know any option.

use super::place;
use crate::exit::{Code, Failure};
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The file.
const FILE: &str = "config.toml";
/// Bytes of the file at most: every option at its longest would be less.
const BYTES_MAX: u64 = 64 << 10;

/// Values by option, as they would be typed.
pub type Preferences = BTreeMap<String, String>;

/// Where the file is, whether or not there is one.
///
/// # Errors
/// As [`place::config`].
pub fn path() -> Result<PathBuf> {
    Ok(place::config()?.join(FILE))
}

/// Reads them; none when there is no file.
///
/// # Errors
/// `Refused` when the file is damaged; names the line.
pub fn read() -> Result<Preferences> {
    let path = path()?;
    match std::fs::metadata(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Preferences::new()),
        Ok(data) if data.len() > BYTES_MAX => {
            let message = format!("{} has more than {BYTES_MAX} bytes", path.display());
            return Err(Failure::new(Code::Refused, message).advice("it takes one short line an option").into());
        }
        _ => {}
    }
    let text = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    parse(&text).map_err(|why| {
        let failure = Failure::new(Code::Refused, format!("{}: {why}", path.display()));
        failure.advice("correct the line, or remove the file: skerry config list shows what it may hold").into()
    })
}

/// Replaces them.
///
/// # Errors
/// When the folder cannot be written.
pub fn write(preferences: &Preferences) -> Result<()> {
    let path = path()?;
    let folder = path.parent().context("a file in a folder")?;
    std::fs::create_dir_all(folder).map_err(|error| {
        Failure::new(Code::HostLacks, format!("making {}: {error}", folder.display()))
            .advice("set XDG_CONFIG_HOME to a folder that you can write")
    })?;
    let text = toml::to_string(preferences).context("writing preferences as TOML")?;
    pki::folder::replace(&path, text.as_bytes(), 0o600)
}

fn parse(text: &str) -> Result<Preferences, String> {
    let table: toml::Table = toml::from_str(text).map_err(|error| {
        let line = error.span().map(|span| text[..span.start.min(text.len())].lines().count().max(1));
        line.map_or_else(|| error.message().to_owned(), |line| format!("line {line}: {}", error.message()))
    })?;
    table.into_iter().map(|(key, value)| plain(&value).map(|value| (key.clone(), value)).ok_or(key)).try_fold(
        Preferences::new(),
        |mut all, one| match one {
            Ok((key, value)) => {
                all.insert(key, value);
                Ok(all)
            }
            Err(key) => Err(format!("{key}: write a text, a number, true or false, or a list of texts")),
        },
    )
}

fn plain(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Boolean(flag) => Some(flag.to_string()),
        toml::Value::Array(all) => Some(all.iter().map(plain).collect::<Option<Vec<_>>>()?.join(",")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_what_would_be_typed() {
        let read = parse("memory = \"4G\"\ncpus = 4\ninsecure-registry = [\"a:1\", \"b:2\"]\n").unwrap();
        let pairs: Vec<(&str, &str)> = read.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        assert_eq!(pairs, [("cpus", "4"), ("insecure-registry", "a:1,b:2"), ("memory", "4G")]);
    }

    #[test]
    fn a_damaged_file_is_told_with_its_line_or_key() {
        assert!(parse("cpus = 4\nmemory = = 3\n").unwrap_err().starts_with("line 2: "));
        assert!(parse("[memory]\nsize = 3\n").unwrap_err().starts_with("memory: "));
    }
}
