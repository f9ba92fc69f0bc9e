//! Damage: what keeps work or a run from going on until a person mends it. Trying again shows the same.

use std::error::Error;
use std::io;

use backstay_exec::RecoverError;
use backstay_files::Refused;
use backstay_log::{BlobError, ReadError};

use crate::error::{DriveError, RunError};

/// Whether `error`, or what caused it, says that something of the store is damaged, or is not what a store has there, such as
/// a link in the place of a file.
pub(super) fn is_damage(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if says_damage(error) {
            return true;
        }
        next = error.source();
    }
    false
}

fn says_damage(error: &(dyn Error + 'static)) -> bool {
    if let Some(error) = error.downcast_ref::<io::Error>() {
        return Refused::of(error).is_some();
    }
    if let Some(error) = error.downcast_ref::<RecoverError>() {
        return match error {
            RecoverError::Damaged { .. } | RecoverError::Version { .. } | RecoverError::OtherWork { .. } => {
                true
            }
            // These pass once another process does something, or have a cause that says it.
            RecoverError::Io { .. }
            | RecoverError::Fenced { .. }
            | RecoverError::Unreachable { .. }
            | RecoverError::Silent { .. }
            | RecoverError::OtherNamespace { .. }
            | RecoverError::Survivors { .. } => false,
        };
    }
    match error.downcast_ref::<RunError>() {
        Some(error) => matches!(
            error,
            RunError::Decode(_)
                | RunError::Definition { .. }
                | RunError::StoredPreset { .. }
                | RunError::Read(ReadError::Damaged(_) | ReadError::Hole { .. })
                | RunError::Blob(BlobError::Missing { .. } | BlobError::Damaged { .. })
        ),
        None => false,
    }
}

impl DriveError {
    /// Whether the run can be worked on only after a person mended what the error names.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        match self {
            DriveError::Damaged { .. } => true,
            // It hides that it is one, and shows only what caused it.
            DriveError::Run(error) => is_damage(error),
            error => is_damage(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use backstay_model::RunId;

    use super::*;

    fn io(source: io::Error) -> RecoverError {
        RecoverError::Io { path: "keeper.lock".into(), source }
    }

    #[test]
    fn what_a_person_has_to_mend_is_damage_and_what_passes_by_itself_is_none() {
        let link = || io::Error::from(Refused::Link { path: PathBuf::from("keeper.lock") });
        let json = serde_json::from_str::<u8>("x").unwrap_err();
        let cases = [
            (io(link()), true),
            (RecoverError::Damaged { path: "keeper.json".into(), source: json }, true),
            (RecoverError::Version { path: "keeper.json".into(), found: 2, known: 1 }, true),
            (io(io::ErrorKind::PermissionDenied.into()), false),
            (RecoverError::Silent { folder: "1".into() }, false),
        ];
        for (error, expected) in cases {
            assert_eq!(is_damage(&error), expected, "{error}");
        }
        let run: RunId = "run_01JDX7Q2ZK8VQ5T3W9M4N6P7R8".parse().unwrap();
        let blob = BlobError::Io { action: "read", location: "blobs/1".into(), source: link().into() };
        assert!(DriveError::Run(RunError::Blob(blob)).is_damage());
        assert!(!DriveError::Run(RunError::Unknown(run)).is_damage());
        assert!(!DriveError::DrivenHere { run }.is_damage());
    }
}
