//! Folds that people and programs read.

mod agent;
mod index;
mod parts;
mod plans;
mod run;
mod status;
mod step_event;
mod steps;
mod summary;
mod usage;
mod words;

pub use agent::AgentRecord;
pub(crate) use agent::SessionKey;
pub use index::RecordIndex;
pub use parts::{
    AnswerRecord, AttemptRecord, Interruption, InterventionRecord, LoopRecord, OwnerRecord, QuestionRecord,
    StepRecord, StepStage, WorkflowRef,
};
pub use plans::{Pause, PlanRecord, StepProgress};
pub use run::{RUN_RECORD_FOLD, RUN_RECORD_SCHEMA, RunRecord};
pub use status::RunStatus;
pub use step_event::{StepEventKind, StepEventRow, StepScope};
pub use summary::{LimitWait, RetryWait, RunSummary};
pub use usage::{Figure, Forgotten, Usage, counted};
pub use words::{busy_words, why_suspended};
