//! The first call of a program that embeds Backstay.

use std::sync::atomic::{AtomicBool, Ordering};

/// Whether this process is a program that becomes a keeper when it is started as one. Started otherwise, each keeper would be
/// that whole program once more, with runs and keepers of its own.
static IS_KEEPER_PROGRAM: AtomicBool = AtomicBool::new(false);

/// Lets this program be its own keeper: the small process that holds one agent, and outlives this one. To be called first in
/// `main`, before there is another thread or an async runtime.
///
/// Started as `PROGRAM keeper --folder FOLDER` (which the library does), this never returns: the process is a keeper. Else it
/// sees to it that what is started begins with every signal at its default, whatever this process has inherited, and returns.
pub fn init() {
    backstay_exec::become_keeper_if_asked();
    if let Err(error) = backstay_exec::start_clean() {
        tracing::warn!(%error, "the signals that this process inherited stay as they are");
    }
    IS_KEEPER_PROGRAM.store(true, Ordering::Release);
}

/// Whether [`init`] was called.
pub(crate) fn is_keeper_program() -> bool {
    IS_KEEPER_PROGRAM.load(Ordering::Acquire)
}
