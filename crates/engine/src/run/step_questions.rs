//! Questions that steps ask while they work.
//!
//! The step's process says the question as an input and waits for its end in the log. The id is its own: derived from the
//! work and from what is asked, so the same question of another attempt is the same question, and its answer is there already.

use backstay_model::event::{AskRequested, QuestionAsked, QuestionClosed, QuestionKind, QuestionOption};
use backstay_model::limits::{ANSWER_BYTES_MAX, ASK_OPTIONS_MAX, ASK_PROMPT_BYTES_MAX};
use backstay_model::{QuestionId, Scope};

use super::instance::StepInstance;
use crate::rejection::{Malformation, Rejection};
use crate::topic::{DecisionPass, TopicMachine};

impl TopicMachine {
    /// Whether a step may ask this now.
    pub(super) fn would_ask(&self, ask: &AskRequested) -> Result<(), Rejection> {
        let names = &ask.options;
        let is_one_of = |choice: &String| names.is_empty() || names.contains(choice);
        let is_well_formed = !ask.prompt.trim().is_empty()
            && ask.prompt.len() <= ASK_PROMPT_BYTES_MAX
            && names.len() <= ASK_OPTIONS_MAX
            && names.iter().all(|name| !name.is_empty() && name.len() <= ANSWER_BYTES_MAX)
            && ask.default.as_ref().is_none_or(|default| default.len() <= ANSWER_BYTES_MAX);
        if !is_well_formed {
            return Err(Rejection::Malformed(Malformation::Question {
                prompt_bytes_max: ASK_PROMPT_BYTES_MAX,
                options_max: ASK_OPTIONS_MAX,
                answer_bytes_max: ANSWER_BYTES_MAX,
            }));
        }
        if let Some(default) = ask.default.as_ref().filter(|default| !is_one_of(default)) {
            let (default, options) = (default.clone(), names.clone());
            return Err(Rejection::Malformed(Malformation::Default { default, options }));
        }
        // Who asks again what is open or answered hears the same.
        if self.questions.is_known(ask.question) || self.is_asker_at_work(ask) {
            return Ok(());
        }
        Err(Rejection::AskerNotAtWork)
    }

    fn is_asker_at_work(&self, ask: &AskRequested) -> bool {
        self.effects.is_in_flight(&ask.effect, ask.attempt)
            && StepInstance::of(&ask.effect.scope).is_some_and(|instance| self.run.leaf(&instance).is_some())
    }
}

impl DecisionPass<'_> {
    pub(super) fn take_ask(&mut self, ask: AskRequested) {
        if self.topic.questions.is_known(ask.question) {
            return;
        }
        let option = |name: String| QuestionOption { name, meaning: String::new() };
        let scope = ask.effect.scope.clone();
        let asked = QuestionAsked {
            question: ask.question,
            kind: QuestionKind::Asked,
            prompt: ask.prompt,
            options: ask.options.into_iter().map(option).collect(),
            effect: Some(ask.effect),
            default: ask.default,
            due_at: ask.due_at,
        };
        self.emit(scope, asked);
    }

    /// Closes the questions that fell due, and those of steps that have their result.
    pub(crate) fn close_step_questions(&mut self) {
        let now = self.context.now;
        let over: Vec<(QuestionId, Scope, Option<String>)> = self
            .topic
            .questions
            .of_kind(QuestionKind::Asked)
            .filter_map(|open| {
                let is_due = open.asked.due_at.is_some_and(|due_at| due_at <= now);
                let choice = open.asked.default.clone().filter(|_| is_due);
                let instance = StepInstance::of(&open.scope);
                let is_over =
                    is_due || instance.is_some_and(|instance| self.topic.run.result(&instance).is_some());
                is_over.then(|| (open.asked.question, open.scope.clone(), choice))
            })
            .collect();
        for (question, scope, choice) in over {
            if self.is_full() {
                return;
            }
            self.emit(scope, QuestionClosed { question, answered_by: None, choice });
        }
    }
}
