//! `skerry image`: images of a cluster, without a registry.

mod build;
mod save;

use super::{Command, Context, Named};
use crate::archive::{self, Image};
use crate::cluster::access::{Answered, Api, json_of};
use crate::cluster::{Cluster, life};
use crate::exit::{Code, Failure};
use crate::load::{self, Loaded, Road, Way};
use crate::steps::Step;
use anyhow::{Context as _, Result};
use clap::{Args, FromArgMatches, Subcommand};
use indicatif::HumanBytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use ureq::Body;
use ureq::http::Response;

/// The line of the table.
pub const COMMAND: Command = Command {
    name: "image",
    about: "Build, load, save, list, name and remove images of a cluster, without a registry",
    hidden: false,
    arguments: |command| Arguments::augment_args(command),
    run: |matches, context| run(Arguments::from_arg_matches(matches)?, context),
};

#[derive(Args)]
struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Build an image from a folder with a Dockerfile, in the cluster
    Build {
        #[command(flatten)]
        arguments: build::Arguments,
        #[command(flatten)]
        cluster: Named,
    },
    /// Load images from archives, as docker save, BuildKit or skopeo write them
    Load {
        /// Archives, plain or compressed with gzip; - is standard input
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// What the image shall be called, instead of what the archive says
        #[arg(long, value_name = "NAME")]
        tag: Option<String>,
        #[command(flatten)]
        cluster: Named,
    },
    /// List the images
    Ls {
        #[command(flatten)]
        cluster: Named,
    },
    /// Save an image to an archive that image load and Docker take
    Save {
        /// Its name, or an ID of at least six digits
        #[arg(value_name = "IMAGE")]
        image: String,
        /// The archive, which is replaced
        #[arg(value_name = "FILE")]
        file: PathBuf,
        #[command(flatten)]
        cluster: Named,
    },
    /// Give an image one more name
    Tag {
        /// Its name, or an ID of at least six digits
        #[arg(value_name = "IMAGE")]
        source: String,
        /// The further name
        #[arg(value_name = "NAME")]
        further: String,
        #[command(flatten)]
        cluster: Named,
    },
    /// Have the cluster pull an image from its registry
    Pull {
        /// Its name
        #[arg(value_name = "IMAGE")]
        image: String,
        #[command(flatten)]
        cluster: Named,
    },
    /// Remove images by name or ID
    Rm {
        /// Names, or IDs of at least six digits
        #[arg(required = true, value_name = "IMAGE")]
        images: Vec<String>,
        #[command(flatten)]
        cluster: Named,
    },
}

fn run(arguments: Arguments, context: &Context) -> Result<()> {
    match arguments.action {
        Action::Build { arguments, cluster } => build::run(&reach(&cluster, context)?, &arguments, context),
        Action::Save { image, file, cluster } => save::run(&reach(&cluster, context)?, &image, &file, context),
        Action::Tag { source, further, cluster } => tag(&reach(&cluster, context)?, &source, &further, context),
        Action::Pull { image, cluster } => pull(&reach(&cluster, context)?, &image, context),
        Action::Load { files, tag, cluster } => load(&cluster, &files, tag, context),
        Action::Ls { cluster } => list(&reach(&cluster, context)?, context),
        Action::Rm { images, cluster } => remove(&reach(&cluster, context)?, &images, context),
    }
}

/// The API of a cluster that runs.
fn reach(named: &Named, context: &Context) -> Result<Api> {
    let cluster = Cluster::existing(&named.name)?;
    context.runtime.block_on(life::running(&cluster))?;
    Api::of(&cluster)
}

fn load(named: &Named, files: &[PathBuf], tag: Option<String>, context: &Context) -> Result<()> {
    let api = reach(named, context)?;
    let mut archives = Vec::new();
    for file in files {
        let step = Step::begin(&context.output, format!("Reading {}", file.display()));
        let archive = archive::open(file, &context.interrupt, &|at| step.at(at))?;
        step.done(&count(archive.images.len()));
        archives.push((file, archive));
    }
    let total: usize = archives.iter().map(|(_, archive)| archive.images.len()).sum();
    if tag.is_some() && total != 1 {
        let failure = Failure::new(Code::Usage, format!("--tag names one image, and there are {total}"));
        return Err(failure.advice("leave --tag out, or load one image at a time").into());
    }
    let way = Way::to(&Cluster::existing(&named.name)?);
    let mut loaded = Vec::new();
    for (file, archive) in &archives {
        for image in &archive.images {
            let names = names(image, tag.as_ref(), &file.display().to_string())?;
            let step = Step::begin(&context.output, format!("Loading {}", names.join(", ")));
            let progress = |done, total| step.bytes(done, total);
            let road = Road { api: &api, way: way.as_ref(), interrupt: &context.interrupt, progress: &progress };
            let one = load::load(&road, archive, image, &names)?;
            let whole = image.blobs.iter().map(|blob| blob.size).sum();
            step.done(&format!("{} of {} sent", HumanBytes(one.sent), HumanBytes(whole)));
            loaded.push(one);
        }
    }
    let text: Vec<&str> = loaded.iter().flat_map(|one: &Loaded| &one.names).map(String::as_str).collect();
    Ok(context.output.data(&text.join("\n"), &serde_json::json!({ "images": loaded }))?)
}

fn count(images: usize) -> String {
    if images == 1 { "1 image".to_owned() } else { format!("{images} images") }
}

/// What an image shall be called.
fn names(image: &Image, tag: Option<&String>, file: &str) -> Result<Vec<String>, Failure> {
    let names = tag.map_or_else(|| image.names.clone(), |tag| vec![tag.clone()]);
    if names.is_empty() {
        let failure = Failure::new(Code::Refused, format!("{file}: image {} has no name", short(&image.id)));
        return Err(failure.advice("give it one: --tag NAME"));
    }
    Ok(names)
}

/// An image as the machine lists it.
#[derive(Debug, Serialize, Deserialize)]
struct Listed {
    names: Vec<String>,
    id: String,
    digest: String,
    size: u64,
    created: String,
    pinned: bool,
}

#[derive(Deserialize, Serialize)]
struct List {
    images: Vec<Listed>,
}

fn list(api: &Api, context: &Context) -> Result<()> {
    let list: List = read(api.get("/skerry/v1/images")?)?;
    Ok(context.output.data(&table(&list.images), &list)?)
}

fn read<T: DeserializeOwned>(answer: Response<Body>) -> Result<T> {
    serde_json::from_value(json_of(answer)?).context("reading the machine's answer")
}

/// One line for each name.
fn table(images: &[Listed]) -> String {
    let named = |image: &Listed| match image.names.is_empty() {
        true => vec!["-".to_owned()],
        false => image.names.clone(),
    };
    let rows: Vec<(String, &Listed)> =
        images.iter().flat_map(|image| named(image).into_iter().map(move |name| (name, image))).collect();
    let width = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0).max("NAME".len());
    let mut text = format!("{:<width$}  {:<12}  {:>10}  CREATED", "NAME", "ID", "SIZE");
    for (name, image) in rows {
        // To the minute, of a time as the machine writes it: 2026-01-31T12:00:00Z.
        let created = image.created.get(..16).unwrap_or("-").replace('T', " ");
        let size = HumanBytes(image.size).to_string();
        text.push_str(&format!("\n{name:<width$}  {:<12}  {size:>10}  {created}", short(&image.id)));
    }
    text
}

/// The digits of an ID that people read.
fn short(id: &str) -> &str {
    let digits = id.trim_start_matches("sha256:");
    digits.get(..12).unwrap_or(digits)
}

fn tag(api: &Api, source: &str, name: &str, context: &Context) -> Result<()> {
    let question = serde_json::json!({ "source": source, "name": name }).to_string();
    let answer = api.post("/skerry/v1/images/tags", "application/json", &mut question.as_bytes());
    let answer: serde_json::Value = read(answer.map_err(|error| refusal(error, source))?)?;
    Ok(context.output.data(answer["name"].as_str().unwrap_or(name), &answer)?)
}

fn pull(api: &Api, name: &str, context: &Context) -> Result<()> {
    let step = Step::begin(&context.output, format!("Pulling {name}"));
    let question = serde_json::json!({ "name": name }).to_string();
    let answer = api.post("/skerry/v1/images/pulls", "application/json", &mut question.as_bytes());
    let answer: serde_json::Value = read(answer.map_err(|error| unpulled(error, name))?)?;
    step.done("");
    Ok(context.output.data(answer["id"].as_str().unwrap_or_default(), &answer)?)
}

/// What keeps the machine from pulling is not ours to mend, but for the name.
fn unpulled(error: anyhow::Error, name: &str) -> anyhow::Error {
    let advice = "the machine must reach the registry; skerry image load and image build need none";
    match error.downcast_ref::<Answered>() {
        Some(answered) => Failure::new(Code::Refused, format!("{name}: {}", answered.message)).advice(advice).into(),
        None => error.context(format!("pulling {name}")),
    }
}

#[derive(Deserialize)]
struct Removed {
    removed: Vec<String>,
}

fn remove(api: &Api, images: &[String], context: &Context) -> Result<()> {
    let mut removed = Vec::new();
    for image in images {
        context.interrupt.check()?;
        let answer = api.delete(&format!("/skerry/v1/images/{}", escaped(image)));
        let answer: Removed = read(answer.map_err(|error| refusal(error, image))?)?;
        removed.extend(answer.removed);
    }
    Ok(context.output.data(&removed.join("\n"), &serde_json::json!({ "removed": removed }))?)
}

/// What the machine will not remove is refused input, in its words.
fn refusal(error: anyhow::Error, image: &str) -> anyhow::Error {
    match error.downcast_ref::<Answered>() {
        Some(answered) if matches!(answered.code, 400 | 403 | 404 | 409) => {
            let failure = Failure::new(Code::Refused, format!("{image}: {}", answered.message));
            failure.advice("skerry image ls shows what there is").into()
        }
        _ => error.context(format!("removing {image}")),
    }
}

/// A name as part of a path.
fn escaped(name: &str) -> String {
    name.bytes().fold(String::new(), |mut path, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'/' | b':' | b'@' => {
                path.push(byte as char)
            }
            other => path.push_str(&format!("%{other:02X}")),
        }
        path
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn names_are_safe_within_a_path() {
        assert_eq!(escaped("r.test:5000/a_b/c-d:1@sha256:0"), "r.test:5000/a_b/c-d:1@sha256:0");
        assert_eq!(escaped("a b?x#ä%"), "a%20b%3Fx%23%C3%A4%25");
    }

    #[test]
    fn every_name_has_its_line_and_columns_stand_below_each_other() {
        let image = |names: &[&str], id: &str| Listed {
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            id: id.to_owned(),
            digest: String::new(),
            size: 2048,
            created: "1970-01-01T00:00:00Z".to_owned(),
            pinned: false,
        };
        let id = format!("sha256:{}", "0123456789abcdef".repeat(4));
        let text = table(&[image(&["docker.io/library/a:1", "b:2"], &id), image(&[], "short")]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 4);
        assert_eq!(lines[1], "docker.io/library/a:1  0123456789ab    2.00 KiB  1970-01-01 00:00");
        assert!(lines.iter().all(|line| line.chars().nth(21) == Some(' ')), "{text}");
        assert!(lines[3].starts_with("- "), "{text}");
    }

    #[test]
    fn an_image_without_a_name_needs_one() {
        let manifest = crate::archive::Descriptor::of("m", b"m");
        let image = Image {
            names: Vec::new(),
            manifest,
            id: "sha256:0".to_owned(),
            blobs: Vec::new(),
            packed: BTreeMap::new(),
        };
        assert_eq!(names(&image, None, "x.tar").unwrap_err().code, Code::Refused);
        assert_eq!(names(&image, Some(&"a:1".to_owned()), "x.tar").unwrap(), ["a:1"]);
    }
}
