//! Starts a keeper.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use backstay_files::Dir;
use camino::{Utf8Path, Utf8PathBuf};

use super::handle::{Identity, KeeperHandle};
use crate::error::StartError;
use crate::files;
use crate::inherited::Umask;
use crate::protocol::{self, FromKeeper, Lines, PROTOCOL_VERSION, StartMessage};
use crate::record::EndedBy;
use crate::spec::{self, ProcessSpec, SPEC_VERSION};

/// A keeper that says nothing for so long did not come up.
const START_PATIENCE: Duration = Duration::from_secs(30);

/// Starts keepers.
#[derive(Clone, Debug)]
pub struct Keepers {
    program: Utf8PathBuf,
    arguments: Vec<String>,
    socket_folders: Vec<Utf8PathBuf>,
    patience: Duration,
    umask: Option<Umask>,
}

impl Keepers {
    /// Keepers are `program` with `arguments` and then `--folder FOLDER`; it must call [`crate::keeper_main`]. Their
    /// sockets are in one of `socket_folders`, see [`crate::socket_folders`].
    #[must_use]
    pub fn new(program: Utf8PathBuf, arguments: Vec<String>, socket_folders: Vec<Utf8PathBuf>) -> Keepers {
        Keepers { program, arguments, socket_folders, patience: START_PATIENCE, umask: None }
    }

    /// The same, where what is started has this umask. Without it, it has the umask of this process.
    #[must_use]
    pub fn with_umask(self, umask: Umask) -> Keepers {
        Keepers { umask: Some(umask), ..self }
    }

    /// The same, where a keeper that takes no spec or says nothing for `patience` did not come up.
    #[must_use]
    pub fn with_patience(self, patience: Duration) -> Keepers {
        Keepers { patience, ..self }
    }

    /// Starts `spec` under a keeper that leaves its files in `folder`, which is there and must not have been used: a store
    /// that was moved is not made anew in its old place. Returns when the process runs.
    ///
    /// # Errors
    /// [`StartError`]. With all of its variants but [`StartError::Unclear`] the process did certainly not begin.
    pub fn start(&self, folder: &Utf8Path, spec: &ProcessSpec) -> Result<KeeperHandle, StartError> {
        spec::validate(spec)?;
        let at = |path: &Utf8Path| {
            let path = path.to_owned();
            move |source| StartError::Io { path, source }
        };
        let dir = files::open(folder).map_err(at(folder))?;
        let lock = claim(&dir, folder)?;
        let (ours, theirs) = UnixStream::pair().map_err(at(folder))?;
        let message = StartMessage {
            version: SPEC_VERSION,
            spec: spec.clone(),
            socket_folders: self.socket_folders.clone(),
            umask: self.umask,
        };
        let line = protocol::line(&message).map_err(io::Error::from).map_err(at(folder))?;
        for set in [UnixStream::set_read_timeout, UnixStream::set_write_timeout] {
            set(&ours, Some(self.patience)).map_err(at(folder))?;
        }
        let child = self.spawn_keeper(folder, lock, theirs)?;
        // From here on only the keeper's word and its files say what happened.
        talk(&dir, folder, &line, ours, child)
    }

    /// The keeper inherits the lock as its stdout: so the folder is held without a gap from before the keeper exists
    /// until it is dead, whatever becomes of this process.
    fn spawn_keeper(&self, folder: &Utf8Path, lock: File, channel: UnixStream) -> Result<Child, StartError> {
        Command::new(&self.program)
            .args(&self.arguments)
            .args(["--folder", folder.as_str()])
            .stdin(OwnedFd::from(channel))
            .stdout(lock)
            .stderr(Stdio::null())
            .spawn()
            .map_err(|source| StartError::Keeper { program: self.program.clone(), source })
    }
}

/// Makes the folder's lock and holds it. A folder that has one was used before. The lock gets its name only when it is
/// held, so that nobody ever sees it free before there was a keeper.
fn claim(dir: &Dir, folder: &Utf8Path) -> Result<File, StartError> {
    let at = |source| StartError::Io { path: folder.join(files::LOCK), source };
    let in_use = || StartError::FolderInUse { folder: folder.to_owned() };
    let unnamed = format!("{}.{}", files::LOCK, std::process::id());
    let lock = match dir.create_new(&unnamed) {
        Ok(lock) => lock,
        // Another thread is just starting something there.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(in_use()),
        Err(source) => return Err(at(source)),
    };
    files::hold(&lock).map_err(at)?;
    let named = dir.hard_link(&unnamed, files::LOCK);
    dir.remove(&unnamed).map_err(at)?;
    match named {
        // Whoever recovered this folder before has said that nothing began in it, and left a lock.
        Ok(()) => Ok(lock),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(in_use()),
        Err(source) => Err(at(source)),
    }
}

/// Gives the keeper its spec and hears what became of it.
fn talk(
    dir: &Dir,
    folder: &Utf8Path,
    line: &[u8],
    mut ours: UnixStream,
    mut child: Child,
) -> Result<KeeperHandle, StartError> {
    if let Err(error) = ours.write_all(line)
        && error.kind() != io::ErrorKind::BrokenPipe
    {
        return Err(gone(dir, child));
    }
    let mut lines = Lines::default();
    match protocol::read_message(&mut lines, &mut ours) {
        Ok(Some(FromKeeper::Running { version, effect, attempt, pid, keeper_pid }))
            if version == PROTOCOL_VERSION =>
        {
            let identity = Identity { effect, attempt, pid, keeper_pid, folder: folder.to_owned() };
            let patient = ours.set_read_timeout(None).and_then(|()| ours.set_write_timeout(None));
            // It runs: what fails on this side now is no reason to say that it does not.
            patient
                .and_then(|()| KeeperHandle::new(identity, ours, lines, Some(child)))
                .map_err(|_it_runs| StartError::Unclear)
        }
        Ok(Some(FromKeeper::Exited { record })) => {
            super::collect(child);
            Err(match record.ended_by {
                EndedBy::SpawnFailed { failure } => StartError::Spawn { source: failure },
                EndedBy::Exit
                | EndedBy::Timeout
                | EndedBy::IdleTimeout
                | EndedBy::Stop { .. }
                | EndedBy::Signalled { .. } => StartError::Unclear,
            })
        }
        Ok(Some(FromKeeper::Refused { reason, no_room })) => {
            // It says so before it lets go of the folder, and its owner looks there next.
            super::wait_for_death(&mut child);
            super::collect(child);
            Err(if no_room {
                StartError::NoRoom { folder: folder.to_owned(), source: io::ErrorKind::StorageFull.into() }
            } else {
                StartError::Refused { reason }
            })
        }
        // The end of the stream, silence, or something that no keeper says at the start.
        Ok(_) | Err(_) => Err(gone(dir, child)),
    }
}

/// What a keeper that went away can have done: it writes its file before it starts anything.
fn gone(dir: &Dir, mut child: Child) -> StartError {
    let is_dead = super::wait_for_death(&mut child);
    super::collect(child);
    // One that hangs does so before or after the start; nobody can know, so its owner has to recover it.
    let has_begun = dir.has(files::KEEPER).unwrap_or(true);
    if is_dead && !has_begun { StartError::NotBegun } else { StartError::Unclear }
}
