//! An agent's own screen in front of a person, and how other processes know that it is open.
//!
//! The process on the screen inherits a lock in a folder of the run. So the lock is held as long as it lives, whatever becomes of
//! the process that opened the screen; `screen.json` beside it says how to find both.

use std::fs::File;
use std::io;
use std::process::{Command, ExitStatus};
use std::time::Duration;

use backstay_files::{Dir, if_there};
use backstay_model::Digest;
use camino::{Utf8Path, Utf8PathBuf};
use rustix::fs::{FlockOperation, flock};
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::Signal;
use serde::{Deserialize, Serialize};

use crate::files;
use crate::ignore::ignore_error;
use crate::platform;
use crate::spec::MARK_VARIABLE;
use crate::tree::{self, ProcessTree, end_all, wait_until_gone};

/// Held while a screen is open.
const LOCK: &str = "screen.lock";
/// Who has it open.
const NOTE: &str = "screen.json";
/// The version of [`ScreenFile`]'s form.
const SCREEN_FILE_VERSION: u32 = 1;
/// How long a screen may take to end by itself once it is told to.
const GRACE: Duration = Duration::from_secs(5);
/// The bound on waiting for who opened a screen that was ended to write down what was done on it.
const CLOSING_TRIES: u32 = 100;
const CLOSING_AGAIN: Duration = Duration::from_millis(100);

/// What a screen is opened on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScreenSession {
    /// The agent.
    pub agent: String,
    /// Its session.
    pub session: String,
}

/// A screen that is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenScreen {
    /// The process on it; before that is started, the one that starts it.
    pub pid: u32,
    /// What it is opened on.
    pub on: ScreenSession,
}

/// How to find a screen's processes: the file `screen.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct ScreenFile {
    version: u32,
    #[serde(flatten)]
    on: ScreenSession,
    /// The process that opened it.
    opener_pid: u32,
    /// When that started, in the platform's own unit.
    opener_started: u64,
    /// The process on the screen; absent until it is started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pid: Option<u32>,
    /// The process that ends it to let the run go on; absent while nobody does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    taken_by_pid: Option<u32>,
    /// The value of `BACKSTAY_KEEPER` in its processes.
    mark: String,
    boot: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pid_namespace: Option<u64>,
}

/// Whether a screen is open in a folder.
#[derive(Debug)]
pub enum ScreenState {
    /// None is, and none can be opened until this is dropped.
    Closed(KeptClosed),
    /// Somebody works on one; who, where it can be told.
    Open(Option<OpenScreen>),
}

/// Keeps screens from being opened.
#[derive(Debug)]
pub struct KeptClosed {
    _shared: Option<File>,
}

/// The right to open the screen of a folder. When it is dropped the screen counts as closed, also where something that was
/// started on it lives on.
#[derive(Debug)]
pub struct ScreenHold {
    folder: Dir,
    lock: File,
    file: ScreenFile,
}

/// An open screen cannot be ended.
#[derive(Debug, thiserror::Error)]
pub enum EndScreenError {
    /// It cannot be looked at.
    #[error("the screen that is noted in {folder} cannot be looked at")]
    Io {
        /// The folder.
        folder: Utf8PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Its processes are of another container or another machine.
    #[error("the processes of the screen that is noted in {folder} cannot be seen from here")]
    Elsewhere {
        /// The folder.
        folder: Utf8PathBuf,
    },
    /// It lives on.
    #[error("the screen is still open: process {pid} does not let go of it")]
    Survives {
        /// The process on it, or the one that opened it.
        pid: u32,
    },
}

impl ScreenHold {
    /// Takes the right to open a screen on `on`. Where another one is open, says which.
    ///
    /// # Errors
    /// What the system says, if the lock cannot be taken or noted.
    pub fn take(folder: &Utf8Path, on: ScreenSession) -> io::Result<Result<ScreenHold, Option<OpenScreen>>> {
        let dir = files::open(folder)?;
        let lock = dir.open_or_create(LOCK)?;
        if !files::try_lock(&lock)? {
            return Ok(Err(noted(&dir)?));
        }
        let opener_pid = std::process::id();
        let opener_started = tree::started_of(opener_pid)?;
        let boot = platform::boot_id()?;
        let mark =
            Digest::of(format!("{folder}\n{opener_pid}\n{opener_started}\n{boot}").as_bytes()).to_string();
        let pid_namespace = platform::pid_namespace()?;
        let version = SCREEN_FILE_VERSION;
        let file = ScreenFile {
            version,
            on,
            opener_pid,
            opener_started,
            pid: None,
            taken_by_pid: None,
            mark,
            boot,
            pid_namespace,
        };
        files::replace(&dir, NOTE, &file)?;
        Ok(Ok(ScreenHold { folder: dir, lock, file }))
    }

    /// Starts `command`, which has the terminal, and waits for its end.
    ///
    /// # Errors
    /// What the system says, if it cannot be started.
    pub fn run(&mut self, command: &mut Command) -> io::Result<ExitStatus> {
        // Nothing else is started by this process meanwhile.
        fcntl_setfd(&self.lock, FdFlags::empty())?;
        let started = command.env(MARK_VARIABLE, &self.file.mark).spawn();
        fcntl_setfd(&self.lock, FdFlags::CLOEXEC)?;
        let mut child = started?;
        self.file.pid = Some(child.id());
        ignore_error(
            files::replace(&self.folder, NOTE, &self.file),
            "the mark finds the process without its number too, and a full disk must not end what has begun",
        );
        child.wait()
    }
}

impl ScreenHold {
    /// Whether another process ended the screen to let the run go on itself.
    ///
    /// # Errors
    /// What the system says, if that cannot be read.
    pub fn is_taken_over(&self) -> io::Result<bool> {
        Ok(read(&self.folder)?.is_some_and(|file| file.taken_by_pid.is_some()))
    }
}

impl Drop for ScreenHold {
    fn drop(&mut self) {
        ignore_error(self.folder.remove(NOTE), "without its lock the note says nothing");
        ignore_error(
            flock(&self.lock, FlockOperation::Unlock),
            "the lock ends with the last process that has it",
        );
    }
}

/// Looks whether a screen is open in `folder`, and keeps it closed if not.
///
/// # Errors
/// What the system says, if the lock cannot be looked at.
pub fn screen_state(folder: &Utf8Path) -> io::Result<ScreenState> {
    let closed = |_shared| Ok(ScreenState::Closed(KeptClosed { _shared }));
    let Some(dir) = if_there(files::open(folder))? else { return closed(None) };
    let Some(lock) = if_there(dir.open_file(LOCK))? else { return closed(None) };
    if files::is_free(&lock)? { closed(Some(lock)) } else { Ok(ScreenState::Open(noted(&dir)?)) }
}

/// Ends the processes of the screen that is open in `folder`, if one is: by a request, and by force after a grace.
///
/// # Errors
/// [`EndScreenError`] if it is open after that.
pub fn end_screen(folder: &Utf8Path) -> Result<(), EndScreenError> {
    let at = |source| EndScreenError::Io { folder: folder.to_owned(), source };
    let elsewhere = || EndScreenError::Elsewhere { folder: folder.to_owned() };
    if let ScreenState::Closed(_) = screen_state(folder).map_err(at)? {
        return Ok(());
    }
    let dir = files::open(folder).map_err(at)?;
    let mut file = read(&dir).map_err(at)?.ok_or_else(elsewhere)?;
    let is_here = file.boot == platform::boot_id().map_err(at)?
        && file.pid_namespace == platform::pid_namespace().map_err(at)?;
    if !is_here {
        return Err(elsewhere());
    }
    file.taken_by_pid = Some(std::process::id());
    files::replace(&dir, NOTE, &file).map_err(at)?;
    let tree = ProcessTree {
        keeper_pid: file.opener_pid,
        agent_pid: file.pid,
        keeper_started: file.opener_started,
        mark: format!("{MARK_VARIABLE}={}", file.mark),
    };
    let living = tree.living_by_signs().map_err(at)?;
    for process in living.iter().filter(|process| file.pid.is_none_or(|pid| pid == process.pid)) {
        for asked in [Signal::TERM, Signal::CONT] {
            ignore_error(tree::signal(process, asked), "what hears no request is ended by force");
        }
    }
    wait_until_gone(&living, GRACE).map_err(at)?;
    let ended = end_all(&tree).map_err(at)?;
    for _look in 0..CLOSING_TRIES {
        if let ScreenState::Closed(_) = screen_state(folder).map_err(at)? {
            return Ok(());
        }
        std::thread::park_timeout(CLOSING_AGAIN);
    }
    // Where nothing is left on the screen, who opened it does not let go.
    let holder = file.pid.filter(|_| ended.survivors > 0).unwrap_or(file.opener_pid);
    Err(EndScreenError::Survives { pid: holder })
}

/// What is noted of the screen in `folder`; none where nothing is that can be understood.
fn noted(folder: &Dir) -> io::Result<Option<OpenScreen>> {
    let open = |file: ScreenFile| OpenScreen { pid: file.pid.unwrap_or(file.opener_pid), on: file.on };
    Ok(read(folder)?.map(open))
}

fn read(folder: &Dir) -> io::Result<Option<ScreenFile>> {
    let bytes = files::read_if_there(folder, NOTE)?;
    // The lock alone tells that it is open.
    Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> (tempfile::TempDir, Utf8PathBuf) {
        let keep = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::from_path_buf(keep.path().to_owned()).unwrap();
        (keep, path)
    }

    fn session() -> ScreenSession {
        ScreenSession { agent: "mine".to_owned(), session: "s1".to_owned() }
    }

    #[test]
    fn one_screen_is_open_in_a_folder_and_none_while_it_is_kept_closed() {
        let (_keep, folder) = folder();
        let hold = ScreenHold::take(&folder, session()).unwrap().unwrap();
        let own = OpenScreen { pid: std::process::id(), on: session() };
        assert_eq!(ScreenHold::take(&folder, session()).unwrap().unwrap_err(), Some(own.clone()));
        let ScreenState::Open(open) = screen_state(&folder).unwrap() else { panic!("it is open") };
        assert_eq!(open, Some(own));
        drop(hold);
        let ScreenState::Closed(kept) = screen_state(&folder).unwrap() else { panic!("it is closed") };
        assert_eq!(ScreenHold::take(&folder, session()).unwrap().unwrap_err(), None);
        drop(kept);
        assert!(ScreenHold::take(&folder, session()).unwrap().is_ok());
        assert!(matches!(screen_state(&folder.join("none")).unwrap(), ScreenState::Closed(_)));
    }

    #[test]
    fn what_was_started_on_a_screen_and_lives_on_keeps_it_open_only_until_it_is_left() {
        let (_keep, folder) = folder();
        let mut hold = ScreenHold::take(&folder, session()).unwrap().unwrap();
        // It inherits the lock as the process on the screen does, and is not ended with that.
        let left = folder.join("left");
        let script = format!("sleep 1000 & echo $! > {left}");
        assert!(hold.run(Command::new("sh").args(["-c", &script])).unwrap().success());
        assert!(matches!(screen_state(&folder).unwrap(), ScreenState::Open(_)));
        drop(hold);
        assert!(matches!(screen_state(&folder).unwrap(), ScreenState::Closed(_)));
        let pid = std::fs::read_to_string(left).unwrap();
        assert!(Command::new("kill").arg(pid.trim()).status().unwrap().success());
    }

    #[test]
    fn a_screen_of_another_boot_or_container_is_not_ended_by_its_numbers() {
        let (_keep, folder) = folder();
        let hold = ScreenHold::take(&folder, session()).unwrap().unwrap();
        let dir = files::open(&folder).unwrap();
        let elsewhere = ScreenFile { boot: "another".to_owned(), ..hold.file.clone() };
        files::replace(&dir, NOTE, &elsewhere).unwrap();
        assert!(matches!(end_screen(&folder), Err(EndScreenError::Elsewhere { .. })));
        assert!(!hold.is_taken_over().unwrap());
    }
}
