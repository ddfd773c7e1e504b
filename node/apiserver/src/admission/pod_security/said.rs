//! How violations are told: names in quotes, one or many.

use api::Tree;
use std::collections::BTreeSet;

/// `"a", "b"`
pub fn quoted<T: AsRef<str>>(items: impl IntoIterator<Item = T>) -> String {
    let items: Vec<String> = items.into_iter().map(|item| format!("\"{}\"", item.as_ref())).collect();
    items.join(", ")
}

/// The word for one thing or the word for many.
pub fn plural<'a>(one: &'a str, many: &'a str, count: usize) -> &'a str {
    if count == 1 { one } else { many }
}

/// All containers of a pod in the order in which upstream looks at them.
pub fn containers(pod: &Tree) -> impl Iterator<Item = &Tree> {
    let lists = [&["spec", "initContainers"][..], &["spec", "containers"], &["spec", "ephemeralContainers"]];
    lists.into_iter().flat_map(|list| pod.list_at(list))
}

/// A name of a container or volume.
pub fn name(thing: &Tree) -> &str {
    thing.str_at(&["name"]).unwrap_or_default()
}

/// The containers with a fault.
pub fn those(pod: &Tree, mut faulty: impl FnMut(&Tree) -> bool) -> Vec<&str> {
    containers(pod).filter(|container| faulty(container)).map(name).collect()
}

/// `container "a"`, `containers "a", "b"`
pub fn containers_named(names: &[&str]) -> String {
    format!("{} {}", plural("container", "containers", names.len()), quoted(names))
}

/// Who set something: the pod as a whole, containers, or both.
pub fn setters(pod: bool, containers: &[&str]) -> Option<String> {
    let whole = pod.then(|| "pod".to_owned());
    let parts = (!containers.is_empty()).then(|| containers_named(containers));
    let all: Vec<String> = whole.into_iter().chain(parts).collect();
    (!all.is_empty()).then(|| all.join(" and "))
}

/// A field of a security context.
pub fn secured<'a>(thing: &'a Tree, fields: &[&str]) -> Option<&'a Tree> {
    thing.get("securityContext")?.at(fields).filter(|value| !value.is_null())
}

/// The pod as a whole and its containers whose value of a field is among the bad ones, with these.
pub fn bad_setters<'a>(
    pod: &'a Tree,
    bad: impl Fn(&'a Tree) -> Option<&'a str>,
) -> Option<(String, BTreeSet<&'a str>)> {
    let mut values = BTreeSet::new();
    let whole = pod.get("spec").and_then(&bad);
    values.extend(whole);
    let mut names = Vec::new();
    for container in containers(pod) {
        if let Some(value) = bad(container) {
            values.insert(value);
            names.push(name(container));
        }
    }
    Some((setters(whole.is_some(), &names)?, values))
}
