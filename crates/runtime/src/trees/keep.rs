//! Keeping a tree.

use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use backstay_files::{Dir, if_there};
use backstay_model::event::KeptTree;
use backstay_model::{Attempt, EffectId, ObjectId, RunId};
use camino::Utf8Path;

use super::checkout::Checkout;
use super::error::TreeError;

/// An untracked file that is larger is left out: nobody wants a copy of a disk image in the repository.
const UNTRACKED_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// The name of the index that git writes a tree with, in a folder of ours.
const INDEX: &str = "tree-index";

/// When a tree was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TreeMoment {
    /// Before the attempt began.
    Before,
    /// After it ended.
    After,
}

impl TreeMoment {
    const fn as_str(self) -> &'static str {
        match self {
            TreeMoment::Before => "before",
            TreeMoment::After => "after",
        }
    }
}

/// The name under which a tree is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeName(String);

impl TreeName {
    /// Of one attempt.
    #[must_use]
    pub fn new(effect: &EffectId, attempt: Attempt, moment: TreeMoment) -> TreeName {
        // A reference has no `~` and no `@{`; ids of steps have no `-`, so this stays unambiguous.
        let place: String = effect
            .scope
            .to_string()
            .chars()
            .map(|c| if matches!(c, '~' | '@' | ',' | '=') { '-' } else { c })
            .collect();
        TreeName(format!("{}{place}/{attempt}/{}", TreeName::prefix(effect.run), moment.as_str()))
    }

    /// Of a person's work in the session of a step's agent, the `nth` in the run.
    #[must_use]
    pub fn taken_over(run: RunId, nth: usize, moment: TreeMoment) -> TreeName {
        TreeName(format!("{}taken-over/{nth}/{}", TreeName::prefix(run), moment.as_str()))
    }

    pub(super) fn prefix(run: RunId) -> String {
        format!("refs/backstay/{run}/")
    }

    pub(super) fn reference(&self) -> String {
        self.0.clone()
    }
}

impl Checkout {
    /// Keeps the checkout as it is now under `name`. `scratch` is a folder for a temporary file.
    ///
    /// # Errors
    /// [`TreeError`] if git refuses; nothing of the user's was changed.
    pub fn keep(&self, name: &TreeName, scratch: &Utf8Path) -> Result<KeptTree, TreeError> {
        let (tree, left_out) = self.written(scratch)?;
        let head = self.git(&["rev-parse", "--verify", "--quiet", "HEAD"]).text().ok();
        let message = format!("backstay: {}", name.0);
        let mut words = vec!["commit-tree", tree.as_str(), "-m", message.as_str()];
        words.extend(head.iter().flat_map(|head| ["-p", head.as_str()]));
        let mut commit = self.git(&words);
        for role in ["AUTHOR", "COMMITTER"] {
            commit = commit
                .env(&format!("GIT_{role}_NAME"), "backstay")
                .env(&format!("GIT_{role}_EMAIL"), "backstay@localhost");
        }
        let commit = commit.object()?;
        self.git(&["update-ref", &name.reference(), commit.as_str()]).bytes()?;
        Ok(KeptTree { commit, tree, left_out })
    }

    /// The tree of the checkout as it is now, kept under no name: git's own collection may take it. `scratch` is a folder
    /// for a temporary file.
    ///
    /// # Errors
    /// [`TreeError`] if git refuses; nothing of the user's was changed.
    pub fn tree_now(&self, scratch: &Utf8Path) -> Result<ObjectId, TreeError> {
        Ok(self.written(scratch)?.0)
    }

    /// The tree of the checkout, and how many files it leaves out.
    fn written(&self, scratch: &Utf8Path) -> Result<(ObjectId, u32), TreeError> {
        let failed = |source| TreeError::Io { action: "use", path: scratch.to_owned(), source };
        let folder = Dir::open(scratch.as_std_path()).map_err(failed)?;
        // Git writes where the name leads: what another left under it goes first.
        if_there(folder.remove(INDEX)).map_err(failed)?;
        let written = self.write_with(&folder, &scratch.join(INDEX));
        if let Err(error) = if_there(folder.remove(INDEX)) {
            tracing::debug!(%scratch, %error, "an index that served its time stays");
        }
        written
    }

    fn write_with(&self, scratch: &Dir, index: &Utf8Path) -> Result<(ObjectId, u32), TreeError> {
        let failed = |source| TreeError::Io { action: "copy", path: self.index.clone(), source };
        // With the user's index git knows which files are unchanged, so it reads only the others.
        if let Some(users) = if_there(File::open(&self.index)).map_err(failed)? {
            copy_with_time(users, scratch).map_err(failed)?;
        }
        let git = |words: &[&str]| self.git(words).env("GIT_INDEX_FILE", index.as_str());
        git(&["add", "--update"]).bytes()?;
        let (untracked, left_out) =
            self.untracked(&git(&["ls-files", "--others", "--exclude-standard", "-z"]).bytes()?);
        if !untracked.is_empty() {
            git(&["update-index", "--add", "-z", "--stdin"]).feed(untracked)?;
        }
        Ok((git(&["write-tree"]).object()?, left_out))
    }

    /// Of the names that git lists (each with a zero byte behind it), those to keep, and how many are not.
    fn untracked(&self, listed: &[u8]) -> (Vec<u8>, u32) {
        let (mut kept, mut left_out) = (Vec::new(), 0_u32);
        for name in listed.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
            let path = PathBuf::from(std::ffi::OsStr::from_bytes(name));
            let is_of_store = path.components().any(|part| part.as_os_str() == crate::store::STORE_FOLDER);
            if is_of_store {
                continue;
            }
            let is_kept = fs::symlink_metadata(self.root.as_std_path().join(&path)).is_ok_and(|metadata| {
                metadata.is_symlink() || (metadata.is_file() && metadata.len() <= UNTRACKED_BYTES_MAX)
            });
            if is_kept {
                kept.extend_from_slice(name);
                kept.push(0);
            } else {
                // Also a repository inside this one, which git lists as a folder.
                left_out = left_out.saturating_add(1);
            }
        }
        (kept, left_out)
    }
}

/// Copies a file with the time at which it was written. By that time of an index git knows which files may have changed
/// in the very moment in which it was written, and reads those again.
fn copy_with_time(mut from: File, scratch: &Dir) -> std::io::Result<()> {
    // Asked before copying: an earlier time makes git read more, and miss nothing.
    let written_at = from.metadata()?.modified()?;
    let mut to = scratch.create_new(INDEX)?;
    std::io::copy(&mut from, &mut to)?;
    to.set_modified(written_at)
}
