//! VolumeAttachments: a volume that is to be at a node. Rules of
//! `k8s.io/kubernetes/pkg/registry/storage/volumeattachment`.

use super::place::Place;
use super::storage;
use crate::cells;
use crate::rules::{Faults, PLAIN, Rules};
use api::{FieldError, Tree, meta, names};

/// Most bytes of what a driver says about an attachment.
const METADATA_BYTES_MAX: usize = 256 * 1024;
/// Most bytes of an error's text.
const MESSAGE_BYTES_MAX: usize = 1024;

/// What is special about VolumeAttachments.
pub const RULES: Rules = Rules {
    unconditional_update: false,
    returns_deleted: true,
    validate,
    validate_update,
    validate_status: |object, _, faults| validate(object, faults),
    cells: row,
    ..PLAIN
};

fn validate(object: &Tree, faults: &mut Faults) {
    let spec = Place::root(object).at("spec");
    storage::driver_name(&spec.at("attacher"), faults);
    let source = spec.at("source");
    let (volume, inline) = (source.at("persistentVolumeName"), source.at("inlineVolumeSpec"));
    const ONE: &str = "must specify exactly one of inlineVolumeSpec and persistentVolumeName";
    match (volume.given(), inline.given()) {
        (false, false) => source.required(faults, ONE),
        (true, true) => source.forbidden(faults, ONE),
        (true, false) => {
            volume.must(faults, "must specify non empty persistentVolumeName");
            volume.invalid_for(faults, names::dns1123_subdomain(volume.text()));
        }
        (false, true) if !inline.at("csi").given() => {
            inline.at("csi").required(faults, "has to be specified in the context of inline volumes");
        }
        (false, true) => {}
    }
    spec.at("nodeName").invalid_for(faults, names::dns1123_subdomain(spec.at("nodeName").text()));
    let status = Place::root(object).at("status");
    let metadata = status.at("attachmentMetadata");
    if metadata.entries().map(|(key, value)| key.len() + value.text().len()).sum::<usize>() > METADATA_BYTES_MAX {
        faults.push(FieldError::too_long(metadata.path, METADATA_BYTES_MAX));
    }
    for error in ["attachError", "detachError"].map(|field| status.at(field)) {
        if error.at("message").text().len() > MESSAGE_BYTES_MAX {
            faults.push(FieldError::too_long(error.at("message").path, METADATA_BYTES_MAX));
        }
        error.at("errorCode").within(faults, 0, super::place::INT32_MAX);
    }
}

fn validate_update(object: &Tree, old: &Tree, faults: &mut Faults) {
    storage::frozen(object, old, &["spec"], faults);
}

fn row(object: &Tree, now: i64) -> Vec<Tree> {
    let text = |path: &[&str]| Tree::text(object.str_at(path).unwrap_or_default());
    vec![
        Tree::text(meta::name(object)),
        text(&["spec", "attacher"]),
        text(&["spec", "source", "persistentVolumeName"]),
        text(&["spec", "nodeName"]),
        Tree::Bool(object.bool_at(&["status", "attached"]) == Some(true)),
        cells::age(object, now),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn an_attachment_names_one_source() {
        let mut faults = Faults::new();
        let spec = |source: Tree| tree!({"spec": {"attacher": "a.b", "nodeName": "n", "source": source}});
        validate(&spec(tree!({"persistentVolumeName": "v"})), &mut faults);
        assert_eq!(faults, []);
        validate(&spec(tree!({})), &mut faults);
        assert_eq!(faults[0].path.to_string(), "spec.source");
    }
}
