//! A tree as the bytes of a layer: times and order are fixed, so the same tree always gives the same bytes. Pure.

use anyhow::Result;
use image::build::tree::{Node, Tree};
use std::collections::BTreeMap;

/// Who owns what is not root's: path and numeric user, who is the group too.
pub type Owners = BTreeMap<String, u64>;

/// An uncompressed layer.
///
/// # Errors
/// When a path or a link's target is longer than a tar takes.
pub fn tar(tree: &Tree, owners: &Owners) -> Result<Vec<u8>> {
    let mut tar = tar::Builder::new(Vec::new());
    for (path, node) in tree.entries() {
        let owner = owners.get(path).copied().unwrap_or(0);
        let mut header = tar::Header::new_gnu();
        header.set_mtime(0);
        header.set_uid(owner);
        header.set_gid(owner);
        header.set_size(0);
        match node {
            Node::Folder(mode) => {
                header.set_entry_type(tar::EntryType::Directory);
                header.set_mode(*mode);
                tar.append_data(&mut header, format!("{path}/"), std::io::empty())?;
            }
            Node::File(mode, content) => {
                header.set_entry_type(tar::EntryType::Regular);
                header.set_mode(*mode);
                header.set_size(content.len() as u64);
                tar.append_data(&mut header, path, content.as_slice())?;
            }
            Node::Link(target) => {
                header.set_entry_type(tar::EntryType::Symlink);
                header.set_mode(0o777);
                tar.append_link(&mut header, path, target)?;
            }
        }
    }
    Ok(tar.into_inner()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layer_keeps_modes_links_and_owners_and_no_time() {
        let mut tree = Tree::default();
        tree.folder("data", 0o755).unwrap();
        tree.file("usr/bin/tool", 0o755, "#!").unwrap();
        tree.link("usr/bin/other", "tool").unwrap();
        let bytes = tar(&tree, &Owners::from([("data".to_owned(), 999)])).unwrap();
        assert_eq!(bytes, tar(&tree, &Owners::from([("data".to_owned(), 999)])).unwrap());
        let mut seen = Vec::new();
        for entry in tar::Archive::new(&bytes[..]).entries().unwrap() {
            let entry = entry.unwrap();
            let header = entry.header();
            assert_eq!(header.mtime().unwrap(), 0);
            let kind = header.entry_type();
            seen.push((entry.path().unwrap().display().to_string(), kind, header.uid().unwrap()));
        }
        use tar::EntryType::{Directory, Regular, Symlink};
        let wanted = [("data/", Directory, 999), ("usr/", Directory, 0), ("usr/bin/", Directory, 0)];
        let wanted = wanted.into_iter().chain([("usr/bin/other", Symlink, 0), ("usr/bin/tool", Regular, 0)]);
        assert_eq!(seen, wanted.map(|(path, kind, owner)| (path.to_owned(), kind, owner)).collect::<Vec<_>>());
    }
}
