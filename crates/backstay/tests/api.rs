//! The public API, as a list: what changes it changes `api.txt` too.

#![expect(clippy::unwrap_used, reason = "every line of this crate is a test")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const WRITE: &str = "BACKSTAY_WRITE_API";

/// The lines of the list: what is re-exported, and what the files of this crate declare as `pub`.
fn api() -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files: Vec<PathBuf> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut lines = BTreeSet::new();
    for file in files {
        declared(&fs::read_to_string(file).unwrap(), &mut lines);
    }
    lines.into_iter().map(|line| line + "\n").collect()
}

/// Adds the public declarations of a file that `cargo fmt` has laid out.
fn declared(text: &str, found: &mut BTreeSet<String>) {
    let (mut owner, mut is_enum) = (String::new(), false);
    let mut lines = text.lines().take_while(|line| *line != "#[cfg(test)]");
    while let Some(line) = lines.next() {
        if let Some(of) = line.strip_prefix("impl").filter(|_| line.ends_with('{')) {
            (owner, is_enum) = (of.trim_end_matches(" {").trim().to_owned(), false);
        }
        let variant =
            line.strip_prefix("    ").filter(|rest| is_enum && rest.starts_with(char::is_uppercase));
        if let Some(variant) = variant {
            let end = variant.find(|c: char| !c.is_alphanumeric()).unwrap_or(variant.len());
            found.insert(format!("{owner}::{}", &variant[..end]));
        }
        if line == "}" {
            (owner, is_enum) = (String::new(), false);
        }
        let Some(item) = line.trim_start().strip_prefix("pub ") else { continue };
        let mut item = item.to_owned();
        let is_whole = |item: &str| {
            let is_field = !item.contains("fn ") && !item.starts_with("use ");
            item.ends_with(['{', ';']) && !item.ends_with("::{") || is_field && item.ends_with([',', '}'])
        };
        while !is_whole(&item) {
            item.push(' ');
            item.push_str(lines.next().unwrap().trim());
        }
        let item = item.trim_end_matches(['{', ';', ' ']).replace("( ", "(").replace(", )", ")");
        if let Some(of) = item.strip_prefix("enum ") {
            (owner, is_enum) = (of.to_owned(), true);
        }
        match item.strip_prefix("use ") {
            Some(path) => found.extend(used(path)),
            None if is_enum || owner.is_empty() => drop(found.insert(item)),
            None => drop(found.insert(format!("{owner}: {item}"))),
        }
    }
}

/// `a::{B, C}` as a line for each name.
fn used(path: &str) -> Vec<String> {
    match path.split_once("::{") {
        Some((from, names)) => {
            let names = names.trim_end_matches('}').split(',').map(str::trim).filter(|name| !name.is_empty());
            names.map(|name| format!("use {from}::{name}")).collect()
        }
        None => vec![format!("use {path}")],
    }
}

#[test]
fn the_public_api_is_the_one_that_is_listed() {
    let listed = Path::new(env!("CARGO_MANIFEST_DIR")).join("api.txt");
    let api = api();
    if std::env::var_os(WRITE).is_some() {
        fs::write(&listed, &api).unwrap();
    }
    let expected = fs::read_to_string(&listed).unwrap();
    let (api, expected): (BTreeSet<&str>, BTreeSet<&str>) =
        (api.lines().collect(), expected.lines().collect());
    let added: Vec<_> = api.difference(&expected).collect();
    let removed: Vec<_> = expected.difference(&api).collect();
    assert!(
        added.is_empty() && removed.is_empty(),
        "the public API changed: {WRITE}=1 writes api.txt\nadded {added:#?}\nremoved {removed:#?}"
    );
}
