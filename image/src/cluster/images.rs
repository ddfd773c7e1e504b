//! The image that a cluster boots: found, and looked at before anything is made.

use crate::build::{KERNEL, Manifest, ROOT};
use crate::exit::{Code, Failure};
use anyhow::{Result, bail};
use std::path::{Path, PathBuf};

/// The files of an image that was looked at.
#[derive(Clone, Debug)]
pub struct Image {
    /// Its folder.
    pub folder: PathBuf,
    /// Its description.
    pub manifest: Manifest,
}

impl Image {
    /// The image in a folder, or the one that a build leaves beside this program.
    ///
    /// # Errors
    /// `Refused` when there is none, or its files are not as its manifest says.
    pub fn find(chosen: Option<&Path>) -> Result<Image> {
        let folder = match chosen {
            Some(folder) => folder.to_owned(),
            None => candidates().into_iter().find(|folder| folder.join(KERNEL).exists()).ok_or_else(|| {
                Failure::new(Code::Refused, "there is no image beside this program")
                    .advice("skerry build makes one; --image FOLDER names another")
            })?,
        };
        let folder = std::path::absolute(&folder)?;
        let Some(manifest) = Manifest::read(&folder) else {
            let failure =
                Failure::new(Code::Refused, format!("{} holds no image that this skerry knows", folder.display()));
            let file = Manifest::place(&folder);
            let why = match std::fs::read(&file) {
                Err(error) => format!("{}: {error}", file.display()),
                Ok(_) => format!("{} is damaged or of another version", file.display()),
            };
            bail!(failure.advice(format!("{why}: build the image again, or choose another --image")));
        };
        let image = Image { folder, manifest };
        image.check()?;
        Ok(image)
    }

    /// The kernel.
    pub fn kernel(&self) -> PathBuf {
        self.folder.join(KERNEL)
    }

    /// The root file system.
    pub fn root(&self) -> PathBuf {
        self.folder.join(ROOT)
    }

    /// Compares sizes only: a download that broke off is found at once, and hashing would cost every start.
    fn check(&self) -> Result<()> {
        for name in [KERNEL, ROOT] {
            let path = self.folder.join(name);
            let wanted = self.manifest.files.get(name).map(|entry| entry.size);
            let found = path.metadata().ok().map(|data| data.len());
            if wanted.is_none() || found != wanted {
                let what = match (found, wanted) {
                    (None, _) => "is missing".to_owned(),
                    (_, None) => "is not in the manifest".to_owned(),
                    (Some(found), Some(wanted)) => format!("has {found} bytes instead of {wanted}"),
                };
                let failure = Failure::new(Code::Refused, format!("the image is damaged: {} {what}", path.display()));
                bail!(failure.advice("build or download the image again"));
            }
        }
        Ok(())
    }
}

/// Where images are looked for: below the working folder's checkout, and beside this program.
fn candidates() -> Vec<PathBuf> {
    let mut found = Vec::new();
    if let Ok(program) = std::env::current_exe() {
        // target/<profile>/skerry has its image in target/image; a release keeps both in one folder.
        found.extend(program.ancestors().skip(1).take(3).map(|folder| folder.join("image")));
    }
    if let Ok(here) = std::env::current_dir() {
        found.extend(here.ancestors().map(|folder| folder.join("target/image")));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(kernel: &[u8], says: u64) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(KERNEL), kernel).unwrap();
        std::fs::write(folder.path().join(ROOT), b"root").unwrap();
        let text = format!(
            "{{\"format\":2,\"version\":\"0\",\"inputs\":\"\",\"docker\":false,\"debug\":false,\"packages\":{{}},\
             \"files\":{{\"bzImage\":{{\"size\":{says},\"sha256\":\"\"}},\"root.qcow2\":{{\"size\":4,\"sha256\":\"\"}}}}}}"
        );
        std::fs::write(folder.path().join("manifest.json"), text).unwrap();
        folder
    }

    fn refusal(folder: &Path) -> String {
        let failure = Failure::of(Image::find(Some(folder)).expect_err("refused"));
        assert_eq!(failure.code, Code::Refused);
        failure.message
    }

    #[test]
    fn a_whole_image_is_taken_and_a_truncated_one_refused() {
        let whole = folder(b"kernel", 6);
        assert_eq!(Image::find(Some(whole.path())).unwrap().kernel(), whole.path().join(KERNEL));
        let short = folder(b"kern", 6);
        assert!(refusal(short.path()).ends_with("bzImage has 4 bytes instead of 6"));
        std::fs::remove_file(short.path().join(KERNEL)).unwrap();
        assert!(refusal(short.path()).ends_with("bzImage is missing"));
    }

    #[test]
    fn a_folder_without_a_manifest_is_no_image() {
        assert!(refusal(Path::new("/proc/self")).contains("holds no image"));
    }
}
