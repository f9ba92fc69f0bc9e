//! The references that a run has in a checkout, and giving them back.
//!
//! They stand under the id of the log that the run is in. A copy of a store has the runs of its original, and a store of
//! somebody else says of its runs what it likes: neither has a claim on what another one keeps.

use backstay_model::{LogId, Root};
use camino::Utf8Path;

use super::error::TreeError;
use super::git_checkout::Checkout;

/// Above all references of all stores.
const ALL: &str = "refs/backstay";
/// Below the references of a run, those of the worktrees that were made for it: each has the name of its folder.
/// `worktree.sh` makes them.
const WORKTREE: &str = "worktree/run_";

/// A run of one store, by which its references are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunRefs {
    log: LogId,
    root: Root,
}

impl RunRefs {
    /// Of a run in the log of its store.
    #[must_use]
    pub fn new(log: LogId, root: impl Into<Root>) -> RunRefs {
        RunRefs { log, root: root.into() }
    }

    pub(super) const fn root(&self) -> Root {
        self.root
    }

    /// What the name of each of them begins with, before a `/`.
    #[must_use]
    pub fn folder(&self) -> String {
        format!("{ALL}/{}/{}", self.log, self.root)
    }

    /// The reference of the worktree of this run in the folder `path`.
    pub(super) fn worktree(&self, path: &Utf8Path) -> String {
        format!("{}/worktree/{}", self.folder(), path.file_name().unwrap_or_default())
    }

    fn is_tree(&self, name: &str) -> bool {
        let rest = name.strip_prefix(ALL).and_then(|rest| rest.split_once(&format!("/{}/", self.root)));
        rest.is_some_and(|(_log, rest)| !rest.starts_with(WORKTREE))
    }
}

impl Checkout {
    /// The names of the references that `pattern` finds.
    pub(super) fn reference_names(&self, pattern: &str) -> Result<Vec<String>, TreeError> {
        let listed = self.git(&["for-each-ref", "--format=%(refname)", pattern]).bytes()?;
        Ok(String::from_utf8_lossy(&listed).lines().map(str::to_owned).collect())
    }

    /// How many trees of a run are kept.
    ///
    /// # Errors
    /// [`TreeError`] if git cannot tell.
    pub fn kept_count(&self, refs: &RunRefs) -> Result<usize, TreeError> {
        let names = self.reference_names(&refs.folder())?;
        Ok(names.iter().filter(|name| refs.is_tree(name)).count())
    }

    /// How many trees other stores keep of a run of the same id.
    ///
    /// # Errors
    /// [`TreeError`] if git cannot tell.
    pub fn kept_elsewhere_count(&self, refs: &RunRefs) -> Result<usize, TreeError> {
        let own = format!("{}/", refs.folder());
        let names = self.reference_names(&format!("{ALL}/*/{}/**", refs.root))?;
        Ok(names.iter().filter(|name| !name.starts_with(&own) && refs.is_tree(name)).count())
    }

    /// Removes the references of a run; git's own collection takes the objects later. Says how many trees this call forgot.
    ///
    /// # Errors
    /// [`TreeError`] if git refuses.
    pub fn forget(&self, refs: &RunRefs) -> Result<usize, TreeError> {
        // With what each is now, so that of two who forget them at once only one does.
        let words = ["for-each-ref", "--format=delete %(refname) %(objectname)", &refs.folder()];
        let mut listed = self.git(&words).bytes()?;
        while !listed.is_empty() {
            let Err(error) = self.git(&["update-ref", "--stdin"]).feed(listed.clone()) else { break };
            let now = self.git(&words).bytes()?;
            if now == listed {
                return Err(error);
            }
            listed = now;
        }
        let names = String::from_utf8_lossy(&listed);
        let names = names.lines().filter_map(|line| line.split(' ').nth(1));
        Ok(names.filter(|name| refs.is_tree(name)).count())
    }
}
