//! What a person in front of a view says: by keys, and by the signals that a terminal sends.

use rustix::process::{Signal as Number, getpid, kill_process};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::keys::Keys;
use super::typed::Key;
use super::{Frame, Line, Paint};
use crate::error::CliError;

/// What is wished for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// What the view makes of a key.
    Press(Key),
    /// To stop: Ctrl-C.
    Interrupt,
    /// To stop, said by another process, or by Ctrl-\.
    Terminate,
    /// To give the terminal to the shell for a while: Ctrl-Z.
    Pause,
    /// The terminal is gone, and with it whoever saw it: nothing can be shown any more.
    HangUp,
    /// The terminal has another size.
    Resize,
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
    hangups: Signal,
    resizes: Signal,
    /// Only where keys were taken there is something to give back before a pause.
    pauses: Option<Signal>,
}

impl Person {
    /// Begins to listen.
    pub(crate) fn listen(listen: Listen) -> Result<Person, CliError> {
        // The signals first: from the moment the terminal is changed, every way out has to give it back.
        let hear = |kind: SignalKind| signal(kind).map_err(CliError::Signals);
        let (interrupts, terminations) = (hear(SignalKind::interrupt())?, hear(SignalKind::terminate())?);
        let (quits, hangups) = (hear(SignalKind::quit())?, hear(SignalKind::hangup())?);
        let resizes = hear(SignalKind::window_change())?;
        let is_keyed = listen == Listen::ToKeys;
        let stop = SignalKind::from_raw(Number::TSTP.as_raw());
        let pauses = if is_keyed { Some(hear(stop)?) } else { None };
        let keys = if is_keyed { Keys::take() } else { None };
        Ok(Person { keys, interrupts, terminations, quits, hangups, resizes, pauses })
    }

    /// Whether keys work.
    pub(crate) const fn has_keys(&self) -> bool {
        self.keys.is_some()
    }

    /// What the person says next. Dropping the future loses nothing.
    pub(crate) async fn wish(&mut self) -> Wish {
        tokio::select! {
            _ = self.interrupts.recv() => Wish::Interrupt,
            _ = self.terminations.recv() => Wish::Terminate,
            _ = self.quits.recv() => Wish::Terminate,
            _ = self.hangups.recv() => Wish::HangUp,
            _ = self.resizes.recv() => Wish::Resize,
            () = next_pause(&mut self.pauses) => Wish::Pause,
            key = next_key(&mut self.keys) => Wish::Press(key),
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

async fn next_key(keys: &mut Option<Keys>) -> Key {
    match keys {
        Some(keys) => keys.next().await,
        None => std::future::pending().await,
    }
}

/// A line that names keys and what they do, as close together as `columns` make it. Where that is not enough the first ones
/// give way, never the last two, which lead out of everything.
pub(crate) fn key_line(keys: &[(&str, &str)], columns: usize) -> Line {
    let line = |keys: &[(&str, &str)], gap: &str| {
        let line = Line::of(Paint::Plain, " ");
        keys.iter().enumerate().fold(line, |line, (index, (key, meaning))| {
            line.with(Paint::Plain, if index == 0 { "" } else { gap })
                .with(Paint::Bold, format!("[{key}]"))
                .with(Paint::Dim, format!(" {meaning}"))
        })
    };
    let wide = line(keys, "  ");
    if wide.width() <= columns {
        return wide;
    }
    let mut keys = keys.to_vec();
    loop {
        let close = line(&keys, " ");
        if close.width() <= columns || keys.len() <= 2 {
            return close;
        }
        keys.remove(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::Style;

    #[test]
    fn keys_stand_closer_and_then_give_way_but_never_the_way_out() {
        let keys = [("enter", "log"), ("s", "suspend"), ("x", "cancel"), ("q", "leave"), ("?", "help")];
        let drawn = |columns| key_line(&keys, columns).render(Style::default(), columns);
        assert_eq!(drawn(80), " [enter] log  [s] suspend  [x] cancel  [q] leave  [?] help");
        assert_eq!(drawn(56), " [enter] log [s] suspend [x] cancel [q] leave [?] help");
        assert_eq!(drawn(50), " [s] suspend [x] cancel [q] leave [?] help");
        assert_eq!(drawn(30), " [x] cancel [q] leave [?] help");
        assert_eq!(drawn(10), " [q] leav…");
    }
}
