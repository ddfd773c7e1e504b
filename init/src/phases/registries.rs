//! Registries without any certificate, which the user has named: containerd reads of them on the state disk, where
//! users may have put others.

use crate::boot::{Boot, Failure, Phase};
use crate::config::keys::{INSECURE, list};
use std::io;
use std::path::Path;

/// The phase.
pub const PHASE: Phase = Phase { name: "registries", run: |boot| Box::pin(async { run(boot) }) };

/// What containerd reads of registries, one folder each.
const REGISTRIES: &str = "/var/lib/skerry/registries";
/// Marks what was written here, so that it goes when it is wanted no more and nobody else's is touched.
const MARK: &str = "# Written at each boot by skerry.registry.insecure.\n";

/// One that cannot be named costs itself, never the boot.
fn run(boot: &mut Boot) -> Result<(), Failure> {
    let insecure: Vec<&str> = list(boot.config.text(&INSECURE)).collect();
    if let Err(e) = registries(Path::new(REGISTRIES), &insecure) {
        boot.console.say(&format!("init: skerry.registry.insecure: {e}"));
    }
    Ok(())
}

/// One folder with a `hosts.toml` for each registry that speaks plain HTTP.
fn registries(folder: &Path, insecure: &[&str]) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    for entry in std::fs::read_dir(folder)? {
        let file = entry?.path().join("hosts.toml");
        if std::fs::read_to_string(&file).is_ok_and(|text| text.starts_with(MARK)) {
            std::fs::remove_file(&file)?;
        }
    }
    for host in insecure {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':');
        if !host.chars().all(plain) || host.starts_with('.') {
            return Err(io::Error::other(format!("{host:?} is no HOST:PORT")));
        }
        let place = folder.join(host);
        std::fs::create_dir_all(&place)?;
        std::fs::write(place.join("hosts.toml"), hosts(host))?;
    }
    Ok(())
}

fn hosts(host: &str) -> String {
    format!(
        "{MARK}server = \"http://{host}\"\n\n[host.\"http://{host}\"]\n  capabilities = [\"pull\", \"resolve\", \"push\"]\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_without_certificates_is_named_at_each_boot_and_others_stay() {
        let folder = tempfile::tempdir().unwrap();
        let theirs = folder.path().join("docker.io");
        std::fs::create_dir(&theirs).unwrap();
        std::fs::write(theirs.join("hosts.toml"), "server = \"x\"").unwrap();
        let of = |host: &str| std::fs::read_to_string(folder.path().join(host).join("hosts.toml")).ok();
        registries(folder.path(), &["host.skerry.internal:5000"]).unwrap();
        assert!(of("host.skerry.internal:5000").unwrap().contains("server = \"http://host.skerry.internal:5000\""));
        registries(folder.path(), &[]).unwrap();
        assert_eq!((of("host.skerry.internal:5000"), of("docker.io").is_some()), (None, true));
        assert!(registries(folder.path(), &["../x"]).is_err());
    }
}
