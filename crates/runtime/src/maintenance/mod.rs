//! Looking after a whole store: its log, its blobs, and the folders of its attempts.
//!
//! All of it blocks, and works on folders, not on a store that this process has open.

mod adopt;
mod backup;
mod check;
mod compact;
mod error;
mod files;
mod info;
mod inspect;
mod manifest;
mod restore;
mod scrub;

pub use adopt::{Adopted, StoreContent};
pub(crate) use adopt::{LogIdentity, adopt};
pub use backup::{BackedUp, backup};
pub use check::{StoreCheck, check};
pub use compact::{Compaction, compact};
pub use error::{AdoptError, BackupError, CompactError, IsBackup, RestoreError, StoreScrubError};
pub(crate) use files::replace_durably;
pub use info::{RunRoom, StoreRoom, info};
pub(crate) use inspect::blobs_named;
pub(crate) use manifest::refuse_backup;
pub use restore::{Place, RestoredStore, restore};
pub use scrub::{StoreScrubbed, scrub};
