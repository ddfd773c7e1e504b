//! `skerry why`: the causal chain of a pod, workload or claim that is not as it should be.

use super::{Command, Context, Named};
use crate::cluster::access::{Answered, Api, json_of};
use crate::cluster::{Cluster, life};
use crate::exit::{Code, Failure};
use anyhow::{Result, anyhow};
use clap::{Args, FromArgMatches};
use serde_json::Value;
use std::fmt::Write;

/// The line of the table.
pub const COMMAND: Command = Command {
    name: "why",
    about: "Tell why a pod, workload or claim is not as it should be",
    hidden: false,
    arguments: |command| Arguments::augment_args(command),
    run: |matches, context| {
        let arguments = Arguments::from_arg_matches(matches)?;
        context.runtime.block_on(run(&arguments, context))
    },
};

#[derive(Args)]
struct Arguments {
    #[command(flatten)]
    named: Named,
    /// What to look into: pod/NAME, deployment/NAME, statefulset/NAME, job/NAME, pvc/NAME, namespace/NAME
    #[arg(value_name = "KIND/NAME", value_parser = target)]
    target: (String, String),
    /// Namespace
    #[arg(short, long, default_value = "default")]
    namespace: String,
}

/// `KIND/NAME`; a name alone is a pod's.
fn target(text: &str) -> Result<(String, String), String> {
    let (kind, name) = text.split_once('/').unwrap_or(("pod", text));
    let plain =
        |word: &str| !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-'));
    match plain(kind) && plain(name) {
        true => Ok((kind.to_owned(), name.to_owned())),
        false => Err("write it as KIND/NAME, such as pod/web-0".to_owned()),
    }
}

async fn run(arguments: &Arguments, context: &Context) -> Result<()> {
    let cluster = Cluster::existing(&arguments.named.name)?;
    life::running(&cluster).await?;
    let (kind, name) = &arguments.target;
    let path = format!("/dashboard/why/{kind}/{}/{name}", arguments.namespace);
    let asked = context.runtime.spawn_blocking(move || json_of(Api::of(&cluster)?.get(&path)?)).await?;
    let answer = asked.map_err(|error| match error.downcast_ref::<Answered>() {
        Some(answered) if (400..500).contains(&answered.code) => {
            anyhow!(Failure::new(Code::Refused, answered.message.clone()))
        }
        _ => error,
    })?;
    Ok(context.output.data(&text(&answer, &format!("{kind}/{name}")), &answer)?)
}

/// The chain as people read it: one sentence a link, what others say and what can be done below it.
fn text(answer: &Value, what: &str) -> String {
    if answer["well"] == true {
        return format!("{what} is as it should be.");
    }
    let mut out = String::new();
    for finding in answer["chain"].as_array().into_iter().flatten() {
        let field = |name: &str| finding[name].as_str().unwrap_or_default();
        let mark = match field("level") {
            "bad" => "✗",
            "warn" => "!",
            _ => "·",
        };
        writeln!(out, "{mark} {}  ({})", field("text"), field("about")).expect("a string takes everything");
        for line in field("detail").lines() {
            writeln!(out, "    {line}").expect("a string takes everything");
        }
        if !field("advice").is_empty() {
            writeln!(out, "  → {}", field("advice")).expect("a string takes everything");
        }
    }
    out.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_to_look_into_is_written_as_kubectl_has_it() {
        assert_eq!(target("deploy/web"), Ok(("deploy".to_owned(), "web".to_owned())));
        assert_eq!(target("web-0"), Ok(("pod".to_owned(), "web-0".to_owned())));
        for bad in ["", "pod/", "/x", "pod/a/b", "pod/a b", "pod/../x"] {
            assert!(target(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_chain_is_told_from_what_one_sees_to_what_is_behind_it() {
        let chain = json!({"well": false, "chain": [
            {"level": "bad", "about": "Pod default/web", "text": "It ends again", "detail": "", "advice": ""},
            {"level": "bad", "about": "Pod default/web", "text": "Exit code 1", "detail": "a\nb", "advice": "Look."},
        ]});
        let said = "✗ It ends again  (Pod default/web)\n✗ Exit code 1  (Pod default/web)\n    a\n    b\n  → Look.";
        assert_eq!(text(&chain, "pod/web"), said);
        assert_eq!(text(&json!({"well": true, "chain": []}), "pod/web"), "pod/web is as it should be.");
    }
}
