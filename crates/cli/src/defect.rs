//! A panic is told after the screen was given back: what is said while a log stands on the whole screen goes away with it.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::{Arc, Mutex, PoisonError};

/// What a process says that a panic ended, by the custom of programs in Rust.
pub(crate) const CODE: u8 = 101;

/// Runs `work`. A panic of it on this thread unwinds, and then says what it would have said at once.
///
/// # Errors
/// What the panic said.
pub(crate) fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    let said = Arc::new(Mutex::new(String::new()));
    let (theirs, here) = (Arc::clone(&said), std::thread::current().id());
    set_hook(Box::new(move |info| {
        let trace = Backtrace::capture();
        let trace = match trace.status() {
            BacktraceStatus::Captured => format!("\n{trace}"),
            _ => String::new(),
        };
        if std::thread::current().id() == here {
            *theirs.lock().unwrap_or_else(PoisonError::into_inner) = format!("{info}{trace}");
        } else {
            crate::output::note(&format!("{info}{trace}"));
        }
    }));
    let done = catch_unwind(AssertUnwindSafe(work));
    drop(take_hook());
    done.map_err(|_payload| said.lock().unwrap_or_else(PoisonError::into_inner).clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_told_after_what_it_left_was_dropped() {
        struct Screen(Arc<Mutex<Vec<&'static str>>>);
        impl Drop for Screen {
            fn drop(&mut self) {
                self.0.lock().unwrap().push("given back");
            }
        }
        let order = Arc::new(Mutex::new(Vec::new()));
        let screen = Screen(Arc::clone(&order));
        let said = guarded(move || {
            let _screen = screen;
            panic!("a defect");
        });
        order.lock().unwrap().push("told");
        let said: Result<(), String> = said;
        assert!(said.is_err_and(|said| said.contains("a defect") && said.contains("defect.rs")));
        assert_eq!(*order.lock().unwrap(), ["given back", "told"]);
        assert_eq!(guarded(|| 7), Ok(7));
    }
}
