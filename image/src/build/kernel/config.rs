//! Kernel configuration as symbols and values: fragments merged, the result compared with what was wanted. Pure but
//! for reading the folder.

use crate::exit::{Code, Failure};
use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

/// Files of the folder with this ending are fragments.
const ENDING: &str = "config";

/// Symbols with their values; `n` for those that are off.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Symbols(BTreeMap<String, String>);

/// All fragments of a folder as one. A symbol may stand in one fragment only, or with the same value.
///
/// # Errors
/// When a line is malformed, two fragments contradict each other, or there is none.
pub fn read_folder(folder: &Path) -> Result<Symbols> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))?;
    let mut files = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    files.retain(|file| file.extension().is_some_and(|ending| ending == ENDING));
    files.sort();
    let mut all = Symbols::default();
    for file in &files {
        let named = || format!("fragment {}", file.display());
        let text = std::fs::read_to_string(file).with_context(named)?;
        all.merge(Symbols::parse(&text).with_context(named)?).with_context(named)?;
    }
    if all.0.is_empty() {
        bail!(Failure::new(Code::Refused, format!("no kernel fragments in {}", folder.display())));
    }
    Ok(all)
}

impl Symbols {
    /// Reads `CONFIG_X=value`, `# CONFIG_X is not set`, comments and empty lines; comments may follow a value.
    ///
    /// # Errors
    /// Names the line that is none of these, and a symbol that comes twice with different values.
    pub fn parse(text: &str) -> Result<Symbols> {
        let mut symbols = Symbols::default();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            let Some((name, value)) = symbol(line) else {
                if line.is_empty() || line.starts_with('#') {
                    continue;
                }
                bail!(Failure::new(Code::Refused, format!("line {}: {line:?} sets no symbol", number + 1)));
            };
            let one = Symbols(BTreeMap::from([(name.to_owned(), value.to_owned())]));
            symbols.merge(one).with_context(|| format!("line {}", number + 1))?;
        }
        Ok(symbols)
    }

    fn merge(&mut self, other: Symbols) -> Result<()> {
        for (name, value) in other.0 {
            if let Some(had) = self.0.get(&name).filter(|had| **had != value) {
                bail!(Failure::new(Code::Refused, format!("{name} is {value} here and {had} before")));
            }
            self.0.insert(name, value);
        }
        Ok(())
    }

    /// In the order of names, as the kernel's build reads it.
    pub fn print(&self) -> String {
        let mut text = String::new();
        for (name, value) in &self.0 {
            let line = if value == "n" { format!("# {name} is not set") } else { format!("{name}={value}") };
            writeln!(text, "{line}").expect("a String takes any text");
        }
        text
    }

    /// Every symbol whose value in `result` is another than here, with both values.
    pub fn lost_in(&self, result: &Symbols) -> Vec<String> {
        let value = |name: &String| result.0.get(name).map_or("n", String::as_str);
        let lost = self.0.iter().filter(|(name, wanted)| value(name) != wanted.as_str());
        lost.map(|(name, wanted)| format!("{name}: wanted {wanted}, got {}", value(name))).collect()
    }

    /// How many are switched on.
    pub fn on(&self) -> usize {
        self.0.values().filter(|value| *value == "y").count()
    }
}

/// Name and value of a line that sets a symbol.
fn symbol(line: &str) -> Option<(&str, &str)> {
    if let Some(name) = line.strip_prefix("# ").and_then(|rest| rest.strip_suffix(" is not set")) {
        return name.starts_with("CONFIG_").then_some((name, "n"));
    }
    let (name, value) = line.split_once('=')?;
    let value = value.split_once(" #").map_or(value, |(value, _)| value).trim_end();
    let good = name.strip_prefix("CONFIG_")?.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    (good && !value.is_empty()).then_some((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_symbol_that_did_not_take_is_named() {
        let wanted =
            Symbols::parse("CONFIG_A=y\nCONFIG_B=y\nCONFIG_C=n\n# CONFIG_D is not set\nCONFIG_E=\"x y\"\n").unwrap();
        let result = Symbols::parse("CONFIG_A=y\n# CONFIG_B is not set\nCONFIG_C=y\nCONFIG_E=\"z\"\n").unwrap();
        let lost = wanted.lost_in(&result);
        assert_eq!(
            lost,
            ["CONFIG_B: wanted y, got n", "CONFIG_C: wanted n, got y", "CONFIG_E: wanted \"x y\", got \"z\""]
        );
        assert!(wanted.lost_in(&wanted).is_empty());
    }

    #[test]
    fn comments_do_not_change_what_is_built() {
        let plain = Symbols::parse("CONFIG_A=y\nCONFIG_B=64\n").unwrap();
        let told = Symbols::parse("# why B\nCONFIG_B=64 # sixty-four\n\n# why A\nCONFIG_A=y\n").unwrap();
        assert_eq!(plain.print(), told.print());
    }

    #[test]
    fn a_line_that_sets_nothing_and_a_contradiction_are_refused() {
        assert!(format!("{:#}", Symbols::parse("CONFIG_A=y\nCONFG_B=y\n").unwrap_err()).contains("line 2"));
        assert!(Symbols::parse("CONFIG_A=\n").is_err());
        let error = format!("{:#}", Symbols::parse("CONFIG_A=y\nCONFIG_A=n\n").unwrap_err());
        assert!(error.contains("CONFIG_A is n here and y before"), "{error}");
    }

    #[test]
    fn the_committed_fragments_are_well_formed() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../kernel-config");
        let symbols = read_folder(&folder).unwrap();
        assert!(symbols.on() > 300);
        assert_eq!(symbols.0["CONFIG_JUMP_LABEL"], "n", "patching running code crashes under emulation");
        assert_eq!(symbols.0["CONFIG_PVPANIC_PCI"], "y", "a panic must not look like a clean power-off");
    }
}
