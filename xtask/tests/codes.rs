//! An error's code means one thing.

#![expect(clippy::unwrap_used, reason = "every line of this crate is a test")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// What can go wrong in several operations alike.
const SHARED: [&str; 2] = ["BKS-R001", "BKS-R006"];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn no_two_errors_have_the_same_code() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates");
    let mut files = Vec::new();
    for entry in fs::read_dir(crates).unwrap() {
        sources(&entry.unwrap().path().join("src"), &mut files);
    }
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in &files {
        let text = fs::read_to_string(file).unwrap();
        // The arms of `code()`: `Variant => Code("BKS-…")`, or only the text where the match is inside.
        for line in text.lines().filter(|line| line.contains("=>")) {
            for code in line.split('"').filter(|piece| piece.starts_with("BKS-")) {
                places.entry(code.to_owned()).or_default().push(format!(
                    "{}: {}",
                    file.display(),
                    line.trim()
                ));
            }
        }
    }
    assert!(places.len() > 80, "codes are written in another way: {}", places.len());
    let doubled: Vec<_> =
        places.iter().filter(|(code, places)| places.len() > 1 && !SHARED.contains(&code.as_str())).collect();
    assert!(doubled.is_empty(), "{doubled:#?}");
}
