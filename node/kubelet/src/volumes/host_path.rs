//! `hostPath`: something of the node itself. Kinds as upstream's `pkg/volume/hostpath`.

use super::files::{on_disk, said};
use super::plugin::{Job, Place, Work};
use std::fs::{self, FileType, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// See [`super::Plugin::set_up`].
pub fn set_up(job: Job<'_>) -> Work<'_> {
    Box::pin(async move {
        let source = job.volume.host_path.clone().unwrap_or_default();
        bring(&source.path, source.type_.as_deref().unwrap_or_default(), false).await
    })
}

/// Checks the path against its kind, and makes it where the kind says so.
///
/// # Errors
/// In upstream's words.
pub async fn bring(path: &str, kind: &str, read_only: bool) -> Result<Place, String> {
    if path.split('/').any(|part| part == "..") {
        return Err(format!("invalid HostPath `{path}`: must not contain '..'"));
    }
    let (place, kind) = (Path::new("/").join(path), kind.to_owned());
    let looked_at = place.clone();
    on_disk(move || check(&looked_at, &kind)).await?;
    Ok(Place::Path { path: place, read_only })
}

/// Makes the folder of a volume that the built-in provisioner promised: whoever the container runs as may write to it.
///
/// # Errors
/// What could not be made.
pub async fn make_open(path: &str) -> Result<(), String> {
    let path = Path::new("/").join(path);
    on_disk(move || {
        if path.exists() {
            return Ok(());
        }
        fs::create_dir_all(&path).map_err(said("making", &path))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).map_err(said("opening", &path))
    })
    .await
}

fn check(path: &Path, kind: &str) -> Result<(), String> {
    let there = match fs::metadata(path) {
        Err(why) if matches!(why.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => None,
        meta => Some(meta.map_err(said("looking at", path))?.file_type()),
    };
    let failed = |what: &str| Err(format!("hostPath type check failed: {} is not {what}", path.display()));
    let is = |test: fn(&FileType) -> bool, what: &str| match &there {
        Some(found) if test(found) => Ok(()),
        _ => failed(what),
    };
    match kind {
        "" => Ok(()),
        "DirectoryOrCreate" if there.is_none() => {
            let made = fs::DirBuilder::new().recursive(true).mode(0o755).create(path);
            made.map_err(said("making", path))
        }
        "FileOrCreate" if there.is_none() => {
            let made = OpenOptions::new().write(true).create(true).truncate(false).mode(0o644).open(path);
            made.map(drop).map_err(said("making", path))
        }
        "DirectoryOrCreate" | "Directory" => is(FileType::is_dir, "a directory"),
        "FileOrCreate" | "File" => is(FileType::is_file, "a file"),
        "Socket" => is(FileType::is_socket, "a socket file"),
        "CharDevice" => is(FileType::is_char_device, "a character device"),
        "BlockDevice" => is(FileType::is_block_device, "a block device"),
        other => Err(format!("{other} is an invalid volume type")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    #[test]
    fn every_kind_takes_only_what_it_names() {
        let top = tempfile::tempdir().unwrap();
        let path = |name: &str| top.path().join(name);
        check(&path("d/e"), "DirectoryOrCreate").unwrap();
        check(&path("f"), "FileOrCreate").unwrap();
        let _socket = UnixListener::bind(path("s")).unwrap();
        for (name, kinds) in [
            ("d", ["Directory", "DirectoryOrCreate"].as_slice()),
            ("f", &["File", "FileOrCreate"]),
            ("s", &["Socket"]),
            ("/dev/null", &["CharDevice"]),
        ] {
            for kind in
                ["Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket", "CharDevice", "BlockDevice"]
            {
                assert_eq!(check(&path(name), kind).is_ok(), kinds.contains(&kind), "{name} as {kind}");
            }
            check(&path(name), "").unwrap();
        }
        let text = check(&path("none"), "Directory").unwrap_err();
        assert!(
            text.starts_with("hostPath type check failed: ") && text.ends_with("/none is not a directory"),
            "{text}"
        );
        assert!(check(&path("f/below"), "Directory").is_err());
    }
}
