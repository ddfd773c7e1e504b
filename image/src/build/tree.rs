//! A root file system in memory: what will lie where. Pure until it is written to a folder.

use super::packages::fetch::sha256;
use anyhow::{Context, Result, bail, ensure};
use std::collections::BTreeMap;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

/// Folders that are one with another: what goes into the left one lies in the right one.
const MERGED: &[(&str, &str)] =
    &[("usr/sbin", "usr/bin"), ("sbin", "usr/bin"), ("bin", "usr/bin"), ("lib64", LIBRARIES), ("lib", "usr/lib")];

/// Where shared libraries lie.
pub const LIBRARIES: &str = "usr/lib/x86_64-linux-gnu";

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// A folder with its mode.
    Folder(u32),
    /// A file with its mode and content.
    File(u32, Vec<u8>),
    /// A symbolic link and where it points.
    Link(String),
}

/// Entries by path, without a leading slash. A folder comes before what is inside it.
#[derive(Debug, Default)]
pub struct Tree {
    nodes: BTreeMap<String, Node>,
}

/// The path with merged folders replaced.
pub fn place(path: &str) -> String {
    let path = path.trim_matches('/');
    for (from, to) in MERGED {
        if let Some(rest) = path.strip_prefix(from)
            && rest.starts_with('/')
        {
            return format!("{to}{rest}");
        }
    }
    path.to_owned()
}

impl Tree {
    /// A tree that holds the links of the merged folders and nothing else.
    ///
    /// # Errors
    /// Never, unless the table contradicts itself.
    pub fn merged() -> Result<Tree> {
        let mut tree = Tree::default();
        tree.folder(LIBRARIES, 0o755)?;
        tree.folder("usr/bin", 0o755)?;
        for (from, to) in MERGED {
            let up = "../".repeat(from.matches('/').count());
            tree.insert((*from).to_owned(), Node::Link(format!("{up}{to}")))?;
        }
        Ok(tree)
    }

    /// Adds a folder, and those above it.
    ///
    /// # Errors
    /// When something that is no folder lies there.
    pub fn folder(&mut self, path: &str, mode: u32) -> Result<()> {
        self.insert(place(path), Node::Folder(mode))
    }

    /// Adds a file.
    ///
    /// # Errors
    /// When something else lies there already.
    pub fn file(&mut self, path: &str, mode: u32, content: impl Into<Vec<u8>>) -> Result<()> {
        self.insert(place(path), Node::File(mode, content.into()))
    }

    /// Adds a symbolic link.
    ///
    /// # Errors
    /// As `file`.
    pub fn link(&mut self, path: &str, target: &str) -> Result<()> {
        self.insert(place(path), Node::Link(target.to_owned()))
    }

    /// Whether something lies at the path.
    pub fn has(&self, path: &str) -> bool {
        self.nodes.contains_key(&place(path))
    }

    /// All entries, every folder before what is inside it.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &Node)> {
        self.nodes.iter().map(|(path, node)| (path.as_str(), node))
    }

    /// All files with their content.
    pub fn files(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.nodes.iter().filter_map(|(path, node)| match node {
            Node::File(_, content) => Some((path.as_str(), content.as_slice())),
            _ => None,
        })
    }

    /// All links and where they point.
    pub fn links(&self) -> impl Iterator<Item = (&str, &str)> {
        self.nodes.iter().filter_map(|(path, node)| match node {
            Node::Link(target) => Some((path.as_str(), target.as_str())),
            _ => None,
        })
    }

    /// Every entry with its mode and a hash of its content, as text: two trees with the same text are the same.
    pub fn fingerprint(&self) -> String {
        let mut text = String::new();
        for (path, node) in &self.nodes {
            let line = match node {
                Node::Folder(mode) => format!("{path} folder {mode:o}\n"),
                Node::File(mode, content) => {
                    format!("{path} file {mode:o} {}\n", sha256(content))
                }
                Node::Link(target) => format!("{path} link {target}\n"),
            };
            text.push_str(&line);
        }
        text
    }

    fn insert(&mut self, path: String, node: Node) -> Result<()> {
        if let Some((parent, _)) = path.rsplit_once('/') {
            match self.nodes.get(parent) {
                Some(Node::Folder(_)) => (),
                Some(_) => bail!("{parent} is no folder, so {path} cannot lie in it"),
                None => self.insert(parent.to_owned(), Node::Folder(0o755))?,
            }
        }
        let both_folders = |had: &Node| matches!((had, &node), (Node::Folder(_), Node::Folder(_)));
        ensure!(
            self.nodes.get(&path).is_none_or(|had| *had == node || both_folders(had)),
            "two things want to be {path}"
        );
        self.nodes.insert(path, node);
        Ok(())
    }

    /// Writes everything below an empty folder.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub fn write(&self, root: &Path) -> Result<()> {
        for (path, node) in &self.nodes {
            let place = root.join(path);
            self.write_one(&place, node).with_context(|| format!("writing {}", place.display()))?;
        }
        Ok(())
    }

    fn write_one(&self, place: &Path, node: &Node) -> std::io::Result<()> {
        let mode = match node {
            Node::Link(target) => return symlink(target, place),
            Node::Folder(mode) => {
                std::fs::create_dir(place)?;
                mode
            }
            Node::File(mode, content) => {
                std::fs::write(place, content)?;
                mode
            }
        };
        std::fs::set_permissions(place, std::fs::Permissions::from_mode(*mode))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merged_folders_receive_what_their_other_name_gets() {
        let mut tree = Tree::merged().unwrap();
        tree.file("usr/sbin/mke2fs", 0o755, "x").unwrap();
        tree.file("/lib64/ld-linux-x86-64.so.2", 0o755, "y").unwrap();
        let paths: Vec<&str> = tree.files().map(|(path, _)| path).collect();
        assert_eq!(paths, ["usr/bin/mke2fs", "usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"]);
        assert!(tree.has("sbin/mke2fs"));
    }

    #[test]
    fn two_contents_for_one_path_are_refused() {
        let mut tree = Tree::default();
        tree.file("etc/group", 0o644, "a").unwrap();
        tree.file("etc/group", 0o644, "a").unwrap();
        assert!(tree.file("etc/group", 0o644, "b").is_err());
        assert!(tree.file("etc/group/x", 0o644, "b").is_err());
    }

    #[test]
    fn a_written_tree_lies_on_disk_with_its_modes() {
        let mut tree = Tree::merged().unwrap();
        tree.folder("tmp", 0o1777).unwrap();
        tree.file("usr/bin/tool", 0o755, "#!").unwrap();
        tree.link("etc/hosts", "../run/hosts").unwrap();
        let folder = tempfile::tempdir().unwrap();
        tree.write(folder.path()).unwrap();
        let mode = |path: &str| folder.path().join(path).metadata().unwrap().permissions().mode() & 0o7777;
        assert_eq!((mode("tmp"), mode("sbin/tool")), (0o1777, 0o755));
        assert_eq!(std::fs::read_link(folder.path().join("etc/hosts")).unwrap().to_str(), Some("../run/hosts"));
        assert_eq!(std::fs::read_link(folder.path().join("usr/sbin")).unwrap().to_str(), Some("../usr/bin"));
    }
}
