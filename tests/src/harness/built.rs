//! What must have been built: the `skerry` program and the image, where a build leaves them or where the environment
//! says: `SKERRY_BIN` names the program, `SKERRY_IMAGE` the folder of the image.

use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};
use std::process::Command;

/// How to make what is missing.
const BUILD: &str = "build the machine first: scripts/prepare";
/// The emulator.
const EMULATOR: &str = "qemu-system-x86_64";

/// Where everything is.
#[derive(Clone, Debug)]
pub struct Built {
    /// The `skerry` program.
    pub skerry: PathBuf,
    /// Folder of the image, with `kubectl` below `tools`.
    pub image: PathBuf,
    /// Folder that tests and measurements write to.
    pub target: PathBuf,
    /// The first line of the emulator's version.
    pub emulator: String,
}

impl Built {
    /// Finds it.
    ///
    /// # Errors
    /// When something is missing; says how to make it.
    pub fn find() -> Result<Built> {
        let target = target();
        let place = |key: &str, usual: &str| std::env::var_os(key).map_or_else(|| target.join(usual), PathBuf::from);
        let (skerry, image) = (place("SKERRY_BIN", "release/skerry"), place("SKERRY_IMAGE", "image"));
        let parts = [image.join("bzImage"), image.join("root.qcow2"), image.join("tools/kubectl")];
        for needed in [&skerry].into_iter().chain(&parts) {
            ensure!(needed.exists(), "{} is missing; {BUILD}", needed.display());
        }
        let said = Command::new(EMULATOR).arg("--version").output();
        let said = said.with_context(|| format!("running {EMULATOR}: apt-get install qemu-system-x86"))?;
        let emulator = String::from_utf8_lossy(&said.stdout).lines().next().unwrap_or_default().to_owned();
        Ok(Built { skerry, image, target, emulator })
    }

    /// The kernel.
    pub fn kernel(&self) -> PathBuf {
        self.image.join("bzImage")
    }

    /// The root file system.
    pub fn root(&self) -> PathBuf {
        self.image.join("root.qcow2")
    }

    /// The `kubectl` that comes with the image.
    pub fn kubectl(&self) -> PathBuf {
        self.image.join("tools/kubectl")
    }

    /// The emulator with the arguments of a machine of one's own.
    pub fn emulate(&self, arguments: &[String]) -> Command {
        let mut command = Command::new(EMULATOR);
        command.args(arguments);
        command
    }
}

/// The folder of what cargo builds.
pub fn target() -> PathBuf {
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the checkout");
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| checkout.join("target"), PathBuf::from)
}
