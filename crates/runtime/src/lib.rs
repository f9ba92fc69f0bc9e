//! The one loop: compares what the engine wants with what is in flight, and performs the difference.
//!
//! [`Store`] is what anybody can do with a `.backstay/` folder: ask for runs, say things to them, read them.
//! [`Owner`] is a process that may own runs: [`Owner::drive`] works on one until it ends, stands still or needs a
//! person, and [`Owner::keep`] works on all that are due.

mod agents;
mod attach;
mod ballast;
pub mod care;
mod client;
mod clock;
mod drive;
mod error;
mod host;
mod keep;
mod owner;
mod request;
mod retention;
mod sink;
mod store;
mod trees;

pub use agents::{Spoken, preset_traits, schema_fault};
pub use attach::{AttachError, Takeover};
pub use ballast::{Room, room};
pub use client::{RunRow, RunView};
pub use clock::{Clock, SystemClock};
pub use drive::{CHECKOUT_RUN, DriveEnd, StopSwitch};
pub use error::{DriveError, RunError, SayError, StoreOpenError};
pub use host::host_name;
pub use keep::Kept;
pub use owner::{Owner, OwnerSettings};
pub use request::RunRequest;
pub use retention::{FreeError, Freed, PruneReport, Retention, RetiredRun};
pub use sink::{Sink, TracingSink};
pub use store::{CONFIGURATION_FILE, STORE_FOLDER, Store, find_store, read_configuration};
pub use trees::{Checkout, Removal, RunWorktree, TreeError, TreeMoment, TreeName, Unmerged, Worth};
