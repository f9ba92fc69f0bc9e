//! A git checkout, and what can be done with the trees that are kept of it.

use std::borrow::Cow;
use std::time::Duration;

use backstay_model::event::{OmittedFiles, TreeSnapshot};
use backstay_model::{InvalidObjectId, ObjectId};
use camino::{Utf8Path, Utf8PathBuf};

use super::error::TreeError;
use super::git::{DIFF_OPTIONS, GIT_PATIENCE, Git};
use super::snapshot::TreeName;
use super::state::CheckoutState;

/// The git checkout around a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkout {
    pub(super) root: Utf8PathBuf,
    /// The user's index.
    pub(super) index: Utf8PathBuf,
    /// How long one call of git may take.
    patience: Duration,
    /// What git is told of this checkout in each call.
    settings: Vec<String>,
}

/// What a change did to a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangedFile {
    /// One letter for how: added, modified, deleted, of another type.
    pub change: char,
    /// Its path from the root, shown lossily where it is not UTF-8.
    pub path: String,
    /// The bytes of a path that is not UTF-8.
    pub path_bytes: Option<Vec<u8>>,
}

impl ChangedFile {
    fn of(change: char, path: &[u8]) -> ChangedFile {
        let shown = String::from_utf8_lossy(path);
        let path_bytes = matches!(shown, Cow::Owned(_)).then(|| path.to_vec());
        ChangedFile { change, path: shown.into_owned(), path_bytes }
    }
}

impl Checkout {
    /// The checkout that `folder` (absolute) is in; none if it is in no repository.
    ///
    /// # Errors
    /// [`TreeError`] if it is in something of git that cannot be used as a checkout.
    pub fn around(folder: &Utf8Path) -> Result<Option<Checkout>, TreeError> {
        Checkout::around_within(folder, GIT_PATIENCE)
    }

    /// The same, where no call of git, now or later, may take longer than `patience`.
    ///
    /// # Errors
    /// [`TreeError`] if it is in something of git that cannot be used as a checkout.
    pub fn around_within(folder: &Utf8Path, patience: Duration) -> Result<Option<Checkout>, TreeError> {
        match CheckoutState::of_within(folder, patience) {
            CheckoutState::Outside => Ok(None),
            CheckoutState::Usable(checkout) => Ok(Some(checkout)),
            CheckoutState::Unusable(error) => Err(error),
        }
    }

    /// The checkout in `root`, whose index is the file `index` in its own git folder.
    pub(super) fn at(root: Utf8PathBuf, index: Utf8PathBuf, patience: Duration) -> Checkout {
        // What a configuration says of this may come from another machine: files whose names differ in case only would be
        // taken for one.
        let ignores_case = index.with_file_name("hEaD").exists();
        let settings = vec![format!("core.ignoreCase={ignores_case}")];
        Checkout { root, index, patience, settings }
    }

    pub(super) fn git(&self, words: &[&str]) -> Git {
        Git::with_settings(&self.root, self.patience, &self.settings, words)
    }

    /// The same with settings for this call alone.
    pub(super) fn git_with(&self, settings: &[String], words: &[&str]) -> Git {
        let settings: Vec<String> = self.settings.iter().chain(settings).cloned().collect();
        Git::with_settings(&self.root, self.patience, &settings, words)
    }

    pub(super) fn settings(&self) -> &[String] {
        &self.settings
    }

    pub(super) fn patience(&self) -> Duration {
        self.patience
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
    pub fn kept(&self, name: &TreeName) -> Result<Option<TreeSnapshot>, TreeError> {
        let format = "--format=%(objectname) %(tree) %(contents:body)";
        let said = self.git(&["for-each-ref", format, &name.reference()]).text()?;
        let mut parts = said.splitn(3, ' ');
        let (Some(commit), Some(tree)) = (parts.next(), parts.next()) else { return Ok(None) };
        let odd = |error: String| TreeError::Git {
            command: format!("for-each-ref {}", name.reference()),
            message: format!("the message of {commit} is not what was written: {error}"),
        };
        // What is not in it is noted in its message.
        let omitted = match parts.next().map(str::trim).filter(|text| !text.is_empty()) {
            Some(text) => serde_json::from_str(text).map_err(|error| odd(error.to_string()))?,
            None => OmittedFiles::default(),
        };
        let object =
            |text: &str| text.trim().parse().map_err(|error: InvalidObjectId| odd(error.to_string()));
        Ok(Some(TreeSnapshot { commit: object(commit)?, tree: object(tree)?, omitted }))
    }

    /// What is different between two commits or trees, as a text without colours.
    ///
    /// # Errors
    /// [`TreeError`] if git cannot tell.
    pub fn diff(&self, from: &ObjectId, to: &ObjectId) -> Result<Vec<u8>, TreeError> {
        let objects = ["--end-of-options", from.as_str(), to.as_str(), "--"];
        let words: Vec<&str> =
            ["diff", "--no-color"].into_iter().chain(DIFF_OPTIONS).chain(objects).collect();
        self.git(&words).bytes()
    }

    /// The files that differ between two commits, by path from the root.
    ///
    /// # Errors
    /// [`TreeError`] if git cannot tell.
    pub fn changed(&self, from: &ObjectId, to: &ObjectId) -> Result<Vec<ChangedFile>, TreeError> {
        let words: Vec<&str> = ["diff-tree", "-r", "--no-renames", "--name-status", "-z"]
            .into_iter()
            .chain(DIFF_OPTIONS)
            .chain(["--end-of-options", from.as_str(), to.as_str(), "--"])
            .collect();
        let said = self.git(&words).bytes()?;
        let mut parts = said.split(|byte| *byte == 0);
        let mut changed = Vec::new();
        while let (Some(how), Some(path)) = (parts.next(), parts.next()) {
            changed.extend(how.first().map(|change| ChangedFile::of(char::from(*change), path)));
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
}
