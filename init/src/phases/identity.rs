//! The machine's identity over restarts: `/etc/machine-id` (a link to `/run/machine-id`), kept on the state disk.

use crate::boot::{Boot, Failure, Phase};
use std::io::{self, ErrorKind};
use std::path::Path;

/// The phase.
pub const PHASE: Phase = Phase { name: "identity", run: |boot| Box::pin(async { run(boot) }) };

const KEPT: &str = "/var/lib/skerry/machine-id";
const SHOWN: &str = "/run/machine-id";
/// 128 bits, as machine-id(5) has it.
const ID_BYTES: usize = 16;

fn run(_: &mut Boot) -> Result<(), Failure> {
    let fresh = || -> io::Result<String> {
        let mut bytes = [0; ID_BYTES];
        // Waits for the pool if it must: an identity that another machine has too would be worse.
        io::Read::read_exact(&mut std::fs::File::open("/dev/random")?, &mut bytes)?;
        Ok(text(bytes))
    };
    kept(Path::new(KEPT), fresh).and_then(|id| std::fs::write(SHOWN, format!("{id}\n"))).map_err(|e| {
        Failure::new(format!("keep the machine's identity in {KEPT}: {e}"), "look at the state disk's free space")
    })
}

/// 32 digits, marked as a random UUID (RFC 9562, version 4).
fn text(mut bytes: [u8; ID_BYTES]) -> String {
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The identity in `path`; a missing or spoilt one is replaced by a fresh one.
fn kept(path: &Path, fresh: impl FnOnce() -> io::Result<String>) -> io::Result<String> {
    match std::fs::read_to_string(path) {
        Ok(id) if is_id(id.trim()) => return Ok(id.trim().to_owned()),
        Err(e) if e.kind() != ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let id = fresh()?;
    let new = path.with_extension("new");
    std::fs::write(&new, format!("{id}\n"))?;
    std::fs::File::open(&new)?.sync_all()?;
    std::fs::rename(new, path)?;
    Ok(id)
}

fn is_id(text: &str) -> bool {
    text.len() == 2 * ID_BYTES
        && text.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f'))
        && text.contains(|c| c != '0')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_made_once_and_a_spoilt_one_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("machine-id");
        let first = kept(&path, || Ok(text([0xff; ID_BYTES]))).unwrap();
        assert_eq!(first, "ffffffffffff4fffbfffffffffffffff");
        assert_eq!(kept(&path, || panic!("there is one")).unwrap(), first);
        std::fs::write(&path, "00000000000000000000000000000000\n").unwrap();
        assert_eq!(kept(&path, || Ok(first.clone())).unwrap(), first);
    }
}
