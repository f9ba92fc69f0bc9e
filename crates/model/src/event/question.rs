//! Questions to people.

use serde::{Deserialize, Serialize};

use super::Actor;
use crate::{Attempt, EffectId, QuestionId, Seq, Text, Timestamp};

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QuestionKind {
    /// Lost work may have happened; only a person can tell what became of it.
    AfterCrash,
    /// A loop used up its passes.
    LoopExhausted,
    /// A step asks while it works.
    Asked,
    /// The run has used what it may use.
    BudgetUsed,
}

/// One answer that can be chosen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuestionOption {
    /// What to say, one lower-case word.
    pub name: String,
    /// What it leads to, as a sentence.
    pub meaning: String,
}

/// What a person chose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The name of one of the question's options; of a question without any, what the person says.
    pub choice: String,
    /// A value that goes with it: the output of work that had happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Text>,
}

/// A step asks something while it works.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskRequested {
    /// Who asks.
    pub by: Actor,
    /// The work that asks.
    pub effect: EffectId,
    /// Which try of it.
    pub attempt: Attempt,
    /// Derived from the work and from what is asked, so that another attempt asks the same question.
    pub question: QuestionId,
    /// The question, for people: at most 4 KiB.
    pub prompt: String,
    /// What can be answered, at most 16; anything, if there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
    /// What is taken as the answer when nobody gives one in time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// Until when an answer is waited for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_at: Option<Timestamp>,
}

/// A person has to say something. Its scope is that of the step that waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuestionAsked {
    /// Derived from run, step, call and attempt, so that a replay asks the same question.
    pub question: QuestionId,
    /// What is asked for.
    pub kind: QuestionKind,
    /// The question, for people.
    pub prompt: String,
    /// What can be answered.
    pub options: Vec<QuestionOption>,
    /// The work that it is about, if it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect: Option<EffectId>,
    /// What is taken as the answer when nobody gives one in time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// Until when an answer is waited for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_at: Option<Timestamp>,
}

/// A question needs no answer any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuestionClosed {
    /// Which one.
    pub question: QuestionId,
    /// The input that answered it; none if the run ended first, or its time was over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered_by: Option<Seq>,
    /// The default that was taken when its time was over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub choice: Option<String>,
}
