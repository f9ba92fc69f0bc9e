//! Finds out what became of a process that an earlier owner had started.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use backstay_files::{Dir, Watch, Watched, if_there};
use backstay_model::event::LostEvidence;
use backstay_model::{Attempt, EffectId, Epoch};
use camino::{Utf8Path, Utf8PathBuf};
use rustix::process::Signal;
use serde::de::DeserializeOwned;

use super::handle::{Identity, KeeperHandle};
use super::sockets;
use crate::clock::awake;
use crate::error::RecoverError;
use crate::files;
use crate::platform::{self, pid_namespace as here};
use crate::protocol::{self, FromKeeper, Lines, PROTOCOL_VERSION, ToKeeper};
use crate::record::{EXIT_RECORD_VERSION, ExitRecord, KEEPER_FILE_VERSION, KeeperFile, LostFile};
use crate::spec::MARK_VARIABLE;
use crate::spool::path_in;
use crate::tree::{self, ProcessTree, end_all};

/// How long somebody may hold a folder without a word: the time that a keeper needs to come up, and more.
const SILENCE_MAX: Duration = Duration::from_secs(10);
/// The time between two looks at a folder whose lock is held: the end of a lock wakes nobody.
const BACKSTOP: Duration = Duration::from_secs(1);
/// How long a keeper may take for its answer.
const ANSWER_PATIENCE: Duration = Duration::from_secs(10);

/// What became of a process.
#[derive(Debug)]
pub enum Recovered {
    /// It runs.
    Attached(KeeperHandle),
    /// It ended, and its keeper left the record.
    Ended(Box<ExitRecord>),
    /// Its keeper is dead and left no record. Nothing of it runs any more, and its folder is closed for good.
    Lost {
        /// Why nobody can say how it ended.
        evidence: LostEvidence,
        /// Processes of it that were still there and were ended.
        ended_processes: u32,
    },
}

/// Which work a folder is of.
#[derive(Clone, Copy)]
struct Whose<'a> {
    effect: &'a EffectId,
    attempt: Attempt,
}

/// Finds out what became of the process whose keeper was given the folder `below` the folder of `store` for `attempt` of
/// `effect`, and attaches to it in the name of `epoch`. Files in the folder that speak of other work are not believed.
///
/// A folder without any trace of a keeper is [`LostEvidence::NotBegun`]. That holds only on the boot on which the start
/// was noted: the caller compares it with [`crate::boot_id`] first.
///
/// # Errors
/// [`RecoverError`]; nothing was ended or closed then, except what [`RecoverError::Survivors`] says.
pub fn recover(
    store: &Utf8Path,
    below: &Utf8Path,
    effect: &EffectId,
    attempt: Attempt,
    epoch: Epoch,
) -> Result<Recovered, RecoverError> {
    let whose = Whose { effect, attempt };
    let folder = &store.join(below);
    // Made if it is not there, so that no late starter can use it; the store's own folder never is.
    let dir = &files::open(store)
        .and_then(|store| store.make_folder(below.as_std_path()))
        .map_err(|source| RecoverError::Io { path: folder.to_owned(), source })?;
    let until = awake() + SILENCE_MAX;
    let mut watch = None;
    loop {
        if let Some(recovered) = read_verdict(dir, whose)? {
            return Ok(recovered);
        }
        if let Some(lock) = take_free_lock(dir)? {
            // It may have ended between the two looks.
            return match read_verdict(dir, whose)? {
                Some(recovered) => Ok(recovered),
                None => bury(dir, folder, whose, &lock),
            };
        }
        if let Some(keeper) = read_keeper(dir, whose)?
            && let Some(handle) = attach(dir, folder, &keeper, epoch)?
        {
            return Ok(Recovered::Attached(handle));
        }
        if awake() >= until {
            return Err(RecoverError::Silent { folder: folder.to_owned() });
        }
        let at = |source| RecoverError::Io { path: folder.to_owned(), source };
        match &mut watch {
            Some(watch) => drop(Watch::wait(watch, BACKSTOP)),
            // Look once more before the first wait: what changed until now wakes nobody.
            None => watch = Some(Watch::new(folder.as_std_path(), Watched::Folder).map_err(at)?),
        }
    }
}

/// What is already written about the end.
fn read_verdict(dir: &Dir, whose: Whose<'_>) -> Result<Option<Recovered>, RecoverError> {
    if let Some(record) = read_json::<ExitRecord>(dir, files::EXIT, EXIT_RECORD_VERSION)? {
        whose.check(path_in(dir, files::EXIT), &record.effect, record.attempt)?;
        return Ok(Some(Recovered::Ended(Box::new(record))));
    }
    let lost = read_json::<LostFile>(dir, files::LOST, KEEPER_FILE_VERSION)?;
    Ok(lost.map(|lost| Recovered::Lost { evidence: lost.evidence, ended_processes: lost.ended_processes }))
}

/// How to find the keeper.
fn read_keeper(dir: &Dir, whose: Whose<'_>) -> Result<Option<KeeperFile>, RecoverError> {
    let keeper = read_json::<KeeperFile>(dir, files::KEEPER, KEEPER_FILE_VERSION)?;
    if let Some(keeper) = &keeper {
        whose.check(path_in(dir, files::KEEPER), &keeper.effect, keeper.attempt)?;
    }
    Ok(keeper)
}

impl Whose<'_> {
    /// Refuses what a file at `path` says if it is of `effect` and `attempt`, and these are others.
    fn check(self, path: Utf8PathBuf, effect: &EffectId, attempt: Attempt) -> Result<(), RecoverError> {
        if self.effect == effect && self.attempt == attempt {
            return Ok(());
        }
        Err(RecoverError::OtherWork { path, effect: Box::new(effect.clone()), attempt })
    }
}

/// The folder's lock, if nobody holds it; made if it is not there, so that no late starter can use the folder.
fn take_free_lock(dir: &Dir) -> Result<Option<File>, RecoverError> {
    let at = |source| RecoverError::Io { path: path_in(dir, files::LOCK), source };
    // For reading, if it is there: the end of a look that could have written wakes who watches the folder, so itself.
    let lock = match if_there(dir.open_file(files::LOCK)).map_err(at)? {
        Some(lock) => lock,
        None => dir.open_or_create(files::LOCK).map_err(at)?,
    };
    // Somebody who only looks holds it shared for a moment, and that is no keeper.
    let free = files::try_lock(&lock).map_err(at)? || files::is_free(&lock).map_err(at)?;
    Ok(free.then_some(lock))
}

/// The keeper is dead and left no record: ends what is left of its tree and closes the folder.
fn bury(dir: &Dir, folder: &Utf8Path, whose: Whose<'_>, _lock: &File) -> Result<Recovered, RecoverError> {
    let at = |source| RecoverError::Io { path: folder.to_owned(), source };
    let keeper = read_keeper(dir, whose)?;
    let (evidence, ended_processes) = match keeper {
        None => (LostEvidence::NotBegun, 0),
        Some(keeper) if keeper.boot != platform::boot_id().map_err(at)? => (LostEvidence::Rebooted, 0),
        // Its numbers name other processes here, and its own cannot be looked for.
        Some(keeper) if keeper.pid_namespace.is_some() && keeper.pid_namespace != here().map_err(at)? => {
            return Err(RecoverError::OtherNamespace { folder: folder.to_owned() });
        }
        Some(keeper) => {
            let tree = ProcessTree {
                keeper_pid: keeper.keeper_pid,
                agent_pid: keeper.pid,
                keeper_started: keeper.keeper_started,
                mark: format!("{MARK_VARIABLE}={}", keeper.mark),
            };
            let ended = end_all(&tree).map_err(at)?;
            if ended.survivors > 0 {
                return Err(RecoverError::Survivors { folder: folder.to_owned(), count: ended.survivors });
            }
            sockets::remove(&keeper.socket).map_err(at)?;
            (LostEvidence::KeeperDead, ended.ended)
        }
    };
    let lost = LostFile { version: KEEPER_FILE_VERSION, evidence, ended_processes };
    files::replace_durably(dir, files::LOST, &lost).map_err(at)?;
    Ok(Recovered::Lost { evidence, ended_processes })
}

/// Speaks with the living keeper; `None` if it is just ending.
fn attach(
    dir: &Dir,
    folder: &Utf8Path,
    keeper: &KeeperFile,
    epoch: Epoch,
) -> Result<Option<KeeperHandle>, RecoverError> {
    let unreachable = |source| RecoverError::Unreachable {
        folder: folder.to_owned(),
        socket: keeper.socket.clone(),
        source,
    };
    let connected = sockets::check(&keeper.socket).and_then(|()| UnixStream::connect(&keeper.socket));
    let mut channel = match connected {
        Ok(channel) => channel,
        // It removes its socket before it ends. If somebody else removed it, it listens anew once it is called.
        Err(error) if is_absent(&error) => {
            let watch = Watch::new(folder.as_std_path(), Watched::Folder)
                .map_err(|source| RecoverError::Io { path: folder.to_owned(), source })?;
            let is_called = call(keeper).map_err(unreachable)?;
            return if is_ending(dir, folder, &watch)? || is_called {
                Ok(None)
            } else {
                Err(unreachable(error))
            };
        }
        Err(error) => return Err(unreachable(error)),
    };
    channel.set_read_timeout(Some(ANSWER_PATIENCE)).map_err(unreachable)?;
    let line = protocol::line(&ToKeeper::Attach { version: PROTOCOL_VERSION, epoch })
        .map_err(|source| unreachable(io::Error::from(source)))?;
    if channel.write_all(&line).is_err() {
        return Ok(None);
    }
    let mut lines = Lines::default();
    match protocol::read_message(&mut lines, &mut channel) {
        Ok(Some(FromKeeper::Running { version, effect, attempt, pid, keeper_pid }))
            if version == PROTOCOL_VERSION =>
        {
            let whose = Whose { effect: &keeper.effect, attempt: keeper.attempt };
            whose.check(keeper.socket.clone(), &effect, attempt)?;
            channel.set_read_timeout(None).map_err(unreachable)?;
            let identity = Identity { effect, attempt, pid, keeper_pid, folder: folder.to_owned() };
            KeeperHandle::new(identity, channel, lines, None).map(Some).map_err(unreachable)
        }
        Ok(Some(FromKeeper::Fenced { highest })) => Err(RecoverError::Fenced { epoch, highest }),
        // Its record or its death is what the next look finds.
        Ok(Some(FromKeeper::Exited { .. }) | None) => Ok(None),
        Err(error) if is_hanging_up(&error) => Ok(None),
        Ok(Some(_)) => {
            Err(unreachable(io::Error::new(io::ErrorKind::InvalidData, "it speaks another protocol")))
        }
        Err(error) => Err(unreachable(error)),
    }
}

/// Whether this is how a keeper's end shows on a connection that it had not taken yet.
fn is_hanging_up(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::UnexpectedEof
    )
}

/// Whether nobody listens there any more, or nobody whom this user could trust.
fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound
            | io::ErrorKind::NotADirectory
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::PermissionDenied
    )
}

/// Tells the keeper that it cannot be reached; whether there is one that hears it. It listens anew then, and says where in
/// its folder.
fn call(keeper: &KeeperFile) -> io::Result<bool> {
    let is_here = keeper.boot == platform::boot_id()? && keeper.pid_namespace == here()?;
    let is_there = is_here
        && match tree::started_of(keeper.keeper_pid) {
            Ok(started) => started == keeper.keeper_started,
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) => return Err(error),
        };
    if is_there {
        tree::signal(&tree::Process::only(keeper.keeper_pid, keeper.keeper_started), Signal::URG)?;
    }
    Ok(is_there)
}

/// Whether the keeper ends within a moment: its record is there, or its lock comes free.
fn is_ending(dir: &Dir, folder: &Utf8Path, watch: &Watch) -> Result<bool, RecoverError> {
    let at = |source| RecoverError::Io { path: folder.to_owned(), source };
    for _look in 0..2 {
        if dir.has(files::EXIT).map_err(at)? || take_free_lock(dir)?.is_some() {
            return Ok(true);
        }
        watch.wait(BACKSTOP);
    }
    Ok(false)
}

trait Versioned {
    fn version(&self) -> u32;
}

impl Versioned for ExitRecord {
    fn version(&self) -> u32 {
        self.version
    }
}

impl Versioned for KeeperFile {
    fn version(&self) -> u32 {
        self.version
    }
}

impl Versioned for LostFile {
    fn version(&self) -> u32 {
        self.version
    }
}

fn read_json<T: DeserializeOwned + Versioned>(
    dir: &Dir,
    name: &str,
    known: u32,
) -> Result<Option<T>, RecoverError> {
    let path = path_in(dir, name);
    let bytes = match files::read_if_there(dir, name) {
        Ok(None) => return Ok(None),
        Ok(Some(bytes)) => bytes,
        Err(source) => return Err(RecoverError::Io { path, source }),
    };
    match serde_json::from_slice::<T>(&bytes) {
        Ok(value) if value.version() <= known => Ok(Some(value)),
        Ok(value) => Err(RecoverError::Version { path, found: value.version(), known }),
        Err(source) => Err(RecoverError::Damaged { path, source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How long the keeper of the test still holds its lock: well within the looks of who waits for its end.
    const DYING: Duration = Duration::from_millis(500);

    #[test]
    fn who_looks_for_the_end_of_a_keeper_is_not_woken_by_its_own_look() {
        let keep = tempfile::tempdir().unwrap();
        let folder = Utf8PathBuf::from_path_buf(keep.path().to_owned()).unwrap();
        let dir = files::open(&folder).unwrap();
        let lock = dir.open_or_create(files::LOCK).unwrap();
        files::hold(&lock).unwrap();
        let keeper = std::thread::spawn(move || {
            std::thread::park_timeout(DYING);
            drop(lock);
        });
        let watch = Watch::new(folder.as_std_path(), Watched::Folder).unwrap();
        assert!(is_ending(&dir, &folder, &watch).unwrap());
        keeper.join().unwrap();
    }
}
