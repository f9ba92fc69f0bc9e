//! One run at a time works in a checkout.
//!
//! The lease is a `flock` on a file in the checkout's own git folder, so it holds for all stores and users of the checkout
//! and ends with its process. What the file says tells who had it last: agents of that run may still work there without
//! an owner.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};

use backstay_exec::maintenance::is_keeper_alive;
use backstay_exec::{ScreenState, screen_state};
use backstay_files::{Dir, FileKind, if_there};
use backstay_model::event::CheckoutBusy;
use backstay_model::{Epoch, RunId};
use camino::{Utf8Path, Utf8PathBuf};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use super::error::TreeError;
use super::git_checkout::Checkout;
use crate::store::real_folder;

/// The file, in the checkout's git folder.
const FILE: &str = "backstay.lock";
/// What the file may say, in bytes.
const NOTE_BYTES_MAX: u64 = 16 * 1024;

/// The right to change a checkout, held until it is dropped.
#[derive(Debug)]
pub(crate) struct Lease {
    _held: File,
    /// The run that the file names.
    named: RunId,
}

impl Lease {
    /// The run by which others find that they share the checkout: the one that holds it, or one that it works for.
    pub(crate) fn named(&self) -> RunId {
        self.named
    }
}

/// What became of the wish for a checkout.
#[derive(Debug)]
pub(crate) enum Leased {
    /// It is held.
    Held(Lease),
    /// The run works for a step of the run that holds it.
    Shared,
    /// An earlier owner of the same run still has the lock, such as a stopped process from which the run was taken over.
    /// It can start nothing any more.
    Inherited,
    /// Another run works in it.
    Busy(CheckoutBusy),
}

/// Who wants to work in a checkout.
#[derive(Clone, Debug)]
pub(crate) struct LeaseHolder {
    pub(crate) run: RunId,
    /// The folder of its store.
    pub(crate) store: Utf8PathBuf,
    /// The run that holds the checkout for the step that started this one.
    pub(crate) within: Option<RunId>,
    /// Under which the process owns the run; none for a person in the session of an agent.
    pub(crate) epoch: Option<Epoch>,
}

impl LeaseHolder {
    /// Whether `last` is an earlier owner of the run. One that is fenced may have the lock for as long as it is stopped.
    fn succeeds(&self, last: &Note) -> bool {
        let is_later = matches!((last.epoch, self.epoch), (Some(last), Some(own)) if last < own);
        // A copy of the store counts its epochs for itself.
        is_later && last.run == self.run && real_folder(&last.store) == real_folder(&self.store)
    }
}

/// What the file says.
#[derive(Debug, Serialize, Deserialize)]
struct Note {
    run: RunId,
    pid: u32,
    store: Utf8PathBuf,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    epoch: Option<Epoch>,
}

/// The file, as far as this user may use it.
struct LockFile {
    path: Utf8PathBuf,
    file: File,
    is_writable: bool,
}

impl Checkout {
    /// Takes the checkout for `holder`, if no other run works in it.
    ///
    /// # Errors
    /// [`TreeError::Io`] if the file is not there and cannot be made, or the file system has no locks.
    pub(crate) fn lease(&self, holder: &LeaseHolder) -> Result<Leased, TreeError> {
        let (mut lock, is_held) = self.lock()?;
        let last = lock.read();
        let busy = |last: Option<Note>| {
            let pid = last.as_ref().map(|last| last.pid);
            // Of the run itself there is a person in a session, or an owner that is about to be gone.
            let held_by = last.map(|last| last.run).filter(|run| *run != holder.run);
            Leased::Busy(CheckoutBusy { root: self.root.to_string(), held_by, pid })
        };
        let is_of = |run: RunId| run == holder.run || Some(run) == holder.within;
        Ok(match (is_held, last) {
            (false, Some(last)) if Some(last.run) == holder.within => Leased::Shared,
            // Its holder could not write it.
            (false, None) if holder.within.is_some() => Leased::Shared,
            (false, Some(last)) if holder.succeeds(&last) => Leased::Inherited,
            (false, last) => busy(last),
            (true, Some(last)) if !is_of(last.run) && last.is_worked_on() => busy(Some(last)),
            // The step that this run works for lives on: its run has to stay the one that is named.
            (true, Some(last)) if last.run != holder.run && is_of(last.run) && last.is_worked_on() => {
                Leased::Held(Lease { _held: lock.file, named: last.run })
            }
            (true, last) => {
                let (run, store, epoch) = (holder.run, holder.store.clone(), holder.epoch);
                let note = Note { run, pid: std::process::id(), store, epoch };
                let named = if lock.write(&note) { Some(note) } else { last };
                let named = named.map_or(holder.run, |named| named.run);
                Leased::Held(Lease { _held: lock.file, named })
            }
        })
    }

    /// Keeps runs out of the checkout until the file is dropped; none if one works in it.
    ///
    /// # Errors
    /// As [`lease`](Checkout::lease).
    pub(super) fn keep_out(&self) -> Result<Option<File>, TreeError> {
        let (mut lock, is_held) = self.lock()?;
        let is_free = is_held && !lock.read().is_some_and(|last| last.is_worked_on());
        Ok(is_free.then_some(lock.file))
    }

    /// The checkout's own git folder, wherever git has it.
    fn git_folder(&self) -> io::Result<Dir> {
        let folder = self.index.parent().ok_or(io::ErrorKind::NotFound)?;
        Dir::open(&folder.as_std_path().canonicalize()?)
    }

    /// Opens the file, and says whether this process has it now.
    fn lock(&self) -> Result<(LockFile, bool), TreeError> {
        let path = self.index.with_file_name(FILE);
        let failed = |source| TreeError::Io { action: "lock", path: path.clone(), source };
        let lock = self.git_folder().and_then(|folder| LockFile::open(&folder, &path)).map_err(failed)?;
        match flock(&lock.file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok((lock, true)),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok((lock, false)),
            Err(error) => Err(failed(error.into())),
        }
    }
}

impl LockFile {
    /// What cannot be written can be locked: it belongs to another user, or to a system that is read-only.
    fn open(folder: &Dir, path: &Utf8Path) -> io::Result<LockFile> {
        let opened = folder.open_or_create(FILE);
        let (file, is_writable) = match opened {
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
                ) =>
            {
                (folder.open_file(FILE)?, false)
            }
            opened => (opened?, true),
        };
        Ok(LockFile { path: path.to_owned(), file, is_writable })
    }

    /// What the file says; none if it says nothing, or nothing that can be read, such as half of what is being written.
    fn read(&mut self) -> Option<Note> {
        let mut text = Vec::new();
        let read = self.file.rewind().and_then(|()| (&self.file).take(NOTE_BYTES_MAX).read_to_end(&mut text));
        if let Err(error) = read {
            // The lock alone keeps other owners away.
            tracing::warn!(path = %self.path, %error, "who works in the checkout cannot be read");
            return None;
        }
        serde_json::from_slice(&text).ok()
    }

    /// Writes who works in the checkout now. False if that cannot be: the lock holds as well without it.
    fn write(&mut self, note: &Note) -> bool {
        if !self.is_writable {
            return false;
        }
        let written = serde_json::to_vec(note).map_err(io::Error::from).and_then(|text| {
            // Over what is there, and cut to its length after: a full disk has the room that the last one took.
            self.file.rewind()?;
            self.file.write_all(&text)?;
            self.file.set_len(text.len() as u64)
        });
        if let Err(error) = &written {
            tracing::warn!(path = %self.path, %error, "who works in the checkout cannot be noted");
        }
        written.is_ok()
    }
}

impl Note {
    /// Whether an agent of the run still works under its keeper, as far as can be seen: a store that cannot be read is
    /// another user's, or damaged, and keeps nobody out of the checkout for ever.
    fn is_worked_on(&self) -> bool {
        is_worked_on(self).unwrap_or_else(|error| {
            tracing::warn!(run = %self.run, store = %self.store, %error, "whether its agents still work is not known");
            false
        })
    }
}

/// Whether an agent of the run still works under its keeper.
fn is_worked_on(note: &Note) -> io::Result<bool> {
    let store = real_folder(&note.store);
    let Some(root) = if_there(Dir::open(store.as_std_path()))? else { return Ok(false) };
    let run = Utf8PathBuf::from(format!("runs/{}", note.run));
    // A screen outlives the process that opened it.
    if matches!(screen_state(&store.join(&run))?, ScreenState::Open(_)) {
        return Ok(true);
    }
    for step in folders(&root, &run)? {
        for attempt in folders(&root, &step)? {
            if is_keeper_alive(&store.join(&attempt))? {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// The folders in the folder `at` of a store, relative to the store; none if it is gone.
fn folders(root: &Dir, at: &Utf8Path) -> io::Result<Vec<Utf8PathBuf>> {
    let Some(entries) = if_there(root.folder(at).and_then(|at| at.entries()))? else { return Ok(Vec::new()) };
    let folders = entries.into_iter().filter(|entry| entry.kind == FileKind::Folder);
    Ok(folders.filter_map(|entry| Some(at.join(entry.name.to_str()?))).collect())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::process::Command;

    use tempfile::TempDir;

    use super::*;

    const ONE: &str = "run_01JDX7Q2ZK8VQ5T3W9M4N6P7R8";
    const TWO: &str = "run_01JDX7Q2ZK8VQ5T3W9M4N6P7R9";

    fn checkout() -> (TempDir, Checkout) {
        let folder = TempDir::new().unwrap();
        let status = Command::new("git").args(["init", "-q"]).current_dir(folder.path()).status();
        assert!(status.unwrap().success());
        let checkout = Checkout::around(Utf8Path::from_path(folder.path()).unwrap()).unwrap().unwrap();
        (folder, checkout)
    }

    fn holder(checkout: &Checkout, run: &str, within: Option<&str>) -> LeaseHolder {
        let store = checkout.root().join(format!("store-{run}"));
        LeaseHolder {
            run: run.parse().unwrap(),
            store,
            within: within.map(|run| run.parse().unwrap()),
            epoch: None,
        }
    }

    fn named(leased: &Leased) -> String {
        match leased {
            Leased::Held(lease) => lease.named().to_string(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn who_holds_it_keeps_others_out_and_shares_it_with_what_works_for_it() {
        let (_folder, checkout) = checkout();
        let held = checkout.lease(&holder(&checkout, ONE, None)).unwrap();
        assert_eq!(named(&held), ONE);
        assert!(matches!(checkout.lease(&holder(&checkout, TWO, Some(ONE))).unwrap(), Leased::Shared));
        let Leased::Busy(busy) = checkout.lease(&holder(&checkout, TWO, None)).unwrap() else { panic!() };
        assert_eq!((busy.held_by, busy.pid), (Some(ONE.parse().unwrap()), Some(std::process::id())));
        assert!(checkout.keep_out().unwrap().is_none());
        drop(held);
        assert!(checkout.keep_out().unwrap().is_some(), "it looks, and names nobody");
        assert_eq!(named(&checkout.lease(&holder(&checkout, TWO, Some(ONE))).unwrap()), TWO);
    }

    #[test]
    fn only_a_later_owner_of_the_same_run_inherits_the_lock_of_an_earlier_one() {
        let (_folder, checkout) = checkout();
        let owner = |run, epoch| LeaseHolder { epoch: Some(Epoch(epoch)), ..holder(&checkout, run, None) };
        let held = checkout.lease(&owner(ONE, 2)).unwrap();
        let copied = LeaseHolder { store: checkout.root().join("copy"), ..owner(ONE, 3) };
        for (asking, inherits) in [
            (owner(ONE, 3), true),
            (owner(ONE, 2), false),
            (owner(ONE, 1), false),
            (owner(TWO, 3), false),
            (copied, false),
            (holder(&checkout, ONE, None), false),
        ] {
            let leased = checkout.lease(&asking).unwrap();
            assert_eq!(matches!(leased, Leased::Inherited), inherits, "{asking:?}: {leased:?}");
        }
        drop(held);
        let screen = checkout.lease(&holder(&checkout, ONE, None)).unwrap();
        let Leased::Busy(busy) = checkout.lease(&owner(ONE, 3)).unwrap() else {
            panic!("a person works in it")
        };
        assert_eq!((busy.held_by, busy.pid), (None, Some(std::process::id())));
        drop(screen);
        assert_eq!(named(&checkout.lease(&owner(ONE, 3)).unwrap()), ONE);
    }

    #[test]
    fn a_run_with_an_open_screen_keeps_the_checkout_without_the_process_that_opened_it() {
        let (_folder, checkout) = checkout();
        let one = holder(&checkout, ONE, None);
        drop(checkout.lease(&one).unwrap());
        let run = one.store.join("runs").join(ONE);
        fs::create_dir_all(&run).unwrap();
        let on = backstay_exec::ScreenSession { agent: "mine".to_owned(), session: "s1".to_owned() };
        let screen = backstay_exec::ScreenHold::take(&run, on).unwrap().unwrap();
        let Leased::Busy(busy) = checkout.lease(&holder(&checkout, TWO, None)).unwrap() else { panic!() };
        assert_eq!(busy.held_by, Some(ONE.parse().unwrap()));
        drop(screen);
        assert_eq!(named(&checkout.lease(&holder(&checkout, TWO, None)).unwrap()), TWO);
    }

    #[test]
    fn a_checkout_whose_last_run_cannot_be_looked_at_is_taken_and_locked() {
        let (_folder, checkout) = checkout();
        let one = holder(&checkout, ONE, None);
        drop(checkout.lease(&one).unwrap());
        fs::create_dir_all(one.store.join("runs")).unwrap();
        fs::write(one.store.join("runs").join(ONE), "no folder").unwrap();
        let two = checkout.lease(&holder(&checkout, TWO, None)).unwrap();
        assert_eq!(named(&two), TWO);
        assert!(matches!(checkout.lease(&one).unwrap(), Leased::Busy(_)));
    }

    #[test]
    fn a_file_that_cannot_be_written_is_locked_all_the_same() {
        let (_folder, checkout) = checkout();
        drop(checkout.lease(&holder(&checkout, ONE, None)).unwrap());
        let path = checkout.index.with_file_name(FILE);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o444)).unwrap();
        // A superuser writes it all the same.
        let expected = if File::options().write(true).open(&path).is_ok() { TWO } else { ONE };
        let two = checkout.lease(&holder(&checkout, TWO, None)).unwrap();
        assert_eq!(named(&two), expected, "it says what the file says");
        assert!(matches!(checkout.lease(&holder(&checkout, ONE, None)).unwrap(), Leased::Busy(_)));
        let mut lock = LockFile { path: path.clone(), file: File::open(&path).unwrap(), is_writable: false };
        let note = Note { run: ONE.parse().unwrap(), pid: 1, store: Utf8PathBuf::from("/"), epoch: None };
        assert!(!lock.write(&note));
        assert_eq!(lock.read().unwrap().run.to_string(), expected);
    }

    #[test]
    fn an_empty_file_does_not_keep_a_run_waiting_for_the_one_it_works_for() {
        let (_folder, checkout) = checkout();
        let held = checkout.lease(&holder(&checkout, ONE, None)).unwrap();
        fs::write(checkout.index.with_file_name(FILE), "").unwrap();
        assert!(matches!(checkout.lease(&holder(&checkout, TWO, Some(ONE))).unwrap(), Leased::Shared));
        assert!(matches!(checkout.lease(&holder(&checkout, TWO, None)).unwrap(), Leased::Busy(_)));
        drop(held);
    }
}
