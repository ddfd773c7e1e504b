//! Stories of requests as data: one YAML file each, its steps in order in a namespace of its own.

use super::super::https::{Answer, Request};
use anyhow::{Context, bail};
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;

/// One file of steps.
#[derive(Debug)]
pub struct Story {
    /// The name of the file without its ending; also part of the name of the namespace.
    pub name: String,
    /// What is sent, in this order.
    pub steps: Vec<Step>,
}

/// One request, and how its answers are compared.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// What the step shows, as a fact.
    pub name: String,
    /// Method, a space, path and query.
    pub request: String,
    /// Headers in place of the defaults: Accept of JSON, and Content-Type of JSON with a body.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// The body, sent as JSON.
    #[serde(default)]
    pub body: Option<Value>,
    /// The body, sent byte by byte as it stands here.
    #[serde(default)]
    pub raw: Option<String>,
    /// The body as base64, for bytes that are no text.
    #[serde(default)]
    pub base64: Option<String>,
    /// Values of the answer that later steps use as `${name}`: name to JSON pointer.
    #[serde(default)]
    pub save: BTreeMap<String, String>,
    /// JSON pointers that are not compared: what a controller writes meanwhile, what names the program itself.
    #[serde(default)]
    pub ignore: Vec<String>,
    /// Compares `metadata.managedFields` too, without its times.
    #[serde(default)]
    pub managed_fields: bool,
    /// Compares status code and content type only.
    #[serde(default)]
    pub status_only: bool,
    /// What ours still lacks for this step; a difference is then counted as skipped for that reason.
    #[serde(default)]
    pub later: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    steps: Vec<Step>,
}

/// Reads the stories of a folder, in the order of their names, only those whose name contains `only`.
///
/// # Errors
/// When a file is no story, or none is chosen.
pub fn read(folder: &Path, only: Option<&str>) -> anyhow::Result<Vec<Story>> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))?;
    let mut paths: Vec<_> = entries.flatten().map(|e| e.path()).collect();
    paths.retain(|p| p.extension().is_some_and(|e| e == "yaml"));
    paths.sort();
    let mut stories = Vec::new();
    for path in paths {
        let name = path.file_stem().and_then(|s| s.to_str()).unwrap_or_default().to_owned();
        if only.is_some_and(|text| !name.contains(text)) {
            continue;
        }
        let text = std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        let file: File = parse(&text).with_context(|| format!("story {}", path.display()))?;
        stories.push(Story { name, steps: file.steps });
    }
    if stories.is_empty() {
        bail!("no story to run in {}", folder.display());
    }
    Ok(stories)
}

/// Reads YAML in which only `true` and `false` are booleans: `y` is a name.
fn parse<T: serde::de::DeserializeOwned>(text: &str) -> anyhow::Result<T> {
    Ok(serde_saphyr::from_str_with_options(text, serde_saphyr::options! { strict_booleans: true })?)
}

fn namespace(story: &str) -> String {
    format!("diff-{story}")
}

/// The request that makes the namespace of a story.
pub fn namespace_request(story: &str) -> Request {
    let body = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace(story)}});
    Request {
        method: "POST".to_owned(),
        path: "/api/v1/namespaces".to_owned(),
        headers: vec![("Content-Type".to_owned(), "application/json".to_owned())],
        body: body.to_string().into_bytes(),
    }
}

/// What one side of a story has answered so far, as far as later steps need it.
pub struct Variables(BTreeMap<String, String>);

impl Variables {
    /// The variables at the start: `ns`, the namespace.
    pub fn for_story(story: &str) -> Variables {
        Variables(BTreeMap::from([("ns".to_owned(), namespace(story))]))
    }

    /// Keeps the values that the step names; one that the answer lacks is forgotten.
    pub fn save(&mut self, step: &Step, answer: &Answer) {
        let document: Value = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
        for (name, pointer) in &step.save {
            match document.pointer(pointer) {
                Some(Value::String(text)) => self.0.insert(name.clone(), text.clone()),
                Some(value) => self.0.insert(name.clone(), value.to_string()),
                None => self.0.remove(name),
            };
        }
    }

    fn fill(&self, text: &str) -> anyhow::Result<String> {
        let mut text = text.to_owned();
        for (name, value) in &self.0 {
            text = text.replace(&format!("${{{name}}}"), value);
        }
        match text.split_once("${").and_then(|(_, rest)| rest.split_once('}')) {
            Some((name, _)) => bail!("not sent: it needs ${{{name}}}, which no earlier answer gave"),
            None => Ok(text),
        }
    }
}

impl Step {
    /// The request with its variables filled in.
    ///
    /// # Errors
    /// When a variable has no value, or the request line is not a method and a path.
    pub fn request(&self, variables: &Variables) -> anyhow::Result<Request> {
        let (method, path) = self.request.split_once(' ').context("the request is not a method and a path")?;
        let body = match (&self.body, &self.raw, &self.base64) {
            (Some(body), None, None) => variables.fill(&body.to_string())?.into_bytes(),
            (None, Some(raw), None) => variables.fill(raw)?.into_bytes(),
            (None, None, Some(text)) => BASE64.decode(text).context("the body is not base64")?,
            (None, None, None) => Vec::new(),
            _ => bail!("a step has one kind of body"),
        };
        let mut headers: BTreeMap<String, String> = BTreeMap::new();
        headers.insert("Accept".to_owned(), "application/json".to_owned());
        headers.insert("User-Agent".to_owned(), "judge/1".to_owned());
        if !body.is_empty() {
            headers.insert("Content-Type".to_owned(), "application/json".to_owned());
        }
        for (name, value) in &self.headers {
            headers.insert(name.clone(), variables.fill(value)?);
        }
        // An empty value in a story takes a default header away.
        headers.retain(|_, value| !value.is_empty());
        Ok(Request {
            method: method.to_owned(),
            path: variables.fill(path)?,
            headers: headers.into_iter().collect(),
            body,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(text: &str) -> Step {
        parse(text).unwrap()
    }

    #[test]
    fn a_saved_value_is_filled_in_and_an_absent_one_stops_the_step() {
        let create = step("name: a\nrequest: POST /x\nsave: {rv: /metadata/resourceVersion}\n");
        let update = step("name: b\nrequest: PUT /n/${ns}?v=${rv}\nbody: {v: '${rv}'}\n");
        let mut variables = Variables::for_story("story");
        assert!(update.request(&variables).unwrap_err().to_string().contains("${rv}"));
        let body = br#"{"metadata":{"resourceVersion":"7"}}"#.to_vec();
        variables.save(&create, &Answer { status: 201, content_type: String::new(), body });
        let request = update.request(&variables).unwrap();
        assert_eq!(request.path, "/n/diff-story?v=7");
        assert_eq!(request.body, br#"{"v":"7"}"#);
    }

    #[test]
    fn a_y_is_a_name() {
        let step = step("name: a\nrequest: POST /x\nbody: {name: y, n: true}\n");
        assert_eq!(step.body, Some(json!({"name": "y", "n": true})));
    }

    #[test]
    fn every_committed_story_reads() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("differential/cases");
        let stories = read(&folder, None).unwrap();
        assert!(stories.iter().all(|s| !s.steps.is_empty()));
    }
}
