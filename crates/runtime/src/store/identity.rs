//! Which store a folder has, and how that stands to what the registry knows.

use std::io;
use std::os::unix::fs::MetadataExt;

use backstay_log::maintenance::{StoreIdentity, identify};
use backstay_log::{InspectError, OpenError};
use backstay_model::{LogId, Position};
use camino::Utf8Path;

use super::{DATABASE, private};
use crate::care::LogIdentity;
use crate::registry::{OldPlace, Place, RegisteredStore, Registry, RegistryError, Standing, standing};

/// Whether the store in `folder` is the one that `entry` tells of, and has not gone back since.
pub(super) fn is_still(folder: &Utf8Path, entry: &RegisteredStore) -> Result<bool, InspectError> {
    Ok(match identify(folder.as_std_path())? {
        StoreIdentity::Log { log, newest } => log == entry.log && newest >= entry.head,
        StoreIdentity::Blank => false,
    })
}

/// What the copy of a database is; an error names the original in `folder`.
pub(super) fn peek_copy(copy: &Utf8Path, folder: &Utf8Path) -> Result<StoreIdentity, InspectError> {
    identify(copy.as_std_path()).map_err(|error| match error {
        InspectError::Open(OpenError::NotAStore { what, .. }) => {
            InspectError::Open(OpenError::NotAStore { location: folder.join(DATABASE).into(), what })
        }
        error => error,
    })
}

/// Whether a store that the registry knows is not where it was.
pub(super) fn misses_one(registry: &Registry) -> Result<bool, RegistryError> {
    let is_missing = |entry: RegisteredStore| {
        entry.path.join(DATABASE).symlink_metadata().is_err_and(|error| is_gone(&error))
    };
    Ok(registry.all()?.into_iter().any(is_missing))
}

/// How the store in `folder`, whose log goes up to `newest`, stands to what is known of that log.
pub(super) fn standing_of(
    folder: &Utf8Path,
    registry: &Registry,
    log: LogId,
    newest: Position,
) -> Result<Standing, RegistryError> {
    Ok(standing(folder, newest, &places_of(folder, registry, log)?))
}

/// The places that the registry knows of the log, and what is there, seen from the store in `folder`.
fn places_of(folder: &Utf8Path, registry: &Registry, log: LogId) -> Result<Vec<Place>, RegistryError> {
    let place = |registered| Place { old_place: old_place(&registered, folder), registered };
    Ok(registry.of_log(log)?.into_iter().map(place).collect())
}

/// Whether the store in `folder` keeps the id of its log when it becomes this user's: not if another folder goes on with it.
/// So each log has one place, and a store that was moved is told from a copy.
pub(super) fn identity_of(
    folder: &Utf8Path,
    registry: &Registry,
    log: LogId,
) -> Result<LogIdentity, RegistryError> {
    let is_shared = places_of(folder, registry, log)?.iter().any(Place::has_log_elsewhere);
    Ok(if is_shared { LogIdentity::Renewed } else { LogIdentity::Kept })
}

/// Forgets the places of the log of the store in `folder` that have it no more.
pub(super) fn forget_left(folder: &Utf8Path, registry: &Registry, log: LogId) -> Result<(), RegistryError> {
    for place in places_of(folder, registry, log)? {
        if place.is_left() {
            registry.remove(log, &place.registered.path)?;
        }
    }
    Ok(())
}

/// What is where the registry says that the log is, seen from the store in `folder`.
fn old_place(entry: &RegisteredStore, folder: &Utf8Path) -> OldPlace {
    if entry.path == folder {
        return OldPlace::SameFolder;
    }
    let number = |path: &Utf8Path| path.metadata().map(|found| (found.dev(), found.ino()));
    match (number(&entry.path), number(folder)) {
        (Ok(old), Ok(new)) if old == new => return OldPlace::SameFolder,
        (Err(error), _) if is_gone(&error) => return OldPlace::Empty,
        _ => {}
    }
    match entry.path.join(DATABASE).symlink_metadata() {
        Err(error) if is_gone(&error) => return OldPlace::Empty,
        Err(_) => return OldPlace::Unreadable,
        Ok(_) => {}
    }
    if private::check_store(&entry.path, false).is_err() {
        return OldPlace::Unreadable;
    }
    match identify(entry.path.as_std_path()) {
        Ok(StoreIdentity::Log { log, .. }) if log == entry.log => OldPlace::SameLog,
        Ok(StoreIdentity::Log { .. }) => OldPlace::OtherLog,
        Ok(StoreIdentity::Blank) => OldPlace::Empty,
        Err(_) => OldPlace::Unreadable,
    }
}

fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}
