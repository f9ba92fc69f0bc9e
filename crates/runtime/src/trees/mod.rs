//! Trees of the folder that steps work in: kept before and after each attempt, so that what it did can be seen and undone.
//!
//! A tree holds what is tracked, changed and untracked, without what is ignored. It is a commit under `refs/backstay/`,
//! made with an index of its own: neither the user's index nor branches nor hooks have to do with it.

mod checkout;
mod error;
mod folder;
mod git;
mod ignored;
mod keep;
mod lease;
mod worktrees;

pub use checkout::Checkout;
pub use error::TreeError;
pub(crate) use folder::folder_digest;
pub(crate) use git::REPOSITORY_VARIABLES;
pub use keep::{TreeMoment, TreeName};
pub(crate) use lease::{Lease, Leased, Tenant};
pub use worktrees::{Removal, RunWorktree, Unmerged, Worth};
