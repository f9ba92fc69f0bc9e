//! What the log cannot know of a run's events: whether they make sense together, and what they name.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use backstay_agent::Preset;
use backstay_engine::effect::Desired;
use backstay_engine::record::{RunRecord, RunStatus, RunSummary};
use backstay_engine::run::{Phase, PlanIndex};
use backstay_engine::topic::TopicMachine;
use backstay_exec::spool::Stream;
use backstay_log::EntryKind;
use backstay_log::maintenance::{
    Finding, Inspect, InspectedTopic, JsonText, RebuiltIndex, Secret, Structural,
};
use backstay_log::{BlobError, BlobStore};
use backstay_model::event::{Event, FactEvent, InputEvent, PlanChanged, PlanRef, Reopened, Spool};
use backstay_model::{Attempt, Digest, EffectId, Payload, Recorded, RunId, Seq, StorePath, Text, Timestamp};
use camino::Utf8PathBuf;
use serde_json::Value;

use crate::drive::{attempt_folder, question_entry};
use crate::request::index_row;

/// A stream that an event tells length and digest of.
#[derive(Clone, Debug)]
pub(super) struct NotedSpool {
    pub(super) topic: String,
    pub(super) seq: Seq,
    /// Relative to the store.
    pub(super) folder: Utf8PathBuf,
    pub(super) stream: Stream,
    pub(super) spool: Spool,
}

/// What an event tells of an attempt that has ended.
#[derive(Clone, Debug)]
pub(super) struct NotedAttempt {
    pub(super) topic: String,
    pub(super) seq: Seq,
    pub(super) effect: EffectId,
    pub(super) attempt: Attempt,
    /// stdout and stderr, if it began.
    pub(super) streams: Option<[Spool; 2]>,
    /// Relative to the store.
    pub(super) artifacts: Vec<StorePath>,
}

/// How much of a run's events could be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// All that there ever were.
    Whole,
    /// Some were freed, or cannot be read.
    InPart,
    /// None is left: the run was removed.
    Removed,
}

/// Folds every run, and collects what its events name.
#[derive(Debug)]
pub(super) struct RunInspector<'s> {
    store: String,
    blobs: BlobStore,
    without: Option<&'s Secret>,
    machine: Option<TopicMachine>,
    /// The first event that names each blob.
    pub(super) named: BTreeMap<Digest, (String, Seq)>,
    pub(super) spools: Vec<NotedSpool>,
    pub(super) attempts: Vec<NotedAttempt>,
    /// Folders of attempts that began, relative to the store.
    pub(super) begun: BTreeSet<Utf8PathBuf>,
    /// The runs that the log knows.
    pub(super) runs: BTreeMap<RunId, Told>,
    /// Blobs whose texts are ours: plans, presets, records.
    pub(super) ours: BTreeSet<Digest>,
    /// Folders of attempts that have begun and not ended, relative to the store.
    pub(super) open_attempts: BTreeSet<Utf8PathBuf>,
    pub(super) findings: Vec<Finding>,
    /// Runs that have not ended.
    pub(super) open_runs: u64,
    /// What the index rows should say now, where they are to be written anew.
    pub(super) fresh: Option<(Timestamp, Vec<RebuiltIndex>)>,
}

impl<'s> RunInspector<'s> {
    pub(super) fn new(store: &str, blobs: BlobStore) -> RunInspector<'s> {
        RunInspector {
            store: store.to_owned(),
            blobs,
            without: None,
            machine: None,
            named: BTreeMap::new(),
            spools: Vec::new(),
            attempts: Vec::new(),
            begun: BTreeSet::new(),
            runs: BTreeMap::new(),
            ours: BTreeSet::new(),
            open_attempts: BTreeSet::new(),
            findings: Vec::new(),
            open_runs: 0,
            fresh: None,
        }
    }

    /// Also makes the index rows anew, as of `now`.
    pub(super) fn renewing(self, now: Timestamp) -> RunInspector<'s> {
        RunInspector { fresh: Some((now, Vec::new())), ..self }
    }

    /// Looks at everything as it would be without `secret`.
    pub(super) fn without(self, secret: &'s Secret) -> RunInspector<'s> {
        RunInspector { without: Some(secret), ..self }
    }

    /// A text as it is, or as it would be.
    fn text(&self, bytes: Vec<u8>, names: JsonText) -> Result<String, Structural> {
        let mut bytes = bytes;
        if let Some(secret) = self.without {
            secret.mask_json(&mut bytes, names)?;
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn payload(&self, payload: &Payload) -> Result<Payload, String> {
        if self.without.is_none() {
            return Ok(payload.clone());
        }
        let text = payload.as_str().as_bytes().to_vec();
        let text = self.text(text, JsonText::Internal).map_err(|structural| structural.to_string())?;
        Payload::from_text(text).map_err(|invalid| invalid.to_string())
    }

    fn damaged(&mut self, recorded: &Recorded, what: String) {
        let (topic, seq) = (recorded.topic.to_string(), recorded.seq);
        self.findings.push(Finding::EventDamaged { topic, seq, what });
    }

    fn odd(&mut self, topic: &InspectedTopic, what: impl Into<String>) {
        self.findings.push(Finding::Row { topic: topic.topic.to_string(), what: what.into() });
    }

    fn note_ours(&mut self, event: &Event) {
        match event {
            Event::Input(InputEvent::RunRequested(request)) => {
                self.ours.insert(request.plan);
                self.ours.extend(request.presets.values());
            }
            Event::Fact(FactEvent::PlanChanged(PlanChanged { plan, .. })) => self.note_plan(plan),
            Event::Input(InputEvent::Reopened(Reopened { plan: Some(plan), .. })) => self.note_plan(plan),
            Event::Fact(FactEvent::Trimmed(trimmed)) => {
                self.ours.insert(trimmed.record);
            }
            _ => {}
        }
    }

    fn note_plan(&mut self, plan: &PlanRef) {
        self.ours.insert(plan.plan);
        self.ours.extend(plan.presets.values());
    }

    fn note_attempt(&mut self, recorded: &Recorded, event: &Event) {
        let finished = match event {
            Event::Fact(FactEvent::EffectStarting(starting)) => {
                self.begun.insert(attempt_folder(&starting.effect, starting.attempt));
                return;
            }
            Event::Fact(FactEvent::EffectFinished(finished)) => finished,
            _ => return,
        };
        let Some(process) = finished.result.process() else { return };
        self.attempts.push(NotedAttempt {
            topic: recorded.topic.to_string(),
            seq: recorded.seq,
            effect: finished.effect.clone(),
            attempt: finished.attempt,
            streams: process.stdout.clone().zip(process.stderr.clone()).map(Into::into),
            artifacts: process.artifacts.clone(),
        });
        let folder = attempt_folder(&finished.effect, finished.attempt);
        for (stream, spool) in [(Stream::Stdout, &process.stdout), (Stream::Stderr, &process.stderr)] {
            if let Some(spool) = spool {
                self.spools.push(NotedSpool {
                    topic: recorded.topic.to_string(),
                    seq: recorded.seq,
                    folder: folder.clone(),
                    stream,
                    spool: spool.clone(),
                });
            }
        }
    }

    /// A blob that is not there or damaged is told where all blobs are looked at; one that cannot be read, here.
    fn blob_text(&mut self, digest: Digest, names: JsonText) -> Option<String> {
        match self.blobs.get(digest) {
            Ok(bytes) => match self.text(bytes, names) {
                Ok(text) => Some(text),
                Err(structural) => {
                    let topic = self.named.get(&digest).map(|(topic, _)| topic.clone());
                    let what = structural.to_string();
                    self.findings.push(Finding::BlobDamaged { digest, topic, what });
                    None
                }
            },
            Err(BlobError::Missing { .. } | BlobError::Damaged { .. }) => None,
            Err(error @ BlobError::Io { .. }) => {
                let topic = self.named.get(&digest).map(|(topic, _)| topic.clone());
                self.findings.push(Finding::BlobDamaged { digest, topic, what: error.to_string() });
                None
            }
        }
    }

    /// Gives the machine its plan, as an owner would have it; false if that cannot be had. Why is told, unless a blob is why.
    fn define(&mut self, topic: &InspectedTopic, machine: &mut TopicMachine) -> bool {
        let Some(request) = machine.request().cloned() else { return false };
        self.presets(topic, &request.presets);
        let plan = self.blob_text(request.plan, JsonText::Internal);
        let inputs = match &request.inputs {
            Text::Inline(text) => Some(text.clone()),
            Text::Blob { digest, .. } => self.blob_text(*digest, JsonText::External),
        };
        let (Some(plan), Some(inputs)) = (plan, inputs) else { return false };
        let plan = match serde_json::from_str(&plan) {
            Ok(plan) => plan,
            Err(error) => {
                self.odd(topic, format!("its plan cannot be understood: {error}"));
                return false;
            }
        };
        match PlanIndex::new(plan, &inputs, &self.store) {
            Ok(definition) => machine.define(Arc::new(definition)),
            Err(error) => {
                self.odd(topic, format!("its inputs cannot be understood: {error}"));
                return false;
            }
        }
        for digest in machine.missing_texts() {
            let Some(text) = self.blob_text(digest, JsonText::External) else { return false };
            machine.give_text(digest, Arc::from(text));
        }
        true
    }

    fn presets(&mut self, topic: &InspectedTopic, presets: &BTreeMap<String, Digest>) {
        for (name, digest) in presets {
            let Some(text) = self.blob_text(*digest, JsonText::Internal) else { continue };
            if let Err(error) = Preset::from_stored(name, &text) {
                self.odd(topic, format!("the preset {name} cannot be understood: {error}"));
            }
        }
    }

    /// The record that a freed run is.
    fn record(&mut self, recorded: &Recorded, digest: Digest) {
        let Some(text) = self.blob_text(digest, JsonText::Internal) else { return };
        if let Err(error) = serde_json::from_str::<RunRecord>(&text) {
            self.damaged(recorded, format!("the record that it names cannot be understood: {error}"));
        }
    }

    /// Makes the index rows of a run anew, if that is wanted.
    fn renew(&mut self, topic: &InspectedTopic, machine: &TopicMachine) {
        let (Some((now, _)), Some(run)) = (&self.fresh, topic.topic.run_id()) else { return };
        let made = index_row(run, machine, *now).and_then(|index| {
            let entries = machine.open_questions().map(|(scope, asked)| question_entry(run, scope, asked));
            Ok(RebuiltIndex {
                topic: topic.topic.clone(),
                index,
                entries: entries.collect::<Result<_, _>>()?,
            })
        });
        match (made, &mut self.fresh) {
            (Ok(made), Some((_, fresh))) => fresh.push(made),
            (Ok(_), None) => {}
            (Err(error), _) => self.odd(topic, format!("its index row cannot be made: {error}")),
        }
    }

    fn compare(&mut self, topic: &InspectedTopic, machine: &TopicMachine) {
        if machine.epoch() != topic.epoch {
            self.odd(topic, format!("its row has epoch {}, its events {}", topic.epoch, machine.epoch()));
        }
        if machine.has_unsettled_inputs() {
            // The row is of the last word of an owner.
            return;
        }
        let has_ended = matches!(machine.phase(), Phase::Ended(_));
        if has_ended != topic.closed {
            self.odd(topic, format!("its row says {}, its events say something else", ended(topic.closed)));
        }
        self.compare_questions(topic, machine);
        let Some(index) = &topic.index else {
            return self.odd(topic, "it has no index row");
        };
        let status = machine.status();
        if index.state.as_str() != status.as_str() {
            self.odd(topic, format!("its row says {}, its events say {}", index.state, status.as_str()));
        }
        if machine.is_at_rest() && index.wake_at.is_some() {
            self.odd(topic, "its row says that it is due, and it is not");
        }
        if machine.wake_at(Timestamp::from_micros(0)).is_some() && index.wake_at.is_none() {
            self.odd(topic, "it is due, and its row does not say so");
        }
        let summary = match self.payload(&index.summary) {
            Ok(summary) => summary,
            Err(what) => return self.odd(topic, format!("its summary cannot be understood: {what}")),
        };
        match summary.decode::<RunSummary>() {
            Ok(row) => {
                let mut folded = machine.summary();
                if status == RunStatus::Queued {
                    // Whoever asks for a run does not count its steps.
                    (folded.steps_done, folded.steps_total) = (row.steps_done, row.steps_total);
                }
                if row != folded {
                    self.odd(topic, "its summary is not what its events make of it");
                }
            }
            Err(error) => self.odd(topic, format!("its summary cannot be understood: {error}")),
        }
    }

    fn compare_questions(&mut self, topic: &InspectedTopic, machine: &TopicMachine) {
        let open: BTreeSet<String> =
            machine.open_questions().map(|(_, asked)| asked.question.to_string()).collect();
        let rows: BTreeSet<String> = topic
            .entries
            .iter()
            .filter(|entry| entry.kind == EntryKind::QUESTION && entry.state.as_str() == "open")
            .map(|entry| entry.id.clone())
            .collect();
        for id in open.difference(&rows) {
            self.odd(topic, format!("the question {id} is open, and has no open row"));
        }
        for id in rows.difference(&open) {
            self.odd(topic, format!("the question {id} is not open, and has an open row"));
        }
    }
}

const fn ended(closed: bool) -> &'static str {
    if closed { "that it has ended" } else { "that it has not ended" }
}

impl Inspect for RunInspector<'_> {
    fn event(&mut self, recorded: &Recorded) {
        let Some(run) = recorded.topic.run_id() else { return };
        for digest in blobs_named(recorded) {
            self.named.entry(digest).or_insert_with(|| (recorded.topic.to_string(), recorded.seq));
        }
        let payload = match self.payload(&recorded.payload) {
            Ok(payload) => payload,
            Err(what) => {
                self.damaged(recorded, what);
                self.machine = None;
                return;
            }
        };
        let recorded = &Recorded { payload, ..recorded.clone() };
        match Event::decode(recorded) {
            Ok(event) => {
                self.note_ours(&event);
                self.note_attempt(recorded, &event);
                if let Event::Fact(FactEvent::Trimmed(trimmed)) = event {
                    self.record(recorded, trimmed.record);
                }
            }
            Err(error) => {
                let cause =
                    std::error::Error::source(&error).map_or_else(String::new, |cause| format!(": {cause}"));
                self.damaged(recorded, format!("{error}{cause}"));
                self.machine = None;
                return;
            }
        }
        if recorded.seq == Seq(1) {
            self.machine = Some(TopicMachine::new(run));
        }
        if let Some(machine) = &mut self.machine
            && (machine.head().next() != recorded.seq || machine.apply(recorded).is_err())
        {
            self.machine = None;
        }
    }

    fn topic_end(&mut self, topic: &InspectedTopic) {
        if let Some(run) = topic.topic.run_id() {
            let told = match topic.is_whole && topic.floor == Seq(0) {
                true => Told::Whole,
                false if topic.is_deleted => Told::Removed,
                false => Told::InPart,
            };
            self.runs.insert(run, told);
            self.open_runs += u64::from(!topic.closed);
        }
        let Some(mut machine) = self.machine.take().filter(|_| topic.is_whole) else { return };
        if !self.define(topic, &mut machine) {
            return;
        }
        for (effect, wish) in machine.desired() {
            if let Desired::Hold(attempt) | Desired::Stop(attempt, ..) = wish {
                self.open_attempts.insert(attempt_folder(&effect, attempt));
            }
        }
        self.renew(topic, &machine);
        self.compare(topic, &machine);
    }
}

/// The blobs that an event names, whatever its kind: texts say `{"blob": {"digest": …}}`; a request, and a retry by another
/// file, names its plan, its source and its presets, and the last event of a run that was freed its record. So events that this version does not know are read
/// too.
pub(crate) fn blobs_named(recorded: &Recorded) -> Vec<Digest> {
    let Ok(payload) = recorded.payload.decode::<Value>() else { return Vec::new() };
    let mut found = Vec::new();
    let (naming, own): (Option<&Value>, &[&str]) = match recorded.kind.as_str() {
        "run_requested" | "plan_changed" => (Some(&payload), &["plan", "source"]),
        "reopened" => (payload.get("plan"), &["plan", "source"]),
        "trimmed" => (Some(&payload), &["record"]),
        _ => (None, &[]),
    };
    if let Some(naming) = naming {
        found.extend(own.iter().filter_map(|name| digest_of(naming.get(name)?)));
        if let Some(Value::Object(presets)) = naming.get("presets") {
            found.extend(presets.values().filter_map(digest_of));
        }
    }
    let mut waiting = vec![&payload];
    while let Some(value) = waiting.pop() {
        match value {
            Value::Object(fields) => {
                let blob = fields.get("blob").and_then(|blob| blob.get("digest")).and_then(digest_of);
                found.extend(blob);
                waiting.extend(fields.values());
            }
            Value::Array(values) => waiting.extend(values),
            _ => {}
        }
    }
    found
}

fn digest_of(value: &Value) -> Option<Digest> {
    value.as_str()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use backstay_model::{Kind, Payload, Position, Scope, Seq};

    use super::*;

    #[test]
    fn every_event_that_brings_a_plan_names_its_blobs() {
        let digest = |digit: &str| digit.repeat(64);
        let plan = format!(
            r#""workflow":"w","file":"f","folder":"/f","source":"{}","plan":"{}","inputs":{{"blob":{{"digest":"{}","size_bytes":9}}}},"presets":{{"p":"{}"}}"#,
            digest("1"),
            digest("2"),
            digest("3"),
            digest("4")
        );
        for (kind, payload) in [
            ("run_requested", format!("{{\"v\":1,{plan}}}")),
            ("plan_changed", format!("{{\"v\":1,\"input\":9,{plan}}}")),
            ("reopened", format!("{{\"v\":1,\"plan\":{{{plan}}}}}")),
        ] {
            let recorded = Recorded {
                topic: "a".parse().unwrap(),
                seq: Seq(1),
                g: Position(1),
                at: Timestamp::from_micros(0),
                kind: Kind::from_name(kind.to_owned()),
                scope: Scope::root(),
                payload: Payload::from_text(payload).unwrap(),
                trace: None,
                more: false,
            };
            let mut named: Vec<String> = blobs_named(&recorded).iter().map(ToString::to_string).collect();
            named.sort();
            assert_eq!(named, ["1", "2", "3", "4"].map(digest), "{kind}");
        }
    }
}
