//! The worktrees that a run's steps worked in: which there are, and their end.

use std::fs::File;

use backstay_model::Root;
use camino::{Utf8Path, Utf8PathBuf};

use super::error::TreeError;
use super::git_checkout::Checkout;
use super::ignored::has_lone_ignored;
use super::refs::RunRefs;

/// Behind the name of the checkout, the folder with its worktrees. `worktree.sh` makes it.
const WORKTREES: &str = ".worktrees";
/// The branches that are named after runs.
const OWN_BRANCHES: &str = "refs/heads/backstay/";

/// Why a worktree is not removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unmerged {
    /// It has changes that are not committed.
    Changes,
    /// It has commits that no other branch has.
    Commits,
    /// It has ignored files that the checkout has not, outside of ignored folders.
    Ignored,
    /// It has submodules: git removes no such worktree.
    Submodules,
    /// The store did not make it: another one has a run of the same id.
    Foreign,
    /// Somebody locked it.
    Locked,
    /// A run works in it.
    Busy,
    /// It is no worktree of the checkout any more.
    Unlinked,
    /// Git refuses to look into it, or to remove it.
    Refused {
        /// What git says.
        message: String,
    },
}

impl Unmerged {
    /// The reason, for people.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Unmerged::Changes => "has changes that are not committed".to_owned(),
            Unmerged::Commits => "has commits that are in no other branch".to_owned(),
            Unmerged::Ignored => "has ignored files that the checkout has not".to_owned(),
            Unmerged::Submodules => "has submodules".to_owned(),
            Unmerged::Foreign => "was not made by this store".to_owned(),
            Unmerged::Locked => "is locked".to_owned(),
            Unmerged::Busy => "is worked in by a run".to_owned(),
            Unmerged::Unlinked => "is no worktree of the checkout any more".to_owned(),
            Unmerged::Refused { message } => format!("is refused by git: {message}"),
        }
    }
}

/// What a worktree is worth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RemovalSafety {
    /// Nothing in it would be lost, as long as it has the commit `head` checked out.
    Nothing {
        /// That commit.
        head: String,
    },
    /// It has to stay.
    Something(Unmerged),
}

/// What became of a worktree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Removal {
    /// It is gone, and its branch with it if that is named after the run.
    Gone,
    /// It is gone. Its branch got another commit since it was looked at, and stays.
    BranchStays(String),
    /// It stays.
    Stays(Unmerged),
}

/// A worktree that a run's steps worked in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunWorktree {
    /// Its topmost folder.
    pub path: Utf8PathBuf,
    /// Its branch, if it is on one: the whole name of the reference.
    branch: Option<String>,
    is_locked: bool,
    /// Whether the store made it.
    is_own: bool,
}

/// A worktree in which no run begins to work.
struct Inside {
    checkout: Checkout,
    _kept_out: File,
}

impl Checkout {
    /// The worktrees that are named after a run and still there, whichever store made them.
    ///
    /// # Errors
    /// [`TreeError`] if git cannot tell.
    pub fn worktrees(&self, refs: &RunRefs) -> Result<Vec<RunWorktree>, TreeError> {
        let listed = self.git(&["worktree", "list", "--porcelain", "-z"]).bytes()?;
        let listed = String::from_utf8_lossy(&listed).into_owned();
        let mut found: Vec<RunWorktree> = Vec::new();
        for line in listed.split('\0') {
            let (word, value) = line.split_once(' ').unwrap_or((line, ""));
            match (word, found.last_mut()) {
                ("worktree", _) => {
                    let path = Utf8PathBuf::from(value);
                    found.push(RunWorktree { path, branch: None, is_locked: false, is_own: false });
                }
                ("branch", Some(last)) => last.branch = Some(value.to_owned()),
                ("locked", Some(last)) => last.is_locked = true,
                _ => {}
            }
        }
        found.retain(|worktree| is_of(&worktree.path, refs.root()) && worktree.path.is_dir());
        let made = if found.is_empty() { Vec::new() } else { self.reference_names(&refs.folder())? };
        for worktree in &mut found {
            worktree.is_own = made.contains(&refs.worktree(&worktree.path));
        }
        Ok(found)
    }

    /// Whether anything in `worktree` would be lost.
    ///
    /// # Errors
    /// [`TreeError`] if git cannot tell.
    pub fn worth(&self, worktree: &RunWorktree) -> Result<RemovalSafety, TreeError> {
        match self.enter(worktree)? {
            Ok(inside) => self.worth_inside(worktree, &inside.checkout),
            Err(why) => Ok(RemovalSafety::Something(why)),
        }
    }

    /// Keeps runs out of `worktree`, or says why it is to be left alone.
    fn enter(&self, worktree: &RunWorktree) -> Result<Result<Inside, Unmerged>, TreeError> {
        if !worktree.is_own {
            return Ok(Err(Unmerged::Foreign));
        }
        if worktree.is_locked {
            return Ok(Err(Unmerged::Locked));
        }
        // Without its link it is a folder of some other checkout, or of none, whatever lies above it.
        if worktree.path.join(".git").symlink_metadata().is_err() {
            return Ok(Err(Unmerged::Unlinked));
        }
        let checkout = match Checkout::around(&worktree.path) {
            Ok(Some(inside)) if is_same_folder(&inside.root, &worktree.path) => inside,
            Ok(_) => return Ok(Err(Unmerged::Unlinked)),
            Err(TreeError::Checkout(fault)) => {
                return Ok(Err(Unmerged::Refused { message: fault.to_string() }));
            }
            Err(error) => return Err(error),
        };
        Ok(match checkout.keep_out()? {
            Some(kept_out) => Ok(Inside { checkout, _kept_out: kept_out }),
            None => Err(Unmerged::Busy),
        })
    }

    fn worth_inside(&self, worktree: &RunWorktree, inside: &Checkout) -> Result<RemovalSafety, TreeError> {
        let words = ["status", "--porcelain", "-z", "--untracked-files=normal", "--ignored=matching"];
        let status = inside.git(&words).bytes()?;
        let mut entries = status.split(|byte| *byte == 0).filter(|entry| !entry.is_empty());
        if entries.any(|entry| !entry.starts_with(b"!! ")) {
            return Ok(RemovalSafety::Something(Unmerged::Changes));
        }
        let head = inside.git(&["rev-parse", "HEAD"]).text()?;
        let contains = format!("--contains={head}");
        let ours =
            ["for-each-ref", "--format=%(refname)", &contains, "refs/heads", "refs/remotes", "refs/tags"];
        let found = self.git(&ours).text()?;
        if !found.lines().any(|name| Some(name) != worktree.branch.as_deref()) {
            return Ok(RemovalSafety::Something(Unmerged::Commits));
        }
        if has_lone_ignored(&status, &inside.root, &self.root) {
            return Ok(RemovalSafety::Something(Unmerged::Ignored));
        }
        let modules = inside.git(&["rev-parse", "--git-path", "modules"]).text()?;
        if inside.root.join(modules).is_dir() {
            return Ok(RemovalSafety::Something(Unmerged::Submodules));
        }
        Ok(RemovalSafety::Nothing { head })
    }

    /// Removes `worktree` if nothing in it would be lost, and its branch if that is named after the run.
    ///
    /// # Errors
    /// [`TreeError`] if git cannot tell, or did not end.
    pub fn free_worktree(&self, worktree: &RunWorktree) -> Result<Removal, TreeError> {
        let inside = match self.enter(worktree)? {
            Ok(inside) => inside,
            Err(why) => return Ok(Removal::Stays(why)),
        };
        match self.worth_inside(worktree, &inside.checkout)? {
            RemovalSafety::Something(why) => Ok(Removal::Stays(why)),
            RemovalSafety::Nothing { head } => self.remove_worktree(worktree, &head),
        }
    }

    /// Removes `worktree`, in which nothing would be lost at the commit `head`. Git itself refuses if there are changes in
    /// it, and the branch stays if it got another commit.
    ///
    /// # Errors
    /// [`TreeError`] if the worktree or the branch cannot be removed for another reason.
    pub fn remove_worktree(&self, worktree: &RunWorktree, head: &str) -> Result<Removal, TreeError> {
        match self.git(&["worktree", "remove", "--end-of-options", worktree.path.as_str()]).bytes() {
            Ok(_) => {}
            Err(TreeError::Git { message, .. }) => {
                return Ok(Removal::Stays(Unmerged::Refused { message }));
            }
            Err(error) => return Err(error),
        }
        if let Some(folder) = worktree.path.parent()
            && let Err(error) = std::fs::remove_dir(folder)
        {
            tracing::debug!(%folder, %error, "there are other worktrees beside it");
        }
        match worktree.branch.as_deref().filter(|branch| branch.starts_with(OWN_BRANCHES)) {
            Some(branch) => self.remove_branch(branch, head),
            None => Ok(Removal::Gone),
        }
    }

    fn remove_branch(&self, branch: &str, head: &str) -> Result<Removal, TreeError> {
        let Err(error) = self.git(&["update-ref", "-d", branch, head]).bytes() else {
            return Ok(Removal::Gone);
        };
        let now = self.git(&["for-each-ref", "--format=%(objectname)", branch]).text()?;
        match now.as_str() {
            "" => Ok(Removal::Gone),
            now if now == head => Err(error),
            _ => Ok(Removal::BranchStays(branch.to_owned())),
        }
    }
}

/// Whether two paths lead to one folder.
fn is_same_folder(one: &Utf8Path, other: &Utf8Path) -> bool {
    match (one.canonicalize(), other.canonicalize()) {
        (Ok(one), Ok(other)) => one == other,
        _ => false,
    }
}

/// Whether a worktree is named after `run`.
fn is_of(path: &Utf8Path, run: Root) -> bool {
    let name = path.file_name().unwrap_or_default();
    let is_named =
        name.strip_prefix(&run.to_string()).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'));
    is_named && path.parent().and_then(Utf8Path::file_name).is_some_and(|folder| folder.ends_with(WORKTREES))
}
