//! What to do with the state disk before it is mounted, and how that is carried out. The decision is pure; the
//! executor takes the tools as a parameter, so tests pass a recording one.

use super::contents::Contents;
use super::find::Device;
use crate::boot::Failure;

/// The smallest state disk: one image of moderate size, the store and the logs fit.
pub const SIZE_BYTES_MIN: u64 = 256 << 20;
/// A disk that grew by less than this is left as it is: a file system never fills its device to the last block.
const GROWTH_BYTES_MIN: u64 = 16 << 20;

/// One step, in the order in which they are given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Make a file system.
    Format,
    /// Replay the journal and repair.
    Check(Repair),
    /// Mount at `/var`.
    Mount,
    /// Let the mounted file system fill its disk.
    Grow,
}

/// How far a repair may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repair {
    /// Only what loses nothing.
    Safe,
    /// Everything; files may be lost.
    All,
}

/// How a tool ended.
pub struct Ended {
    /// Its exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// What it wrote.
    pub output: String,
}

/// The steps for `device`, whose file system carries `label` if it is ours, or why it is not touched.
pub fn plan(device: &Device, label: &str, repair: Repair) -> Result<Vec<Step>, Failure> {
    let path = &device.path;
    if !device.writable {
        let reason = format!("the state disk {path} is read-only");
        return Err(Failure::new(reason, "attach it writable (no readonly=on, no snapshot of a read-only file)"));
    }
    if device.size_bytes < SIZE_BYTES_MIN {
        let reason = format!("the state disk {path} has {} MiB", device.size_bytes >> 20);
        return Err(Failure::new(reason, format!("give it at least {} MiB", SIZE_BYTES_MIN >> 20)));
    }
    match &device.contents {
        Contents::Blank => Ok(vec![Step::Format, Step::Mount]),
        Contents::Ext4(ext4) if ext4.label != label => {
            Err(foreign(path, &format!("an ext4 file system labelled {:?} instead of {label:?}", ext4.label)))
        }
        Contents::Ext4(ext4) if ext4.size_bytes > device.size_bytes => {
            let (has, had) = (device.size_bytes >> 20, ext4.size_bytes >> 20);
            let reason = format!("the state disk {path} has {has} MiB, but its file system {had} MiB");
            Err(Failure::new(reason, "the disk was cut: give it its old size again, or restore it from a copy"))
        }
        Contents::Ext4(ext4) => {
            let check = (!ext4.clean || repair == Repair::All).then_some(Step::Check(repair));
            let grown = device.size_bytes - ext4.size_bytes >= GROWTH_BYTES_MIN;
            Ok(check.into_iter().chain([Step::Mount]).chain(grown.then_some(Step::Grow)).collect())
        }
        Contents::Volume(..) => Err(foreign(path, "a FAT or ISO 9660 volume")),
        Contents::Foreign(what) => Err(foreign(path, what)),
    }
}

fn foreign(path: &str, what: &str) -> Failure {
    let reason = format!("{path} is to be the state disk but holds {what}, which is not touched");
    Failure::new(reason, "attach a blank disk instead, or clear this one yourself (blkdiscard or dd if=/dev/zero)")
}

/// Judges how `step` ended on `path`; by the exit codes of e2fsck(8): 1 is "corrected", 2 "corrected, reboot", from
/// 4 on something is left wrong.
pub fn judge(step: Step, path: &str, ended: &Ended) -> Result<(), Failure> {
    let last = ended.output.lines().last().unwrap_or("(it wrote nothing)");
    match (step, ended.code) {
        (_, Some(0)) | (Step::Check(_), Some(1 | 2)) => Ok(()),
        (Step::Check(Repair::Safe), Some(4)) => {
            let reason = format!("the state disk {path} has faults that cannot be repaired without loss: {last}");
            Err(Failure::new(reason, "copy the disk first, then boot once with skerry.disk.repair=all"))
        }
        (step, code) => {
            let code = code.map_or("a signal".to_owned(), |code| format!("exit code {code}"));
            let reason = format!("{} of the state disk {path} ended with {code}: {last}", step.name());
            Err(Failure::new(reason, "look at the host's disk and its free space; restore the disk from a copy"))
        }
    }
}

impl Step {
    fn name(self) -> &'static str {
        match self {
            Step::Format => "formatting",
            Step::Check(_) => "checking",
            Step::Mount => "mounting",
            Step::Grow => "growing",
        }
    }

    /// The tool that does it to a device of this size, and its arguments before the device's path; `None` for mounting.
    pub fn tool(self, label: &str, size_bytes: u64) -> Option<(&'static str, Vec<String>)> {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        Some(match self {
            Step::Format => {
                // Disks beyond 1 TiB have tables of their own size.
                let words = WORDS.trim_end().split(' ').map(|word| match size_bytes < GROWN_BYTES {
                    true => word.to_owned(),
                    false => word.split(",resize=").next().unwrap_or_default().to_owned(),
                });
                ("/usr/sbin/mke2fs", words.chain(["-L".to_owned(), label.to_owned()]).collect())
            }
            Step::Check(Repair::Safe) => ("/usr/sbin/e2fsck", words(&["-p"])),
            Step::Check(Repair::All) => ("/usr/sbin/e2fsck", words(&["-f", "-y"])),
            Step::Grow => ("/usr/sbin/resize2fs", words(&[])),
            Step::Mount => return None,
        })
    }
}

/// How mke2fs is called. Lazy: the kernel zeroes tables in its own time. No discard: a new disk has nothing to discard.
/// Room for tables of up to 1 TiB: by itself it keeps room for a thousand times the size, and writes every block of that,
/// 1,093 times to a disk of 20 GiB instead of 194. The image's templates are made with the same words.
const WORDS: &str = include_str!("mke2fs.txt");
/// From here on 1 TiB is no growth. (mke2fs counts blocks, which may be as small as 1 KiB.)
const GROWN_BYTES: u64 = 256 << 30;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::contents::Ext4;

    const GIB: u64 = 1 << 30;

    fn device(contents: Contents) -> Device {
        Device {
            path: "/dev/vdb".into(),
            serial: String::new(),
            partition: String::new(),
            size_bytes: 4 * GIB,
            writable: true,
            contents,
        }
    }

    fn ext4(size_bytes: u64, clean: bool) -> Contents {
        Contents::Ext4(Ext4 { label: "skerry-state".into(), size_bytes, clean })
    }

    #[test]
    fn a_blank_disk_is_formatted_and_a_clean_one_only_mounted() {
        assert_eq!(plan(&device(Contents::Blank), "skerry-state", Repair::Safe), Ok(vec![Step::Format, Step::Mount]));
        assert_eq!(plan(&device(ext4(4 * GIB, true)), "skerry-state", Repair::Safe), Ok(vec![Step::Mount]));
    }

    #[test]
    fn an_unclean_disk_is_checked_and_a_grown_one_grown_after_mounting() {
        let steps = plan(&device(ext4(GIB, false)), "skerry-state", Repair::Safe);
        assert_eq!(steps, Ok(vec![Step::Check(Repair::Safe), Step::Mount, Step::Grow]));
        let steps = plan(&device(ext4(4 * GIB - (1 << 20), true)), "skerry-state", Repair::Safe);
        assert_eq!(steps, Ok(vec![Step::Mount]));
    }

    #[test]
    fn a_thorough_repair_is_made_even_on_a_disk_that_looks_clean() {
        let steps = plan(&device(ext4(4 * GIB, true)), "skerry-state", Repair::All);
        assert_eq!(steps, Ok(vec![Step::Check(Repair::All), Step::Mount]));
    }

    /// The whole life of a disk with the real tools, on a file: the plan asks what it must at each turn.
    #[test]
    fn a_disk_is_formatted_once_then_recognised_then_checked_and_grown() {
        let _alone = crate::children::tests::HAS_CHILDREN.lock().unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(SIZE_BYTES_MIN).unwrap();
        let path = file.path().to_str().unwrap();
        let look = || {
            let size_bytes = file.as_file().metadata().unwrap().len();
            let contents = crate::disk::find::contents_of(file.path(), size_bytes).unwrap();
            Device { size_bytes, ..device(contents) }
        };
        let perform = |step: Step| {
            let (program, arguments) = step.tool("skerry-state", SIZE_BYTES_MIN).unwrap();
            let output = std::process::Command::new(program).args(arguments).arg(path).output().unwrap();
            let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
            judge(step, path, &Ended { code: output.status.code(), output: text })
        };
        assert_eq!(plan(&look(), "skerry-state", Repair::Safe), Ok(vec![Step::Format, Step::Mount]));
        assert_eq!(perform(Step::Format), Ok(()));
        assert_eq!(plan(&look(), "skerry-state", Repair::Safe), Ok(vec![Step::Mount]));
        file.as_file().set_len(SIZE_BYTES_MIN * 2).unwrap();
        assert_eq!(plan(&look(), "skerry-state", Repair::Safe), Ok(vec![Step::Mount, Step::Grow]));
        // Growing without a mount wants a forced check first; the machine grows while mounted.
        assert_eq!(perform(Step::Check(Repair::All)), Ok(()));
        assert_eq!(perform(Step::Grow), Ok(()));
        assert_eq!(plan(&look(), "skerry-state", Repair::Safe), Ok(vec![Step::Mount]));
        // What the kernel does when it meets an error.
        let marked = std::process::Command::new("/usr/sbin/tune2fs").args(["-E", "force_fsck"]).arg(path).output();
        assert!(marked.unwrap().status.success());
        assert_eq!(plan(&look(), "skerry-state", Repair::Safe), Ok(vec![Step::Check(Repair::Safe), Step::Mount]));
        assert_eq!(perform(Step::Check(Repair::Safe)), Ok(()));
        assert_eq!(plan(&look(), "skerry-state", Repair::Safe), Ok(vec![Step::Mount]));
    }

    #[test]
    fn disks_of_any_size_are_formatted() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for size in [SIZE_BYTES_MIN, 20 * GIB, 255 * GIB, 256 * GIB, 3 << 40] {
            file.as_file().set_len(0).unwrap();
            file.as_file().set_len(size).unwrap();
            let (program, arguments) = Step::Format.tool("skerry-state", size).unwrap();
            let output = std::process::Command::new(program).args(arguments).arg(file.path()).output().unwrap();
            assert!(output.status.success(), "{size} bytes: {}", String::from_utf8_lossy(&output.stderr));
        }
    }

    #[test]
    fn what_is_not_ours_is_never_touched() {
        for contents in [
            Contents::Foreign("an XFS file system"),
            Contents::Volume("vfat", "SKERRY".into()),
            Contents::Foreign("data of an unknown kind"),
            Contents::Ext4(Ext4 { label: "photos".into(), size_bytes: GIB, clean: true }),
        ] {
            let failure = plan(&device(contents), "skerry-state", Repair::All).unwrap_err();
            assert!(failure.reason.contains("/dev/vdb") && failure.reason.contains("not touched"), "{failure:?}");
        }
    }

    #[test]
    fn small_cut_and_read_only_disks_are_refused_with_advice() {
        let small = Device { size_bytes: SIZE_BYTES_MIN - 1, ..device(Contents::Blank) };
        assert!(plan(&small, "skerry-state", Repair::Safe).unwrap_err().advice.contains("256 MiB"));
        let cut = device(ext4(5 * GIB, true));
        assert!(plan(&cut, "skerry-state", Repair::Safe).unwrap_err().advice.contains("old size"));
        let fixed = Device { writable: false, ..device(ext4(GIB, true)) };
        assert!(plan(&fixed, "skerry-state", Repair::Safe).unwrap_err().reason.contains("read-only"));
    }

    #[test]
    fn a_check_that_corrected_something_is_good_and_one_that_could_not_says_how_to_go_on() {
        let ended = |code| Ended { code: Some(code), output: "line\nUNEXPECTED INCONSISTENCY".into() };
        let check = Step::Check(Repair::Safe);
        for code in [0, 1, 2] {
            assert_eq!(judge(check, "/dev/vdb", &ended(code)), Ok(()));
        }
        let failure = judge(check, "/dev/vdb", &ended(4)).unwrap_err();
        assert!(failure.reason.contains("UNEXPECTED INCONSISTENCY") && failure.advice.contains("repair=all"));
        assert!(judge(check, "/dev/vdb", &ended(8)).is_err());
        assert!(judge(Step::Format, "/dev/vdb", &ended(1)).is_err());
    }
}
