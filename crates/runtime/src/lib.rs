//! The one loop: compares what the engine wants with what is in flight, and performs the difference.
//!
//! [`Store`] is what anybody can do with a `.backstay/` folder: ask for runs, say things to them, read them.
//! [`Owner`] is a process that may own runs: [`Owner::drive`] works on one until it ends, stands still or needs a
//! person, and [`Owner::keep`] works on all that are due.

// What is printed is for the command to say: a macro that prints panics where nobody takes it.
#![warn(clippy::print_stdout, clippy::print_stderr)]

mod agents;
mod attach;
mod ballast;
pub mod care;
mod client;
mod clock;
mod drive;
mod error;
mod follow;
mod host;
mod inbox;
mod keep;
mod owner;
mod registry;
mod request;
mod rest;
mod retention;
mod say;
mod screen;
mod sink;
mod source;
mod store;
mod trees;

pub use agents::{Spoken, StrangePreset, changed_presets, preset_traits, reading_fault, schema_fault};
pub use attach::{AttachError, Takeover};
pub use ballast::{Room, room};
pub use client::{RunRow, RunView};
pub use clock::{Clock, SystemClock};
pub use drive::{CHECKOUT_RUN, DriveEnd, KeptExit, StopSwitch, StoreGone};
pub use error::{DriveError, RunError, SayError};
pub use follow::{FollowFrom, RunFollower};
pub use host::host_name;
pub use inbox::OpenQuestion;
pub use keep::Kept;
pub use owner::{Owner, OwnerSettings};
pub use registry::{RegisteredStore, Registry, RegistryError, Standing};
pub use request::RunRequest;
pub use rest::RunRest;
pub use retention::{FreeError, Freed, PruneReport, Retention, RetiredRun};
pub use say::RunInput;
pub use screen::ScreenIsOpen;
pub use sink::{Sink, SinkHeartbeat, TracingSink};
pub use source::WorkflowText;
pub use store::{
    CONFIGURATION_FILE, MirrorError, NotAFolder, OpenStore, PrivateError, ReadOnlyReason, ReadOnlyStore,
    ReadSource, STORE_FOLDER, Store, StoreOpenError, check_private, find_store, other_things,
};
pub use trees::{
    ChangedFile, Checkout, CheckoutFault, CheckoutHead, CheckoutState, CheckoutSummary, DiffForm, DiffText,
    MissingFilter, Removal, RunRefs, RunWorktree, TreeError, TreeMoment, TreeName, Unmerged, Worth,
};
