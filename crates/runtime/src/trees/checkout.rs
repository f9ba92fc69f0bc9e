//! A git checkout, and what can be done with the trees that are kept of it.

use std::process::{Command, Stdio};
use std::time::Duration;

use backstay_model::ObjectId;
use backstay_model::event::KeptTree;
use camino::{Utf8Path, Utf8PathBuf};

use super::error::TreeError;
use super::git::{GIT_PATIENCE, Git};
use super::keep::TreeName;

/// The git checkout around a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkout {
    pub(super) root: Utf8PathBuf,
    /// The user's index.
    pub(super) index: Utf8PathBuf,
    /// How long one call of git may take.
    patience: Duration,
}

impl Checkout {
    /// The checkout that `folder` (absolute) is in; none if it is in none.
    ///
    /// # Errors
    /// [`TreeError`] if there is one and git cannot tell about it.
    pub fn around(folder: &Utf8Path) -> Result<Option<Checkout>, TreeError> {
        Checkout::around_within(folder, GIT_PATIENCE)
    }

    /// The same, where no call of git, now or later, may take longer than `patience`.
    ///
    /// # Errors
    /// [`TreeError`] if there is one and git cannot tell about it.
    pub fn around_within(folder: &Utf8Path, patience: Duration) -> Result<Option<Checkout>, TreeError> {
        if !folder.ancestors().any(|above| above.join(".git").exists()) {
            return Ok(None);
        }
        let said = Git::new(folder, patience, &["rev-parse", "--is-inside-work-tree"]).text()?;
        if said != "true" {
            return Ok(None);
        }
        let where_is = ["rev-parse", "--show-toplevel", "--git-path", "index"];
        let said = Git::new(folder, patience, &where_is).text()?;
        let mut lines = said.lines();
        let (Some(root), Some(index)) = (lines.next(), lines.next()) else { return Ok(None) };
        Ok(Some(Checkout { root: Utf8PathBuf::from(root), index: folder.join(index), patience }))
    }

    pub(super) fn git(&self, words: &[&str]) -> Git {
        Git::new(&self.root, self.patience, words)
    }

    /// Its topmost folder.
    #[must_use]
    pub fn root(&self) -> &Utf8Path {
        &self.root
    }

    /// What was kept under `name`; none if nothing was, or it was pruned.
    ///
    /// # Errors
    /// [`TreeError`] if git cannot tell.
    pub fn kept(&self, name: &TreeName) -> Result<Option<KeptTree>, TreeError> {
        let format = "--format=%(objectname) %(tree)";
        let said = self.git(&["for-each-ref", format, &name.reference()]).text()?;
        let kept = said.split_once(' ').and_then(|(commit, tree)| {
            Some(KeptTree { commit: commit.parse().ok()?, tree: tree.parse().ok()?, left_out: 0 })
        });
        Ok(kept)
    }

    /// Shows what is different between two commits, by git's own means: colours, pager and all. True if git was content.
    ///
    /// # Errors
    /// [`TreeError`] if git cannot be started.
    pub fn show_diff(&self, from: &ObjectId, to: &ObjectId, options: &[String]) -> Result<bool, TreeError> {
        let status = Command::new("git")
            .arg("-C")
            .arg(self.root.as_std_path())
            .arg("diff")
            .args(options)
            .args(["--end-of-options", from.as_str(), to.as_str(), "--"])
            .stdin(Stdio::null())
            .status()
            .map_err(TreeError::NoGit)?;
        Ok(status.success())
    }

    /// What is different between two commits or trees, as a text without colours.
    ///
    /// # Errors
    /// [`TreeError`] if git cannot tell.
    pub fn diff(&self, from: &ObjectId, to: &ObjectId) -> Result<Vec<u8>, TreeError> {
        let (from, to) = (from.as_str(), to.as_str());
        self.git(&["diff", "--no-color", "--no-ext-diff", "--end-of-options", from, to, "--"]).bytes()
    }

    /// The files that differ between two commits, by path from the root, with one letter for how.
    ///
    /// # Errors
    /// [`TreeError`] if git cannot tell.
    pub fn changed(&self, from: &ObjectId, to: &ObjectId) -> Result<Vec<(char, String)>, TreeError> {
        let words = ["diff-tree", "-r", "--no-renames", "--name-status", "-z", "--end-of-options"];
        let said = self.git(&[&words[..], &[from.as_str(), to.as_str(), "--"]].concat());
        let said = String::from_utf8_lossy(&said.bytes()?).into_owned();
        let mut parts = said.split('\0');
        let mut changed = Vec::new();
        while let (Some(how), Some(path)) = (parts.next(), parts.next()) {
            changed.extend(how.chars().next().map(|how| (how, path.to_owned())));
        }
        Ok(changed)
    }

    /// Puts the tree of `commit` into a new worktree at `path`, on no branch. The checkout itself is not touched.
    ///
    /// # Errors
    /// [`TreeError::Occupied`] if something is at `path`; others if git refuses.
    pub fn restore_to(&self, commit: &ObjectId, path: &Utf8Path) -> Result<(), TreeError> {
        if path.exists() {
            return Err(TreeError::Occupied { path: path.to_owned() });
        }
        self.git(&[
            "worktree",
            "add",
            "--detach",
            "--quiet",
            "--end-of-options",
            path.as_str(),
            commit.as_str(),
        ])
        .bytes()?;
        Ok(())
    }

    /// Makes the branch `name` at `commit`. The checkout itself is not touched.
    ///
    /// # Errors
    /// [`TreeError`] if there is such a branch, or git refuses the name.
    pub fn restore_as_branch(&self, commit: &ObjectId, name: &str) -> Result<(), TreeError> {
        self.git(&["branch", "--no-track", "--end-of-options", name, commit.as_str()]).bytes()?;
        Ok(())
    }

    /// How many trees of `run` are kept.
    ///
    /// # Errors
    /// [`TreeError`] if git cannot tell.
    pub(crate) fn kept_count(&self, run: backstay_model::RunId) -> Result<usize, TreeError> {
        let words = ["for-each-ref", "--format=%(objectname)", &TreeName::prefix(run)];
        Ok(self.git(&words).bytes()?.iter().filter(|byte| **byte == b'\n').count())
    }

    /// Forgets the trees of `run`; git's own collection takes the objects later. Says how many this call forgot.
    ///
    /// # Errors
    /// [`TreeError`] if git refuses.
    pub fn forget(&self, run: backstay_model::RunId) -> Result<usize, TreeError> {
        let prefix = TreeName::prefix(run);
        // With what each is now, so that of two who forget them at once only one does.
        let words = ["for-each-ref", "--format=delete %(refname) %(objectname)", &prefix];
        let mut listed = self.git(&words).bytes()?;
        loop {
            let count = listed.iter().filter(|byte| **byte == b'\n').count();
            if count == 0 {
                return Ok(0);
            }
            let Err(error) = self.git(&["update-ref", "--stdin"]).feed(listed.clone()) else {
                return Ok(count);
            };
            let now = self.git(&words).bytes()?;
            if now == listed {
                return Err(error);
            }
            listed = now;
        }
    }
}
