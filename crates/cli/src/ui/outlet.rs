//! Writing to the screen without waiting for it.
//!
//! A terminal that takes nothing (Ctrl-S, a line that hangs) must hold up no run: a thread of its own writes, and while it
//! does, what would be drawn next is not drawn.

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::error::CliError;

/// How long the last picture may take to reach the screen before it is given up.
const PATIENCE: Duration = Duration::from_secs(1);

/// What became of something that was to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Offered {
    /// It is on its way.
    Taken,
    /// The screen has not taken what came before.
    Busy,
}

/// The way to the screen.
#[derive(Debug)]
pub(crate) struct Outlet {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// What is to be written, and is until it was.
    waiting: Option<Vec<u8>>,
    failed: Option<io::Error>,
    is_closed: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Whoever panicked left a whole state: every change is one assignment.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Outlet {
    /// A way to stdout.
    pub(crate) fn to_stdout() -> Outlet {
        Outlet::to(|bytes| {
            let mut out = crate::output::stdout().lock();
            out.write_all(bytes).and_then(|()| out.flush())
        })
    }

    /// A way by `write`.
    pub(super) fn to(write: impl FnMut(&[u8]) -> io::Result<()> + Send + 'static) -> Outlet {
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        let thread =
            std::thread::Builder::new().name("screen".to_owned()).spawn(move || pump(&theirs, write));
        if let Err(error) = thread {
            shared.lock().failed = Some(error);
        }
        Outlet { shared }
    }

    /// Writes `bytes` if what came before is written.
    ///
    /// # Errors
    /// Why something earlier could not be written.
    pub(crate) fn offer(&self, bytes: Vec<u8>) -> Result<Offered, CliError> {
        let mut state = self.shared.lock();
        if let Some(error) = state.failed.take() {
            return Err(crate::output::written(error));
        }
        if state.waiting.is_some() {
            return Ok(Offered::Busy);
        }
        state.waiting = Some(bytes);
        self.shared.changed.notify_all();
        Ok(Offered::Taken)
    }

    /// Waits until all is written, and says whether it is.
    pub(crate) fn settle(&self) -> bool {
        let is_busy = |state: &mut State| state.waiting.is_some() && state.failed.is_none();
        let waited = self.shared.changed.wait_timeout_while(self.shared.lock(), PATIENCE, is_busy);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.waiting.is_none()
    }

    /// Writes `bytes` behind what came before and waits for it; what a screen does not take in time is given up.
    ///
    /// # Errors
    /// Why it could not be written.
    pub(crate) fn put(&self, bytes: Vec<u8>) -> Result<(), CliError> {
        if self.settle() && self.offer(bytes)? == Offered::Taken {
            self.settle();
        }
        match self.shared.lock().failed.take() {
            Some(error) => Err(crate::output::written(error)),
            None => Ok(()),
        }
    }
}

impl Drop for Outlet {
    fn drop(&mut self) {
        self.shared.lock().is_closed = true;
        self.shared.changed.notify_all();
    }
}

fn pump(shared: &Shared, mut write: impl FnMut(&[u8]) -> io::Result<()>) {
    loop {
        let is_idle = |state: &mut State| state.waiting.is_none() && !state.is_closed;
        let state = shared.changed.wait_while(shared.lock(), is_idle).unwrap_or_else(PoisonError::into_inner);
        let Some(bytes) = state.waiting.clone() else { return };
        drop(state);
        let written = write(&bytes);
        let mut state = shared.lock();
        state.waiting = None;
        state.failed = written.err();
        shared.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn a_screen_that_takes_nothing_holds_nobody_up_and_gets_nothing_in_between() {
        let (go, gate) = mpsc::channel::<()>();
        let (say, written) = mpsc::channel();
        let outlet = Outlet::to(move |bytes| {
            gate.recv().expect("the test opens the gate");
            say.send(bytes.to_vec()).expect("the test listens");
            Ok(())
        });
        assert_eq!(outlet.offer(b"one".to_vec()).unwrap(), Offered::Taken);
        assert_eq!(outlet.offer(b"two".to_vec()).unwrap(), Offered::Busy);
        go.send(()).unwrap();
        assert!(outlet.settle());
        assert_eq!(outlet.offer(b"three".to_vec()).unwrap(), Offered::Taken);
        go.send(()).unwrap();
        assert!(outlet.settle());
        drop(outlet);
        assert_eq!(written.iter().collect::<Vec<_>>(), [b"one".to_vec(), b"three".to_vec()]);
    }

    #[test]
    fn a_screen_that_is_gone_is_told() {
        let outlet = Outlet::to(|_| Err(io::Error::from(io::ErrorKind::BrokenPipe)));
        assert!(matches!(outlet.put(b"x".to_vec()), Err(CliError::OutputClosed)));
    }
}
