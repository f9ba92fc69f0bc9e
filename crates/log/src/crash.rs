//! Named points at which a test may abort the process.
//!
//! Without the feature `crash-points` every call here compiles to nothing.

/// The environment variable that names the point: `NAME`, or `NAME:3` for the third time it is reached.
pub const CRASH_POINT_VARIABLE: &str = "BACKSTAY_CRASH_POINT";

/// Aborts the process if this is the point, and the time, that the environment names.
#[cfg(feature = "crash-points")]
pub fn crash_point(name: &str) {
    armed::reached(name);
}

/// Does nothing: the feature `crash-points` is off.
#[cfg(not(feature = "crash-points"))]
#[inline(always)]
pub const fn crash_point(_name: &str) {}

#[cfg(feature = "crash-points")]
mod armed {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::CRASH_POINT_VARIABLE;

    struct Armed {
        name: String,
        hit: u64,
        hits: AtomicU64,
    }

    #[expect(clippy::disallowed_methods, reason = "a test build reads its crash point by itself, once")]
    fn armed() -> Option<&'static Armed> {
        static ARMED: OnceLock<Option<Armed>> = OnceLock::new();
        ARMED
            .get_or_init(|| {
                let text = std::env::var(CRASH_POINT_VARIABLE).ok()?;
                let (name, hit) = match text.rsplit_once(':') {
                    Some((name, hit)) => (name.to_owned(), hit.parse().ok()?),
                    None => (text, 1),
                };
                Some(Armed { name, hit, hits: AtomicU64::new(0) })
            })
            .as_ref()
    }

    pub(super) fn reached(name: &str) {
        if let Some(armed) = armed().filter(|armed| armed.name == name)
            && armed.hits.fetch_add(1, Ordering::SeqCst) + 1 == armed.hit
        {
            std::process::abort();
        }
    }
}
