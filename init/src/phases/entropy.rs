//! Randomness over a restart: what the last run saved is given to the kernel, and the next seed is saved at once, so
//! that no seed is ever used twice. Never waits.

use crate::boot::{Boot, Failure, Phase};
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use sys::entropy::SEED_BYTES_MAX;

/// The phase.
pub const PHASE: Phase = Phase { name: "entropy", run: |boot| Box::pin(async { run(boot) }) };

const SEED: &str = "/var/lib/skerry/random-seed";
/// What is saved: the pool's own size.
const SEED_BYTES: usize = 32;

fn run(boot: &mut Boot) -> Result<(), Failure> {
    if let Err(e) = feed(Path::new(SEED)) {
        boot.console.say(&format!("init: random seed {SEED}: {e}"));
    }
    let mut seed = [0; SEED_BYTES];
    match sys::entropy::ready_bytes(&mut seed) {
        Ok(Some(())) => {
            if let Err(e) = save(Path::new(SEED), &seed) {
                boot.console.say(&format!("init: save the random seed {SEED}: {e}"));
            }
        }
        Ok(None) => boot.console.say(
            "init: the kernel has no randomness yet, so keys may take a while: give the machine virtio-rng, or a \
             processor with RDRAND",
        ),
        Err(e) => boot.console.say(&format!("init: {e}")),
    }
    Ok(())
}

/// Credits the saved seed after it is gone from the disk. No seed is no error.
fn feed(path: &Path) -> std::io::Result<()> {
    let Ok(file) = File::open(path) else { return Ok(()) };
    let mut seed = Vec::new();
    file.take(SEED_BYTES_MAX as u64).read_to_end(&mut seed)?;
    std::fs::remove_file(path)?;
    sync_folder(path)?;
    sys::entropy::credit(&seed)
}

fn save(path: &Path, seed: &[u8]) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(seed)?;
    file.sync_all()?;
    sync_folder(path)
}

fn sync_folder(path: &Path) -> std::io::Result<()> {
    File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()
}
