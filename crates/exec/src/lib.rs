//! Child processes that outlive the runtime: the keeper, its spool, its kill.
//!
//! A *keeper* is a small process that holds one agent. The runtime starts it with [`Keepers::start`] and hears of the
//! agent through [`KeeperHandle`]; the keeper goes on when the runtime dies, and [`recover`] finds it again, or its
//! exit record, or proof that both are gone. Everything a keeper leaves is in one folder per attempt, described in
//! `docs/formats.md`; [`spool`] reads it.

// What is printed is for the command to say: a macro that prints panics where nobody takes it.
#![warn(clippy::print_stdout, clippy::print_stderr)]

mod bounded_command;
mod clock;
pub mod crash_point;
mod error;
mod files;
mod human_wait;
mod ignore;
mod inherited;
mod keeper;
mod keeper_client;
pub mod maintenance;
mod platform;
mod process;
mod protocol;
mod record;
mod redact;
mod screen;
mod spec;
pub mod spool;
mod tree;
mod whole;

pub use bounded_command::run_within;
pub use error::{BoundedCommandError, RecoverError, SpecError, SpoolError, StartError, StopError};
pub use human_wait::{HumanWait, NOTE_INTERVAL, Waited, is_waiting, waited};
pub use inherited::{Umask, open_umask, start_clean};
pub use keeper::{KEEPER_COMMAND, become_keeper_if_asked, keeper_main};
pub use keeper_client::{
    KeeperControl, KeeperEvent, KeeperEvents, KeeperHandle, Keepers, Recovered, recover, socket_folders,
};
pub use platform::boot_id;
pub use record::{EXIT_RECORD_VERSION, EndedBy, ExitRecord, SpawnFailure, StopReason};
pub use redact::{Redactor, Secrets, secrets_of};
pub use screen::{
    EndScreenError, KeptClosed, OpenScreen, ScreenHold, ScreenSession, ScreenState, end_screen, screen_state,
};
pub use spec::{ProcessSpec, Redaction, SPEC_VERSION, validate};
pub use whole::{FileProblem, file_problems};
