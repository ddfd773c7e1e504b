//! A folder of manifests as documents in the order in which they are applied. Everything wrong is said with file,
//! document and line, and keeps nothing else from being read. Pure but for `folder`.

use api::Tree;
use serde::Serialize;
use serde_json::Value;
use std::io;
use std::path::{Path, PathBuf};

/// Bytes of one file: what the API takes in one request, and more than anybody writes by hand.
const FILE_BYTES_MAX: u64 = 3 << 20;
/// Files of one folder.
const FILES_MAX: usize = 2000;
/// Folders within folders.
const DEPTH_MAX: usize = 8;
/// Ends of names, in small letters. A volume without long names keeps three of them.
const ENDS: &[&str] = &["yaml", "yml", "json", "yam", "jso"];

/// What must be there before others, by kind; what is not named comes in between, in the order of the files.
const FIRST: &[&str] = &[
    "Namespace",
    "CustomResourceDefinition",
    "PriorityClass",
    "StorageClass",
    "RuntimeClass",
    "IngressClass",
    "ResourceQuota",
    "LimitRange",
    "ServiceAccount",
    "Secret",
    "ConfigMap",
    "ClusterRole",
    "ClusterRoleBinding",
    "Role",
    "RoleBinding",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "Service",
];
/// What comes after all others.
const LAST: &[&str] =
    &["Pod", "ReplicationController", "ReplicaSet", "Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob"];

/// One object of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// The file, below the folder.
    pub file: String,
    /// Which document of the file it is, from 1 on.
    pub document: usize,
    /// The line at which the document begins.
    pub line: usize,
    /// The object; `apiVersion`, `kind` and `metadata.name` are there.
    pub object: Value,
}

/// A file or document that is not taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// The file, below the folder.
    pub file: String,
    /// Which document of the file it is; none for the file as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub document: Option<usize>,
    /// The line of the fault, or where the document begins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// What is wrong, with the field where there is one.
    pub error: String,
}

impl Document {
    /// A text field of the object.
    pub fn text(&self, pointer: &str) -> &str {
        self.object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }

    /// Why it is not taken.
    pub fn refused(&self, error: impl Into<String>) -> Refusal {
        let (document, line) = (Some(self.document), Some(self.line));
        Refusal { file: self.file.clone(), document, line, error: error.into() }
    }
}

/// Everything in a folder and those below it.
///
/// # Errors
/// When the folder cannot be listed.
pub fn folder(top: &Path) -> io::Result<(Vec<Document>, Vec<Refusal>)> {
    let mut files = Vec::new();
    list(top, 0, &mut files)?;
    files.sort();
    let (mut documents, mut refusals) = (Vec::new(), Vec::new());
    let whole = |file: &str, error: String| Refusal { file: file.to_owned(), document: None, line: None, error };
    if files.len() > FILES_MAX {
        refusals.push(whole("", format!("{} files; the first {FILES_MAX} are read", files.len())));
    }
    for path in files.into_iter().take(FILES_MAX) {
        let name = path.strip_prefix(top).unwrap_or(&path).display().to_string();
        match read(&path) {
            Ok(text) => {
                let (more, wrong) = parse(&name, &text);
                documents.extend(more);
                refusals.extend(wrong);
            }
            Err(error) => refusals.push(whole(&name, error.to_string())),
        }
    }
    // Stable: what is of one rank keeps the order of files and documents.
    documents.sort_by_key(|document| rank(document.text("/kind")));
    Ok((documents, refusals))
}

fn list(folder: &Path, depth: usize, into: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            if depth < DEPTH_MAX {
                list(&path, depth + 1, into)?;
            }
        } else if path.extension().is_some_and(|end| ENDS.contains(&&*end.to_string_lossy().to_lowercase())) {
            into.push(path);
        }
    }
    Ok(())
}

fn read(path: &Path) -> io::Result<String> {
    let size = path.metadata()?.len();
    if size > FILE_BYTES_MAX {
        return Err(io::Error::other(format!(
            "{size} bytes are more than the {FILE_BYTES_MAX} that a manifest may have"
        )));
    }
    std::fs::read_to_string(path)
}

fn rank(kind: &str) -> usize {
    let place = |list: &[&str]| list.iter().position(|known| *known == kind);
    place(FIRST).or_else(|| place(LAST).map(|at| FIRST.len() + 1 + at)).unwrap_or(FIRST.len())
}

/// The documents of one file's text.
pub fn parse(file: &str, text: &str) -> (Vec<Document>, Vec<Refusal>) {
    let (mut documents, mut refusals) = (Vec::new(), Vec::new());
    for (number, (line, piece)) in (1..).zip(pieces(text)) {
        let refuse = |line, error| Refusal { file: file.to_owned(), document: Some(number), line: Some(line), error };
        let decoded = match Tree::from_yaml(piece.as_bytes()) {
            Ok(decoded) => decoded,
            Err(error) => {
                let (at, words) = located(&error.0, line);
                refusals.push(refuse(at, words));
                continue;
            }
        };
        if let Some(objection) = &decoded.objection {
            let first = objection.lines().nth(1).unwrap_or(objection).trim();
            let (at, words) = located(first, line);
            refusals.push(refuse(at, words));
            continue;
        }
        let object = serde_json::to_value(&decoded.tree).unwrap_or(Value::Null);
        for object in flattened(object) {
            match check(&object) {
                Ok(()) => documents.push(Document { file: file.to_owned(), document: number, line, object }),
                Err(error) => refusals.push(refuse(line, error)),
            }
        }
    }
    (documents, refusals)
}

/// A text cut at its document marks, each piece with the line that it begins at. Pieces without content are left out.
fn pieces(text: &str) -> Vec<(usize, String)> {
    let mut pieces = vec![(1, String::new())];
    for (number, line) in (1..).zip(text.lines()) {
        let bare = line.trim_end();
        if bare == "---" || bare.starts_with("--- ") {
            // What stands behind the mark belongs to the document.
            pieces.push((number, format!("{}\n", line.get(3..).unwrap_or_default())));
        } else {
            let (_, piece) = pieces.last_mut().expect("begins with one");
            piece.push_str(line);
            piece.push('\n');
        }
    }
    let is_content = |line: &str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
    pieces.retain(|(_, piece)| piece.lines().any(is_content));
    pieces
}

/// The parser's words, and the line of the file that they are about: it counts from the beginning of the document.
fn located(words: &str, begins: usize) -> (usize, String) {
    let words = words.strip_prefix("yaml: ").unwrap_or(words);
    let split = words.strip_prefix("line ").and_then(|rest| rest.split_once(": "));
    match split.and_then(|(number, rest)| Some((number.parse::<usize>().ok()?, rest))) {
        Some((number, rest)) => (begins + number.max(1) - 1, rest.to_owned()),
        None => (begins, words.to_owned()),
    }
}

/// The items of a `List`, or the object itself.
fn flattened(object: Value) -> Vec<Value> {
    match object {
        Value::Object(mut fields) if fields.get("kind").is_some_and(|kind| kind == "List") => {
            match fields.remove("items") {
                Some(Value::Array(items)) => items,
                _ => Vec::new(),
            }
        }
        Value::Null => Vec::new(),
        other => vec![other],
    }
}

fn check(object: &Value) -> Result<(), String> {
    if !object.is_object() {
        return Err("is no object: it has no fields".to_owned());
    }
    for field in ["/apiVersion", "/kind", "/metadata/name"] {
        let name = field[1..].replace('/', ".");
        match object.pointer(field) {
            Some(Value::String(text)) if !text.is_empty() => {}
            None if object.pointer("/metadata/generateName").is_some() && name == "metadata.name" => {
                return Err(
                    "metadata.name: missing; metadata.generateName would make another object at each boot".to_owned()
                );
            }
            None => return Err(format!("{name}: missing")),
            Some(_) => return Err(format!("{name}: must be a text that is not empty")),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n";

    fn refused(text: &str) -> (Option<usize>, Option<usize>, String) {
        let (_, refusals) = parse("a.yaml", text);
        assert_eq!(refusals.len(), 1, "{refusals:?}");
        (refusals[0].document, refusals[0].line, refusals[0].error.clone())
    }

    #[test]
    fn what_is_wrong_is_said_with_document_and_line_of_the_file() {
        let text = format!("# first\n{GOOD}---\n{GOOD}data:\n  a: [1\n  b: 2\n");
        let (document, line, error) = refused(&text);
        assert_eq!(document, Some(2));
        assert!(line.is_some_and(|line| (12..=14).contains(&line)), "{line:?} {error}");
        assert!(!error.contains("line"), "{error}");
        let (documents, _) = parse("a.yaml", &text);
        assert_eq!((documents.len(), documents[0].line), (1, 1));
    }

    #[test]
    fn a_field_that_is_missing_or_given_twice_is_named() {
        let (_, _, error) = refused("apiVersion: v1\nkind: Pod\nmetadata: {}\n");
        assert_eq!(error, "metadata.name: missing");
        let (_, _, error) = refused("apiVersion: v1\nkind: Pod\nmetadata: {generateName: x-}\n");
        assert!(error.contains("generateName"), "{error}");
        let (_, line, error) = refused(&format!("---\n{GOOD}kind: Secret\n"));
        assert_eq!(line, Some(6));
        assert!(error.contains("\"kind\" already set"), "{error}");
        assert_eq!(refused("- 1\n").2, "is no object: it has no fields");
    }

    #[test]
    fn documents_lists_and_json_are_read_and_empty_ones_left_out() {
        let list = "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Pod, metadata: {name: p}}\n";
        let json = r#"{"apiVersion":"v1","kind":"Secret","metadata":{"name":"s"}}"#;
        let (documents, refusals) = parse("a.yaml", &format!("---\n# none\n---\n{list}---\n{json}\n--- {{}}\n"));
        let names: Vec<&str> = documents.iter().map(|d| d.text("/metadata/name")).collect();
        assert_eq!((names, refusals.len()), (vec!["p", "s"], 1));
        assert_eq!(refusals[0].error, "apiVersion: missing");
    }

    #[test]
    fn a_folder_is_read_in_the_order_in_which_it_is_applied() {
        let folder_ = tempfile::tempdir().unwrap();
        let write = |name: &str, kind: &str| {
            let text = format!("apiVersion: v1\nkind: {kind}\nmetadata:\n  name: {}\n", kind.to_lowercase());
            std::fs::write(folder_.path().join(name), text).unwrap();
        };
        std::fs::create_dir(folder_.path().join("below")).unwrap();
        write("1.yaml", "Job");
        write("2.YML", "Widget");
        write("3.json", "Namespace");
        write("below/4.yaml", "ConfigMap");
        std::fs::write(folder_.path().join("README.md"), "not one").unwrap();
        std::fs::write(folder_.path().join("5.yaml"), [0xff]).unwrap();
        let (documents, refusals) = folder(folder_.path()).unwrap();
        let kinds: Vec<&str> = documents.iter().map(|d| d.text("/kind")).collect();
        assert_eq!(kinds, ["Namespace", "ConfigMap", "Widget", "Job"]);
        assert_eq!(documents[1].file, "below/4.yaml");
        assert_eq!((refusals[0].file.as_str(), refusals.len()), ("5.yaml", 1));
    }
}
