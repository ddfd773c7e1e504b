//! Names of images as Docker and the CRI write them out: `x` is `docker.io/library/x:latest`. The grammar is that of
//! the module `github.com/distribution/reference`. Pure.

use super::{Digest, Fault};

/// The registry of a name that names none.
const REGISTRY: &str = "docker.io";
/// Where that registry keeps names of one part.
const OFFICIAL: &str = "library/";
/// The longest repository name, in bytes, as `NameTotalLengthMax` of the reference module.
const REPOSITORY_BYTES_MAX: usize = 255;
/// The longest tag, in bytes.
const TAG_BYTES_MAX: usize = 128;

/// The full name: registry, path, and tag or digest.
///
/// # Errors
/// `Invalid` when it is no image name.
pub fn normalise(name: &str) -> Result<String, Fault> {
    let wrong = |why: &str| {
        let shown: String = name.chars().take(REPOSITORY_BYTES_MAX).collect();
        Fault::invalid("name", format!("{shown:?} is no image name: {why}; an example is registry.test/team/app:1.0"))
    };
    let (rest, digest) = match name.split_once('@') {
        Some((rest, digest)) => (rest, Some(Digest::parse(digest)?)),
        None => (name, None),
    };
    let (repository, tag) = match rest.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository, Some(tag)),
        _ => (rest, None),
    };
    let (registry, path) = split(repository);
    if !is_registry(&registry) {
        return Err(wrong("the registry is no host name"));
    }
    if path.len() > REPOSITORY_BYTES_MAX || !path.split('/').all(is_component) {
        return Err(wrong("its parts are small letters and digits, with single '.', '_' or '-' between them"));
    }
    if !tag.is_none_or(is_tag) {
        return Err(wrong("the tag is letters, digits, '_', '.' and '-', at most 128"));
    }
    let repository = format!("{registry}/{path}");
    Ok(match (tag, digest) {
        (Some(tag), Some(digest)) => format!("{repository}:{tag}@{digest}"),
        (Some(tag), None) => format!("{repository}:{tag}"),
        (None, Some(digest)) => format!("{repository}@{digest}"),
        (None, None) => format!("{repository}:latest"),
    })
}

/// Registry and path. The first part is a registry when it cannot be a part of a path there.
fn split(repository: &str) -> (String, String) {
    let (registry, path) = match repository.split_once('/') {
        Some((first, path)) if first.contains(['.', ':']) || first == "localhost" || first.to_lowercase() != first => {
            (first, path)
        }
        _ => (REGISTRY, repository),
    };
    let registry = if registry == "index.docker.io" { REGISTRY } else { registry };
    let official = registry == REGISTRY && !path.contains('/');
    let path = if official { format!("{OFFICIAL}{path}") } else { path.to_owned() };
    (registry.to_owned(), path)
}

fn is_registry(text: &str) -> bool {
    let (host, port) = text.rsplit_once(':').unwrap_or((text, "1"));
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let port_fits = !port.is_empty() && port.len() <= 5 && port.bytes().all(|byte| byte.is_ascii_digit());
    host.len() <= REPOSITORY_BYTES_MAX && host.split('.').all(label) && port_fits
}

/// Runs of small letters and digits, joined by `.`, `_`, `__` or any number of `-`.
fn is_component(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let ends = text.bytes().next().is_some_and(plain) && text.bytes().last().is_some_and(plain);
    let joints = text.split(|c: char| c.is_ascii() && plain(c as u8)).filter(|joint| !joint.is_empty());
    ends && joints.into_iter().all(|joint| matches!(joint, "." | "_" | "__") || joint.bytes().all(|byte| byte == b'-'))
}

fn is_tag(text: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    text.len() <= TAG_BYTES_MAX
        && text.bytes().next().is_some_and(word)
        && text.bytes().all(|byte| word(byte) || byte == b'.' || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_written_out_as_docker_and_the_cri_do() {
        let digest = Digest::of(b"");
        let pinned = format!("x@{digest}");
        for (short, full) in [
            ("x", "docker.io/library/x:latest".to_owned()),
            ("x:1", "docker.io/library/x:1".to_owned()),
            ("me/x", "docker.io/me/x:latest".to_owned()),
            ("index.docker.io/x:1", "docker.io/library/x:1".to_owned()),
            ("docker.io/x:1", "docker.io/library/x:1".to_owned()),
            ("localhost/x", "localhost/x:latest".to_owned()),
            ("localhost:5000/x", "localhost:5000/x:latest".to_owned()),
            ("r.test/a/b-c_d.e__f--g:V1.0", "r.test/a/b-c_d.e__f--g:V1.0".to_owned()),
            (&pinned, format!("docker.io/library/x@{digest}")),
        ] {
            assert_eq!(normalise(short).as_deref(), Ok(full.as_str()), "{short}");
            assert_eq!(normalise(&full).as_deref(), Ok(full.as_str()), "{full} once more");
        }
    }

    #[test]
    fn what_is_no_name_is_refused() {
        let long = format!("r.test/{}", "a".repeat(300));
        for wrong in [
            "",
            "X",
            "a//b",
            "../x",
            "x:",
            "x:a b",
            "x@sha256:1",
            "-x",
            "x-",
            "a..b",
            "r.test/",
            "r..test/x",
            "x:-1",
            "a b",
            "ä",
            "r.test:port/x",
            "x:1:2",
            &long,
        ] {
            assert!(normalise(wrong).is_err(), "{wrong:?} passed as {:?}", normalise(wrong));
        }
    }
}
