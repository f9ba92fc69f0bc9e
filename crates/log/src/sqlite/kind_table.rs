//! A table of kinds, so that reading an event does not copy the name of its kind.

use std::cell::Cell;
use std::collections::HashSet;
use std::str::Utf8Error;
use std::sync::{Mutex, PoisonError};

use backstay_model::Kind;

/// The greatest number of kinds in the table. Other kinds are copied each time they are read.
const KINDS_MAX: usize = 1_024;
/// A kind with a longer name is copied.
const BYTES_MAX: usize = 64;

static KEPT: Mutex<Option<HashSet<&'static str>>> = Mutex::new(None);

thread_local! {
    /// The kind that this thread read last: most events have the kind of the one before.
    static LAST: Cell<&'static str> = const { Cell::new("") };
}

/// Returns the kind with this name, which must be UTF-8.
pub(super) fn kind(name: &[u8]) -> Result<Kind, Utf8Error> {
    let last = LAST.get();
    if last.as_bytes() == name {
        return Ok(Kind::new(last));
    }
    let name = std::str::from_utf8(name)?;
    Ok(match keep(name) {
        Some(kept) => {
            LAST.set(kept);
            Kind::new(kept)
        }
        None => Kind::from_name(name.to_owned()),
    })
}

fn keep(name: &str) -> Option<&'static str> {
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    let kept = kept.get_or_insert_with(HashSet::new);
    if let Some(known) = kept.get(name) {
        return Some(known);
    }
    if kept.len() >= KINDS_MAX || name.len() > BYTES_MAX {
        return None;
    }
    let name: &'static str = Box::leak(Box::from(name));
    kept.insert(name);
    Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_the_one_that_was_named_however_many_there_are() {
        for round in 0..2 {
            for number in 0..2 * KINDS_MAX {
                let name = format!("kind_{number}");
                assert_eq!(kind(name.as_bytes()).unwrap().as_str(), name, "round {round}");
            }
            assert_eq!(kind(b"").unwrap().as_str(), "");
            assert!(kind(b"\xff").is_err());
        }
    }
}
