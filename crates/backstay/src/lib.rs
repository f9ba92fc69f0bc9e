//! Backstay as a library: workflows of shell agents that survive a crash of the process that works on them.
//!
//! [`open`] gives a [`Backstay`], the handle of one store. [`Backstay::start`] begins a [`Run`]; [`Run::drive`] works on it in
//! this process, [`Run::wait`] waits for whoever does. What is said to a run is a [`Message`] with a typed [`Verdict`].
//!
//! ```no_run
//! use backstay::{Error, Workflow};
//!
//! fn main() -> Result<(), Error> {
//!     backstay::init();
//!     hello()
//! }
//!
//! #[tokio::main(flavor = "current_thread")]
//! async fn hello() -> Result<(), Error> {
//!     let backstay = backstay::open(".backstay").await?;
//!     let run = backstay.start(Workflow::text("hello", "backstay: 1\nsteps: [{id: greet, run: echo hello}]")).await?;
//!     println!("{} {}", run.id(), run.drive().await?);
//!     Ok(())
//! }
//! ```
//!
//! # Where work is done
//! Each attempt of a step is under a *keeper*, a small process that outlives this one. A keeper is this very program, started
//! once more: [`init`] lets it be one, and has to be the first call in `main`. A program that cannot do that names one that
//! does, by [`Opening::keeper_program`].
//!
//! # Reading
//! [`Backstay::runs`], [`Run::record`], [`Run::usage`], [`Backstay::inbox`] and [`Run::step_events`] read what is there;
//! [`Run::follow`] goes on with what comes. A [`Sink`] is given every event of the runs that this process works on.

mod error;
mod handle;
mod init;
mod open;
mod run;
mod workflow;

pub use error::{Error, InputsError, WorkflowError};
pub use handle::Backstay;
pub use init::init;
pub use open::{Opening, open};
pub use run::{Message, Run};
pub use workflow::{Step, Workflow};

pub use backstay_agent::Presets;
pub use backstay_engine::record::{
    AttemptRecord, QuestionRecord, RunRecord, RunStatus, RunSummary, StepEventKind, StepEventRow, StepRecord,
    StepStage, Usage,
};
pub use backstay_log::Cursor;
pub use backstay_model::event::{Actor, Event, FactEvent, Heartbeat, InputEvent, RefusalCode, Verdict};
pub use backstay_model::{
    Code, Coded, Delivery, Gap, LiveEvent, QuestionId, Recorded, RunId, Scope, Seq, StepId, Text, Timestamp,
};
pub use backstay_runtime::{
    Clock, DriveError, FollowFrom, OpenQuestion, RunError, RunFollower, RunRest, RunRow, SayError,
    ShutdownHandle, Sink, SinkHeartbeat, StoreOpenError, SystemClock, TracingSink,
};
pub use backstay_workflow::{Diagnostic, InputProblem, Severity};
pub use camino::{Utf8Path, Utf8PathBuf};
