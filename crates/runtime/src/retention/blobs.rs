//! Which blobs are named by events, and giving back the others.

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use backstay_log::ticket::block_on;
use backstay_log::{BlobError, BlobStore, BlobTotals, CollectedBlobs, Direction, Log};
use backstay_model::limits::PAGE_EVENTS_MAX;
use backstay_model::{Digest, Position, RunId, Seq, Topic};

use crate::care::blobs_named;
use crate::error::RunError;
use crate::store::Store;

/// A blob that was kept more recently may be about to be named.
const YOUNG: Duration = Duration::from_secs(3_600);
/// Digits of a digest.
const DIGITS: usize = 64;

impl Store {
    /// The blobs that the events of a run name: what nothing else names goes with a collection, once the run is freed.
    ///
    /// # Errors
    /// [`RunError`] if its events or their sizes cannot be read.
    pub async fn blobs_of(&self, run: RunId) -> Result<BlobTotals, RunError> {
        let (log, blobs) = (self.log.clone(), self.blobs.clone());
        tokio::task::spawn_blocking(move || {
            let mut named = HashSet::new();
            let mut after = Seq(0);
            loop {
                let read = log.read(&Topic::run(run), after, Direction::Forward, PAGE_EVENTS_MAX);
                let page = block_on(read)?;
                named.extend(page.events.iter().flat_map(blobs_named));
                match page.events.last() {
                    Some(last) if last.seq < page.head => after = last.seq,
                    _ => break,
                }
            }
            let mut sum = BlobTotals::default();
            for size_bytes in named.into_iter().map(|digest| blobs.size_bytes(digest)) {
                if let Some(size_bytes) = size_bytes? {
                    sum = BlobTotals { blobs: sum.blobs + 1, size_bytes: sum.size_bytes + size_bytes };
                }
            }
            Ok(sum)
        })
        .await?
    }

    /// Removes blobs that no event names, neither itself nor by another blob. With `only_look` nothing is removed.
    pub(super) async fn collect_blobs(&self, only_look: bool) -> Result<CollectedBlobs, RunError> {
        let micros = u64::try_from(self.clock.wall().as_micros()).unwrap_or(0);
        let cutoff = SystemTime::UNIX_EPOCH + Duration::from_micros(micros).saturating_sub(YOUNG);
        let (log, blobs) = (self.log.clone(), self.blobs.clone());
        tokio::task::spawn_blocking(move || {
            blobs.collect(cutoff, only_look, || named(log.as_ref(), &blobs))?
        })
        .await?
    }
}

/// Every digest in an event, and in every blob that is reached so.
fn named(log: &dyn Log, blobs: &BlobStore) -> Result<HashSet<Digest>, RunError> {
    let mut found = HashSet::new();
    let mut after = Position(0);
    loop {
        let page = block_on(log.read_all(after, PAGE_EVENTS_MAX))?;
        let Some(last) = page.last() else { break };
        after = last.g;
        for event in &page {
            digests_in(event.payload.as_str().as_bytes(), |digest| {
                found.insert(digest);
            });
        }
    }
    let mut waiting: Vec<Digest> = found.iter().copied().collect();
    while let Some(digest) = waiting.pop() {
        let bytes = match blobs.get(digest) {
            Ok(bytes) => bytes,
            // Much of what looks like a digest is none of ours.
            Err(BlobError::Missing { .. }) => continue,
            // What it names is not known, so nothing is known to be nobody's.
            Err(error) => return Err(error.into()),
        };
        digests_in(&bytes, |digest| {
            if found.insert(digest) {
                waiting.push(digest);
            }
        });
    }
    Ok(found)
}

/// Gives `take` every run of 64 hexadecimal digits.
fn digests_in(bytes: &[u8], mut take: impl FnMut(Digest)) {
    let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    for run in bytes.split(|byte| !is_digit(byte)).filter(|run| run.len() >= DIGITS) {
        for start in 0..=run.len() - DIGITS {
            if let Some(digest) =
                std::str::from_utf8(&run[start..start + DIGITS]).ok().and_then(|text| text.parse().ok())
            {
                take(digest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_found_wherever_they_stand() {
        let (one, two) = (Digest::of(b"1"), Digest::of(b"2"));
        let found = |text: String| {
            let mut found = Vec::new();
            digests_in(text.as_bytes(), |digest| found.push(digest));
            found
        };
        assert_eq!(found(format!("{{\"a\":\"{one}\",\"b\":[\"{two}\"]}}")), [one, two]);
        assert_eq!(found(one.to_string()), [one]);
        assert!(found(format!("ab{one}")).contains(&one), "also where other digits stand before it");
        assert_eq!(found(one.to_string()[1..].to_owned()), []);
        assert_eq!(found(String::new()), []);
    }
}
