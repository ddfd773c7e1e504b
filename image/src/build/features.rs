//! What containerd's shim answers when it is asked what a runtime can do (`-info`), asked once here instead of at every
//! boot: shim and runtimes are run by the loader and libraries of their own tree. See `init/src/shim.rs`, which gives
//! these answers.

use super::elf;
use super::own::FOLDER;
use super::tree::{LIBRARIES, Node, Tree};
use crate::exit::{Code, Failure};
use anyhow::{Context, Result, bail};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// The shim that containerd asks.
const SHIM: &str = "usr/bin/containerd-shim-runc-v2";
/// Which of its names the first process of the machine answers to, and where that lies.
const ASKED: (&str, &str) = ("shim/containerd-shim-runc-v2", "../../../bin/init");
/// The runtimes, by the names of their programs.
const RUNTIMES: &[&str] = &["crun", "runc"];

/// Puts an answer for every runtime of the tree into it. A tree without the shim needs none.
///
/// # Errors
/// When the shim cannot be run here or does not answer; its words are in the error.
pub fn add(tree: &mut Tree) -> Result<()> {
    if !tree.has(SHIM) {
        return Ok(());
    }
    let scratch = tempfile::tempdir().context("a folder for running the shim")?;
    let root = scratch.path();
    parts(tree)?.write(root)?;
    for name in RUNTIMES {
        let answer = ask(tree, root, name).with_context(|| format!("asking what {name} can do"))?;
        tree.file(&format!("{FOLDER}/shim/{name}.info"), 0o644, answer)?;
    }
    tree.link(&format!("{FOLDER}/{}", ASKED.0), ASKED.1)
}

/// What it takes to run them: the programs and all libraries.
fn parts(tree: &Tree) -> Result<Tree> {
    let mut parts = Tree::merged()?;
    let is_program = |path: &str| path == SHIM || RUNTIMES.iter().any(|name| path == program(name));
    for (path, node) in tree.entries() {
        let is_library = path.strip_prefix(LIBRARIES).is_some_and(|rest| rest.starts_with('/'));
        match node {
            Node::File(mode, content) if is_program(path) || is_library => parts.file(path, *mode, content.clone())?,
            Node::Link(target) if is_library => parts.link(path, target)?,
            _ => {}
        }
    }
    Ok(parts)
}

fn program(name: &str) -> String {
    format!("usr/bin/{name}")
}

/// The shim asks the first `runc` on its path when it is told of no other runtime: here a word that starts the one that
/// is meant.
fn ask(tree: &Tree, root: &Path, name: &str) -> Result<Vec<u8>> {
    let folder = tempfile::tempdir().context("a folder for the runtime's name")?;
    let runtime = folder.path().join("runc");
    let words: Vec<String> = words(tree, root, &program(name))?.iter().map(|word| quoted(word)).collect();
    std::fs::write(&runtime, format!("#!/bin/sh\nexec {} \"$@\"\n", words.join(" ")))?;
    std::fs::set_permissions(&runtime, std::fs::Permissions::from_mode(0o755))?;
    let words = self::words(tree, root, SHIM)?;
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).arg("-info").env_clear().env("PATH", folder.path()).stdin(Stdio::null());
    let output = command.output().with_context(|| format!("starting {}", words[0]))?;
    // A shim that cannot ask the runtime answers all the same, and short.
    let says_features = output.stdout.windows(FEATURES.len()).any(|part| part == FEATURES);
    if !output.status.success() || !says_features {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!(Failure::new(Code::Unexpected, format!("the shim did not answer ({}):\n{}", output.status, said.trim())));
    }
    Ok(output.stdout)
}

/// What an answer with features has in it: the name of their type.
const FEATURES: &[u8] = b"opencontainers/runtime-spec/1/features/Features";

/// The words that run a program of the tree: by its loader, unless it needs none.
fn words(tree: &Tree, root: &Path, path: &str) -> Result<Vec<String>> {
    let (_, content) =
        tree.files().find(|(at, _)| *at == path).with_context(|| format!("{path} is not in the image"))?;
    let at = |path: &str| root.join(path).display().to_string();
    if elf::needs(content)?.interpreter.is_none() {
        return Ok(vec![at(path)]);
    }
    let libraries = at(LIBRARIES);
    Ok(vec![format!("{libraries}/ld-linux-x86-64.so.2"), "--library-path".to_owned(), libraries, at(path)])
}

/// For the shell, whatever is in it.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_with_quotes_stays_one_word() {
        assert_eq!(quoted("/a b/it's"), r"'/a b/it'\''s'");
    }

    #[test]
    fn a_tree_without_a_shim_needs_no_answers() {
        let mut tree = Tree::merged().unwrap();
        add(&mut tree).unwrap();
        assert!(!tree.has("usr/lib/skerry/shim"));
    }

    #[test]
    fn a_runtime_that_is_missing_is_named() {
        let mut tree = Tree::merged().unwrap();
        tree.file(SHIM, 0o755, "#!/bin/sh\n").unwrap();
        let error = format!("{:#}", add(&mut tree).unwrap_err());
        assert!(error.contains("usr/bin/crun is not in the image"), "{error}");
    }
}
