//! Folds that people and programs read.

mod agent;
mod parts;
mod run;
mod status;
mod step_event;
mod summary;

pub use agent::{AgentRecord, RunUsage};
pub use parts::{
    AnswerRecord, AttemptRecord, Interruption, InterventionRecord, LoopRecord, OwnerRecord, QuestionRecord,
    StepRecord, StepStage, WorkflowRef,
};
pub(crate) use run::why_suspended;
pub use run::{RUN_RECORD_FOLD, RUN_RECORD_SCHEMA, RunRecord, busy_words};
pub use status::RunStatus;
pub use step_event::{StepEventKind, StepEventRow, StepScope};
pub use summary::{LimitWait, RunSummary};
