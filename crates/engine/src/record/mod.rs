//! Folds that people and programs read.

mod run;
mod status;
mod step_event;
mod summary;

pub use run::{
    AnswerRecord, AttemptRecord, Interruption, OwnerRecord, QuestionRecord, RUN_RECORD_SCHEMA, RunRecord,
    StepRecord, StepStage, WorkflowRef,
};
pub use status::RunStatus;
pub use step_event::{StepEventKind, StepEventRow, StepScope};
pub use summary::RunSummary;
