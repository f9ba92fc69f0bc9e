//! A run as it goes on: its events as they come, folded, and the signs of life between them.

use std::collections::BTreeMap;
use std::time::Duration;

use backstay_engine::record::{RunRecord, StepRecord, StepStage};
use backstay_exec::spool;
use backstay_log::Subscription;
use backstay_model::event::{Event, FactEvent, Heartbeat};
use backstay_model::{Delivery, Digest, LiveEvent, Recorded, RunId, Seq, StepId, Timestamp, Topic};
use backstay_runtime::{RunView, Store};
use backstay_workflow::plan::Plan;
use camino::Utf8PathBuf;

use super::as_shown;
use super::beats::Beat;
use super::page::{Held, Page, Sign};
use crate::error::CliError;

/// Bytes at the end of a spool in which its last line is looked for.
const SIGN_BYTES: u64 = 2_048;
/// Time between two looks at the clock and at what the steps say.
const LOOK: Duration = Duration::from_secs(1);

/// What came next.
#[derive(Debug)]
pub(crate) enum Moment {
    /// A durable event, already folded.
    Event(Box<Recorded>, Box<Event>),
    /// Time went by.
    Look,
}

/// A run that is followed.
#[derive(Debug)]
pub(crate) struct LiveRun {
    store: Store,
    /// The fold so far.
    pub(crate) record: RunRecord,
    plan: Plan,
    /// The digest of `plan`: a retry may bring another one.
    plan_digest: Option<Digest>,
    held: Held,
    wake_at: Option<Timestamp>,
    signs: BTreeMap<StepId, Sign>,
    beats: BTreeMap<StepId, Beat>,
    subscription: Subscription,
    head: Seq,
    /// How much was said to the run since the opening.
    pub(crate) inputs: u64,
}

impl LiveRun {
    /// Follows `run` from where it stands now.
    pub(crate) async fn open(store: &Store, run: RunId) -> Result<LiveRun, CliError> {
        let RunView { mut record, plan, owner, wake_at, store: _ } = store.view(run).await?;
        record.forget_old_passes();
        let subscription = store.log().follow(&Topic::run(run), record.head);
        let (held, head) = (Held::of(owner.as_ref()), record.head);
        let plan_digest = record.workflow.as_ref().map(|workflow| workflow.plan);
        Ok(LiveRun {
            store: store.clone(),
            record,
            plan,
            plan_digest,
            held,
            wake_at,
            signs: BTreeMap::new(),
            beats: BTreeMap::new(),
            subscription,
            head,
            inputs: 0,
        })
    }

    /// Follows `run` from its first event.
    pub(crate) async fn open_from_start(store: &Store, run: RunId) -> Result<LiveRun, CliError> {
        let mut live = LiveRun::open(store, run).await?;
        // Of a run that was freed there is nothing to see but how it ended.
        if live.record.trimmed_at.is_some() {
            return Ok(live);
        }
        live.head = live.record.head;
        live.record = RunRecord::new(run);
        live.subscription = store.log().follow(&Topic::run(run), Seq(0));
        Ok(live)
    }

    /// Whether everything that was there at the opening has been seen.
    pub(crate) fn is_at_head(&self) -> bool {
        self.record.head >= self.head
    }

    /// What comes next; at the latest after a second. Dropping the future loses nothing.
    pub(crate) async fn next(&mut self) -> Result<Moment, CliError> {
        let wait = async {
            loop {
                match self.subscription.next().await? {
                    Delivery::Event(recorded) => return Ok::<Delivery, CliError>(Delivery::Event(recorded)),
                    Delivery::Live(live) => return Ok(Delivery::Live(live)),
                    Delivery::Gap(_) => {}
                }
            }
        };
        tokio::select! {
            delivery = wait => match delivery? {
                Delivery::Event(recorded) => self.fold(recorded),
                Delivery::Live(live) => {
                    self.hear(&live);
                    Ok(Moment::Look)
                }
                Delivery::Gap(_) => Ok(Moment::Look),
            },
            () = tokio::time::sleep(LOOK) => Ok(Moment::Look),
        }
    }

    /// What is there already and was not seen yet.
    pub(crate) async fn next_now(&mut self) -> Result<Option<Moment>, CliError> {
        loop {
            match self.subscription.try_next().await? {
                Some(Delivery::Event(recorded)) => return self.fold(recorded).map(Some),
                Some(Delivery::Live(live)) => self.hear(&live),
                Some(Delivery::Gap(_)) => {}
                None => return Ok(None),
            }
        }
    }

    /// Keeps the newest sign of life of each step. One that cannot be read is passed by: the next will do.
    fn hear(&mut self, live: &LiveEvent) {
        if let (Some(step), Ok(heartbeat)) = (live.scope.step_id(), Heartbeat::decode(live)) {
            let beat = Beat::after(self.beats.get(step), live, &heartbeat);
            self.beats.insert(step.clone(), beat);
        }
    }

    fn fold(&mut self, recorded: Recorded) -> Result<Moment, CliError> {
        let event = Event::decode(&recorded).map_err(backstay_runtime::RunError::from)?;
        self.record.apply(&recorded).map_err(backstay_runtime::RunError::from)?;
        if matches!(event, Event::Fact(FactEvent::CycleStarted(_))) {
            self.record.forget_old_passes();
        }
        self.inputs += u64::from(event.as_input().is_some_and(|input| !input.reopens()));
        Ok(Moment::Event(Box::new(recorded), Box::new(event)))
    }

    /// Looks at who owns the run and at what its steps said last.
    pub(crate) async fn look(&mut self) -> Result<(), CliError> {
        if let Some(row) = self.store.log().topic(&Topic::run(self.record.run)).await? {
            self.held = Held::of(row.owner.as_ref());
            self.wake_at = row.index.and_then(|index| index.wake_at);
        }
        let plan_digest = self.record.workflow.as_ref().map(|workflow| workflow.plan);
        if let Some(digest) = plan_digest.filter(|_| plan_digest != self.plan_digest) {
            self.plan = self.store.plan(self.record.run, digest).await?;
            self.plan_digest = plan_digest;
        }
        let is_working =
            |step: &StepId| self.record.step(step).is_some_and(|record| record.stage == StepStage::Working);
        self.beats.retain(|step, _beat| is_working(step));
        self.signs = last_words(&self.store, &self.record).await?;
        for (step, beat) in &self.beats {
            self.signs.entry(step.clone()).or_default().beat = Some(*beat);
        }
        Ok(())
    }

    /// The page as it stands.
    pub(crate) fn page(&self) -> Page<'_> {
        Page {
            store: self.store.folder(),
            record: &self.record,
            plan: &self.plan,
            held: self.held.clone(),
            wake_at: self.wake_at,
            signs: &self.signs,
        }
    }
}

/// What each step that works said last.
pub(crate) async fn last_words(
    store: &Store,
    record: &RunRecord,
) -> Result<BTreeMap<StepId, Sign>, CliError> {
    let is_asked = |step: &&StepRecord| step.stage == StepStage::Working;
    let folders: Vec<(StepId, Utf8PathBuf)> = record
        .steps
        .iter()
        .filter(is_asked)
        .filter_map(|step| {
            // What an agent says for programs is no line for people; the record has its words.
            let attempt = step.attempts.last().filter(|attempt| attempt.agent.is_none())?;
            let folder = attempt.folder.as_ref()?;
            Some((step.step.clone(), store.folder().join(folder.as_str())))
        })
        .collect();
    Ok(tokio::task::spawn_blocking(move || last_lines(folders)).await?)
}

/// The last line of each step. A spool that cannot be read has no sign of life: the next look may find one.
fn last_lines(folders: Vec<(StepId, Utf8PathBuf)>) -> BTreeMap<StepId, Sign> {
    let last = |folder: &Utf8PathBuf| {
        let tail = spool::tail(folder, SIGN_BYTES).ok()?;
        let shown = as_shown(tail.text.as_bytes());
        shown.lines().rev().find(|line| !line.trim().is_empty()).map(|line| line.trim().to_owned())
    };
    let sign = |folder: &Utf8PathBuf| Sign { said: last(folder), beat: None };
    folders.into_iter().map(|(step, folder)| (step, sign(&folder))).collect()
}
