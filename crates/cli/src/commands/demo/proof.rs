//! The proof that a kill cost nothing, computed from the log and the spools.

use std::time::Duration;

use backstay_engine::record::{Interruption, RunRecord};
use backstay_exec::spool::{Stream, stream_bytes};
use backstay_log::Log;
use backstay_model::event::{EffectFinished, EffectResult, Event, FactEvent, Spool};
use backstay_model::{Digest, EffectId, Seq, StorePath, Topic};
use backstay_runtime::Store;

use super::ANALYSTS;
use crate::error::CliError;

/// What the log and the spool say of one stream.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    /// What the log holds.
    pub(super) logged: Spool,
    /// Bytes in the spool, read again.
    pub(super) size_bytes: u64,
    /// The digest of those bytes.
    pub(super) digest: Digest,
}

impl Stored {
    /// What both have, once where it is the same.
    pub(super) fn words(&self) -> String {
        let Stored { logged, size_bytes, digest } = self;
        if logged.size_bytes == *size_bytes && logged.digest == *digest {
            return format!("log = spool: {size_bytes} B {}", digest.short());
        }
        let logged_digest = logged.digest.short();
        format!("log {} B {logged_digest}, spool {size_bytes} B {}", logged.size_bytes, digest.short())
    }
}

/// One analyst, as the log knows it.
#[derive(Clone, Debug)]
pub(super) struct Witness {
    /// The step.
    pub(super) step: &'static str,
    /// How often its start was decided.
    pub(super) starts: usize,
    /// How often it was found again.
    pub(super) attached: usize,
    /// Its stdout and its stderr, once it has ended.
    pub(super) streams: Vec<Stored>,
}

/// What was found out about all of them.
#[derive(Clone, Debug)]
pub(super) struct Proof {
    /// The analysts, in their order.
    pub(super) witnesses: Vec<Witness>,
    /// The times without an owner.
    pub(super) interruptions: Vec<Interruption>,
}

impl Proof {
    /// Reads the log of the run and the spools of its analysts again.
    pub(super) async fn read(store: &Store, record: &RunRecord) -> Result<Proof, CliError> {
        let events = events(store.log().as_ref(), record)?.collect().await?;
        let witnesses = ANALYSTS.iter().map(|step| witness(store, record, &events, step));
        Ok(Proof {
            witnesses: witnesses.collect::<Result<_, _>>()?,
            interruptions: record.interruptions.clone(),
        })
    }

    /// How long the log heard of no owner: from the last word of the one that was killed to the first of the next.
    pub(super) fn unowned(&self) -> Duration {
        self.interruptions.iter().map(|gap| gap.until.since(gap.from)).sum()
    }

    /// It in lines for people.
    pub(super) fn lines(&self) -> Vec<String> {
        // Both streams are held against the log; the one with the findings is shown, or what was said beside if there are none.
        let shown = |witness: &Witness| {
            let stream = witness.streams.iter().find(|stream| stream.size_bytes > 0)?;
            let Witness { step, starts, attached, .. } = witness;
            Some(format!("{step:<8} started {starts}×, found again {attached}×, {}", stream.words()))
        };
        let lost: usize = self.interruptions.iter().map(|gap| gap.lost.len()).sum();
        let seconds = self.unowned().as_secs_f64();
        let unowned = format!("no word of an owner in the log for {seconds:.1} s; {lost} steps lost");
        self.witnesses.iter().filter_map(shown).chain([unowned]).collect()
    }

    /// What contradicts it; nothing if it holds.
    pub(super) fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        for Witness { step, starts, attached, streams } in &self.witnesses {
            if *starts != 1 {
                faults.push(format!("{step} was started {starts} times"));
            }
            if *attached != 1 {
                faults.push(format!("{step} was found again {attached} times"));
            }
            if streams.len() != Stream::BOTH.len() {
                faults.push(format!("the log has no end of {step}"));
            }
            for (stream, stored) in Stream::BOTH.iter().zip(streams) {
                let Stored { logged, size_bytes, digest } = stored;
                if logged.size_bytes != *size_bytes || logged.digest != *digest || logged.lost_bytes != 0 {
                    faults.push(format!(
                        "{stream} of {step}: the log has {} B ({}), the spool {size_bytes} B ({})",
                        logged.size_bytes,
                        logged.digest.short(),
                        digest.short()
                    ));
                }
            }
        }
        match &self.interruptions[..] {
            [one] if one.lost.is_empty() => {}
            [_one] => faults.push("work was lost".to_owned()),
            all => faults.push(format!("the log has {} interruptions, and one was made", all.len())),
        }
        faults
    }
}

/// The events of a run, from the first on.
struct Events(backstay_log::Subscription);

fn events(log: &dyn Log, record: &RunRecord) -> Result<Events, CliError> {
    Ok(Events(log.follow(&Topic::run(record.run), Seq(0))))
}

impl Events {
    async fn collect(mut self) -> Result<Vec<Event>, CliError> {
        let mut events = Vec::new();
        while let Some(delivery) = self.0.try_next().await? {
            if let backstay_model::Delivery::Event(recorded) = delivery {
                events.push(
                    Event::decode(&recorded).map_err(|source| CliError::Demo { what: source.to_string() })?,
                );
            }
        }
        Ok(events)
    }
}

fn witness(
    store: &Store,
    record: &RunRecord,
    events: &[Event],
    step: &'static str,
) -> Result<Witness, CliError> {
    let folders: Vec<&StorePath> = record
        .steps
        .iter()
        .filter(|found| found.step.as_str() == step)
        .flat_map(|found| found.attempts.iter().filter_map(|attempt| attempt.folder.as_ref()))
        .collect();
    let effects: Vec<&EffectId> = events
        .iter()
        .filter_map(|event| match event {
            Event::Fact(FactEvent::EffectRunning(running))
                if running.handle.process().is_some_and(|process| folders.contains(&&process.folder)) =>
            {
                Some(&running.effect)
            }
            _ => None,
        })
        .collect();
    let starts = events
        .iter()
        .filter(
            |event| matches!(event, Event::Fact(FactEvent::EffectStarting(starting)) if effects.contains(&&starting.effect)),
        )
        .count();
    let attached = events
        .iter()
        .filter(|event| matches!(event, Event::Fact(FactEvent::EffectAttached(found)) if effects.contains(&&found.effect)))
        .count();
    let finished = events.iter().find_map(|event| match event {
        Event::Fact(FactEvent::EffectFinished(finished)) if effects.contains(&&finished.effect) => {
            Some(finished)
        }
        _ => None,
    });
    let streams = match (finished, folders.last()) {
        (Some(finished), Some(folder)) => streams(store, finished, folder.as_str())?,
        (_, _) => Vec::new(),
    };
    Ok(Witness { step, starts, attached, streams })
}

fn streams(store: &Store, finished: &EffectFinished, folder: &str) -> Result<Vec<Stored>, CliError> {
    let folder = store.folder().join(folder);
    let EffectResult::Process(process) = &finished.result;
    let logged = [(&process.stdout, Stream::Stdout), (&process.stderr, Stream::Stderr)];
    let known = logged.into_iter().filter_map(|(logged, stream)| Some((logged.clone()?, stream)));
    known
        .map(|(logged, stream)| {
            let bytes = stream_bytes(&folder, stream, u64::MAX)?;
            Ok(Stored { logged, size_bytes: bytes.len() as u64, digest: Digest::of(&bytes) })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(bytes: &[u8]) -> Stored {
        let (size_bytes, digest) = (bytes.len() as u64, Digest::of(bytes));
        Stored { logged: Spool { size_bytes, digest, lost_bytes: 0 }, size_bytes, digest }
    }

    fn proof() -> Proof {
        let at = backstay_model::Timestamp::from_micros(1_000_000);
        let witness =
            |step| Witness { step, starts: 1, attached: 1, streams: vec![stored(b"a\n"), stored(b"")] };
        let one = Interruption { from: at, until: at, pid: 7, reattached: Vec::new(), lost: Vec::new() };
        Proof { witnesses: ANALYSTS.map(witness).to_vec(), interruptions: vec![one] }
    }

    #[test]
    fn the_time_without_an_owner_is_the_logs_own() {
        let mut proof = proof();
        proof.interruptions[0].until = backstay_model::Timestamp::from_micros(7_250_000);
        let lines = proof.lines();
        assert_eq!(lines.len(), 4);
        assert_eq!(lines[3], "no word of an owner in the log for 6.2 s; 0 steps lost");
        let digest = Digest::of(b"a\n").short();
        assert_eq!(lines[0], format!("changes  started 1×, found again 1×, log = spool: 2 B {digest}"));
        assert!(lines.iter().all(|line| line.chars().count() < 78), "they fit on 80 columns: {lines:?}");
    }

    #[test]
    fn a_proof_of_what_happened_holds() {
        assert_eq!(proof().faults(), Vec::<String>::new());
    }

    #[test]
    fn whatever_is_tampered_with_is_a_fault() {
        type Tamper = fn(&mut Proof);
        let tamper: [(&str, Tamper); 7] = [
            ("a byte changed", |proof| proof.witnesses[0].streams[0].digest = Digest::of(b"b\n")),
            ("a byte is missing", |proof| proof.witnesses[1].streams[0].size_bytes = 1),
            ("bytes were lost", |proof| proof.witnesses[2].streams[1].logged.lost_bytes = 1),
            ("started twice", |proof| proof.witnesses[0].starts = 2),
            ("not found again", |proof| proof.witnesses[0].attached = 0),
            ("no end", |proof| proof.witnesses[0].streams.clear()),
            ("no interruption", |proof| proof.interruptions.clear()),
        ];
        for (what, change) in tamper {
            let mut proof = proof();
            change(&mut proof);
            assert_eq!(proof.faults().len(), 1, "{what}: {:?}", proof.faults());
        }
    }
}
