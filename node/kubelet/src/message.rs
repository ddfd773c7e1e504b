//! A container's last words: the file that it may write, or the end of its log. As upstream's `getTerminationMessage`.

use crate::cri::v1;
use crate::labels;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

/// Bytes of a message file, as the API documents.
pub const MESSAGE_BYTES_MAX: u64 = 4096;
/// Bytes of a log that stand in for a message, as the API documents.
pub const LOG_BYTES_MAX: u64 = 2048;
/// Lines of a log that stand in for a message, as the API documents.
pub const LOG_LINES_MAX: usize = 80;
/// Bytes read from the end of a log to find them: each line carries some forty bytes of its own.
const LOG_READ_MAX: u64 = LOG_BYTES_MAX + 64 * LOG_LINES_MAX as u64;

/// The last words of an ended container; empty when it had none.
#[must_use]
pub fn of(status: &v1::ContainerStatus) -> String {
    let note = |name: &str| status.annotations.get(name).map(String::as_str).unwrap_or_default();
    let from_log = note(labels::MESSAGE_POLICY) == "FallbackToLogsOnError"
        && status.exit_code != 0
        && status.reason != "ContainerCannotRun";
    let path = note(labels::MESSAGE_PATH);
    let mount = status.mounts.iter().find(|mount| !path.is_empty() && mount.container_path == path);
    let written = match mount.map(|mount| (&mount.host_path, tail(Path::new(&mount.host_path), MESSAGE_BYTES_MAX))) {
        Some((path, Err(error))) if error.kind() != io::ErrorKind::NotFound => {
            return format!("Error on reading termination log {path}: {error}");
        }
        Some((_, Ok(bytes))) => String::from_utf8_lossy(&bytes).into_owned(),
        _ => String::new(),
    };
    if !written.is_empty() || !from_log {
        return written;
    }
    match tail(Path::new(&status.log_path), LOG_READ_MAX) {
        Ok(bytes) => last_lines(&String::from_utf8_lossy(&bytes)),
        Err(error) => format!("Error on reading termination message from logs: {error}"),
    }
}

fn tail(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(bytes_max)))?;
    let mut bytes = Vec::new();
    file.take(bytes_max).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The text of the last lines of a log in the CRI's form: time, stream, `F` or `P`, text.
fn last_lines(log: &str) -> String {
    let mut text = String::new();
    let lines: Vec<&str> = log.lines().collect();
    for line in lines.iter().skip(lines.len().saturating_sub(LOG_LINES_MAX)) {
        let mut parts = line.splitn(4, ' ');
        let (Some(_), Some(_), Some(tag), Some(words)) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            continue;
        };
        text.push_str(words);
        if tag.starts_with('F') {
            text.push('\n');
        }
    }
    let mut from = text.len().saturating_sub(LOG_BYTES_MAX as usize);
    while !text.is_char_boundary(from) {
        from += 1;
    }
    text.split_off(from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn ended(folder: &Path, policy: &str, code: i32) -> v1::ContainerStatus {
        let file = folder.join("message").to_string_lossy().into_owned();
        let mount =
            v1::Mount { container_path: "/dev/termination-log".to_owned(), host_path: file, ..v1::Mount::default() };
        v1::ContainerStatus {
            annotations: BTreeMap::from([
                (labels::MESSAGE_PATH.to_owned(), "/dev/termination-log".to_owned()),
                (labels::MESSAGE_POLICY.to_owned(), policy.to_owned()),
            ]),
            mounts: vec![mount],
            exit_code: code,
            log_path: folder.join("0.log").to_string_lossy().into_owned(),
            ..v1::ContainerStatus::default()
        }
    }

    #[test]
    fn the_file_goes_before_the_log_and_the_log_only_stands_in_for_failures() {
        let folder = tempfile::tempdir().unwrap();
        let log =
            "2026-01-01T00:00:00Z stdout F one\n2026-01-01T00:00:00Z stderr P tw\n2026-01-01T00:00:00Z stderr F o\n";
        std::fs::write(folder.path().join("0.log"), log).unwrap();
        assert_eq!(of(&ended(folder.path(), "FallbackToLogsOnError", 1)), "one\ntwo\n");
        assert_eq!(of(&ended(folder.path(), "FallbackToLogsOnError", 0)), "");
        assert_eq!(of(&ended(folder.path(), "File", 1)), "");
        std::fs::write(folder.path().join("message"), "x".repeat(5000) + "bye").unwrap();
        let words = of(&ended(folder.path(), "FallbackToLogsOnError", 1));
        assert_eq!((words.len(), words.ends_with("xbye")), (4096, true));
    }
}
