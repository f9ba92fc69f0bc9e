//! What a process inherits beside its environment: signals that are blocked or ignored, limits, the umask.
//!
//! A signal that its parent ignored stays ignored in a process and in all that it starts: without SIGCHLD nobody can wait for
//! a child, and a script cannot set a trap for what was ignored when it began. A signal with a handler is at its default
//! again in what is started. So each signal that came ignored gets a handler that does nothing.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use nix::sys::signal::SigSet;
use rustix::fs::Mode;
use signal_hook::consts::{FORBIDDEN, SIGPIPE, SIGTTIN, SIGTTOU, SIGXFSZ};
use signal_hook::flag;

use crate::ignore::ignore_error;

/// The umask that a process was given.
pub type Umask = u32;

/// The bits of a umask that take from a user what is his own.
const OWN_BITS: Umask = 0o700;

/// Lets this process begin as if nobody had blocked or ignored a signal, and lets a write beyond `ulimit -f` fail instead of
/// ending it. To be called before there is a second thread.
///
/// # Errors
/// What the system says, if the signals cannot be set.
pub fn start_clean() -> io::Result<()> {
    // In front of a terminal a handler for these would let the write that they are about be tried for ever.
    clean_but(&[SIGTTIN, SIGTTOU])
}

/// The same for a process without a terminal.
pub(crate) fn start_clean_alone() -> io::Result<()> {
    clean_but(&[])
}

fn clean_but(left: &[i32]) -> io::Result<()> {
    SigSet::empty().thread_set_mask()?;
    flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false)))?;
    // That of a closed pipe is ignored by every program in Rust, and is at its default in what one starts.
    let is_ours = |signal: &i32| !FORBIDDEN.contains(signal) && *signal != SIGPIPE && !left.contains(signal);
    for signal in ignored()?.into_iter().filter(is_ours) {
        let heard = flag::register(signal, Arc::new(AtomicBool::new(false)));
        ignore_error(heard, "a signal of the system's own has no handler, and is nobody's to send");
    }
    Ok(())
}

/// The signals that are ignored.
#[cfg(target_os = "linux")]
fn ignored() -> io::Result<Vec<i32>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    let mask =
        mask.ok_or_else(|| io::Error::other("/proc/self/status does not tell which signals are ignored"))?;
    Ok((1..=64).filter(|signal| mask & (1 << (signal - 1)) != 0).collect())
}

/// Other systems do not tell: these are the ones that shells and supervisors ignore.
#[cfg(not(target_os = "linux"))]
#[expect(clippy::unnecessary_wraps, reason = "it can fail on Linux")]
fn ignored() -> io::Result<Vec<i32>> {
    use signal_hook::consts::{SIGALRM, SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM};
    Ok(vec![SIGHUP, SIGINT, SIGQUIT, SIGALRM, SIGTERM, SIGCHLD])
}

/// Takes from this process's umask what would shut it out of its own files, and gives the umask as it was.
#[must_use]
pub fn open_umask() -> Umask {
    let inherited = rustix::process::umask(Mode::empty()).as_raw_mode();
    set_umask(inherited & !OWN_BITS);
    inherited
}

/// Sets the umask, and gives the one before.
pub(crate) fn set_umask(umask: Umask) -> Umask {
    rustix::process::umask(Mode::from_raw_mode(umask)).as_raw_mode()
}
