//! Questions that steps ask while they work.
//!
//! The step's process says the question as an input and waits for its end in the log. The id is its own: derived from the
//! work and from what is asked, so the same question of another attempt is the same question, and its answer is there already.

use backstay_model::QuestionId;
use backstay_model::event::{
    AskRequested, QuestionAnswered, QuestionAsked, QuestionClosed, QuestionKind, QuestionOption, RefusalCode,
    Verdict,
};
use backstay_model::limits::{ANSWER_BYTES_MAX, ASK_OPTIONS_MAX, ASK_PROMPT_BYTES_MAX};

use super::place::Place;
use super::settle::refuse;
use super::state::{LeafPhase, Progress, RunMachine};
use super::turn::Turn;

impl RunMachine {
    /// Whether a step may ask this now.
    pub(super) fn would_ask(&self, ask: &AskRequested) -> Result<(), Verdict> {
        let names = &ask.options;
        let is_one_of = |choice: &String| names.is_empty() || names.contains(choice);
        let is_well_formed = !ask.prompt.trim().is_empty()
            && ask.prompt.len() <= ASK_PROMPT_BYTES_MAX
            && names.len() <= ASK_OPTIONS_MAX
            && names.iter().all(|name| !name.is_empty() && name.len() <= ANSWER_BYTES_MAX)
            && ask.default.as_ref().is_none_or(|default| default.len() <= ANSWER_BYTES_MAX);
        if !is_well_formed {
            return refuse(
                RefusalCode::Malformed,
                format!(
                    "a question has 1 to {ASK_PROMPT_BYTES_MAX} bytes and at most {ASK_OPTIONS_MAX} options, none of them empty or longer than {ANSWER_BYTES_MAX} bytes"
                ),
            );
        }
        if let Some(default) = ask.default.as_ref().filter(|default| !is_one_of(default)) {
            let names = names.join(", ");
            return refuse(
                RefusalCode::Malformed,
                format!("the default `{default}` is none of the options: {names}"),
            );
        }
        // Who asks again what is open or answered hears the same.
        if self.questions.contains_key(&ask.question)
            || matches!(self.answered.get(&ask.question), Some(Some(_)))
        {
            return Ok(());
        }
        match self.asking_place(ask) {
            Some(_) => Ok(()),
            None => refuse(RefusalCode::NotNow, "the step that asks is not at work"),
        }
    }

    /// Where the work that asks stands, if it is at work.
    fn asking_place(&self, ask: &AskRequested) -> Option<Place> {
        let place = Place::of(&ask.effect.scope)?;
        let is_at_work =
            matches!(self.leaf(&place).map(|leaf| &leaf.phase), Some(LeafPhase::Working(Progress::Begun)))
                && self.attempt(&place) == ask.attempt
                && self.effect(&place, ask.effect.call) == ask.effect;
        is_at_work.then_some(place)
    }

    /// Whether this can be the answer of a step's question.
    pub(super) fn would_answer_ask(
        asked: &QuestionAsked,
        answered: &QuestionAnswered,
    ) -> Option<Result<(), Verdict>> {
        let is_free = asked.kind == QuestionKind::Asked && asked.options.is_empty();
        is_free.then(|| match answered.answer.choice.len() {
            1..=ANSWER_BYTES_MAX => Ok(()),
            0 => refuse(RefusalCode::InvalidAnswer, "the answer is empty"),
            _ => {
                refuse(RefusalCode::InvalidAnswer, format!("an answer has at most {ANSWER_BYTES_MAX} bytes"))
            }
        })
    }

    /// When the first question is answered by its default or closed.
    pub(super) fn next_ask_due(&self) -> Option<backstay_model::Timestamp> {
        self.questions.values().filter_map(|(_, asked)| asked.due_at).min()
    }
}

impl Turn<'_> {
    pub(super) fn take_ask(&mut self, ask: AskRequested) {
        if self.machine.questions.contains_key(&ask.question)
            || matches!(self.machine.answered.get(&ask.question), Some(Some(_)))
        {
            return;
        }
        let Some(place) = self.machine.asking_place(&ask) else { return };
        let option = |name: String| QuestionOption { name, meaning: String::new() };
        let asked = QuestionAsked {
            question: ask.question,
            kind: QuestionKind::Asked,
            prompt: ask.prompt,
            options: ask.options.into_iter().map(option).collect(),
            step: place.step.clone(),
            effect: Some(ask.effect),
            default: ask.default,
            due_at: ask.due_at,
        };
        self.emit_at(&place, asked);
    }

    /// Closes the questions that fell due, and those of steps that have their result.
    pub(super) fn close_asks(&mut self) {
        let now = self.env.now;
        let over: Vec<(QuestionId, Place, Option<String>)> = self
            .machine
            .questions
            .values()
            .filter(|(_, asked)| asked.kind == QuestionKind::Asked)
            .filter_map(|(place, asked)| {
                let is_due = asked.due_at.is_some_and(|due_at| due_at <= now);
                let choice = asked.default.clone().filter(|_| is_due);
                let is_over = is_due || self.machine.result(place).is_some();
                is_over.then(|| (asked.question, place.clone(), choice))
            })
            .collect();
        for (question, place, choice) in over {
            if self.is_full() {
                return;
            }
            self.emit_at(&place, QuestionClosed { question, answered_by: None, choice });
        }
    }
}
