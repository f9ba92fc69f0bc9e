//! Stable error codes.

use std::fmt;

/// A stable error code such as `BKS-L003`, shown alike by the command line, logs and the API.
///
/// The letter names the part that speaks: `W` workflow files, `L` the log, `R` runs, `X` processes, `A` agents and their
/// presets, `C` the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Code(pub &'static str);

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// An error that a person can look up by its code and mend by its hint.
pub trait Coded: std::error::Error {
    /// The stable code of this error.
    fn code(&self) -> Code;

    /// What the reader can do about it, as one sentence; `None` where nothing general can be said.
    fn hint(&self) -> Option<String> {
        None
    }
}
