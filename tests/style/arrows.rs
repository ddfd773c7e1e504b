//! Who may depend on whom. An arrow that is not in this table is refused; add one deliberately.

use super::root;
use std::collections::BTreeMap;

/// Crate, its folder, and the crates of this workspace that it may use.
const ARROWS: &[(&str, &str, &[&str])] = &[
    ("sys", "node/sys", &[]),
    ("metrics", "node/metrics", &[]),
    ("layers", "node/layers", &["sys"]),
    ("api", "node/api", &[]),
    ("store", "node/store", &[]),
    ("pki", "node/pki", &[]),
    ("wire", "node/wire", &[]),
    ("pods", "node/pods", &["api"]),
    ("schema", "node/schema", &["api"]),
    ("resources", "node/resources", &["api", "schema", "pods"]),
    ("descriptions", "node/resources/descriptions", &[]),
    ("client", "node/client", &["api", "metrics"]),
    (
        "apiserver",
        "node/apiserver",
        &["api", "schema", "resources", "descriptions", "store", "pki", "wire", "pods", "client", "metrics"],
    ),
    ("controllers", "node/controllers", &["api", "client", "pods", "pki", "metrics"]),
    ("scheduler", "node/scheduler", &["api", "client", "pods", "metrics"]),
    ("kubelet", "node/kubelet", &["api", "client", "pods", "wire", "sys", "pki", "metrics", "layers"]),
    ("network", "node/network", &["api", "client", "pods", "sys", "metrics"]),
    ("dashboard", "node/dashboard", &["api", "client", "pods"]),
    (
        "node",
        "node",
        &[
            "api",
            "apiserver",
            "controllers",
            "scheduler",
            "kubelet",
            "network",
            "dashboard",
            "store",
            "client",
            "pki",
            "sys",
            "wire",
            "resources",
            "schema",
            "pods",
            "metrics",
        ],
    ),
    ("init", "init", &["sys"]),
    ("image", "image", &["pki", "wire", "sys"]),
];

/// The workspace crates named in one `[dependencies]` or `[dev-dependencies]` table of a manifest.
fn used(manifest: &str, section: &str, ours: &BTreeMap<&str, &[&str]>) -> Vec<String> {
    let mut inside = false;
    let mut found = Vec::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            inside = line.trim() == section;
        } else if inside {
            let name: String = line.chars().take_while(|c| c.is_alphanumeric() || *c == '-' || *c == '_').collect();
            if ours.contains_key(name.as_str()) {
                found.push(name);
            }
        }
    }
    found
}

#[test]
fn every_dependency_between_crates_is_an_allowed_arrow() {
    let table: BTreeMap<&str, &[&str]> = ARROWS.iter().map(|(name, _, uses)| (*name, *uses)).collect();
    let mut wrong = Vec::new();
    for (name, folder, allowed) in ARROWS {
        let path = root().join(folder).join("Cargo.toml");
        let manifest = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        for dependency in used(&manifest, "[dependencies]", &table) {
            if !allowed.contains(&dependency.as_str()) {
                wrong.push(format!("{name} -> {dependency}"));
            }
        }
    }
    assert!(wrong.is_empty(), "arrows that tests/style/arrows.rs does not allow: {wrong:?}");
}

#[test]
fn every_member_of_the_workspace_is_in_the_table() {
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).expect("the root manifest");
    let members = manifest.split("members = [").nth(1).and_then(|rest| rest.split(']').next()).expect("members");
    for member in members.split(',').map(|m| m.trim().trim_matches('"')).filter(|m| !m.is_empty()) {
        let known = member == "tests" || ARROWS.iter().any(|(_, folder, _)| *folder == member);
        assert!(known, "{member} is a member of the workspace without a line in tests/style/arrows.rs");
    }
}

#[test]
fn the_arrows_have_no_circle() {
    let table: BTreeMap<&str, &[&str]> = ARROWS.iter().map(|(name, _, uses)| (*name, *uses)).collect();
    fn depth(name: &str, table: &BTreeMap<&str, &[&str]>, trail: &mut Vec<String>) -> usize {
        assert!(!trail.contains(&name.to_owned()), "a circle: {trail:?} -> {name}");
        trail.push(name.to_owned());
        let below = table[name].iter().map(|n| depth(n, table, trail)).max().unwrap_or(0);
        trail.pop();
        below + 1
    }
    for (name, ..) in ARROWS {
        let deep = depth(name, &table, &mut Vec::new());
        assert!(deep <= 6, "{name} stands on a chain of {deep} crates; keep it short");
    }
}
