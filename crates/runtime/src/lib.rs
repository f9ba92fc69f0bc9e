//! The one loop: compares what the engine wants with what is in flight, and performs the difference.
//!
//! [`Store`] is what anybody can do with a `.backstay/` folder: ask for runs, say things to them, read them.
//! [`Owner`] is a process that may own runs: [`Owner::drive`] works on one until it ends, stands still or needs a
//! person, and [`Owner::keep`] works on all that are due.

// What is printed is for the command to say: a macro that prints panics where nobody takes it.
#![warn(clippy::print_stdout, clippy::print_stderr)]

mod agents;
mod attach;
mod checkout;
mod client;
mod clock;
mod disk_reserve;
mod drive;
mod due_runs;
mod error;
mod follow;
mod host;
mod inbox;
pub mod maintenance;
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

pub use agents::{AgentText, StrangePreset, changed_presets, preset_traits, reading_fault, schema_fault};
pub use attach::{AttachError, Takeover};
pub use checkout::{
    ChangedFile, Checkout, CheckoutFault, CheckoutHead, CheckoutState, CheckoutSummary, DiffForm, DiffText,
    MissingFilter, Removal, RemovalSafety, RunRefs, RunWorktree, TreeError, TreeMoment, TreeName, Unmerged,
};
pub use client::{RunRow, RunView};
pub use clock::{Clock, SystemClock};
pub use disk_reserve::{Room, room};
pub use drive::{CHECKOUT_RUN, DriveEnd, KeptExit, ShutdownHandle, StoreGone};
pub use due_runs::RunSelection;
pub use error::{DriveError, RunError, SayError};
pub use follow::{FollowFrom, RunFollower};
pub use host::host_name;
pub use inbox::OpenQuestion;
pub use owner::{Owner, OwnerSettings};
pub use registry::{RegisteredStore, Registry, RegistryError, Standing};
pub use request::RunRequest;
pub use rest::RunRest;
pub use retention::{ArchivedRun, FreeError, Freed, PruneReport, Retention};
pub use say::RunInput;
pub use screen::ScreenIsOpen;
pub use sink::{Sink, SinkHeartbeat, TracingSink};
pub use source::WorkflowText;
pub use store::{
    CONFIGURATION_FILE, MirrorError, NotAFolder, OpenStore, PrivateError, ReadOnlyReason, ReadOnlyStore,
    ReadSource, STORE_FOLDER, Store, StoreOpenError, check_private, find_store, other_things,
};
