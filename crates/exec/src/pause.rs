//! Waiting for a person in the name of an attempt: its time budgets stand still meanwhile.
//!
//! Whoever waits keeps a file in `waits/` of the attempt's folder: locked while it waits, and in it how long that has been
//! so far, in milliseconds of awake time. The keeper looks there only when a budget is used up.

use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};

use crate::clock::awake;
use crate::files::try_lock;
use crate::tolerate::tolerate;

/// The folder in that of the attempt.
const FOLDER: &str = "waits";
/// How often whoever waits should say for how long. Of a wait that is killed, this much may be lost.
pub const NOTE_EVERY: Duration = Duration::from_secs(5);

/// One wait for a person; it ends when this is dropped.
#[derive(Debug)]
pub struct Pause {
    file: File,
    began: Instant,
}

impl Pause {
    /// Begins to wait in the name of the attempt whose folder this is. `name` tells its waits apart.
    ///
    /// # Errors
    /// The file cannot be made or locked.
    pub fn begin(attempt: &Utf8Path, name: &str) -> io::Result<Pause> {
        let folder = attempt.join(FOLDER);
        fs::create_dir_all(&folder)?;
        // A process id says nothing across sandboxes; each wait has a file of its own.
        let path = folder.join(format!("{name}.{:016x}", RandomState::new().build_hasher().finish()));
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
        // Only the keeper's look can be in the way, for a moment.
        file.lock()?;
        Ok(Pause { file, began: awake() })
    }

    /// Says how long it has been, for when this process is killed. To be called every [`NOTE_EVERY`].
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn note(&self) -> io::Result<()> {
        let waited = awake().saturating_duration_since(self.began).as_millis();
        // Padded, so that a shorter number leaves nothing of a longer one.
        self.file.write_all_at(format!("{waited:20}\n").as_bytes(), 0)
    }
}

impl Drop for Pause {
    fn drop(&mut self) {
        tolerate(self.note(), "then the budgets have counted some seconds of the wait");
    }
}

/// What the waits of an attempt come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Waited {
    /// All of them together, those under way as far as they said it.
    pub(crate) total: Duration,
    /// Whether one is under way.
    pub(crate) now: bool,
}

/// Looks at the waits of the attempt whose folder this is. One that cannot be read counts as none.
pub(crate) fn waited(attempt: &Utf8Path) -> Waited {
    let mut waited = Waited::default();
    let Ok(entries) = attempt.join(FOLDER).read_dir_utf8() else { return waited };
    for path in entries.flatten().map(camino::Utf8DirEntry::into_path) {
        if let Ok((time, is_under_way)) = look(&path) {
            waited.total += time;
            waited.now |= is_under_way;
        }
    }
    waited
}

fn look(path: &Utf8PathBuf) -> io::Result<(Duration, bool)> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    // The lock is let go of with the file.
    let is_under_way = !try_lock(&file)?;
    let text = fs::read_to_string(path)?;
    Ok((Duration::from_millis(text.trim().parse().unwrap_or(0)), is_under_way))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_counted_while_they_last_and_after() {
        let folder = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(folder.path()).unwrap();
        assert_eq!(waited(folder), Waited::default());
        let pause = Pause::begin(folder, "q").unwrap();
        assert!(waited(folder).now);
        fs::write(folder.join(FOLDER).join("other.1"), format!("{:20}\n", 4_000)).unwrap();
        fs::write(folder.join(FOLDER).join("torn.1"), "").unwrap();
        drop(pause);
        let after = waited(folder);
        assert!(
            !after.now && after.total >= Duration::from_secs(4) && after.total < Duration::from_secs(64),
            "{after:?}"
        );
    }
}
