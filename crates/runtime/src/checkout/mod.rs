//! Trees of the folder that steps work in: kept before and after each attempt, so that what it did can be seen and undone.
//!
//! A tree holds what is tracked, changed and untracked, without what is ignored. It is a commit under `refs/backstay/LOG/RUN/`,
//! made with an index of its own: neither the user's index nor branches nor hooks have to do with it.

mod difference;
mod error;
mod folder;
mod git;
mod git_checkout;
mod ignored;
mod lease;
mod refs;
mod snapshot;
mod staging;
mod state;
mod summary;
mod worktree_script;
mod worktrees;

pub use difference::{DiffForm, DiffText};
pub use error::TreeError;
pub(crate) use error::outcome;
pub(crate) use folder::{folder_digest, omitted_digest};
pub(crate) use git::REPOSITORY_VARIABLES;
pub use git_checkout::{ChangedFile, Checkout};
pub(crate) use lease::{Lease, LeaseHolder, Leased};
pub use refs::RunRefs;
pub use snapshot::{TreeMoment, TreeName};
pub use state::{CheckoutFault, CheckoutState};
pub use summary::{CheckoutHead, CheckoutSummary, MissingFilter};
pub(crate) use worktree_script::worktree_script;
pub use worktrees::{Removal, RemovalSafety, RunWorktree, Unmerged};
