//! What is known of the checkout around an attempt: the tree that is kept of it, or why none is.

use serde::{Deserialize, Serialize};

use super::effect::TreeSnapshot;

/// Files that [`OmittedFiles`] names at most.
const NAMED_MAX: usize = 20;

/// What became of keeping a tree of a checkout.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TreeOutcome {
    /// It is kept.
    Kept(TreeSnapshot),
    /// It is not kept.
    NotKept(TreeProblem),
}

impl TreeOutcome {
    /// The tree, if it is kept.
    #[must_use]
    pub const fn kept(&self) -> Option<&TreeSnapshot> {
        match self {
            TreeOutcome::Kept(tree) => Some(tree),
            TreeOutcome::NotKept(_) => None,
        }
    }

    /// Why no tree is kept.
    #[must_use]
    pub const fn problem(&self) -> Option<&TreeProblem> {
        match self {
            TreeOutcome::Kept(_) => None,
            TreeOutcome::NotKept(problem) => Some(problem),
        }
    }
}

/// Why no tree of a checkout is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TreeProblem {
    /// The stable code of the error.
    pub code: String,
    /// The error with its causes, for people.
    pub message: String,
}

/// Files that are in a checkout, are not ignored, and are not in the tree that is kept of it: whether they changed is not known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OmittedFiles {
    /// The first of them.
    pub named: Vec<OmittedFile>,
    /// How many more there are.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub more: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks with a reference")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl OmittedFiles {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.named.is_empty() && self.more == 0
    }

    /// Adds a file; of many only the number is kept.
    pub fn push(&mut self, file: OmittedFile) {
        if self.named.len() < NAMED_MAX {
            self.named.push(file);
        } else {
            self.more = self.more.saturating_add(1);
        }
    }

    /// What either of two trees of one checkout omits.
    #[must_use]
    pub fn union(mut self, other: &OmittedFiles) -> OmittedFiles {
        for file in &other.named {
            match self.named.iter_mut().find(|known| known.path == file.path) {
                // What is known later is nearer to what is there.
                Some(known) => known.reason = file.reason.clone(),
                None => self.named.push(file.clone()),
            }
        }
        self.more = self.more.max(other.more);
        self
    }
}

/// One file, or folder, that is not in a kept tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OmittedFile {
    /// Its path from the root of the checkout, shown lossily where it is not UTF-8.
    pub path: String,
    /// Why it is not in the tree.
    #[serde(flatten)]
    pub reason: OmissionReason,
}

/// Why a file is not in a kept tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum OmissionReason {
    /// It is not tracked, and larger than what is kept of such files.
    TooLarge {
        /// Its size.
        size_bytes: u64,
    },
    /// It is a repository of its own.
    InnerRepository,
    /// It is a submodule with changes that are not committed in it.
    SubmoduleChanges,
    /// The program that git has to convert it with fails.
    FilterFailed {
        /// The name of the filter in git's configuration.
        filter: String,
    },
    /// Git cannot read it.
    Unreadable {
        /// What git says.
        message: String,
    },
}

impl OmissionReason {
    /// The reason, for people.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            OmissionReason::TooLarge { size_bytes } => {
                format!("not tracked and {} MiB large", size_bytes >> 20)
            }
            OmissionReason::InnerRepository => "a repository of its own".to_owned(),
            OmissionReason::SubmoduleChanges => {
                "a submodule with changes that are not committed in it".to_owned()
            }
            OmissionReason::FilterFailed { filter } => format!("git's filter `{filter}` fails"),
            OmissionReason::Unreadable { message } => format!("git cannot read it: {message}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, reason: OmissionReason) -> OmittedFile {
        OmittedFile { path: path.to_owned(), reason }
    }

    #[test]
    fn the_forms_of_outcomes_are_frozen() {
        let mut omitted = OmittedFiles::default();
        for (path, reason) in [
            ("disk.img", OmissionReason::TooLarge { size_bytes: 17 << 20 }),
            ("inner/", OmissionReason::InnerRepository),
            ("sub", OmissionReason::SubmoduleChanges),
            ("a.bin", OmissionReason::FilterFailed { filter: "lfs".to_owned() }),
            ("b", OmissionReason::Unreadable { message: "no".to_owned() }),
        ] {
            omitted.push(file(path, reason));
        }
        let id = |digit: &str| digit.repeat(40).parse().unwrap();
        let kept = TreeOutcome::Kept(TreeSnapshot { commit: id("c"), tree: id("d"), omitted });
        let problem = TreeProblem { code: "BKS-R021".to_owned(), message: "no".to_owned() };
        for (outcome, text) in [
            (
                kept,
                concat!(
                    r#"{"kept":{"commit":"cccccccccccccccccccccccccccccccccccccccc","#,
                    r#""tree":"dddddddddddddddddddddddddddddddddddddddd","omitted":{"named":["#,
                    r#"{"path":"disk.img","reason":"too_large","size_bytes":17825792},"#,
                    r#"{"path":"inner/","reason":"inner_repository"},"#,
                    r#"{"path":"sub","reason":"submodule_changes"},"#,
                    r#"{"path":"a.bin","reason":"filter_failed","filter":"lfs"},"#,
                    r#"{"path":"b","reason":"unreadable","message":"no"}]}}}"#
                ),
            ),
            (TreeOutcome::NotKept(problem), r#"{"not_kept":{"code":"BKS-R021","message":"no"}}"#),
        ] {
            assert_eq!(serde_json::to_string(&outcome).unwrap(), text);
            assert_eq!(serde_json::from_str::<TreeOutcome>(text).unwrap(), outcome);
        }
    }

    #[test]
    fn of_many_omitted_files_the_first_are_named_and_all_are_counted() {
        let mut omitted = OmittedFiles::default();
        for number in 0..25 {
            omitted.push(file(&number.to_string(), OmissionReason::InnerRepository));
        }
        assert_eq!((omitted.named.len(), omitted.more), (20, 5));
        let mut other = OmittedFiles::default();
        other.push(file("0", OmissionReason::TooLarge { size_bytes: 1 << 30 }));
        other.push(file("new", OmissionReason::InnerRepository));
        let both = omitted.union(&other);
        assert_eq!((both.named.len(), both.more), (21, 5));
        assert_eq!(both.named[0].reason.text(), "not tracked and 1024 MiB large");
    }
}
