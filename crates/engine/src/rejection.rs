//! Why an input is not taken.

use std::fmt;

use backstay_model::event::{RefusalCode, Verdict};
use backstay_model::{QuestionId, Seq, StepId};

use crate::run::{Phase, RunEnd};

/// Why an input is not taken. Its text is for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// The run cannot do that where it stands.
    #[error("a run that {} cannot {action}", describe(.phase))]
    Phase {
        /// Where it stands.
        phase: Phase,
        /// What is wanted of it.
        action: Action,
    },
    /// There is a run of this id already.
    #[error("the run was already asked for")]
    RunExists,
    /// The scope is no step of the workflow.
    #[error("the workflow has no step `{step}`")]
    UnknownStep {
        /// What was named.
        step: String,
    },
    /// The cycle of a step that is named is not the current one.
    #[error("`{scope}` is not the current cycle of `{step}`")]
    OldCycle {
        /// What was named.
        scope: String,
        /// The step.
        step: StepId,
    },
    /// No cycle of the loop around a step has begun.
    #[error("the loop around `{step}` has not begun")]
    NoCycle {
        /// The step.
        step: StepId,
    },
    /// A group is left out by leaving out its steps.
    #[error("the group `{step}` is under way: leave out its steps instead")]
    GroupUnderWay {
        /// The group.
        step: StepId,
    },
    /// A step has its result.
    #[error("the step `{step}` already has its result")]
    StepDone {
        /// The step.
        step: StepId,
    },
    /// A step that asks is not at work.
    #[error("the step that asks is not at work")]
    AskerNotAtWork,
    /// Nothing is to be done anew.
    #[error("every step succeeded")]
    NothingToRetry,
    /// There is no such question.
    #[error("there is no question {question}")]
    UnknownQuestion {
        /// What was named.
        question: QuestionId,
    },
    /// The question needs no answer any more.
    #[error("the question was closed without an answer")]
    QuestionClosed,
    /// Another answer was first.
    #[error("the question was answered by input {by}")]
    AnsweredBefore {
        /// The input with that answer.
        by: Seq,
    },
    /// The answer is none that the question takes.
    #[error("{0}")]
    Answer(AnswerProblem),
    /// The input itself cannot be understood.
    #[error("{0}")]
    Malformed(Malformation),
}

/// What is wanted of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// To be suspended.
    Suspend,
    /// To go on.
    Resume,
    /// To be cancelled.
    Cancel,
    /// To leave out a step.
    Skip,
    /// To take note of a person's work in an agent's session.
    Intervene,
    /// To be tried again.
    Retry,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Action::Suspend => "be suspended",
            Action::Resume => "be resumed",
            Action::Cancel => "be cancelled",
            Action::Skip => "leave out a step",
            Action::Intervene => "be taken over",
            Action::Retry => "be tried again",
        })
    }
}

/// Why an answer is none that its question takes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnswerProblem {
    /// It is none of the options.
    #[error("`{choice}` is none of: {}", options.join(", "))]
    NoOption {
        /// What was answered.
        choice: String,
        /// What can be.
        options: Vec<String>,
    },
    /// It says nothing.
    #[error("the answer is empty")]
    Empty,
    /// It is too long.
    #[error("an answer has at most {limit_bytes} bytes")]
    Long {
        /// How long it may be.
        limit_bytes: usize,
    },
    /// The value that goes with it is not JSON.
    #[error("the value is not one JSON value")]
    Value,
}

/// Why an input cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformation {
    /// The output for a step that is left out is not JSON.
    #[error("the output for `{step}` is not one JSON value")]
    Output {
        /// The step.
        step: String,
    },
    /// A question is empty or too long, or has too many options, or such.
    #[error(
        "a question has 1 to {prompt_bytes_max} bytes and at most {options_max} options, none of them empty or longer than {answer_bytes_max} bytes"
    )]
    Question {
        /// Bytes of a question.
        prompt_bytes_max: usize,
        /// Options of a question.
        options_max: usize,
        /// Bytes of an option.
        answer_bytes_max: usize,
    },
    /// The default of a question is none of its options.
    #[error("the default `{default}` is none of the options: {}", options.join(", "))]
    Default {
        /// The default.
        default: String,
        /// The options.
        options: Vec<String>,
    },
}

impl Rejection {
    /// The verdict that the log gets.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let code = match self {
            Rejection::AnsweredBefore { by } => return Verdict::Superseded { by: *by },
            Rejection::Phase { .. }
            | Rejection::RunExists
            | Rejection::OldCycle { .. }
            | Rejection::NoCycle { .. }
            | Rejection::GroupUnderWay { .. }
            | Rejection::StepDone { .. }
            | Rejection::AskerNotAtWork
            | Rejection::NothingToRetry
            | Rejection::QuestionClosed => RefusalCode::NotNow,
            Rejection::UnknownStep { .. } => RefusalCode::UnknownStep,
            Rejection::UnknownQuestion { .. } => RefusalCode::UnknownQuestion,
            Rejection::Answer(_) => RefusalCode::InvalidAnswer,
            Rejection::Malformed(_) => RefusalCode::Malformed,
        };
        Verdict::Refused { code, message: self.to_string() }
    }
}

fn describe(phase: &Phase) -> &'static str {
    match phase {
        Phase::Empty => "was never asked for",
        Phase::Requested => "has not begun",
        Phase::Running => "is running",
        Phase::Suspending { .. } => "is being suspended",
        Phase::Suspended { .. } => "is suspended",
        Phase::Cancelling { .. } => "is being cancelled",
        Phase::Ended(RunEnd::Completed { .. }) => "completed",
        Phase::Ended(RunEnd::Failed { .. }) => "failed",
        Phase::Ended(RunEnd::Cancelled { .. }) => "was cancelled",
        Phase::Reopened { .. } => "is about to be tried again",
    }
}
