//! Sees to it that a container's image is there, by its pull policy and with the pod's pull secrets. Reasons and
//! messages as upstream's `pkg/kubelet/images`.
//!
//! It must not know how images get here without a registry (see `images`).

mod keyring;

use crate::context::Context;
use crate::cri::v1;
use crate::pod;
use crate::spec::security::ImageUser;
use client::Meta;
use k8s_openapi::api::core::v1::Pod;

/// An image that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// The engine's id of it.
    pub id: String,
    /// Who it runs as.
    pub user: ImageUser,
}

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// `ErrImagePull`, `ErrImageNeverPull`, `InvalidImageName` or `ImageInspectError`.
    pub reason: &'static str,
    /// For people.
    pub message: String,
}

/// Whether a text names an image: lower-case path with an optional registry, tag and digest (the grammar of
/// `github.com/distribution/reference`).
#[must_use]
pub fn is_name(text: &str) -> bool {
    let (name, digest) = text.split_once('@').map_or((text, None), |(name, digest)| (name, Some(digest)));
    let slash = name.rfind('/').map_or(0, |at| at + 1);
    let (path, tag) = match name[slash..].find(':') {
        Some(at) => (&name[..slash + at], Some(&name[slash + at + 1..])),
        None => (name, None),
    };
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let tag_fits =
        |tag: &str| tag.len() <= 128 && tag.starts_with(word) && tag.chars().all(|c| word(c) || ".-".contains(c));
    let digest_fits = |digest: &str| {
        digest.split_once(':').is_some_and(|(kind, hex)| {
            !kind.is_empty() && hex.len() >= 32 && hex.chars().all(|c| c.is_ascii_hexdigit())
        })
    };
    let mut parts = path.split('/').peekable();
    let first = parts.peek().copied().unwrap_or_default();
    // The first part is a registry when it could not be a path, as Docker has it.
    if path.contains('/') && (first.contains(['.', ':']) || first == "localhost") {
        parts.next();
    }
    let ends = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let part_fits = |part: &str| {
        part.starts_with(ends) && part.ends_with(ends) && part.chars().all(|c| ends(c) || "._-".contains(c))
    };
    parts.peek().is_some() && parts.all(part_fits) && tag.is_none_or(tag_fits) && digest.is_none_or(digest_fits)
}

/// Whether an image is there, pulled first if its policy says so.
///
/// # Errors
/// Why it is not.
pub async fn ensure(
    ctx: &Context,
    pod: &Pod,
    image: &str,
    policy: &str,
    sandbox: &v1::PodSandboxConfig,
) -> Result<Image, Failure> {
    if !is_name(image) {
        let message = format!(
            "Failed to apply default image tag {image:?}: couldn't parse image name {image:?}: invalid reference format"
        );
        ctx.recorder.warning(pod, "InspectFailed", message.clone());
        return Err(Failure { reason: "InvalidImageName", message });
    }
    let spec = v1::ImageSpec { image: image.to_owned(), ..v1::ImageSpec::default() };
    let there = status(ctx, &spec).await.map_err(|message| {
        let message = format!("Failed to inspect image {image:?}: {message}");
        ctx.recorder.warning(pod, "InspectFailed", message.clone());
        Failure { reason: "ImageInspectError", message }
    })?;
    match (policy, there) {
        ("Never", None) => {
            let message = format!("Container image {image:?} is not present with pull policy of Never");
            ctx.recorder.warning(pod, "ErrImageNeverPull", message.clone());
            Err(Failure { reason: "ErrImageNeverPull", message })
        }
        (policy, Some(found)) if policy != "Always" => {
            let message =
                format!("Container image {image:?} already present on machine and can be accessed by the pod");
            ctx.recorder.normal(pod, "Pulled", message);
            Ok(found)
        }
        _ => pull(ctx, pod, spec, sandbox).await,
    }
}

async fn status(ctx: &Context, spec: &v1::ImageSpec) -> Result<Option<Image>, String> {
    let asked = v1::ImageStatusRequest { image: Some(spec.clone()), verbose: false };
    let answer = ctx.cri.image_status(asked).await.map_err(|error| error.message)?;
    Ok(answer.image.map(|image| {
        let by_name = !image.username.is_empty();
        // An image that names nobody runs as root.
        let uid = image.uid.map(|uid| uid.value).or((!by_name).then_some(0));
        Image { id: image.id, user: ImageUser { uid, name: image.username } }
    }))
}

async fn pull(ctx: &Context, pod: &Pod, spec: v1::ImageSpec, sandbox: &v1::PodSandboxConfig) -> Result<Image, Failure> {
    let name = spec.image.clone();
    ctx.recorder.normal(pod, "Pulling", format!("Pulling image {name:?}"));
    let started = ctx.now();
    let mut tries: Vec<Option<v1::AuthConfig>> = secrets(ctx, pod, &name).await.into_iter().map(Some).collect();
    tries.push(None);
    let mut refused = String::new();
    for auth in tries {
        let sandbox_config = Some(sandbox.clone());
        let asked = v1::PullImageRequest { image: Some(spec.clone()), auth, sandbox_config };
        match ctx.cri.pull_image(asked).await {
            Ok(_) => {
                let took = ctx.now().duration_since(started).as_millis();
                let took = format!("{}.{:03}s", took / 1000, took % 1000);
                let message = format!("Successfully pulled image {name:?} in {took} ({took} including waiting).");
                ctx.recorder.normal(pod, "Pulled", message);
                let failed = |message| Failure { reason: "ErrImagePull", message };
                let found = status(ctx, &spec).await;
                let found =
                    found.map_err(|why| failed(format!("image {name:?} was pulled, but asking for it: {why}")))?;
                return found.ok_or_else(|| failed(format!("image {name:?} was pulled and is not there")));
            }
            Err(error) if refused.is_empty() => refused = error.message,
            Err(error) => tracing::debug!(image = name, %error, "a pull with another secret failed too"),
        }
    }
    ctx.recorder.warning(pod, "Failed", format!("Failed to pull image {name:?}: {refused}"));
    Err(Failure { reason: "ErrImagePull", message: refused })
}

/// What the pod's pull secrets have for the image.
async fn secrets(ctx: &Context, pod: &Pod, image: &str) -> Vec<v1::AuthConfig> {
    let mut found = Vec::new();
    for reference in pod::spec(pod).image_pull_secrets.iter().flatten() {
        match ctx.objects.secret(pod.namespace(), &reference.name).await {
            Ok(Some(secret)) => {
                let data = secret.data.as_ref();
                let modern = data.and_then(|data| data.get(".dockerconfigjson")).map(|bytes| (bytes, true));
                let old = || data.and_then(|data| data.get(".dockercfg")).map(|bytes| (bytes, false));
                if let Some((bytes, wrapped)) = modern.or_else(old) {
                    match keyring::credentials(&bytes.0, wrapped, image) {
                        Ok(all) => found.extend(all),
                        Err(error) => {
                            tracing::warn!(%error, secret = reference.name, "a pull secret is no Docker configuration");
                        }
                    }
                }
            }
            Ok(None) => {
                let message = format!(
                    "Unable to retrieve some image pull secrets ({}); attempting to pull the image may not succeed.",
                    reference.name
                );
                ctx.recorder.warning(pod, "FailedToRetrieveImagePullSecret", message);
            }
            Err(status) => tracing::warn!(%status, secret = reference.name, "a pull secret could not be read"),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_images_are_told_from_other_texts() {
        let digest = format!("a/b@sha256:{}", "0".repeat(64));
        for good in ["busybox", "a/b:1.0", "localhost:5000/a/b", "registry.k8s.io/e2e/x_y:v1", &digest] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", "UPPER", "a b", "a/b:", "a//b", "a:b:c", "invalid/image/", "a@sha256:12", "-a"] {
            assert!(!is_name(bad), "{bad}");
        }
    }
}
