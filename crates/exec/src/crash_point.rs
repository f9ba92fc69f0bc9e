//! Named points at which a test makes the keeper die. Without the feature `crash-points` they do nothing.

/// Every point of a keeper, in the order in which it passes them.
pub const POINTS: &[&str] = &[
    "keeper.after_start",
    "keeper.after_lock",
    "keeper.after_spec",
    "keeper.after_reserve",
    "keeper.after_listen",
    "keeper.after_machinery",
    "keeper.after_file",
    "keeper.before_spawn",
    "keeper.after_spawn",
    "keeper.after_running",
    "keeper.after_main_exit",
    "keeper.after_tree_gone",
    "keeper.after_spools",
    "keeper.before_record",
    "keeper.after_record",
    "keeper.after_rename",
    "keeper.after_folder",
    "keeper.after_exited",
];

/// The variable that names the point, as `NAME` or `NAME:nth`.
pub const VARIABLE: &str = "BACKSTAY_CRASH_POINT";

/// The point at which this process is to die, if there is one.
pub(crate) struct CrashPoints {
    #[cfg(feature = "crash-points")]
    chosen: Option<Chosen>,
}

#[cfg(feature = "crash-points")]
struct Chosen {
    name: String,
    hits_left: std::cell::Cell<u32>,
}

impl CrashPoints {
    /// What the environment of this process says.
    #[cfg(feature = "crash-points")]
    pub(crate) fn from_environment() -> CrashPoints {
        let text = std::env::var_os(VARIABLE).and_then(|text| text.into_string().ok());
        let chosen = text.map(|text| {
            let (name, nth) = text.split_once(':').unwrap_or((&text, "1"));
            Chosen { name: name.to_owned(), hits_left: std::cell::Cell::new(nth.parse().unwrap_or(1)) }
        });
        CrashPoints { chosen }
    }

    /// None.
    #[cfg(not(feature = "crash-points"))]
    pub(crate) fn from_environment() -> CrashPoints {
        CrashPoints {}
    }

    /// Passes the point `name`, or dies there.
    #[cfg(feature = "crash-points")]
    pub(crate) fn pass(&self, name: &'static str) {
        debug_assert!(POINTS.contains(&name), "{name} is not listed");
        let Some(chosen) = self.chosen.as_ref().filter(|chosen| chosen.name == name) else { return };
        chosen.hits_left.set(chosen.hits_left.get().saturating_sub(1));
        if chosen.hits_left.get() == 0 {
            std::process::abort();
        }
    }

    /// Passes the point `name`.
    #[cfg(not(feature = "crash-points"))]
    pub(crate) fn pass(&self, name: &'static str) {
        debug_assert!(POINTS.contains(&name), "{name} is not listed");
    }
}
