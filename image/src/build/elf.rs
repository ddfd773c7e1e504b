//! What a program needs to run: its interpreter and its shared libraries, read from the file itself. Pure.

use super::tree::{LIBRARIES, Tree, place};
use crate::exit::{Code, Failure};
use anyhow::{Context, Result};
use object::Endianness;
use object::elf::{DT_NEEDED, EM_X86_64, FileHeader64, PT_INTERP};
use object::read::elf::{Dyn, FileHeader, ProgramHeader};
use std::collections::{BTreeMap, VecDeque};

/// What every ELF file begins with.
const MAGIC: &[u8] = b"\x7fELF";

/// Shared libraries by the name programs ask for.
pub type Libraries = BTreeMap<String, Vec<u8>>;

/// What one file asks for.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// The program that loads it; a static program has none.
    pub interpreter: Option<String>,
    /// The names of the libraries, in the file's order.
    pub libraries: Vec<String>,
}

/// What an ELF file needs; a file that is none needs nothing.
///
/// # Errors
/// When it is malformed or made for another processor.
pub fn needs(content: &[u8]) -> Result<Needs> {
    let mut needs = Needs::default();
    if !content.starts_with(MAGIC) || is_boot_code(content) {
        return Ok(needs);
    }
    let header = FileHeader64::<Endianness>::parse(content).context("a malformed ELF file")?;
    let endian = header.endian()?;
    anyhow::ensure!(header.e_machine(endian) == EM_X86_64, "made for another processor");
    for program in header.program_headers(endian, content)? {
        if program.p_type(endian) == PT_INTERP {
            let path =
                program.data(endian, content).map_err(|()| anyhow::anyhow!("interpreter outside of the file"))?;
            needs.interpreter = Some(String::from_utf8(path.to_vec())?.trim_end_matches('\0').to_owned());
        }
    }
    let sections = header.sections(endian, content)?;
    if let Some((entries, link)) = sections.dynamic(endian, content)? {
        let strings = sections.strings(endian, content, link)?;
        for entry in entries.iter().filter(|entry| entry.tag(endian) == DT_NEEDED) {
            let name = entry.string(endian, strings).context("name of a needed library")?;
            needs.libraries.push(String::from_utf8(name.to_vec())?);
        }
    }
    Ok(needs)
}

/// Parts of a boot loader, which nothing loads here: of 32 bits, or not linked yet (class and type in the file's header).
fn is_boot_code(content: &[u8]) -> bool {
    const CLASS_32: u8 = 1;
    const RELOCATABLE: u8 = 1;
    content.get(4) == Some(&CLASS_32) || content.get(16) == Some(&RELOCATABLE)
}

/// Adds to the tree every library that its programs need, and those that the libraries need.
///
/// # Errors
/// Names every program whose library or interpreter nobody has.
pub fn close(tree: &mut Tree, libraries: &Libraries) -> Result<()> {
    let mut missing = Vec::new();
    let mut open: VecDeque<(String, Needs)> = VecDeque::new();
    for (path, content) in tree.files() {
        open.push_back((path.to_owned(), needs(content).with_context(|| path.to_owned())?));
    }
    while let Some((path, needs)) = open.pop_front() {
        let names = needs.interpreter.iter().map(|interpreter| interpreter.rsplit('/').next().unwrap_or_default());
        for name in names.chain(needs.libraries.iter().map(String::as_str)) {
            let target = format!("{LIBRARIES}/{name}");
            if tree.has(&target) {
                continue;
            }
            let Some(content) = libraries.get(name) else {
                missing.push(format!("{path} needs {name}"));
                continue;
            };
            open.push_back((target.clone(), self::needs(content).with_context(|| target.clone())?));
            tree.file(&target, 0o755, content.clone())?;
        }
        if let Some(interpreter) = needs.interpreter.filter(|interpreter| !tree.has(&place(interpreter))) {
            missing.push(format!("{path} needs {interpreter}"));
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    missing.dedup();
    let failure =
        Failure::new(Code::Refused, format!("no package of the table has what is needed: {}", missing.join(", ")));
    Err(failure.advice("add the library's package to image/src/build/userland.rs and update the lock").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The test program itself: a dynamic program of this host.
    fn own() -> Vec<u8> {
        std::fs::read(std::env::current_exe().unwrap()).unwrap()
    }

    #[test]
    fn the_needs_of_a_program_are_read_from_it() {
        let needs = needs(&own()).unwrap();
        assert!(needs.libraries.iter().any(|name| name == "libc.so.6"), "{needs:?}");
        assert_eq!(needs.interpreter.as_deref(), Some("/lib64/ld-linux-x86-64.so.2"));
    }

    #[test]
    fn a_text_needs_nothing_and_a_torn_program_is_an_error() {
        assert_eq!(needs(b"#!/bin/sh\n").unwrap(), Needs::default());
        assert!(needs(&own()[..100]).is_err());
    }

    #[test]
    fn needed_libraries_are_added_once_and_missing_ones_are_named() {
        let program = own();
        let wanted = needs(&program).unwrap();
        let mut libraries: Libraries = wanted.libraries.iter().map(|name| (name.clone(), b"text".to_vec())).collect();
        libraries.insert("ld-linux-x86-64.so.2".into(), b"loader".to_vec());
        let mut tree = Tree::merged().unwrap();
        tree.file("usr/bin/own", 0o755, program.clone()).unwrap();
        close(&mut tree, &libraries).unwrap();
        assert!(tree.has("lib64/ld-linux-x86-64.so.2") && tree.has("usr/lib/x86_64-linux-gnu/libc.so.6"));

        libraries.remove("libc.so.6");
        let mut tree = Tree::merged().unwrap();
        tree.file("usr/bin/own", 0o755, program).unwrap();
        let error = close(&mut tree, &libraries).unwrap_err().to_string();
        assert!(error.contains("usr/bin/own needs libc.so.6"), "{error}");
    }
}
