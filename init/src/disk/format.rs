//! The version of what lies on the state disk: one number in one file. Newer than the image refuses, older is
//! migrated step by step.

use crate::boot::Failure;
use std::io::{self, Write};
use std::path::Path;

/// The version that this image writes.
pub const CURRENT: u32 = 1;

/// Leads from one version to the next, on the disk mounted there.
type Migration = fn(&Path) -> io::Result<()>;

/// What is done to come from one version to the next; entry n leads from n + 1 to n + 2.
pub const MIGRATIONS: &[Migration] = &[];
const _: () = assert!(MIGRATIONS.len() + 1 == CURRENT as usize, "each older version needs its migration");

/// What the file says must happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing is there yet: write the current version.
    New,
    /// Nothing is to be done.
    Same,
    /// Migrate from this version.
    Older(u32),
}

/// Reads the file's text; `None` when there is no file.
fn judge(text: Option<&str>, current: u32) -> Result<Verdict, Failure> {
    let Some(text) = text else { return Ok(Verdict::New) };
    match text.trim().parse::<u32>() {
        Ok(same) if same == current => Ok(Verdict::Same),
        Ok(newer) if newer > current => Err(Failure::refusal(
            format!("the state disk has format {newer}, this image knows formats up to {current}"),
            "boot it with the newer image that wrote it; nothing was changed",
        )),
        Ok(older) if older > 0 => Ok(Verdict::Older(older)),
        _ => Err(Failure::new(
            format!(
                "the state disk's format file says {:?} instead of a number",
                &text[..text.floor_char_boundary(40)]
            ),
            "restore the disk from a copy, or attach a blank one",
        )),
    }
}

/// Brings the disk mounted at `var` to the current version.
pub fn bring_up(var: &Path) -> Result<Verdict, Failure> {
    bring_up_to(var, CURRENT, MIGRATIONS)
}

fn bring_up_to(var: &Path, current: u32, migrations: &[Migration]) -> Result<Verdict, Failure> {
    let path = var.join("lib/skerry/format");
    let advice = "look at the state disk's free space; restore it from a copy";
    let failed = |what: &str, e: io::Error| Failure::new(format!("{what} {}: {e}", path.display()), advice);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => Some(text),
        Err(e) if e.kind() == io::ErrorKind::NotFound => None,
        Err(e) => return Err(failed("read", e)),
    };
    let verdict = judge(text.as_deref(), current)?;
    if let Verdict::Older(from) = verdict {
        for (version, migrate) in (1..).zip(migrations).skip_while(|(version, _)| *version < from) {
            migrate(var).map_err(|e| failed(&format!("migrate from format {version} by"), e))?;
            write(&path, version + 1).map_err(|e| failed("write", e))?;
        }
    }
    if verdict == Verdict::New {
        write(&path, current).map_err(|e| failed("write", e))?;
    }
    Ok(verdict)
}

/// Replaces the file as a whole, so that a power cut leaves the old or the new number.
fn write(path: &Path, version: u32) -> io::Result<()> {
    let folder = path.parent().expect("a file in a folder");
    std::fs::create_dir_all(folder)?;
    let new = path.with_extension("new");
    let mut file = std::fs::File::create(&new)?;
    writeln!(file, "{version}")?;
    file.sync_all()?;
    std::fs::rename(&new, path)?;
    std::fs::File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_disk_gets_the_current_version_and_keeps_it() {
        let var = tempfile::tempdir().unwrap();
        assert_eq!(bring_up(var.path()), Ok(Verdict::New));
        assert_eq!(std::fs::read_to_string(var.path().join("lib/skerry/format")).unwrap(), format!("{CURRENT}\n"));
        assert_eq!(bring_up(var.path()), Ok(Verdict::Same));
    }

    #[test]
    fn a_newer_disk_is_refused_and_left_as_it_is() {
        let var = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(var.path().join("lib/skerry")).unwrap();
        std::fs::write(var.path().join("lib/skerry/format"), "99\n").unwrap();
        let failure = bring_up(var.path()).unwrap_err();
        assert!(failure.reason.contains("format 99") && failure.refused, "{failure:?}");
        assert_eq!(failure.fields("disk")["refused"], true);
        assert_eq!(std::fs::read_to_string(var.path().join("lib/skerry/format")).unwrap(), "99\n");
    }

    #[test]
    fn an_older_disk_is_migrated_step_by_step_and_goes_on_where_it_broke_off() {
        let var = tempfile::tempdir().unwrap();
        let one: Migration = |var| std::fs::write(var.join("one"), "");
        let two: Migration = |var| std::fs::rename(var.join("one"), var.join("two"));
        let broken: Migration = |_| Err(io::Error::other("no space"));
        bring_up_to(var.path(), 1, &[]).unwrap();
        let failure = bring_up_to(var.path(), 3, &[one, broken]).unwrap_err();
        assert!(failure.reason.contains("migrate from format 2") && !failure.refused, "{failure:?}");
        let number = || std::fs::read_to_string(var.path().join("lib/skerry/format")).unwrap();
        assert_eq!(number(), "2\n");
        assert_eq!(bring_up_to(var.path(), 3, &[broken, two]), Ok(Verdict::Older(2)));
        assert!(var.path().join("two").exists());
        assert_eq!((number().as_str(), bring_up_to(var.path(), 3, &[broken, broken])), ("3\n", Ok(Verdict::Same)));
    }

    #[test]
    fn rubbish_in_the_file_is_refused() {
        for text in ["", "one", "-1", "0"] {
            assert!(judge(Some(text), CURRENT).is_err(), "{text:?}");
        }
    }
}
