//! How a store stands to what the registry knows of it. Pure: who asks has looked.

use backstay_model::Position;
use camino::{Utf8Path, Utf8PathBuf};
use serde::Serialize;

use super::RegisteredStore;

/// What is where the registry says that the log is, if that is another folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OldPlace {
    /// No store.
    Empty,
    /// The store of another log.
    OtherLog,
    /// A store of the same log: two folders have it.
    SameLog,
    /// The same folder by another path.
    SameFolder,
    /// It cannot be told.
    Unreadable,
}

impl Place {
    /// Whether another folder has the log, or may have it.
    pub(crate) const fn has_log_elsewhere(&self) -> bool {
        matches!(self.old_place, OldPlace::SameLog | OldPlace::Unreadable)
    }

    /// Whether the log is not there any more.
    pub(crate) const fn is_left(&self) -> bool {
        matches!(self.old_place, OldPlace::Empty | OldPlace::OtherLog)
    }
}

/// How a store stands to the registry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "case", rename_all = "snake_case")]
pub enum Standing {
    /// This user made or adopted it, here.
    Known,
    /// This user made or adopted it elsewhere, and it is not there any more.
    Moved {
        /// Where it was.
        from: Utf8PathBuf,
    },
    /// This user has the original elsewhere.
    Copy {
        /// Where that is.
        of: Utf8PathBuf,
    },
    /// It is older than what this user had.
    RolledBack {
        /// A position that the log had reached.
        head: Position,
        /// The newest that it has now.
        found: Position,
    },
    /// The registry does not know its log.
    Unknown,
}

/// A place that the registry knows of a log, and what is there now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// What the registry knows.
    pub(crate) registered: RegisteredStore,
    /// What was found there.
    pub(crate) old_place: OldPlace,
}

/// How the store in the folder `path`, whose newest position is `found`, stands to the `places` that are registered of its
/// log. As long as one of several places has the log, another one is a copy: only where all are gone is it known which of them
/// was moved.
pub(crate) fn standing(path: &Utf8Path, found: Position, places: &[Place]) -> Standing {
    let goes_on = |registered: &RegisteredStore, own: Standing| {
        if found < registered.head { Standing::RolledBack { head: registered.head, found } } else { own }
    };
    let here =
        places.iter().find(|place| place.registered.path == path || place.old_place == OldPlace::SameFolder);
    if let Some(here) = here {
        return goes_on(&here.registered, Standing::Known);
    }
    if let Some(original) = places.iter().find(|place| place.has_log_elsewhere()) {
        return Standing::Copy { of: original.registered.path.clone() };
    }
    match places.iter().max_by_key(|place| place.registered.noted_at) {
        Some(Place { registered, .. }) => {
            goes_on(registered, Standing::Moved { from: registered.path.clone() })
        }
        None => Standing::Unknown,
    }
}

impl Standing {
    /// Whether the store is this user's, and goes on.
    #[must_use]
    pub const fn is_own(&self) -> bool {
        matches!(self, Standing::Known | Standing::Moved { .. })
    }

    /// What a store is that stands so, for people: `it …`.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Standing::Known => "is registered as yours".to_owned(),
            Standing::Moved { from } => format!("was moved here from {from}"),
            Standing::Copy { of } => format!("is a copy of {of}"),
            Standing::RolledBack { head, found } => {
                format!("is older than what you had: it ends at position {found}, and had reached {head}")
            }
            Standing::Unknown => "was not made by you on this machine".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use backstay_model::Timestamp;

    use super::*;

    fn place(path: &str, head: u64, noted_at: i64, old_place: OldPlace) -> Place {
        let log = "log_01JDX7Q2ZK8VQ5T3W9M4N6P7R8".parse().unwrap();
        let noted_at = Timestamp::from_micros(noted_at);
        Place { registered: RegisteredStore::new(log, path.into(), Position(head), noted_at), old_place }
    }

    #[test]
    fn a_store_is_known_moved_a_copy_rolled_back_or_unknown() {
        use OldPlace::{Empty, OtherLog, SameFolder, SameLog, Unreadable};
        let moved = |from: &str| Standing::Moved { from: from.into() };
        let copy = |of: &str| Standing::Copy { of: of.into() };
        let back = |found| Standing::RolledBack { head: Position(10), found: Position(found) };
        let old = |old_place| vec![place("/old", 10, 1, old_place)];
        for (path, found, places, expected) in [
            ("/old", 10, old(SameFolder), Standing::Known),
            ("/old", 11, old(SameFolder), Standing::Known),
            ("/old", 9, old(SameFolder), back(9)),
            ("/old", 0, old(Empty), back(0)),
            ("/old", 10, Vec::new(), Standing::Unknown),
            ("/new", 10, old(Empty), moved("/old")),
            ("/new", 12, old(OtherLog), moved("/old")),
            ("/new", 9, old(Empty), back(9)),
            ("/new", 9, old(OtherLog), back(9)),
            ("/new", 10, old(SameLog), copy("/old")),
            ("/new", 9, old(SameLog), copy("/old")),
            ("/new", 99, old(Unreadable), copy("/old")),
            // The same folder is mounted at two places.
            ("/new", 10, old(SameFolder), Standing::Known),
            ("/new", 9, old(SameFolder), back(9)),
            // A copy that was adopted: both are known, and a third one is a copy as long as one of them is there.
            ("/b", 5, vec![place("/a", 10, 1, SameLog), place("/b", 5, 2, SameFolder)], Standing::Known),
            ("/c", 9, vec![place("/a", 9, 1, SameLog), place("/b", 5, 2, Empty)], copy("/a")),
            ("/c", 9, vec![place("/a", 99, 1, Empty), place("/b", 5, 2, Empty)], moved("/b")),
        ] {
            let stands = standing(path.into(), Position(found), &places);
            assert_eq!(stands, expected, "{path} {found} {places:?}");
            assert_eq!(stands.is_own(), matches!(expected, Standing::Known | Standing::Moved { .. }));
        }
    }
}
