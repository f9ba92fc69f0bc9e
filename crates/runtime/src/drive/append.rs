//! Making what was decided durable.

use backstay_engine::run::{EffectSpec, Phase};
use backstay_engine::topic::Outcome;
use backstay_exec::Secrets;
use backstay_log::{
    AppendError, Authority, Batch, EntryIndex, EntryKind, IndexState, NewEvent, Precondition, TopicAppend,
    TopicTransition,
};
use backstay_model::event::{FactEvent, Heartbeat, OwnerReleased, QuestionAsked};
use backstay_model::{EffectId, Payload, RunId, Scope, Seq};
use serde::Serialize;

use super::redact;
use super::run_loop::Drive;
use crate::error::{DriveError, RunError};
use crate::request::{index_row, new_event};

/// What became of an append.
pub(super) enum Appending {
    /// It is durable.
    Durable(Outcome),
    /// Something newer was said, so that what was decided does not hold: fold anew and decide again.
    Superseded,
}

/// What lists show of a question.
#[derive(Serialize)]
struct QuestionSummary<'a> {
    v: u32,
    run: RunId,
    scope: &'a Scope,
    prompt: String,
    options: Vec<&'a str>,
}

/// Characters of a question in its index row.
const PROMPT_CHARS: usize = 300;

impl Drive<'_> {
    /// Appends what was decided, with the index rows that belong to it.
    pub(super) async fn append(&mut self, mut outcome: Outcome) -> Result<Appending, DriveError> {
        if outcome.facts.is_empty() {
            return Ok(Appending::Durable(outcome));
        }
        for emitted in &mut outcome.facts {
            redact::in_fact(&self.secrets_in(&emitted.fact, &outcome.starts), &mut emitted.fact);
        }
        self.owner.store.keep_texts(outcome.texts.clone()).await?;
        let mut events = Vec::with_capacity(outcome.facts.len());
        for emitted in &outcome.facts {
            events.push(new_event(self.run, emitted.scope.clone(), &emitted.fact.clone().into())?);
        }
        let mut part = self.part(events)?;
        part.entries = self.entries(&outcome)?;
        part.live_done = outcome
            .facts
            .iter()
            .filter(|emitted| matches!(emitted.fact, FactEvent::EffectFinished(_) | FactEvent::EffectLost(_)))
            .map(|emitted| emitted.scope.clone())
            .collect();
        if matches!(self.machine.phase(), Phase::Ended(_)) {
            part.transition = TopicTransition::Closed;
            part.preconditions = vec![Precondition::NoInputAfter(self.machine.last_input())];
        }
        match self.submit(part).await {
            Ok((first, last)) => {
                self.own.push_back((first, last));
                Ok(Appending::Durable(outcome))
            }
            Err(AppendError::NewerInput { .. }) => Ok(Appending::Superseded),
            Err(error) => Err(self.refused(error)),
        }
    }

    /// What must not reach the log with `fact`. Of all facts that the machine decides only a start has words that did not come
    /// through the [`Supervisor`](super::in_flight::Supervisor) of its work: its command.
    fn secrets_in(&self, fact: &FactEvent, starts: &[EffectSpec]) -> Secrets {
        let FactEvent::EffectStarting(starting) = fact else { return self.owner.secrets.clone() };
        let work = starts.iter().find(|work| work.effect == starting.effect);
        self.owner.secrets.with_env(work.into_iter().flat_map(|work| work.env.iter().cloned()))
    }

    /// Gives the run up. False if something newer was said.
    pub(super) async fn release(&mut self, released: OwnerReleased) -> Result<bool, DriveError> {
        let event = new_event(self.run, Scope::root(), &released.into())?;
        let mut part = self.part(vec![event])?;
        part.transition = TopicTransition::Released;
        part.preconditions = vec![Precondition::NoInputAfter(self.machine.last_input())];
        match self.submit(part).await {
            Ok((first, last)) => {
                self.own.push_back((first, last));
                Ok(true)
            }
            Err(AppendError::NewerInput { .. }) => Ok(false),
            Err(error) => Err(self.refused(error)),
        }
    }

    /// Gives the run up whatever was said meanwhile, and leaves its index row alone.
    pub(super) async fn release_as_it_is(&mut self, released: OwnerReleased) -> Result<(), DriveError> {
        let event = new_event(self.run, Scope::root(), &released.into())?;
        let mut part = self.part(vec![event])?;
        part.transition = TopicTransition::Released;
        part.index = None;
        let (first, last) = self.submit(part).await.map_err(|error| self.refused(error))?;
        self.own.push_back((first, last));
        Ok(())
    }

    /// Passes a sign of life on; what cannot be written is dropped.
    pub(super) fn say_beat(&self, effect: &EffectId, beat: &Heartbeat) {
        self.owner.give_heartbeat(&self.topic, &effect.scope, beat);
        match beat.encode() {
            Ok(payload) => {
                let event =
                    NewEvent { kind: Heartbeat::KIND, scope: effect.scope.clone(), payload, trace: None };
                self.owner.store.log.submit_live(self.topic.clone(), event);
            }
            Err(error) => tracing::debug!(%error, "a heartbeat has no JSON form"),
        }
    }

    fn part(&self, mut events: Vec<NewEvent>) -> Result<TopicAppend, DriveError> {
        let trace = self.machine.request().map(|request| request.trace.clone());
        for event in &mut events {
            event.trace.clone_from(&trace);
        }
        let authority = Authority::Owner(self.owner.identity().owner, self.epoch);
        let mut part = TopicAppend::new(self.topic.clone(), authority, events);
        part.index = Some(index_row(self.run, &self.machine, self.owner.store.clock.wall())?);
        Ok(part)
    }

    async fn submit(&self, part: TopicAppend) -> Result<(Seq, Seq), AppendError> {
        let appended = self.owner.store.log.submit(Batch::of(part)).await?;
        Ok(appended.topics.first().map_or((Seq(0), Seq(0)), |part| (part.first, part.last)))
    }

    fn refused(&self, error: AppendError) -> DriveError {
        match error {
            AppendError::Fenced { current, .. } => DriveError::Fenced { run: self.run, current },
            error => DriveError::Run(RunError::Append(error)),
        }
    }

    fn entries(&self, outcome: &Outcome) -> Result<Vec<EntryIndex>, DriveError> {
        let mut entries: Vec<EntryIndex> = Vec::new();
        for emitted in &outcome.facts {
            match &emitted.fact {
                FactEvent::QuestionAsked(asked) => {
                    entries.push(question_entry(self.run, &emitted.scope, asked)?);
                }
                FactEvent::QuestionClosed(closed) => {
                    let id = closed.question.to_string();
                    entries.retain(|entry| entry.id != id);
                    entries.push(EntryIndex {
                        kind: EntryKind::QUESTION,
                        id,
                        state: IndexState::new("closed"),
                        due_at: None,
                        summary: encode(self.run, &closed)?,
                    });
                }
                _ => {}
            }
        }
        Ok(entries)
    }
}

/// The index row of an open question of `run`.
pub(crate) fn question_entry(
    run: RunId,
    scope: &Scope,
    asked: &QuestionAsked,
) -> Result<EntryIndex, RunError> {
    Ok(EntryIndex {
        kind: EntryKind::QUESTION,
        id: asked.question.to_string(),
        state: IndexState::new("open"),
        due_at: None,
        summary: encode(
            run,
            &QuestionSummary {
                v: 1,
                run,
                scope,
                prompt: asked.prompt.chars().take(PROMPT_CHARS).collect(),
                options: asked.options.iter().map(|option| option.name.as_str()).collect(),
            },
        )?,
    })
}

fn encode(run: RunId, value: &impl Serialize) -> Result<Payload, RunError> {
    Payload::encode(value).map_err(|error| RunError::Definition {
        run,
        what: "index row",
        source: error.source,
    })
}
