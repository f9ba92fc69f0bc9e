//! What the log cannot know of a run's events: whether they make sense together, and what they name.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use backstay_engine::record::{RunStatus, RunSummary};
use backstay_engine::run::{Definition, Desired, Phase, RunMachine};
use backstay_exec::spool::Stream;
use backstay_log::care::{Finding, Inspect, InspectedTopic};
use backstay_log::{BlobError, BlobStore};
use backstay_model::event::{Event, Spool};
use backstay_model::{Digest, Recorded, Seq, Text, Timestamp};
use camino::Utf8PathBuf;
use serde_json::Value;

use crate::drive::attempt_folder;

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

/// Folds every run, and collects what its events name.
#[derive(Debug)]
pub(super) struct RunInspector {
    store: String,
    blobs: BlobStore,
    machine: Option<RunMachine>,
    /// The first event that names each blob.
    pub(super) named: BTreeMap<Digest, (String, Seq)>,
    pub(super) spools: Vec<NotedSpool>,
    /// Folders of attempts that have begun and not ended, relative to the store.
    pub(super) open_attempts: BTreeSet<Utf8PathBuf>,
    pub(super) findings: Vec<Finding>,
}

impl RunInspector {
    pub(super) fn new(store: &str, blobs: BlobStore) -> RunInspector {
        RunInspector {
            store: store.to_owned(),
            blobs,
            machine: None,
            named: BTreeMap::new(),
            spools: Vec::new(),
            open_attempts: BTreeSet::new(),
            findings: Vec::new(),
        }
    }

    fn odd(&mut self, topic: &InspectedTopic, what: impl Into<String>) {
        self.findings.push(Finding::Row { topic: topic.topic.to_string(), what: what.into() });
    }

    fn note_spools(&mut self, recorded: &Recorded, event: &Event) {
        let Event::EffectFinished(finished) = event else { return };
        let folder = attempt_folder(&finished.effect, finished.attempt);
        for (stream, spool) in [(Stream::Stdout, &finished.stdout), (Stream::Stderr, &finished.stderr)] {
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
    fn blob_text(&mut self, digest: Digest) -> Option<String> {
        match self.blobs.get(digest) {
            Ok(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
            Err(BlobError::Missing { .. } | BlobError::Damaged { .. }) => None,
            Err(error @ BlobError::Io { .. }) => {
                let topic = self.named.get(&digest).map(|(topic, _)| topic.clone());
                self.findings.push(Finding::BlobDamaged { digest, topic, what: error.to_string() });
                None
            }
        }
    }

    /// Gives the machine its plan, as an owner would have it; false if that cannot be had.
    fn define(&mut self, machine: &mut RunMachine) -> bool {
        let Some(request) = machine.request().cloned() else { return false };
        let plan = self.blob_text(request.plan).and_then(|text| serde_json::from_str(&text).ok());
        let inputs = match &request.inputs {
            Text::Inline(text) => Some(text.clone()),
            Text::Blob { digest, .. } => self.blob_text(*digest),
        };
        let (Some(plan), Some(inputs)) = (plan, inputs) else { return false };
        let Ok(definition) = Definition::new(plan, &inputs, &self.store) else { return false };
        machine.define(Arc::new(definition));
        for digest in machine.missing_texts() {
            let Some(text) = self.blob_text(digest) else { return false };
            machine.give_text(digest, Arc::from(text));
        }
        true
    }

    fn compare(&mut self, topic: &InspectedTopic, machine: &RunMachine) {
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
        if index.state != status.as_str() {
            self.odd(topic, format!("its row says {}, its events say {}", index.state, status.as_str()));
        }
        if machine.is_at_rest() && index.wake_at.is_some() {
            self.odd(topic, "its row says that it is due, and it is not");
        }
        if machine.wake_at(Timestamp::from_micros(0)).is_some() && index.wake_at.is_none() {
            self.odd(topic, "it is due, and its row does not say so");
        }
        match index.summary.decode::<RunSummary>() {
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

    fn compare_questions(&mut self, topic: &InspectedTopic, machine: &RunMachine) {
        let open: BTreeSet<String> =
            machine.open_questions().map(|asked| asked.question.to_string()).collect();
        let rows: BTreeSet<String> = topic
            .entries
            .iter()
            .filter(|entry| entry.kind == "question" && entry.state == "open")
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

impl Inspect for RunInspector {
    fn event(&mut self, recorded: &Recorded) {
        let Some(run) = recorded.topic.run_id() else { return };
        for digest in blobs_named(recorded) {
            self.named.entry(digest).or_insert_with(|| (recorded.topic.to_string(), recorded.seq));
        }
        match Event::decode(recorded) {
            Ok(event) => self.note_spools(recorded, &event),
            Err(error) => {
                let (topic, seq) = (recorded.topic.to_string(), recorded.seq);
                let cause =
                    std::error::Error::source(&error).map_or_else(String::new, |cause| format!(": {cause}"));
                self.findings.push(Finding::EventDamaged { topic, seq, what: format!("{error}{cause}") });
                self.machine = None;
                return;
            }
        }
        if recorded.seq == Seq(1) {
            self.machine = Some(RunMachine::new(run));
        }
        if let Some(machine) = &mut self.machine
            && (machine.head().next() != recorded.seq || machine.apply(recorded).is_err())
        {
            self.machine = None;
        }
    }

    fn end(&mut self, topic: &InspectedTopic) {
        let Some(mut machine) = self.machine.take().filter(|_| topic.is_whole) else { return };
        if !self.define(&mut machine) {
            return;
        }
        for (effect, wish) in machine.desired() {
            if let Desired::Hold(attempt) | Desired::Stop(attempt, ..) = wish {
                self.open_attempts.insert(attempt_folder(&effect, attempt));
            }
        }
        self.compare(topic, &machine);
    }
}

/// The blobs that an event names, whatever its kind: texts say `{"blob": {"digest": …}}`; a request names its plan, its source
/// and its presets, and the last event of a run that was freed its record. So events that this version does not know are read
/// too.
pub(super) fn blobs_named(recorded: &Recorded) -> Vec<Digest> {
    let Ok(payload) = recorded.payload.decode::<Value>() else { return Vec::new() };
    let mut found = Vec::new();
    let own: &[&str] = match recorded.kind.as_str() {
        "run_requested" => &["plan", "source"],
        "trimmed" => &["record"],
        _ => &[],
    };
    found.extend(own.iter().filter_map(|name| digest_of(payload.get(name)?)));
    if let Some(Value::Object(presets)) = payload.get("presets") {
        found.extend(presets.values().filter_map(digest_of));
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
