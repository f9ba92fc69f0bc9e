//! The keeper process.

use std::process::ExitCode;

use camino::Utf8Path;

/// The whole life of a keeper.
#[must_use]
pub fn keeper_main(_folder: &Utf8Path) -> ExitCode {
    ExitCode::FAILURE
}
