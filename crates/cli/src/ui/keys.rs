//! Single keys from the terminal, without a wait for the end of the line.
//!
//! Only echo and line editing are off meanwhile: Ctrl-C, Ctrl-Z and Ctrl-\ stay signals, and what is printed stays as it
//! is.

use std::io::{IsTerminal, Stdin};
use std::os::fd::OwnedFd;
use std::thread::JoinHandle;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::pipe::PipeFlags;
use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetpgrp, tcsetattr,
};
use tokio::sync::mpsc;

use super::typed::{Key, Typed};

/// Keys that may wait to be looked at.
const WAITING_MAX: usize = 64;
/// Bytes that are read at once.
const READ_BYTES: usize = 64;
/// How long more may take to follow an escape: a terminal sends the bytes of one key together.
const ESCAPE_LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
/// Time between two looks whether the terminal is ours again.
const BACKGROUND_LOOK: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

/// The terminal's keys. Dropping it gives the terminal back as it was, also while panicking.
#[derive(Debug)]
pub(crate) struct Keys {
    before: Termios,
    incoming: mpsc::Receiver<Key>,
    /// Closing it ends the thread.
    stop: Option<OwnedFd>,
    thread: Option<JoinHandle<()>>,
}

impl Keys {
    /// Takes the keys; none where stdin is no terminal, or not ours now.
    pub(crate) fn take() -> Option<Keys> {
        let stdin = std::io::stdin();
        if !stdin.is_terminal() || !is_ours(&stdin) {
            return None;
        }
        let before = tcgetattr(&stdin).ok()?;
        let (until, stop) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC).ok()?;
        let (send, incoming) = mpsc::channel(WAITING_MAX);
        let thread = std::thread::Builder::new().name("keys".to_owned()).spawn(move || listen(&until, &send));
        let keys = Keys { before, incoming, stop: Some(stop), thread: Some(thread.ok()?) };
        keys.set_single();
        Some(keys)
    }

    /// The next key. Never resolves once the terminal is gone.
    pub(crate) async fn next(&mut self) -> Key {
        match self.incoming.recv().await {
            Some(key) => key,
            None => std::future::pending().await,
        }
    }

    /// Takes the terminal again after it was somebody else's.
    pub(crate) fn set_single(&self) {
        let mut single = self.before.clone();
        single.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
        // A read gives what is there and never waits.
        single.special_codes[SpecialCodeIndex::VMIN] = 0;
        single.special_codes[SpecialCodeIndex::VTIME] = 0;
        set(&single);
    }

    /// Gives the terminal back as it was.
    pub(crate) fn give_back(&self) {
        set(&self.before);
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        self.give_back();
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::debug!("the thread that reads keys died");
        }
    }
}

/// To set the modes of a terminal that is another job's would stop this process.
fn set(modes: &Termios) {
    let stdin = std::io::stdin();
    if is_ours(&stdin)
        && let Err(error) = tcsetattr(&stdin, OptionalActions::Now, modes)
    {
        tracing::debug!(%error, "the terminal does not take its modes");
    }
}

/// Whether this process is of the terminal's foreground job, or the terminal has no jobs.
pub(crate) fn is_ours(stdin: &Stdin) -> bool {
    match tcgetpgrp(stdin) {
        Ok(foreground) => foreground == rustix::process::getpgrp(),
        Err(error) => error == Errno::NOTTY,
    }
}

fn listen(until: &OwnedFd, send: &mpsc::Sender<Key>) {
    let stdin = std::io::stdin();
    let mut typed = Typed::default();
    loop {
        let mut looked = [PollFd::new(&stdin, PollFlags::IN), PollFd::new(until, PollFlags::IN)];
        match poll(&mut looked, typed.is_undecided().then_some(&ESCAPE_LOOK)) {
            Ok(0) => {
                if !pass_on(send, typed.decide()) {
                    return;
                }
                continue;
            }
            Ok(_) | Err(Errno::INTR) => {}
            Err(_no_terminal) => return,
        }
        let (terminal, end) = (looked[0].revents(), looked[1].revents());
        if !end.is_empty() || terminal.intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL) {
            return;
        }
        if !terminal.contains(PollFlags::IN) {
            continue;
        }
        if !is_ours(&stdin) {
            // What is typed is for another job.
            let mut end = [PollFd::new(until, PollFlags::IN)];
            match poll(&mut end, Some(&BACKGROUND_LOOK)) {
                Ok(0) | Err(Errno::INTR) => continue,
                Ok(_) | Err(_) => return,
            }
        }
        let mut bytes = [0; READ_BYTES];
        match rustix::io::read(&stdin, &mut bytes) {
            Ok(count) => {
                if !pass_on(send, typed.take(&bytes[..count])) {
                    return;
                }
            }
            Err(Errno::INTR | Errno::AGAIN) => {}
            Err(_no_terminal) => return,
        }
    }
}

/// Keys that nobody waits for any more are of no use; false once nobody waits at all.
fn pass_on(send: &mpsc::Sender<Key>, keys: impl IntoIterator<Item = Key>) -> bool {
    let mut keys = keys.into_iter();
    !(keys.any(|key| send.try_send(key).is_err()) && send.is_closed())
}
