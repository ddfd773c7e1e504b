//! `skerry image build`: BuildKit in the machine builds from a folder of this host.

use crate::cluster::access::{Answered, Api};
use crate::commands::Context;
use crate::docker::pack::Folder;
use crate::docker::progress::Progress;
use crate::exit::{Code, Failure};
use crate::interrupt::Interrupt;
use anyhow::{Context as _, Result, bail};
use clap::Args;
use serde_json::{Map, Value, json};
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;

/// Bytes of one line of the answer: BuildKit cuts what a step says into pieces of far less.
const LINE_BYTES_MAX: u64 = 16 << 20;
/// Build arguments and names of one build.
const WORDS_MAX: usize = 256;

/// What is built and how.
#[derive(Args)]
pub struct Arguments {
    /// The folder with what the image is made from
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// What the image shall be called; may be given several times
    #[arg(short, long, value_name = "NAME")]
    tag: Vec<String>,
    /// The Dockerfile [default: Dockerfile in the folder]
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// A value for an ARG of the Dockerfile; without a value that of this environment
    #[arg(long, value_name = "NAME[=VALUE]")]
    build_arg: Vec<String>,
    /// The stage to build, of a Dockerfile with several
    #[arg(long, value_name = "STAGE")]
    target: Option<String>,
    /// Do every step anew
    #[arg(long)]
    no_cache: bool,
}

/// Builds.
///
/// # Errors
/// `Refused` when a step fails, in BuildKit's words, or the folder is none that can be built.
pub fn run(api: &Api, arguments: &Arguments, context: &Context) -> Result<()> {
    let folder = Folder::open(&arguments.folder, arguments.file.as_deref())?;
    let path = format!("/skerry/v1/docker/build?{}", query(arguments, &folder)?);
    let progress = send(api, &path, folder, context)?;
    if let Some(error) = progress.error {
        let failure = Failure::new(Code::Refused, format!("the build failed: {error}"));
        return Err(failure.advice("the lines above say which step, and what it said").into());
    }
    let id = progress.image.context("the machine ended the build without an image and without a reason")?;
    let mut lines = arguments.tag.clone();
    lines.push(id.clone());
    Ok(context.output.data(&lines.join("\n"), &json!({ "id": id, "names": arguments.tag }))?)
}

/// The folder goes out by one thread while this one reads what comes back: a build begins before it has everything.
fn send(api: &Api, path: &str, folder: Folder, context: &Context) -> Result<Progress> {
    let (mut content, sink) = std::io::pipe().context("making a pipe")?;
    let interrupt = context.interrupt.clone();
    let packer = std::thread::spawn(move || folder.pack(std::io::BufWriter::new(sink), &interrupt));
    let answer = api.post(path, "application/x-tar", &mut content);
    // Whoever still writes learns that nobody reads any more.
    drop(content);
    let packed = packer.join().expect("packing does not panic");
    context.interrupt.check()?;
    let answer = match answer {
        Ok(answer) => answer,
        // What stopped the folder is why the machine got only half of it.
        Err(error) => return Err(packed.err().filter(|why| !is_broken_pipe(why)).unwrap_or_else(|| refusal(error))),
    };
    packed.or_else(|why| if is_broken_pipe(&why) { Ok(()) } else { Err(why) })?;
    let mut progress = Progress::default();
    read(answer.into_body().into_reader(), &context.interrupt, |line| {
        let said = progress.take(line).map_err(|why| anyhow::anyhow!("reading what the build tells: {why}"))?;
        said.iter().for_each(|line| context.output.say(line));
        Ok(())
    })?;
    Ok(progress)
}

/// Line by line.
fn read(from: impl Read, interrupt: &Interrupt, mut each: impl FnMut(&str) -> Result<()>) -> Result<()> {
    let mut lines = BufReader::new(from);
    loop {
        interrupt.check()?;
        let mut line = String::new();
        let length = (&mut lines).take(LINE_BYTES_MAX).read_line(&mut line).context("listening to the build")?;
        if length == 0 {
            return Ok(());
        }
        if !line.trim().is_empty() {
            each(&line)?;
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let is = |cause: &(dyn std::error::Error + 'static)| {
        cause.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
    };
    error.chain().any(is)
}

/// What the machine says of the build itself is the end of it.
fn refusal(error: anyhow::Error) -> anyhow::Error {
    match error.downcast_ref::<Answered>() {
        Some(answered) if matches!(answered.code, 400..=500) => {
            Failure::new(Code::Refused, format!("the build failed: {}", answered.message)).into()
        }
        _ => error,
    }
}

/// The query, as Docker's API has it (`POST /build`).
fn query(arguments: &Arguments, folder: &Folder) -> Result<String> {
    if arguments.tag.len() + arguments.build_arg.len() > WORDS_MAX {
        bail!(Failure::new(Code::Usage, format!("more than {WORDS_MAX} names and arguments of a build")));
    }
    let mut values = Map::new();
    for argument in &arguments.build_arg {
        let (name, value) = match argument.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (argument.as_str(), std::env::var(argument).ok()),
        };
        if name.is_empty() {
            bail!(Failure::new(Code::Usage, format!("--build-arg {argument}: write NAME=VALUE")));
        }
        // One that nobody gives keeps its default.
        if let Some(value) = value {
            values.insert(name.to_owned(), Value::from(value));
        }
    }
    let mut words = vec![
        ("version", "2".to_owned()),
        ("dockerfile", folder.dockerfile.clone()),
        ("buildargs", Value::Object(values).to_string()),
    ];
    words.extend(arguments.tag.iter().map(|name| ("t", name.clone())));
    words.extend(arguments.target.iter().map(|stage| ("target", stage.clone())));
    words.extend(arguments.no_cache.then(|| ("nocache", "1".to_owned())));
    let words: Vec<String> = words.iter().map(|(name, value)| format!("{name}={}", escaped(value))).collect();
    Ok(words.join("&"))
}

fn escaped(value: &str) -> String {
    value.bytes().fold(String::new(), |mut text, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'/' => text.push(byte as char),
            other => text.push_str(&format!("%{other:02X}")),
        }
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_is_that_of_dockers_api() {
        let made = tempfile::tempdir().unwrap();
        std::fs::write(made.path().join("Dockerfile"), "FROM scratch").unwrap();
        let folder = Folder::open(made.path(), None).unwrap();
        let arguments = Arguments {
            folder: made.path().to_owned(),
            tag: vec!["a:1".to_owned()],
            file: None,
            build_arg: vec!["A=b c".to_owned(), "SKERRY_NEVER_SET".to_owned()],
            target: None,
            no_cache: true,
        };
        let wanted = "version=2&dockerfile=Dockerfile&buildargs=%7B%22A%22%3A%22b%20c%22%7D&t=a%3A1&nocache=1";
        assert_eq!(query(&arguments, &folder).unwrap(), wanted);
        let bad = Arguments { build_arg: vec!["=x".to_owned()], ..arguments };
        assert_eq!(Failure::of(query(&bad, &folder).unwrap_err()).code, Code::Usage);
    }
}
