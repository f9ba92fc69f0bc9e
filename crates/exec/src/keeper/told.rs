//! The signals that tell a keeper to end. Nobody else would end its agent then.

use std::io::{self, PipeReader, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::{flag, low_level};

/// What a machine that shuts down, a service manager or a person sends.
pub(super) const SIGNALS: [i32; 3] = [SIGTERM, SIGHUP, SIGINT];

/// The last signal that came, and a pipe that becomes readable with each of them.
pub(super) struct Told {
    pub(super) wake: PipeReader,
    last: Arc<AtomicUsize>,
}

impl Told {
    /// From now on these signals are heard, and do not end this process by themselves.
    pub(super) fn listen() -> io::Result<Told> {
        let (wake, waker) = io::pipe()?;
        super::setup::set_nonblocking(&wake)?;
        let last = Arc::new(AtomicUsize::new(0));
        for signal in SIGNALS {
            // In this order: who is woken finds the number.
            flag::register_usize(signal, Arc::clone(&last), usize::try_from(signal).unwrap_or(0))?;
            low_level::pipe::register(signal, waker.try_clone()?)?;
        }
        Ok(Told { wake, last })
    }

    /// The signal that came since the last call, if one did.
    pub(super) fn take(&mut self) -> Option<i32> {
        let mut bytes = [0; 64];
        while matches!(self.wake.read(&mut bytes), Ok(1..)) {}
        // The pipe says that there is something, the number alone what it is.
        match self.last.swap(0, Ordering::SeqCst) {
            0 => None,
            signal => i32::try_from(signal).ok(),
        }
    }
}
