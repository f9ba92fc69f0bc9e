//! Dependencies point one way; ARCHITECTURE.md says which way and why.

#![expect(clippy::unwrap_used, reason = "every line of this crate is a test")]

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package};

/// Every crate of the workspace, and the crates of the workspace that it may use.
const MAY_USE: [(&str, &[&str]); 14] = [
    ("backstay-model", &[]),
    ("backstay-files", &[]),
    ("backstay-workflow", &["backstay-model", "backstay-testkit"]),
    ("backstay-engine", &["backstay-model", "backstay-workflow"]),
    ("backstay-log", &["backstay-model", "backstay-files"]),
    ("backstay-exec", &["backstay-model", "backstay-files"]),
    ("backstay-agent", &["backstay-model", "backstay-testkit"]),
    (
        "backstay-runtime",
        &[
            "backstay-model",
            "backstay-files",
            "backstay-workflow",
            "backstay-engine",
            "backstay-log",
            "backstay-exec",
            "backstay-agent",
        ],
    ),
    (
        "backstay",
        &[
            "backstay-model",
            "backstay-files",
            "backstay-workflow",
            "backstay-engine",
            "backstay-log",
            "backstay-exec",
            "backstay-agent",
            "backstay-runtime",
        ],
    ),
    (
        "backstay-cli",
        &[
            "backstay-model",
            "backstay-files",
            "backstay-workflow",
            "backstay-engine",
            "backstay-log",
            "backstay-exec",
            "backstay-agent",
            "backstay-runtime",
            "backstay-testkit",
        ],
    ),
    // The packages that are never published.
    ("backstay-faults", &[]),
    ("backstay-testkit", &["backstay-model"]),
    (
        "backstay-tests",
        &[
            "backstay-model",
            "backstay-workflow",
            "backstay-engine",
            "backstay-log",
            "backstay-exec",
            "backstay-agent",
            "backstay-runtime",
            "backstay",
            "backstay-testkit",
        ],
    ),
    ("xtask", &["backstay-model", "backstay-workflow"]),
];

/// The crates that compute and do nothing else, and all that they may use from outside.
const PURE: [&str; 3] = ["backstay-model", "backstay-workflow", "backstay-engine"];

/// Crates that know no IO, no threads and no tasks. A new one belongs here only if that is true of it.
const HARMLESS: [&str; 10] = [
    "blake3",
    "camino",
    "jiff",
    "minijinja",
    "saphyr-parser",
    "serde",
    "serde_json",
    "thiserror",
    "ulid",
    "unicode-width",
];

/// Crates that bring IO, clocks, chance or tasks; a pure crate does not reach them on any path.
const OUTSIDE: [&str; 12] = [
    "async-std",
    "crossterm",
    "getrandom",
    "mio",
    "nix",
    "rand",
    "reqwest",
    "rusqlite",
    "rustix",
    "smol",
    "tokio",
    "tracing",
];

fn metadata() -> Metadata {
    MetadataCommand::new()
        .manifest_path(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml"))
        .exec()
        .unwrap()
}

/// What a package uses when it is no test.
fn uses(package: &Package) -> impl Iterator<Item = &str> {
    package
        .dependencies
        .iter()
        .filter(|dependency| dependency.kind != DependencyKind::Development)
        .map(|dependency| dependency.name.as_str())
}

#[test]
fn the_workspace_has_the_crates_of_the_list_and_no_other() {
    let metadata = metadata();
    let there: BTreeSet<&str> =
        metadata.workspace_packages().iter().map(|package| package.name.as_str()).collect();
    let listed: BTreeSet<&str> = MAY_USE.iter().map(|(name, _)| *name).collect();
    assert_eq!(there, listed);
}

#[test]
fn a_crate_uses_only_the_crates_below_it_in_tests_too() {
    let metadata = metadata();
    let may_use: BTreeMap<&str, &[&str]> = MAY_USE.into_iter().collect();
    let ours: BTreeSet<&str> = may_use.keys().copied().collect();
    for package in metadata.workspace_packages() {
        for dependency in
            package.dependencies.iter().filter(|dependency| ours.contains(dependency.name.as_str()))
        {
            assert!(
                may_use[package.name.as_str()].contains(&dependency.name.as_str()),
                "{} may not use {}",
                package.name,
                dependency.name
            );
        }
    }
}

#[test]
fn the_pure_crates_use_nothing_that_is_not_known_to_be_harmless() {
    let metadata = metadata();
    for package in metadata.workspace_packages() {
        if PURE.contains(&package.name.as_str()) {
            for name in uses(package).filter(|name| !PURE.contains(name)) {
                assert!(HARMLESS.contains(&name), "{} may not use {name}", package.name);
            }
        }
    }
}

#[test]
fn no_path_leads_from_a_pure_crate_to_io() {
    let metadata = metadata();
    let resolve = metadata.resolve.as_ref().unwrap();
    let nodes: BTreeMap<_, _> = resolve.nodes.iter().map(|node| (&node.id, node)).collect();
    for package in metadata.workspace_packages() {
        if !PURE.contains(&package.name.as_str()) {
            continue;
        }
        let (mut open, mut seen) = (vec![&package.id], BTreeSet::from([&package.id]));
        while let Some(id) = open.pop() {
            let name = metadata[id].name.as_str();
            assert!(!OUTSIDE.contains(&name), "{} reaches {name}", package.name);
            for dependency in &nodes[id].deps {
                let kinds = &dependency.dep_kinds;
                let is_used =
                    kinds.iter().any(|kind| kind.kind == DependencyKind::Normal && kind.target.is_none());
                if is_used && seen.insert(&dependency.pkg) {
                    open.push(&dependency.pkg);
                }
            }
        }
    }
}
