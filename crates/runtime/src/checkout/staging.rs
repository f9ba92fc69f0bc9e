//! Bringing an index of our own up to what is in the files: what changed, what is new, and what cannot be taken.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use backstay_model::ObjectId;
use backstay_model::event::{OmissionReason, OmittedFile, OmittedFiles};
use camino::Utf8Path;

use super::error::TreeError;
use super::git::{Git, refused};
use super::git_checkout::Checkout;
use crate::store::STORE_FOLDER;

/// An untracked file that is larger is left out: nobody wants a copy of a disk image in the repository.
const UNTRACKED_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// How often git is asked again to find the files that it cannot take.
const TRIES_MAX: u32 = 64;
/// What `ls-files` says of a folder that it cannot read, before the name.
const CLOSED_FOLDER: &str = "warning: could not open directory '";

/// A name as git lists it.
type Name = Vec<u8>;

/// An index of our own, and the checkout whose files it is to have.
pub(super) struct Staging<'a> {
    pub(super) checkout: &'a Checkout,
    pub(super) index: &'a Utf8Path,
}

/// What the index says of the files, before they are looked at.
#[derive(Default)]
struct Listed {
    untracked: Vec<Name>,
    /// Somebody said that they do not change.
    assumed: Vec<Name>,
    /// Git is told not to look at them, and they are there.
    skipped: Vec<Name>,
    /// Folders that cannot be read.
    closed: Vec<String>,
}

/// Tracked files that changed.
#[derive(Default)]
struct Changed {
    files: Vec<Name>,
    submodules: Vec<Name>,
}

/// How far submodules are looked into.
#[derive(Clone, Copy)]
enum Submodules {
    /// Their commits, and whether their files differ from these.
    WithFiles,
    /// Not at all.
    Never,
}

impl Submodules {
    const fn option(self) -> &'static str {
        match self {
            Submodules::WithFiles => "--ignore-submodules=none",
            Submodules::Never => "--ignore-submodules=all",
        }
    }
}

/// Why git took none of some files.
enum Refusal {
    Filter(String),
    Other(String),
}

impl Staging<'_> {
    /// Git with our index.
    pub(super) fn git(&self, words: &[&str]) -> Git {
        self.checkout.git(words).env("GIT_INDEX_FILE", self.index.as_str())
    }

    fn git_with(&self, settings: &[String], words: &[&str]) -> Git {
        self.checkout.git_with(settings, words).env("GIT_INDEX_FILE", self.index.as_str())
    }

    /// The tree of the index.
    pub(super) fn tree(&self) -> Result<ObjectId, TreeError> {
        match self.git(&["write-tree"]).object() {
            // It writes the index, too.
            Err(TreeError::Git { .. }) => self.git_with(&self.no_filters(None)?, &["write-tree"]).object(),
            tree => tree,
        }
    }

    /// Brings the index up to what is in the files, and says what it leaves as it was.
    pub(super) fn stage(&self) -> Result<OmittedFiles, TreeError> {
        let listed = self.list()?;
        // Whatever git was told, a step may have changed them.
        for (option, names) in
            [("--no-assume-unchanged", &listed.assumed), ("--no-skip-worktree", &listed.skipped)]
        {
            if !names.is_empty() {
                let words = ["update-index", option, "-z", "--stdin"];
                self.git_with(&self.no_filters(None)?, &words).feed(joined(names))?;
            }
        }
        let mut omitted = OmittedFiles::default();
        let changed = self.all_changed(&mut omitted)?;
        let mut names = changed.files;
        names.extend(changed.submodules.iter().cloned());
        for name in listed.untracked {
            match self.omission_of_untracked(&name) {
                None => names.push(name),
                Some(reason) => omitted.push(OmittedFile { path: shown(&name), reason }),
            }
        }
        self.take(&names, &mut omitted)?;
        if !changed.submodules.is_empty() {
            // Their commits are taken; what still differs is not committed in them.
            let left = self.changed(&changed.submodules, Submodules::WithFiles)?;
            for name in left.submodules {
                omitted.push(OmittedFile { path: shown(&name), reason: OmissionReason::SubmoduleChanges });
            }
        }
        for path in listed.closed {
            let message = "permission denied".to_owned();
            omitted.push(OmittedFile { path, reason: OmissionReason::Unreadable { message } });
        }
        Ok(omitted)
    }

    fn list(&self) -> Result<Listed, TreeError> {
        // Stores are not for git, and not even their `.gitignore` is: opening it may never end if it is a FIFO.
        let stores = format!("--exclude={STORE_FOLDER}");
        let words = ["ls-files", "-v", "-z", "--cached", "--others", stores.as_str(), "--exclude-standard"];
        let git = self.git(&words);
        let command = git.command_words();
        let output = git.output(Vec::new())?;
        if !output.status.success() {
            return Err(refused(command, &output));
        }
        let mut listed = Listed::default();
        for entry in entries(&output.stdout) {
            let (Some(tag), Some(name)) = (entry.first(), entry.get(2..)) else { continue };
            if *tag == b'?' {
                listed.untracked.push(name.to_vec());
                continue;
            }
            if tag.is_ascii_lowercase() {
                listed.assumed.push(name.to_vec());
            }
            if tag.eq_ignore_ascii_case(&b'S') && self.path(name).symlink_metadata().is_ok() {
                listed.skipped.push(name.to_vec());
            }
        }
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let closed = said.lines().filter_map(|line| line.strip_prefix(CLOSED_FOLDER));
        listed.closed.extend(closed.filter_map(|rest| Some(rest.rsplit_once("': ")?.0.to_owned())));
        Ok(listed)
    }

    /// The tracked files that may have changed.
    fn all_changed(&self, omitted: &mut OmittedFiles) -> Result<Changed, TreeError> {
        let first = match self.changed(&[], Submodules::WithFiles) {
            Err(error @ TreeError::Git { .. }) => error,
            changed => return changed,
        };
        // A submodule that is damaged is not to hide the rest.
        let mut changed = self.changed(&[], Submodules::Never)?;
        let submodules = self.submodules()?;
        if submodules.is_empty() {
            return Err(first);
        }
        for name in submodules {
            match self.changed(std::slice::from_ref(&name), Submodules::WithFiles) {
                Ok(own) => changed.submodules.extend(own.submodules),
                Err(TreeError::Git { message, .. }) => {
                    let reason = OmissionReason::Unreadable { message };
                    omitted.push(OmittedFile { path: shown(&name), reason });
                }
                Err(error) => return Err(error),
            }
        }
        Ok(changed)
    }

    /// The submodules in the index.
    fn submodules(&self) -> Result<Vec<Name>, TreeError> {
        let listed = self.git(&["ls-files", "--stage", "-z"]).bytes()?;
        let of_submodule = |entry: &[u8]| {
            let at = entry.iter().position(|byte| *byte == b'\t')?;
            entry.starts_with(b"160000 ").then(|| entry[at + 1..].to_vec())
        };
        Ok(entries(&listed).filter_map(of_submodule).collect())
    }

    /// The tracked files that may have changed, all of them or those of `names`.
    fn changed(&self, names: &[Name], submodules: Submodules) -> Result<Changed, TreeError> {
        let words = ["diff-files", "--raw", "-z", "--abbrev=4", "--no-renames", submodules.option()];
        let only = |git: Git| {
            let git = if names.is_empty() { git } else { git.env("GIT_LITERAL_PATHSPECS", "1") };
            git.arguments(
                ["--"].map(OsStr::new).into_iter().chain(names.iter().map(|name| OsStr::from_bytes(name))),
            )
        };
        let listed = match only(self.git(&words)).bytes() {
            // It may have to read a file, and the program that converts it fails: without such programs more may differ.
            Err(TreeError::Git { .. }) => only(self.git_with(&self.no_filters(None)?, &words)).bytes()?,
            listed => listed?,
        };
        let mut changed = Changed::default();
        let mut parts = entries(&listed);
        // `:100644 160000 1234 0000 M`, and behind it the name.
        while let (Some(how), Some(name)) = (parts.next(), parts.next()) {
            let modes = how.get(1..14).unwrap_or_default();
            let is_submodule = modes.split(|byte| *byte == b' ').any(|mode| mode == b"160000");
            let of = if is_submodule { &mut changed.submodules } else { &mut changed.files };
            // A file in a conflict is listed twice.
            if of.last().is_none_or(|last| last != name) {
                of.push(name.to_vec());
            }
        }
        Ok(changed)
    }

    /// The settings that take every filter of the configuration away, but for `kept`.
    fn no_filters(&self, kept: Option<&str>) -> Result<Vec<String>, TreeError> {
        let words =
            ["config", "--name-only", "-z", "--get-regexp", r"^filter\..*\.(clean|process|required)$"];
        let output = self.git(&words).output(Vec::new())?;
        let mut settings = Vec::new();
        for key in entries(&output.stdout) {
            let key = String::from_utf8_lossy(key);
            let filter = key.strip_prefix("filter.").and_then(|rest| Some(rest.rsplit_once('.')?.0));
            if filter == kept {
                continue;
            }
            let value = if key.ends_with(".required") { "false" } else { "" };
            settings.push(format!("{key}={value}"));
        }
        Ok(settings)
    }

    /// Takes these files into the index; those that git refuses stay as they were, and are omitted.
    fn take(&self, names: &[Name], omitted: &mut OmittedFiles) -> Result<(), TreeError> {
        if names.is_empty() {
            return Ok(());
        }
        let Err(first) = self.add(names, &[]) else { return Ok(()) };
        if !matches!(first, TreeError::Git { .. }) {
            return Err(first);
        }
        let mut tries = TRIES_MAX;
        for (filter, names) in self.by_filter(names)? {
            // Where it writes an index, git reads files again that were changed in the moment in which it was written, also
            // those of other filters.
            let settings = self.no_filters(filter.as_deref())?;
            match filter {
                // If it fails for one, it fails for all.
                Some(filter) => match self.add(&names, &settings) {
                    Ok(()) => {}
                    Err(TreeError::Git { .. }) => omit(&names, &Refusal::Filter(filter), omitted),
                    Err(error) => return Err(error),
                },
                None => self.halve(&names, &settings, &mut tries, omitted)?,
            }
        }
        Ok(())
    }

    /// Takes what git takes of these files, by halves.
    fn halve(
        &self,
        names: &[Name],
        settings: &[String],
        tries: &mut u32,
        omitted: &mut OmittedFiles,
    ) -> Result<(), TreeError> {
        match self.add(names, settings) {
            Ok(()) => Ok(()),
            Err(TreeError::Git { message, .. }) if names.len() == 1 || *tries == 0 => {
                omit(names, &Refusal::Other(message), omitted);
                Ok(())
            }
            Err(TreeError::Git { .. }) => {
                *tries -= 1;
                let (one, other) = names.split_at(names.len() / 2);
                self.halve(one, settings, tries, omitted)?;
                self.halve(other, settings, tries, omitted)
            }
            Err(error) => Err(error),
        }
    }

    /// All of these files or none.
    fn add(&self, names: &[Name], settings: &[String]) -> Result<(), TreeError> {
        // A file may go while this looks.
        let words = ["update-index", "--add", "--remove", "--replace", "-z", "--stdin"];
        self.git_with(settings, &words).feed(joined(names)).map(drop)
    }

    /// These files by the filter that git has to convert them with.
    fn by_filter(&self, names: &[Name]) -> Result<BTreeMap<Option<String>, Vec<Name>>, TreeError> {
        let said = self.git(&["check-attr", "-z", "--stdin", "filter"]).feed(joined(names))?;
        let mut parts = entries(&said);
        let mut groups: BTreeMap<Option<String>, Vec<Name>> = BTreeMap::new();
        while let (Some(name), Some(_), Some(value)) = (parts.next(), parts.next(), parts.next()) {
            let filter = String::from_utf8_lossy(value).into_owned();
            let filter =
                Some(filter).filter(|filter| !matches!(filter.as_str(), "unspecified" | "unset" | "set"));
            groups.entry(filter).or_default().push(name.to_vec());
        }
        Ok(groups)
    }

    /// Why an untracked file is not taken; none if it is.
    fn omission_of_untracked(&self, name: &[u8]) -> Option<OmissionReason> {
        // It lists a repository as a folder, and looks into no other.
        if name.ends_with(b"/") {
            return Some(OmissionReason::InnerRepository);
        }
        match fs::symlink_metadata(self.path(name)) {
            Ok(metadata) if metadata.is_file() && metadata.len() > UNTRACKED_BYTES_MAX => {
                Some(OmissionReason::TooLarge { size_bytes: metadata.len() })
            }
            // One that is gone meanwhile is not there to be taken.
            _ => None,
        }
    }

    fn path(&self, name: &[u8]) -> PathBuf {
        self.checkout.root.as_std_path().join(OsStr::from_bytes(name))
    }
}

fn omit(names: &[Name], refusal: &Refusal, omitted: &mut OmittedFiles) {
    for name in names {
        let reason = match refusal {
            Refusal::Filter(filter) => OmissionReason::FilterFailed { filter: filter.clone() },
            Refusal::Other(message) => OmissionReason::Unreadable { message: message.clone() },
        };
        omitted.push(OmittedFile { path: shown(name), reason });
    }
}

fn entries(listed: &[u8]) -> impl Iterator<Item = &[u8]> {
    listed.split(|byte| *byte == 0).filter(|entry| !entry.is_empty())
}

/// Names, each with a zero byte behind it.
fn joined(names: &[Name]) -> Vec<u8> {
    names.iter().flat_map(|name| name.iter().copied().chain([0])).collect()
}

fn shown(name: &[u8]) -> String {
    let control = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    String::from_utf8_lossy(name).chars().map(control).collect()
}
