//! From the first instruction to the running agent.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Stdio;

use backstay_files::{Dir, if_there};
use backstay_model::{Digest, is_no_room};
use camino::{Utf8Path, Utf8PathBuf};
use rustix::fs::{FileType, OFlags, fcntl_getfl, fcntl_setfl, fstat};
use rustix::io::Errno;

use super::address::Address;
use super::capture::{Capture, StdinWriter};
use super::clients::Clients;
use super::finish::Ended;
use super::reaper::Reaper;
use super::signals::{Called, SignalWatch};
use super::supervise::Supervisor;
use crate::clock::awake;
use crate::crash_point::CrashPoints;
use crate::files;
use crate::ignore::ignore_error;
use crate::inherited::{Umask, set_umask};
use crate::keeper_client::sockets;
use crate::platform;
use crate::process::{self, Streams};
use crate::protocol::{self, FromKeeper, Lines, StartMessage};
use crate::record::{EXIT_RECORD_BYTES_MAX, EndedBy, KEEPER_FILE_VERSION, KeeperFile};
use crate::redact::{Secrets, secrets_of};
use crate::spec::{self, MARK_VARIABLE, ProcessSpec, SPEC_VERSION};
use crate::spool::{OrderWriter, Stream};
use crate::tree::{self, ProcessTree};

/// Hexadecimal digits of a mark.
const MARK_DIGITS: usize = 32;

/// Everything that is needed before the agent starts. What may fail without it has succeeded once this exists.
pub(super) struct Prepared {
    spec: ProcessSpec,
    address: Address,
    streams: Streams,
    /// Of the agent; none if it is this process's.
    umask: Option<Umask>,
    machinery: Machinery,
}

/// What looks after the agent.
pub(super) struct Machinery {
    pub(super) captures: [Capture; 2],
    pub(super) order: OrderWriter,
    pub(super) stdin: StdinWriter,
    pub(super) clients: Clients,
    pub(super) reaper: Reaper,
    pub(super) signals: SignalWatch,
    pub(super) called: Called,
    pub(super) ended: Ended,
}

/// What became of the start.
pub(super) enum Started {
    Running(Box<Supervisor>),
    Failed(Box<Ended>),
}

/// Leaves the starter's session, takes the lock, reads the spec, and makes everything that can fail beforehand.
pub(super) fn prepare(
    folder: &Utf8Path,
    crash: &CrashPoints,
    channel: &mut Option<UnixStream>,
) -> io::Result<Prepared> {
    close_inherited()?;
    detach()?;
    let folder = &files::open(folder)?;
    let lock = take_lock(folder)?;
    crash.pass("keeper.after_lock");
    let message = read_spec(channel)?;
    crash.pass("keeper.after_spec");
    let spec = message.spec;
    spec::validate(&spec).map_err(io::Error::other)?;
    let reserve = reserve(folder, &spec)?;
    crash.pass("keeper.after_reserve");

    let (listener, address) = Address::listen(folder, message.socket_folders, keeper_file(folder, &spec)?)?;
    crash.pass("keeper.after_listen");
    let socket = address.file.socket.clone();
    let parts = Parts { lock, spec, reserve, listener, address, umask: message.umask };
    let prepared = assemble(folder, parts, crash, channel.as_ref());
    if prepared.is_err() {
        ignore_error(sockets::remove(&socket), "a socket where nobody listens only takes room");
    }
    prepared
}

/// What was made first.
struct Parts {
    lock: File,
    spec: ProcessSpec,
    reserve: File,
    listener: UnixListener,
    address: Address,
    umask: Option<Umask>,
}

/// Makes the rest, the file by which recovery finds the agent at last: without that file no agent can exist.
fn assemble(
    folder: &Dir,
    parts: Parts,
    crash: &CrashPoints,
    channel: Option<&UnixStream>,
) -> io::Result<Prepared> {
    let Parts { lock, mut spec, reserve, listener, address, umask } = parts;
    let secrets = Secrets::of(&secrets_of(&spec.env, &spec.redact));
    let (stdout, stdout_theirs) = Capture::create(folder, Stream::Stdout, &spec, &secrets)?;
    let (stderr, stderr_theirs) = Capture::create(folder, Stream::Stderr, &spec, &secrets)?;
    let (stdin, stdin_theirs) = match spec.stdin.take() {
        None => (StdinWriter::none(), Stdio::null()),
        Some(text) => StdinWriter::of(text).map(|(stdin, theirs)| (stdin, Stdio::from(theirs)))?,
    };
    let machinery = Machinery {
        captures: [stdout, stderr],
        order: OrderWriter::create(folder)?,
        stdin,
        clients: Clients::new(listener, channel, spec.epoch)?,
        reaper: Reaper::prepare()?,
        signals: SignalWatch::listen()?,
        called: Called::listen()?,
        ended: Ended::new(folder.clone(), lock, reserve, address.file.socket.clone(), &spec),
    };
    crash.pass("keeper.after_machinery");
    let streams = Streams { stdin: stdin_theirs, stdout: stdout_theirs.into(), stderr: stderr_theirs.into() };
    address.write()?;
    crash.pass("keeper.after_file");
    Ok(Prepared { spec, address, streams, umask, machinery })
}

/// Starts the agent. Nothing here may fail without a record: `keeper.json` says that it may have begun.
pub(super) fn start(prepared: Prepared, crash: &CrashPoints, channel: &mut Option<UnixStream>) -> Started {
    let Prepared { mut spec, mut address, streams, umask, mut machinery } = prepared;
    crash.pass("keeper.before_spawn");
    let started = awake();
    // No other thread makes a file meanwhile: the one that collects the dead waits for its first child.
    let own = umask.map(set_umask);
    let spawned = process::spawn(&spec, &address.file.mark, streams);
    if let Some(own) = own {
        set_umask(own);
    }
    let pid = match spawned {
        Ok(pid) => pid,
        Err(failure) => {
            let Machinery { mut ended, captures, order, clients, .. } = machinery;
            let secrets = Secrets::of(&secrets_of(&spec.env, &spec.redact));
            ended.ended_by = EndedBy::SpawnFailed { failure: failure.for_record(&secrets) };
            ended.take_streams(captures, order, clients);
            return Started::Failed(Box::new(ended));
        }
    };
    crash.pass("keeper.after_spawn");
    machinery.reaper.begin();
    address.file.pid = Some(pid);
    ignore_error(
        address.write(),
        "the mark finds the process without its number too, and a full disk must not end what has begun",
    );
    machinery.clients.tell(&FromKeeper::Running {
        version: protocol::PROTOCOL_VERSION,
        effect: spec.effect.clone(),
        attempt: spec.attempt,
        pid,
        keeper_pid: address.file.keeper_pid,
    });
    *channel = None;
    crash.pass("keeper.after_running");
    // Nothing but the agent needs the environment any more, and it holds secrets.
    spec.env.clear();
    spec.redact.clear();
    let tree = ProcessTree {
        keeper_pid: address.file.keeper_pid,
        agent_pid: Some(pid),
        keeper_started: address.file.keeper_started,
        mark: format!("{MARK_VARIABLE}={}", address.file.mark),
    };
    Started::Running(Box::new(Supervisor::new(spec, tree, pid, started, machinery, address)))
}

/// What `keeper.json` will say, but for where the keeper listens.
fn keeper_file(folder: &Dir, spec: &ProcessSpec) -> io::Result<KeeperFile> {
    let keeper_pid = std::process::id();
    let keeper_started = tree::started_of(keeper_pid)?;
    let boot = platform::boot_id()?;
    let place = folder.path().display();
    let mark = Digest::of(format!("{place}\n{keeper_pid}\n{keeper_started}\n{boot}").as_bytes()).to_string();
    Ok(KeeperFile {
        version: KEEPER_FILE_VERSION,
        effect: spec.effect.clone(),
        attempt: spec.attempt,
        keeper_pid,
        keeper_started,
        pid: None,
        mark: mark[..MARK_DIGITS].to_owned(),
        socket: Utf8PathBuf::new(),
        boot,
        pid_namespace: platform::pid_namespace()?,
    })
}

/// Tells the starter that nothing was started.
pub(super) fn refuse(channel: Option<UnixStream>, error: &io::Error) {
    let Some(mut channel) = channel else { return };
    let refused = FromKeeper::Refused { reason: error.to_string(), no_room: is_no_room(error) };
    let line = protocol::line(&refused).map_err(io::Error::from);
    ignore_error(
        line.and_then(|line| channel.write_all(&line)),
        "who does not hear it finds no running process",
    );
}

/// A file descriptor that never waits.
pub(super) fn set_nonblocking(descriptor: impl AsFd) -> io::Result<()> {
    let flags = fcntl_getfl(&descriptor)?;
    Ok(fcntl_setfl(&descriptor, flags | OFlags::NONBLOCK)?)
}

/// Closes every descriptor above the three standard ones: what the starter inherited from its own parent (a pipe of a
/// build system, a file that a shell had open) must not stay open as long as the agent lives.
fn close_inherited() -> io::Result<()> {
    let mut inherited = Vec::new();
    for entry in std::fs::read_dir("/dev/fd")? {
        inherited.extend(entry?.file_name().to_str().and_then(|name| name.parse::<i32>().ok()));
    }
    for descriptor in inherited.into_iter().filter(|&descriptor| descriptor > 2) {
        // One of them was the list itself, and is closed already. Nothing in this process owns any of the others yet.
        ignore_error(nix::unistd::close(descriptor), "what is not open need not be closed");
    }
    Ok(())
}

/// A session of its own (no terminal can interrupt it), the parent of every orphan below it, and no folder in use.
fn detach() -> io::Result<()> {
    match rustix::process::setsid() {
        Ok(_) | Err(Errno::PERM) => {} // Started by hand it may lead its group already.
        Err(error) => return Err(error.into()),
    }
    tree::become_reaper()?;
    std::env::set_current_dir("/")
}

/// The lock: the one inherited as stdout, or, if stdout is something else, a lock of our own.
#[expect(clippy::disallowed_methods, reason = "nothing is printed: the descriptor is taken over")]
fn take_lock(folder: &Dir) -> io::Result<File> {
    let inherited = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    let null = OpenOptions::new().write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdout(&null)?;
    let ours = inherited.metadata()?;
    if let Some(theirs) = if_there(folder.open_file(files::LOCK))? {
        let theirs = theirs.metadata()?;
        if (theirs.dev(), theirs.ino()) == (ours.dev(), ours.ino()) {
            return Ok(inherited);
        }
    }
    let lock = folder.open_or_create(files::LOCK)?;
    if files::try_lock(&lock)? && !folder.has(files::KEEPER)? && !folder.has(files::LOST)? {
        Ok(lock)
    } else {
        Err(io::Error::other(format!("{} belongs to another keeper", folder.path().display())))
    }
}

/// Reads the first line of stdin. If stdin is a socket, it stays as the starter's channel.
fn read_spec(channel: &mut Option<UnixStream>) -> io::Result<StartMessage> {
    let stdin: OwnedFd = io::stdin().as_fd().try_clone_to_owned()?;
    let null = File::open("/dev/null")?;
    rustix::stdio::dup2_stdin(&null)?;
    let is_socket = FileType::from_raw_mode(fstat(&stdin)?.st_mode) == FileType::Socket;
    let mut lines = Lines::default();
    let message: Option<StartMessage> = if is_socket {
        let stream = channel.insert(UnixStream::from(stdin));
        protocol::read_message(&mut lines, stream)?
    } else {
        protocol::read_message(&mut lines, &mut File::from(stdin))?
    };
    match message {
        Some(message) if message.version == SPEC_VERSION => Ok(message),
        Some(message) => Err(io::Error::other(format!("the spec has version {}", message.version))),
        None => Err(io::Error::other("there is no spec")),
    }
}

/// Keeps room for the exit record: white space at its end is no part of a JSON text.
fn reserve(folder: &Dir, spec: &ProcessSpec) -> io::Result<File> {
    let mut file = folder.create_new(files::EXIT_PART)?;
    file.write_all(&vec![b' '; EXIT_RECORD_BYTES_MAX + serde_json::to_string(&spec.effect)?.len()])?;
    Ok(file)
}
