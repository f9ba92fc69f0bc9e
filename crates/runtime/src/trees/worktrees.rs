//! The worktrees that a run's steps worked in: which there are, and their end.

use backstay_model::RunId;
use camino::{Utf8Path, Utf8PathBuf};

use super::checkout::Checkout;
use super::error::TreeError;

/// Behind the name of the checkout, the folder with its worktrees. `engine::run::worktree.sh` makes it.
const WORKTREES: &str = ".worktrees";
/// The branches that are named after runs.
const OWN_BRANCHES: &str = "refs/heads/backstay/";

/// Why a worktree is not removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unmerged {
    /// It has changes that are not committed.
    Changes,
    /// It has commits that no other branch has.
    Commits,
    /// Somebody locked it.
    Locked,
}

impl Unmerged {
    /// The reason, for people.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Unmerged::Changes => "has changes that are not committed",
            Unmerged::Commits => "has commits that are in no other branch",
            Unmerged::Locked => "is locked",
        }
    }
}

/// A worktree that a run's steps worked in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunWorktree {
    /// Its topmost folder.
    pub path: Utf8PathBuf,
    /// Its branch, if it is on one: the whole name of the reference.
    branch: Option<String>,
    is_locked: bool,
}

impl Checkout {
    /// The worktrees of `run` that are still there.
    ///
    /// # Errors
    /// [`TreeError`] if git cannot tell.
    pub fn worktrees(&self, run: RunId) -> Result<Vec<RunWorktree>, TreeError> {
        let listed = self.git(&["worktree", "list", "--porcelain", "-z"]).bytes()?;
        let listed = String::from_utf8_lossy(&listed).into_owned();
        let mut found: Vec<RunWorktree> = Vec::new();
        for line in listed.split('\0') {
            let (word, value) = line.split_once(' ').unwrap_or((line, ""));
            match (word, found.last_mut()) {
                ("worktree", _) => {
                    let path = Utf8PathBuf::from(value);
                    found.push(RunWorktree { path, branch: None, is_locked: false });
                }
                ("branch", Some(last)) => last.branch = Some(value.to_owned()),
                ("locked", Some(last)) => last.is_locked = true,
                _ => {}
            }
        }
        found.retain(|worktree| is_of(&worktree.path, run) && worktree.path.is_dir());
        Ok(found)
    }

    /// Why `worktree` has to stay; none if nothing in it would be lost.
    ///
    /// # Errors
    /// [`TreeError`] if git cannot tell.
    pub fn unmerged(&self, worktree: &RunWorktree) -> Result<Option<Unmerged>, TreeError> {
        if worktree.is_locked {
            return Ok(Some(Unmerged::Locked));
        }
        let inside = self.in_folder(&worktree.path);
        if !inside.git(&["status", "--porcelain", "--untracked-files=normal"]).bytes()?.is_empty() {
            return Ok(Some(Unmerged::Changes));
        }
        let head = inside.git(&["rev-parse", "HEAD"]).text()?;
        let contains = format!("--contains={head}");
        let ours =
            ["for-each-ref", "--format=%(refname)", &contains, "refs/heads", "refs/remotes", "refs/tags"];
        let found = self.git(&ours).text()?;
        let is_elsewhere = found.lines().any(|name| Some(name) != worktree.branch.as_deref());
        Ok((!is_elsewhere).then_some(Unmerged::Commits))
    }

    /// Removes `worktree`, and its branch if that is named after the run. Git itself refuses if there are changes in it.
    ///
    /// # Errors
    /// [`TreeError`] if git refuses.
    pub fn remove_worktree(&self, worktree: &RunWorktree) -> Result<(), TreeError> {
        self.git(&["worktree", "remove", worktree.path.as_str()]).bytes()?;
        if let Some(branch) = worktree.branch.as_deref().filter(|branch| branch.starts_with(OWN_BRANCHES)) {
            self.git(&["update-ref", "-d", branch]).bytes()?;
        }
        if let Some(folder) = worktree.path.parent()
            && let Err(error) = std::fs::remove_dir(folder)
        {
            tracing::debug!(%folder, %error, "there are other worktrees beside it");
        }
        Ok(())
    }
}

/// Whether a worktree was made for steps of `run`.
fn is_of(path: &Utf8Path, run: RunId) -> bool {
    let name = path.file_name().unwrap_or_default();
    let is_named =
        name.strip_prefix(&run.to_string()).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'));
    is_named && path.parent().and_then(Utf8Path::file_name).is_some_and(|folder| folder.ends_with(WORKTREES))
}
