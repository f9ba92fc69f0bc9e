//! What anybody can do without owning anything: read runs.

use std::sync::Arc;

use backstay_engine::record::{RUN_RECORD_FOLD, RunRecord, RunSummary};
use backstay_engine::run::{PlanIndex, RetryOutlook};
use backstay_engine::topic::TopicMachine;
use backstay_log::{Direction, FoldSnapshot, OwnerView, TopicFilter, TopicKind};
use backstay_model::event::{PlanRef, Reopened};
use backstay_model::limits::PAGE_EVENTS_MAX;
use backstay_model::{Digest, Gap, Recorded, RunId, Scope, Seq, Text, Timestamp, Topic};
use backstay_workflow::plan::Plan;
use camino::Utf8PathBuf;

use crate::error::{RunError, SayError};
use crate::store::Store;

/// The name under which records are kept beside their runs.
const RECORD_FOLD: &str = "run-record";
/// Events after which a record is worth keeping.
const WORTH_KEEPING: u64 = 500;

/// A run as lists show it, from its index row.
#[derive(Clone, Debug)]
pub struct RunRow {
    /// The run.
    pub run: RunId,
    /// The run in a line.
    pub summary: RunSummary,
    /// Who owns it, and whether that process lives.
    pub owner: Option<OwnerView>,
    /// When an owner should look at it.
    pub wake_at: Option<Timestamp>,
    /// Its last event.
    pub head: Seq,
}

/// A run as pages show it.
#[derive(Clone, Debug)]
pub struct RunView {
    /// The folder of its store, to which folders of attempts are relative.
    pub store: Utf8PathBuf,
    /// The fold of its topic.
    pub record: RunRecord,
    /// Its plan; steps whose turn has not come are only in here.
    pub plan: Plan,
    /// Who owns it, and whether that process lives.
    pub owner: Option<OwnerView>,
    /// When an owner should look at it.
    pub wake_at: Option<Timestamp>,
}

impl RunRow {
    /// Whether it should be worked on and nobody does.
    #[must_use]
    pub fn is_without_owner(&self) -> bool {
        self.wake_at.is_some() && !self.owner.as_ref().is_some_and(|owner| owner.is_held())
    }
}

impl RunView {
    /// Whether it should be worked on and nobody does.
    #[must_use]
    pub fn is_without_owner(&self) -> bool {
        self.wake_at.is_some() && !self.owner.as_ref().is_some_and(|owner| owner.is_held())
    }
}

impl Store {
    /// The runs of this store, the newest first. One that cannot be read at all is logged and left out.
    ///
    /// # Errors
    /// [`RunError`] if the log cannot be read.
    pub async fn runs(&self, filter: TopicFilter) -> Result<Vec<RunRow>, RunError> {
        let rows = self.log.topics(TopicFilter { kind: Some(TopicKind::RUN), ..filter }).await?;
        let mut runs = Vec::with_capacity(rows.len());
        for row in rows {
            let (Some(run), Some(index)) = (row.topic.run_id(), row.index) else { continue };
            let summary = match index.summary.decode() {
                Ok(summary) => summary,
                // The row is a cache: what it should say is in the topic.
                Err(unreadable) => match self.machine(run).await {
                    Ok(machine) => machine.summary(),
                    Err(error) => {
                        tracing::warn!(%run, %unreadable, %error, "a run cannot be read, and no list shows it");
                        continue;
                    }
                },
            };
            runs.push(RunRow { run, summary, owner: row.owner, wake_at: index.wake_at, head: row.head });
        }
        Ok(runs)
    }

    /// Folds one run for reading.
    ///
    /// # Errors
    /// [`RunError`] if it does not exist or cannot be read.
    pub async fn view(&self, run: RunId) -> Result<RunView, RunError> {
        let topic = Topic::run(run);
        let row = self.log.topic(&topic).await?.ok_or(RunError::Unknown(run))?;
        let record = self.record(run).await?;
        let workflow = record.workflow.as_ref().ok_or(RunError::Unknown(run))?;
        let plan = self.plan(run, workflow.plan).await?;
        Ok(RunView {
            store: self.folder.clone(),
            plan,
            owner: row.owner,
            wake_at: row.index.and_then(|index| index.wake_at),
            record,
        })
    }

    /// The record of a run. Of a long one, what was folded before is gone on with; one that was freed is read back.
    ///
    /// # Errors
    /// [`RunError`] if it does not exist or cannot be read.
    pub async fn record(&self, run: RunId) -> Result<RunRecord, RunError> {
        let topic = Topic::run(run);
        let mut record = self.kept_record(&topic).await?.unwrap_or_else(|| RunRecord::new(run));
        let from = record.head;
        if let Some(gap) = self.each_event(&topic, from, |event| Ok(record.apply(event)?)).await? {
            return self.trimmed_record(run, gap.first).await;
        }
        if record.head.0 - from.0 >= WORTH_KEEPING {
            self.keep_record(&topic, &record);
        }
        Ok(record)
    }

    async fn kept_record(&self, topic: &Topic) -> Result<Option<RunRecord>, RunError> {
        if !self.is_registered() {
            // Somebody else may have kept it, and nobody has made it anew.
            return Ok(None);
        }
        let kept = self.log.load_fold(topic, RECORD_FOLD, RUN_RECORD_FOLD).await?;
        // What cannot be understood is folded anew.
        Ok(kept.and_then(|kept| serde_json::from_slice(&kept.state).ok()))
    }

    fn keep_record(&self, topic: &Topic, record: &RunRecord) {
        match serde_json::to_vec(record) {
            Ok(state) => {
                let fold = RECORD_FOLD.to_owned();
                let kept = FoldSnapshot { fold, version: RUN_RECORD_FOLD, seq: record.head, state };
                self.log.save_fold(topic, kept);
            }
            Err(error) => tracing::debug!(%topic, %error, "a record has no JSON form"),
        }
    }

    /// The plan with this digest.
    ///
    /// # Errors
    /// [`RunError`] if the blob is missing, damaged or not a plan.
    pub async fn plan(&self, run: RunId, digest: Digest) -> Result<Plan, RunError> {
        let text = self.text_of(digest).await?;
        serde_json::from_str(&text).map_err(|source| RunError::Definition { run, what: "plan", source })
    }

    /// The text that an event speaks of.
    ///
    /// # Errors
    /// [`RunError`] if its blob is missing or damaged.
    pub async fn text(&self, text: &Text) -> Result<Arc<str>, RunError> {
        match text {
            Text::Inline(text) => Ok(Arc::from(text.as_str())),
            Text::Blob { digest, .. } => self.text_of(*digest).await,
        }
    }

    /// The machine of a run, folded and defined, for asking what it would do.
    ///
    /// # Errors
    /// [`RunError`] if it does not exist or cannot be read.
    pub async fn machine(&self, run: RunId) -> Result<TopicMachine, RunError> {
        let mut machine = TopicMachine::new(run);
        let gap = self.each_event(&Topic::run(run), Seq(0), |event| Ok(machine.apply(event)?)).await?;
        if let Some(gap) = gap {
            return Err(self.trimmed(run, gap.first).await);
        }
        let plan = machine.plan_ref().ok_or(RunError::Unknown(run))?;
        // It would be another folder in each process.
        if let Some(request) = machine.request().filter(|request| !request.cwd.starts_with('/')) {
            return Err(RunError::RelativeFolder { run, cwd: request.cwd.clone() });
        }
        machine.define(self.definition(run, &plan).await?);
        self.give_what_is_missing(&mut machine).await?;
        Ok(machine)
    }

    async fn definition(&self, run: RunId, plan: &PlanRef) -> Result<Arc<PlanIndex>, RunError> {
        let inputs = self.text(&plan.inputs).await?;
        let plan = self.plan(run, plan.plan).await?;
        let definition = PlanIndex::new(plan, &inputs, self.folder.as_str())
            .map_err(|error| RunError::Definition { run, what: "inputs", source: error.source })?;
        Ok(Arc::new(definition))
    }

    /// Reads the plans that inputs bring, and the blobs that the machine's expressions may ask for.
    pub(crate) async fn give_what_is_missing(&self, machine: &mut TopicMachine) -> Result<(), RunError> {
        for plan in machine.missing_plans() {
            self.give_plan(machine, plan).await?;
        }
        self.give_missing_texts(machine).await
    }

    pub(crate) async fn give_plan(&self, machine: &mut TopicMachine, plan: PlanRef) -> Result<(), RunError> {
        let definition = self.definition(machine.run(), &plan).await?;
        machine.give_plan(plan, definition);
        Ok(())
    }

    /// What comes of trying `run` again in this way; nothing is said to it.
    ///
    /// # Errors
    /// [`SayError::Refused`] if the run would refuse it now.
    pub async fn retry_outlook(&self, run: RunId, reopened: &Reopened) -> Result<RetryOutlook, SayError> {
        let mut machine = self.machine(run).await?;
        if let Some(plan) = &reopened.plan {
            self.give_plan(&mut machine, PlanRef::clone(plan)).await?;
        }
        machine
            .would_accept(&Scope::root(), &reopened.clone().into())
            .map_err(|rejection| SayError::refused(run, rejection))?;
        Ok(machine.retry_outlook(reopened))
    }

    /// Reads the blobs that the machine's expressions may ask for.
    async fn give_missing_texts(&self, machine: &mut TopicMachine) -> Result<(), RunError> {
        for digest in machine.missing_texts() {
            let text = self.text_of(digest).await?;
            machine.give_text(digest, text);
        }
        Ok(())
    }

    pub(crate) async fn text_of(&self, digest: Digest) -> Result<Arc<str>, RunError> {
        let blobs = self.blobs.clone();
        let bytes = tokio::task::spawn_blocking(move || blobs.get(digest)).await??;
        Ok(Arc::from(String::from_utf8_lossy(&bytes)))
    }

    /// Gives `take` the events after `after`, unless some of them are gone.
    pub(crate) async fn each_event(
        &self,
        topic: &Topic,
        mut after: Seq,
        mut take: impl FnMut(&Recorded) -> Result<(), RunError>,
    ) -> Result<Option<Gap>, RunError> {
        loop {
            let page = self.log.read(topic, after, Direction::Forward, PAGE_EVENTS_MAX).await?;
            if page.gap.is_some() {
                return Ok(page.gap);
            }
            page.events.iter().try_for_each(&mut take)?;
            match page.events.last() {
                Some(last) if last.seq < page.head => after = last.seq,
                _ => return Ok(None),
            }
        }
    }
}
