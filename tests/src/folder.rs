//! Whole folders: what is in them, and copies of them.

use std::collections::BTreeMap;
use std::fs;
use std::process::Output;

use backstay_model::Digest;
use camino::{Utf8Path, Utf8PathBuf};

/// Every file below `folder`, but for the shared memory of a database, which is nothing on its own.
#[must_use]
pub fn files(folder: &Utf8Path) -> Vec<Utf8PathBuf> {
    let mut found = Vec::new();
    let mut waiting = vec![folder.to_owned()];
    while let Some(at) = waiting.pop() {
        for entry in at.read_dir_utf8().expect("the folder can be read") {
            let entry = entry.expect("an entry can be read");
            let kind = entry.file_type().expect("an entry has a kind");
            if kind.is_dir() {
                waiting.push(entry.path().to_owned());
            } else if kind.is_file() && !entry.file_name().ends_with("-shm") {
                found.push(entry.path().to_owned());
            }
        }
    }
    found.sort();
    found
}

/// Every file below `folder` with the digest of its bytes.
#[must_use]
pub fn contents(folder: &Utf8Path) -> BTreeMap<Utf8PathBuf, Digest> {
    let digest = |path: Utf8PathBuf| {
        let bytes = fs::read(&path).expect("a file can be read");
        (path, Digest::of(&bytes))
    };
    files(folder).into_iter().map(digest).collect()
}

/// Everything below `folder`, whatever it is: files with the digest of their bytes, and folders.
#[must_use]
pub fn listing(folder: &Utf8Path) -> BTreeMap<Utf8PathBuf, Option<Digest>> {
    let mut found = BTreeMap::new();
    let mut waiting = vec![folder.to_owned()];
    while let Some(at) = waiting.pop() {
        for entry in at.read_dir_utf8().expect("the folder can be read") {
            let path = entry.expect("an entry can be read").into_path();
            let digest = (!path.is_dir()).then(|| Digest::of(&fs::read(&path).expect("a file can be read")));
            if digest.is_none() {
                waiting.push(path.clone());
            }
            found.insert(path, digest);
        }
    }
    found
}

/// Copies a folder that nobody changes.
pub fn copy_folder(from: &Utf8Path, to: &Utf8Path) {
    for path in files(from) {
        let target = to.join(path.strip_prefix(from).expect("it is below the folder"));
        fs::create_dir_all(target.parent().expect("it is in a folder")).expect("a folder can be made");
        fs::copy(&path, target).expect("a file can be copied");
    }
}

/// Whether `bytes` has `wanted` somewhere.
#[must_use]
pub fn has_bytes(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}

/// What a process said, on both streams.
#[must_use]
pub fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}
