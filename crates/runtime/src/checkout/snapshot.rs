//! Keeping a tree.

use std::fs::File;

use backstay_files::{Dir, if_there};
use backstay_model::event::{OmittedFiles, TreeSnapshot};
use backstay_model::{Attempt, EffectId, LogId, ObjectId};
use camino::Utf8Path;

use super::error::TreeError;
use super::git_checkout::Checkout;
use super::refs::RunRefs;
use super::staging::Staging;

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
    /// Of one attempt of a run in `log`.
    #[must_use]
    pub fn new(log: LogId, effect: &EffectId, attempt: Attempt, moment: TreeMoment) -> TreeName {
        // A reference has no `~`, and a scope no `+`, so this stays unambiguous.
        let scope = effect.scope.to_string().replace('~', "+");
        let folder = RunRefs::new(log, effect.root).folder();
        TreeName(format!("{folder}/{scope}/{attempt}/{}", moment.as_str()))
    }

    /// Of a person's work in the session of a step's agent, the `nth` in the run.
    #[must_use]
    pub fn taken_over(refs: &RunRefs, nth: usize, moment: TreeMoment) -> TreeName {
        TreeName(format!("{}/taken-over/{nth}/{}", refs.folder(), moment.as_str()))
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
    pub fn keep(&self, name: &TreeName, scratch: &Utf8Path) -> Result<TreeSnapshot, TreeError> {
        let (tree, omitted) = self.written(scratch)?;
        let head = self.git(&["rev-parse", "--verify", "--quiet", "HEAD"]).text().ok();
        let message = format!("backstay: {}", name.0);
        let note = match omitted.is_empty() {
            true => None,
            false => Some(serde_json::to_string(&omitted).map_err(|error| TreeError::Io {
                action: "note what is not in the tree of",
                path: self.root.clone(),
                source: error.into(),
            })?),
        };
        let mut words = vec!["commit-tree", tree.as_str(), "-m", message.as_str()];
        words.extend(note.iter().flat_map(|note| ["-m", note.as_str()]));
        words.extend(head.iter().flat_map(|head| ["-p", head.as_str()]));
        let mut commit = self.git(&words);
        for role in ["AUTHOR", "COMMITTER"] {
            commit = commit
                .env(&format!("GIT_{role}_NAME"), "backstay")
                .env(&format!("GIT_{role}_EMAIL"), "backstay@localhost");
        }
        let commit = commit.object()?;
        self.git(&["update-ref", &name.reference(), commit.as_str()]).bytes()?;
        Ok(TreeSnapshot { commit, tree, omitted })
    }

    /// The tree of the checkout as it is now with what it omits, kept under no name: git's own collection may take it.
    /// `scratch` is a folder for a temporary file.
    ///
    /// # Errors
    /// [`TreeError`] if git refuses; nothing of the user's was changed.
    pub fn tree_now(&self, scratch: &Utf8Path) -> Result<(ObjectId, OmittedFiles), TreeError> {
        self.written(scratch)
    }

    /// The tree of the checkout, and what it omits.
    fn written(&self, scratch: &Utf8Path) -> Result<(ObjectId, OmittedFiles), TreeError> {
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

    fn write_with(&self, scratch: &Dir, index: &Utf8Path) -> Result<(ObjectId, OmittedFiles), TreeError> {
        let failed = |source| TreeError::Io { action: "copy", path: self.index.clone(), source };
        // With the user's index git knows which files are unchanged, so it reads only the others.
        if let Some(users) = if_there(File::open(&self.index)).map_err(failed)? {
            copy_with_time(users, scratch).map_err(failed)?;
        }
        let staging = Staging { checkout: self, index };
        let omitted = staging.stage()?;
        Ok((staging.tree()?, omitted))
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
