//! Waiting for a person in the name of an attempt: its time budgets stand still meanwhile.
//!
//! Whoever waits keeps a file in `waits/` of the attempt's folder: locked while it waits, and in it when that began and how
//! long it has been so far, in milliseconds of awake time. The keeper looks there only when a budget is used up. What
//! several wait for at the same time is one wait.

use std::ffi::OsStr;
use std::fs::File;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use backstay_files::Dir;
use camino::Utf8Path;
use rustix::time::{ClockId, clock_gettime};

use crate::clock::awake;
use crate::files::{self, try_lock};
use crate::ignore::ignore_error;

/// The folder in that of the attempt.
const FOLDER: &str = "waits";
/// What such a file says, in bytes at most.
const NOTE_BYTES_MAX: u64 = 1_024;
/// How often whoever waits should say for how long. Of a wait that is killed, this much may be lost.
pub const NOTE_INTERVAL: Duration = Duration::from_secs(5);

/// One wait for a person; it ends when this is dropped.
#[derive(Debug)]
pub struct HumanWait {
    file: File,
    began: Instant,
    /// The same as a number that means one moment to every process of this boot.
    began_ms: u64,
}

impl HumanWait {
    /// Begins to wait in the name of the attempt whose folder this is; it is there. `name` tells its waits apart.
    ///
    /// # Errors
    /// The file cannot be made or locked.
    pub fn begin(attempt: &Utf8Path, name: &str) -> io::Result<HumanWait> {
        let folder = files::open(attempt)?.make_folder(FOLDER)?;
        // A process id says nothing across sandboxes; each wait has a file of its own.
        let file =
            folder.create_new(format!("{name}.{:016x}", RandomState::new().build_hasher().finish()))?;
        // Only the keeper's look can be in the way, for a moment.
        file.lock()?;
        Ok(HumanWait { file, began: awake(), began_ms: since_boot_ms() })
    }

    /// Says how long it has been, for when this process is killed. To be called every [`NOTE_INTERVAL`].
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn note(&self) -> io::Result<()> {
        let waited = awake().saturating_duration_since(self.began).as_millis();
        // Padded, so that a shorter number leaves nothing of a longer one.
        self.file.write_all_at(format!("{:20} {waited:20}\n", self.began_ms).as_bytes(), 0)
    }
}

impl Drop for HumanWait {
    fn drop(&mut self) {
        ignore_error(self.note(), "then the budgets have counted some seconds of the wait");
    }
}

/// What the waits of an attempt come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waited {
    /// How long at least one of them lasted, those under way as far as they said it.
    pub total: Duration,
    /// Whether one is under way.
    pub now: bool,
}

/// Looks at the waits of the attempt whose folder this is. One that cannot be read counts as none.
#[must_use]
pub fn waited(attempt: &Utf8Path) -> Waited {
    files::open(attempt).map_or_else(|_unreadable| Waited::default(), |attempt| waited_in(&attempt))
}

/// The same for a folder that is open.
pub(crate) fn waited_in(attempt: &Dir) -> Waited {
    let listed = attempt.folder(FOLDER).and_then(|folder| Ok((folder.entries()?, folder)));
    let Ok((entries, folder)) = listed else { return Waited::default() };
    let (mut spans, mut now) = (Vec::new(), false);
    for entry in entries {
        if let Ok((span, is_under_way)) = look(&folder, &entry.name) {
            spans.extend(span);
            now |= is_under_way;
        }
    }
    Waited { total: covered(spans), now }
}

/// Whether somebody waits for a person right now in the name of the attempt whose folder this is.
#[must_use]
pub fn is_waiting(attempt: &Utf8Path) -> bool {
    waited(attempt).now
}

/// One wait, in milliseconds: from when, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Span {
    began_ms: u64,
    waited_ms: u64,
}

fn look(folder: &Dir, name: &OsStr) -> io::Result<(Option<Span>, bool)> {
    let file = folder.open_file(name)?;
    // The lock is let go of with the file.
    let is_under_way = !try_lock(&file)?;
    let mut text = Vec::new();
    file.take(NOTE_BYTES_MAX).read_to_end(&mut text)?;
    Ok((span(&String::from_utf8_lossy(&text)), is_under_way))
}

/// Reads a wait; none if it has noted nothing yet.
fn span(text: &str) -> Option<Span> {
    let numbers: Vec<u64> = text.split_whitespace().map(str::parse).collect::<Result<_, _>>().ok()?;
    match numbers[..] {
        [began_ms, waited_ms] => Some(Span { began_ms, waited_ms }),
        // Earlier versions did not note when it began.
        [waited_ms] => Some(Span { began_ms: 0, waited_ms }),
        _ => None,
    }
}

/// The time in which at least one of the waits was under way.
fn covered(mut spans: Vec<Span>) -> Duration {
    spans.sort_unstable();
    let (mut total_ms, mut until_ms) = (0_u64, 0_u64);
    for Span { began_ms, waited_ms } in spans {
        let end_ms = began_ms.saturating_add(waited_ms);
        total_ms = total_ms.saturating_add(end_ms.saturating_sub(began_ms.max(until_ms)));
        until_ms = until_ms.max(end_ms);
    }
    Duration::from_millis(total_ms)
}

fn since_boot_ms() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let (seconds, nanos) = (now.tv_sec.unsigned_abs(), now.tv_nsec.unsigned_abs());
    seconds.saturating_mul(1_000).saturating_add(nanos / 1_000_000)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn waits_are_counted_while_they_last_and_after() {
        let folder = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(folder.path()).unwrap();
        assert_eq!(waited(folder), Waited::default());
        let pause = HumanWait::begin(folder, "q").unwrap();
        assert!(waited(folder).now);
        fs::write(folder.join(FOLDER).join("other.1"), format!("{:20} {:20}\n", 0, 4_000)).unwrap();
        fs::write(folder.join(FOLDER).join("torn.1"), "").unwrap();
        fs::write(folder.join(FOLDER).join("early.1"), "   3000\n").unwrap();
        drop(pause);
        let after = waited(folder);
        assert!(
            !after.now && after.total >= Duration::from_secs(4) && after.total < Duration::from_secs(64),
            "{after:?}"
        );
        assert!(!is_waiting(folder));
    }

    #[test]
    fn waits_beside_each_other_are_one_wait() {
        let spans = |spans: &[(u64, u64)]| {
            covered(spans.iter().map(|&(began_ms, waited_ms)| Span { began_ms, waited_ms }).collect())
                .as_millis()
        };
        for (waits, total_ms) in [
            (&[][..], 0),
            (&[(1_000, 3_000), (1_000, 3_000)], 3_000),
            (&[(2_000, 3_000), (1_000, 3_000)], 4_000),
            (&[(1_000, 9_000), (2_000, 1_000), (9_000, 2_000)], 10_000),
            (&[(1_000, 500), (5_000, 500)], 1_000),
            (&[(u64::MAX, 5)], 0),
        ] {
            assert_eq!(spans(waits), total_ms, "{waits:?}");
        }
    }
}
