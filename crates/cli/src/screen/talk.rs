//! What a step says, for the lines below the table: an agent's words from the log, a script's from its spool.

use backstay_engine::record::{AttemptRecord, RunRecord, StepRecord};
use backstay_exec::spool;
use backstay_log::{Direction, EventFilter};
use backstay_model::event::{Event, FactEvent};
use backstay_model::{Kind, Recorded, Scope, Seq, Topic};
use backstay_runtime::{RunError, Store};

use crate::error::CliError;
use crate::ui::Entries;

/// Events that are read at once.
const PAGE_EVENTS: usize = 500;
/// Events of an agent that are looked at for the lines below the table.
const LAST_EVENTS: usize = 120;
/// Bytes at the end of a spool that are looked at for them.
const LAST_BYTES: u64 = 16_384;

/// What an agent said, as far as it was read.
#[derive(Debug)]
pub(super) struct Talk {
    scope: Scope,
    read: Seq,
}

impl Talk {
    /// From the first word on.
    pub(super) const fn from_start(scope: Scope) -> Talk {
        Talk { scope, read: Seq(0) }
    }

    fn filter(&self) -> EventFilter {
        EventFilter { kinds: vec![Kind::new("agent_said")], scopes: vec![self.scope.clone()] }
    }

    /// Reads what is new up to `head`.
    pub(super) async fn catch_up(
        &mut self,
        store: &Store,
        record: &RunRecord,
        entries: &mut Entries,
    ) -> Result<(), CliError> {
        let (topic, filter) = (Topic::run(record.run), self.filter());
        while self.read < record.head {
            let page = store
                .log()
                .read_matching(&topic, self.read, Direction::Forward, PAGE_EVENTS, &filter)
                .await?;
            for event in &page.events {
                speak(store, event, entries).await?;
            }
            self.read = match page.events.last() {
                Some(last) if page.events.len() >= PAGE_EVENTS => last.seq,
                _ => page.head,
            };
        }
        Ok(())
    }

    /// Reads the last words only.
    async fn last(
        &mut self,
        store: &Store,
        record: &RunRecord,
        entries: &mut Entries,
    ) -> Result<(), CliError> {
        let (topic, filter) = (Topic::run(record.run), self.filter());
        let from = Seq(u64::MAX);
        let page = store.log().read_matching(&topic, from, Direction::Backward, LAST_EVENTS, &filter).await?;
        for event in page.events.iter().rev() {
            speak(store, event, entries).await?;
        }
        self.read = page.head;
        Ok(())
    }
}

async fn speak(store: &Store, recorded: &Recorded, entries: &mut Entries) -> Result<(), CliError> {
    let event = Event::decode(recorded).map_err(RunError::from)?;
    let Event::Fact(FactEvent::AgentSaid(said)) = event else { return Ok(()) };
    let whole = match &said.what {
        backstay_model::event::Said::Message { text, .. } if text.blob().is_some() => {
            Some(store.text(text).await?)
        }
        _ => None,
    };
    entries.said(&said, whole.as_deref());
    Ok(())
}

/// Whether an attempt's words are in the log, and its output is for programs.
pub(super) fn is_agents(attempt: &AttemptRecord) -> bool {
    attempt.agent.is_some()
}

/// The last words of the step that is chosen.
#[derive(Debug, Default)]
pub(super) struct PaneTalk {
    talk: Option<Talk>,
    entries: Entries,
}

impl PaneTalk {
    /// The words.
    pub(super) const fn entries(&self) -> &Entries {
        &self.entries
    }

    /// Looks at what `step` says.
    pub(super) async fn look(
        &mut self,
        store: &Store,
        record: &RunRecord,
        step: Option<&StepRecord>,
    ) -> Result<(), CliError> {
        let last =
            step.and_then(|step| Some((step, step.attempts.iter().rev().find(|attempt| !attempt.probe)?)));
        let Some((step, attempt)) = last else {
            *self = PaneTalk::default();
            return Ok(());
        };
        if is_agents(attempt) {
            if self.talk.as_ref().is_none_or(|talk| talk.scope != step.scope) {
                let mut talk = Talk::from_start(step.scope.clone());
                self.entries = Entries::default();
                talk.last(store, record, &mut self.entries).await?;
                self.talk = Some(talk);
            }
            if let Some(talk) = &mut self.talk {
                talk.catch_up(store, record, &mut self.entries).await?;
            }
            return Ok(());
        }
        *self = PaneTalk::default();
        if let Some(folder) = &attempt.folder {
            let folder = store.folder().join(folder.as_str());
            // A spool that cannot be read has no words: the next look may find some.
            let tail = tokio::task::spawn_blocking(move || spool::tail(&folder, LAST_BYTES)).await?;
            self.entries.wrote(tail.map(|tail| tail.text).unwrap_or_default().as_bytes());
        }
        Ok(())
    }
}
