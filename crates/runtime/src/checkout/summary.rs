//! What is known of a checkout without looking at its files: no call here runs a program that a repository names.

use std::path::Path;

use camino::Utf8PathBuf;

use super::error::TreeError;
use super::git_checkout::Checkout;

/// What is checked out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckoutHead {
    /// A branch.
    Branch(String),
    /// A branch that has no commit yet.
    NoCommit(String),
    /// A commit, and no branch.
    Detached(String),
}

/// A filter without which git refuses files, and whose program is not on PATH.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingFilter {
    /// Its name in git's configuration.
    pub name: String,
    /// The program.
    pub program: String,
}

/// A checkout, and what may be in the way of work in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckoutSummary {
    /// What is checked out.
    pub head: CheckoutHead,
    /// The lock of the index: git is at work, or was killed there.
    pub index_lock: Option<Utf8PathBuf>,
    /// Filters that cannot work.
    pub missing_filters: Vec<MissingFilter>,
}

impl Checkout {
    /// Looks at the checkout. `path` is the list of folders in which programs are found.
    ///
    /// # Errors
    /// [`TreeError`] if git cannot tell.
    pub fn summary(&self, path: Option<&str>) -> Result<CheckoutSummary, TreeError> {
        let lock = self.index.with_file_name("index.lock");
        let index_lock = lock.symlink_metadata().is_ok().then_some(lock);
        Ok(CheckoutSummary { head: self.head()?, index_lock, missing_filters: self.missing_filters(path)? })
    }

    fn head(&self) -> Result<CheckoutHead, TreeError> {
        let branch = self.git(&["symbolic-ref", "--quiet", "--short", "HEAD"]).output(Vec::new())?;
        let commit = self.git(&["rev-parse", "--verify", "--quiet", "--short", "HEAD"]).output(Vec::new())?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
        Ok(match (branch.status.success(), commit.status.success()) {
            (true, true) => CheckoutHead::Branch(text(&branch.stdout)),
            (true, false) => CheckoutHead::NoCommit(text(&branch.stdout)),
            (false, _) => CheckoutHead::Detached(text(&commit.stdout)),
        })
    }

    /// The filters that are required and whose programs are not there. A command that is more than a program and its words
    /// is not judged.
    fn missing_filters(&self, path: Option<&str>) -> Result<Vec<MissingFilter>, TreeError> {
        let words = ["config", "-z", "--get-regexp", r"^filter\..*\.(clean|process|required)$"];
        let listed = self.git(&words).output(Vec::new())?;
        let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
        let values: Vec<(&str, &str)> =
            listed.split('\0').filter_map(|entry| entry.split_once('\n')).collect();
        let named = |key: &str| {
            let (filter, variable) = key.strip_prefix("filter.")?.rsplit_once('.')?;
            Some((filter.to_owned(), variable.to_owned()))
        };
        let is_required = |filter: &str| {
            values.iter().any(|(key, value)| *key == format!("filter.{filter}.required") && *value == "true")
        };
        let mut missing: Vec<MissingFilter> = Vec::new();
        for (key, value) in &values {
            let Some((name, variable)) = named(key) else { continue };
            let Some(program) = value.split_whitespace().next() else { continue };
            let is_plain =
                !value.contains(['|', '&', ';', '<', '>', '(', ')', '$', '`', '\\', '"', '\'', '=']);
            let is_known = missing.iter().any(|known| known.name == name);
            if variable == "required" || is_known || !is_plain || !is_required(&name) {
                continue;
            }
            if !is_program(program, path) {
                missing.push(MissingFilter { name, program: program.to_owned() });
            }
        }
        Ok(missing)
    }
}

/// Whether a program is there; one that is named by a path is not judged.
fn is_program(program: &str, path: Option<&str>) -> bool {
    program.contains('/')
        || path.is_none_or(|path| std::env::split_paths(path).any(|folder| is_file(&folder.join(program))))
}

fn is_file(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.is_file())
}
