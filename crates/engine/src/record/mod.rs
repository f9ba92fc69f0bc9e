//! Folds that people and programs read.

mod agent;
mod parts;
mod run;
mod status;
mod step_event;
mod summary;
mod words;

pub use agent::{AgentRecord, RunUsage};
pub use parts::{
    AnswerRecord, AttemptRecord, Interruption, InterventionRecord, LoopRecord, OwnerRecord, QuestionRecord,
    StepRecord, StepStage, WorkflowRef,
};
pub use run::{RUN_RECORD_FOLD, RUN_RECORD_SCHEMA, RunRecord};
pub use status::RunStatus;
pub use step_event::{StepEventKind, StepEventRow, StepScope};
pub use summary::{ActiveTime, LimitWait, RunSummary};
pub use words::busy_words;
pub(crate) use words::why_suspended;
