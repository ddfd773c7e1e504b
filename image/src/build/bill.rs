//! What a release consists of, for those who must know: a CycloneDX 1.6 bill of materials, from the lock files alone.
//! Pure: locks in, JSON out; the same locks give the same text.

use super::packages::lock::{Key, Lock};
use super::userland::{Package, Part};
use anyhow::{Context, Result};
use serde_json::{Value, json};

/// The file's name in a release.
pub const FILE: &str = "skerry.cdx.json";

/// A crate that our own programs are made of, as `Cargo.lock` has it. Our own ones have no checksum.
#[derive(serde::Deserialize)]
struct Crate {
    name: String,
    version: String,
    checksum: Option<String>,
}

#[derive(serde::Deserialize)]
struct Crates {
    package: Vec<Crate>,
}

/// The bill of a release of `version`, made from these packages and the crates of a `Cargo.lock`.
///
/// # Errors
/// When that is no lock file.
pub fn bill(version: &str, lock: &Lock, packages: &[&Package], crates: &str) -> Result<Value> {
    let crates: Crates = toml::from_str(crates).context("reading Cargo.lock")?;
    let mut components = Vec::new();
    for package in packages {
        let key: Key = package.key();
        let pin = lock.pins.get(&key).with_context(|| format!("{} is not pinned", package.name))?;
        components.push(json!({
            "type": "library",
            "bom-ref": format!("deb:{}/{}", package.suite, package.name),
            "name": package.name,
            "version": pin.version,
            "purl": format!("pkg:deb/debian/{}@{}?arch=amd64&distro={}", package.name, escaped(&pin.version), package.suite),
            // Of the package's file, as the archive has it.
            "hashes": [{"alg": "SHA-256", "content": pin.sha256}],
            "scope": if is_inside(package.part) { "required" } else { "excluded" },
        }));
    }
    for found in crates.package {
        let Some(checksum) = found.checksum else { continue };
        components.push(json!({
            "type": "library",
            "bom-ref": format!("cargo:{}@{}", found.name, found.version),
            "name": found.name,
            "version": found.version,
            "purl": format!("pkg:cargo/{}@{}", found.name, escaped(&found.version)),
            "hashes": [{"alg": "SHA-256", "content": checksum}],
        }));
    }
    Ok(json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {"type": "operating-system", "bom-ref": "skerry", "name": "skerry", "version": version},
        },
        "components": components,
    }))
}

/// Whether something of the package is in the image, as against only having made it. The kernel is made of its source.
fn is_inside(part: Part) -> bool {
    match part {
        Part::Core | Part::Docker | Part::Debug | Part::Client | Part::Kernel | Part::Loader => true,
        Part::Packer => false,
    }
}

/// What a package URL does not take as it is.
fn escaped(version: &str) -> String {
    version.replace('+', "%2B").replace(':', "%3A").replace('~', "%7E")
}

#[cfg(test)]
mod tests {
    use super::super::userland;
    use super::*;

    #[test]
    fn every_package_and_every_foreign_crate_is_listed_with_its_hash() {
        let lock = Lock::parse(include_str!("../../packages.lock")).unwrap();
        let packages = userland::of(&[Part::Core, Part::Kernel, Part::Packer]);
        let crates = "[[package]]\nname = \"own\"\nversion = \"0.1.0\"\n\n[[package]]\nname = \"x\"\n\
                      version = \"1.0.0+a\"\nchecksum = \"ab\"\n";
        let bill = bill("0.1.0", &lock, &packages, crates).unwrap();
        let components = bill["components"].as_array().unwrap();
        assert_eq!(components.len(), packages.len() + 1);
        assert!(components.iter().all(|c| c["hashes"][0]["content"].as_str().is_some_and(|hash| !hash.is_empty())));
        assert_eq!(components.last().unwrap()["purl"], "pkg:cargo/x@1.0.0%2Ba");
        assert_eq!(components.iter().find(|c| c["name"] == "erofs-utils").unwrap()["scope"], "excluded");
    }
}
