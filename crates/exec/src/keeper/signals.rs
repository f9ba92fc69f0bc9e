//! The signals that tell a keeper to end (nobody else would end its agent then), and the one that calls it.

use std::io::{self, PipeReader, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGURG};
use signal_hook::{flag, low_level};

/// What a machine that shuts down, a service manager or a person sends.
pub(super) const SIGNALS: [i32; 3] = [SIGTERM, SIGHUP, SIGINT];

/// The last signal that came, and a pipe that becomes readable with each of them.
pub(super) struct SignalWatch {
    pub(super) wake: PipeReader,
    last: Arc<AtomicUsize>,
}

/// A pipe that becomes readable when an owner calls: it does not find the keeper's socket.
pub(super) struct Called {
    pub(super) wake: PipeReader,
}

impl Called {
    /// From now on calls are heard. The signal is one that ends nobody who does not know it.
    pub(super) fn listen() -> io::Result<Called> {
        let (wake, waker) = io::pipe()?;
        super::setup::set_nonblocking(&wake)?;
        low_level::pipe::register(SIGURG, waker)?;
        Ok(Called { wake })
    }

    /// Whether somebody has called since the last look.
    pub(super) fn take(&mut self) -> bool {
        drain(&mut self.wake)
    }
}

impl SignalWatch {
    /// From now on these signals are heard, and do not end this process by themselves.
    pub(super) fn listen() -> io::Result<SignalWatch> {
        let (wake, waker) = io::pipe()?;
        super::setup::set_nonblocking(&wake)?;
        let last = Arc::new(AtomicUsize::new(0));
        for signal in SIGNALS {
            // In this order: who is woken finds the number.
            flag::register_usize(signal, Arc::clone(&last), usize::try_from(signal).unwrap_or(0))?;
            low_level::pipe::register(signal, waker.try_clone()?)?;
        }
        Ok(SignalWatch { wake, last })
    }

    /// The signal that came since the last call, if one did.
    pub(super) fn take(&mut self) -> Option<i32> {
        drain(&mut self.wake);
        // The pipe says that there is something, the number alone what it is.
        match self.last.swap(0, Ordering::SeqCst) {
            0 => None,
            signal => i32::try_from(signal).ok(),
        }
    }
}

/// Reads all that is in the pipe; whether there was something.
fn drain(wake: &mut PipeReader) -> bool {
    let mut bytes = [0; 64];
    let mut was_something = false;
    while matches!(wake.read(&mut bytes), Ok(1..)) {
        was_something = true;
    }
    was_something
}
