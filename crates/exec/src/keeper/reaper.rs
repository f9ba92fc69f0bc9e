//! Collects dead children as they die. On Linux these are all descendants: orphans come to the keeper.

use std::io::{self, PipeReader, Read, Write};
use std::sync::mpsc::{Receiver, Sender, channel};

use rustix::io::Errno;
use rustix::process::{WaitOptions, wait};

use crate::ignore::ignore_error;

/// What the reaper saw.
#[derive(Clone, Copy, Debug)]
pub(super) enum Death {
    /// This child is dead and collected.
    Child { pid: u32, exit_code: Option<i32>, signal: Option<i32> },
    /// There are no children any more. The reaper ends.
    NoneLeft,
}

/// The deaths, and a pipe that becomes readable with each of them.
pub(super) struct Reaper {
    pub(super) wake: PipeReader,
    deaths: Receiver<Death>,
    /// What lets the thread begin; dropped unused, it ends the thread.
    go: Option<Sender<()>>,
}

impl Reaper {
    /// Makes the thread, which may fail, while there is no child yet that would be left alone by that.
    pub(super) fn prepare() -> io::Result<Reaper> {
        let (wake, waker) = io::pipe()?;
        super::setup::set_nonblocking(&wake)?;
        let (sender, deaths) = channel();
        let (go, gate) = channel();
        let thread = move || {
            if gate.recv().is_ok() {
                collect(&sender, waker);
            }
        };
        std::thread::Builder::new().name("reaper".to_owned()).stack_size(64 * 1024).spawn(thread)?;
        Ok(Reaper { wake, deaths, go: Some(go) })
    }

    /// Begins to collect; there must be a child.
    pub(super) fn begin(&mut self) {
        if let Some(go) = self.go.take() {
            ignore_error(go.send(()), "the thread waits for it as long as this end is there");
        }
    }

    /// What was seen since the last call.
    pub(super) fn take(&mut self) -> Vec<Death> {
        let mut bytes = [0; 64];
        loop {
            match self.wake.read(&mut bytes) {
                Ok(1..) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Nothing more, or the end of the thread: what it saw is in the channel.
                Ok(0) | Err(_) => return self.deaths.try_iter().collect(),
            }
        }
    }
}

fn collect(sender: &Sender<Death>, mut waker: io::PipeWriter) {
    loop {
        let death = match wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) if status.exited() || status.signaled() => Death::Child {
                pid: pid.as_raw_nonzero().get().unsigned_abs(),
                exit_code: status.exit_status(),
                signal: status.terminating_signal(),
            },
            Ok(_) | Err(Errno::INTR) => continue,
            // ECHILD; nothing else can be said of a wait for any child.
            Err(_no_children) => Death::NoneLeft,
        };
        let last = matches!(death, Death::NoneLeft);
        // If nobody hears it, the keeper is ending.
        if sender.send(death).is_err() || waker.write_all(&[0]).is_err() || last {
            return;
        }
    }
}
