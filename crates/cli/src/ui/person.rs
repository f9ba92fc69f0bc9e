//! What a person in front of a view says: by keys, and by the signals that a terminal sends.

use rustix::process::{Signal as Number, getpid, kill_process};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::keys::Keys;
use super::{Frame, Line, Paint};
use crate::error::CliError;

/// What is wished for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// To leave the view, and what it shows as it is.
    Leave,
    /// To stop: Ctrl-C.
    Interrupt,
    /// To stop, said by another process, or by Ctrl-\.
    Terminate,
    /// To give the terminal to the shell for a while: Ctrl-Z.
    Pause,
}

/// Whether single keys are listened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Listen {
    /// Keys and signals: there is a live view.
    ToKeys,
    /// Signals only.
    ToSignals,
}

/// A person in front of a view. Dropping it gives the terminal back.
#[derive(Debug)]
pub(crate) struct Person {
    keys: Option<Keys>,
    interrupts: Signal,
    terminations: Signal,
    quits: Signal,
    /// Only where keys were taken there is something to give back before a pause.
    pauses: Option<Signal>,
}

impl Person {
    /// Begins to listen.
    pub(crate) fn listen(listen: Listen) -> Result<Person, CliError> {
        // The signals first: from the moment the terminal is changed, every way out has to give it back.
        let [interrupts, terminations, quits] =
            [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::quit()].map(signal);
        let (interrupts, terminations) =
            (interrupts.map_err(CliError::Signals)?, terminations.map_err(CliError::Signals)?);
        let quits = quits.map_err(CliError::Signals)?;
        let is_keyed = listen == Listen::ToKeys;
        let stop = SignalKind::from_raw(Number::TSTP.as_raw());
        let pauses = if is_keyed { Some(signal(stop).map_err(CliError::Signals)?) } else { None };
        let keys = if is_keyed { Keys::take() } else { None };
        Ok(Person { keys, interrupts, terminations, quits, pauses })
    }

    /// Whether keys work.
    pub(crate) const fn has_keys(&self) -> bool {
        self.keys.is_some()
    }

    /// What the person says next. Dropping the future loses nothing.
    pub(crate) async fn wish(&mut self) -> Wish {
        loop {
            let key = tokio::select! {
                _ = self.interrupts.recv() => return Wish::Interrupt,
                _ = self.terminations.recv() => return Wish::Terminate,
                _ = self.quits.recv() => return Wish::Terminate,
                () = next_pause(&mut self.pauses) => return Wish::Pause,
                key = next_key(&mut self.keys) => key,
            };
            if matches!(key, b'q' | b'Q') {
                return Wish::Leave;
            }
        }
    }

    /// Gives the terminal to the shell and stands still until this job is the foreground again.
    pub(crate) fn pause(&self, frame: &mut Frame) -> Result<(), CliError> {
        frame.clear()?;
        if let Some(keys) = &self.keys {
            keys.give_back();
        }
        if let Err(error) = kill_process(getpid(), Number::STOP) {
            tracing::debug!(%error, "this process cannot stop itself");
        }
        if let Some(keys) = &self.keys {
            keys.set_single();
        }
        Ok(())
    }
}

async fn next_pause(pauses: &mut Option<Signal>) {
    match pauses {
        Some(pauses) => drop(pauses.recv().await),
        None => std::future::pending().await,
    }
}

async fn next_key(keys: &mut Option<Keys>) -> u8 {
    match keys {
        Some(keys) => keys.next().await,
        None => std::future::pending().await,
    }
}

/// A line that names keys and what they do.
pub(crate) fn key_line(keys: &[(&str, &str)]) -> Line {
    let line = Line::of(Paint::Plain, " ");
    keys.iter().enumerate().fold(line, |line, (index, (key, meaning))| {
        let gap = if index == 0 { "" } else { "  " };
        line.with(Paint::Plain, gap)
            .with(Paint::Bold, format!("[{key}]"))
            .with(Paint::Dim, format!(" {meaning}"))
    })
}
