//! Paths of files in a store.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Attempt, EffectCall, EffectId};

/// A path relative to the folder of a store, which leads below it: not absolute, without `..`, `.` and empty parts.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StorePath(String);

/// The path leads out of the store, or nowhere.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a path below the store")]
pub struct InvalidStorePath(pub String);

impl StorePath {
    /// The folder of an attempt, with all that its keeper leaves.
    #[must_use]
    pub fn of_attempt(effect: &EffectId, attempt: Attempt) -> StorePath {
        let probe = match effect.call {
            EffectCall::Probe => ".probe",
            EffectCall::Main => "",
        };
        // A scope spells what is not a letter or a digit, so it is one part of a path.
        StorePath(format!("runs/{}/{}{probe}/{attempt}", effect.run, effect.scope))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for StorePath {
    type Error = InvalidStorePath;

    fn try_from(text: String) -> Result<StorePath, InvalidStorePath> {
        let is_part = |part: &str| !matches!(part, "" | "." | "..") && !part.contains('\0');
        if text.split('/').all(is_part) { Ok(StorePath(text)) } else { Err(InvalidStorePath(text)) }
    }
}

impl FromStr for StorePath {
    type Err = InvalidStorePath;

    fn from_str(text: &str) -> Result<StorePath, InvalidStorePath> {
        text.to_owned().try_into()
    }
}

impl From<StorePath> for String {
    fn from(path: StorePath) -> String {
        path.0
    }
}

impl AsRef<str> for StorePath {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StorePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for StorePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Frame, Scope};

    #[test]
    fn the_folder_of_an_attempt_is_a_path_in_a_store_whatever_its_items_are_called() {
        for (key, folder) in [
            ("x", "runs/run_01JDX7Q2ZK8VQ5T3W9M4N6P7R8/work@fan=x/2"),
            ("../../../x", "runs/run_01JDX7Q2ZK8VQ5T3W9M4N6P7R8/work@fan=_2e_2e_2f_2e_2e_2f_2e_2e_2fx/2"),
        ] {
            let frame = Frame::Item { step: "fan".parse().unwrap(), key: key.to_owned() };
            let scope = Scope::Step { step: "work".parse().unwrap(), frames: vec![frame] };
            let run = "run_01JDX7Q2ZK8VQ5T3W9M4N6P7R8".parse().unwrap();
            let effect = EffectId { run, scope, call: EffectCall::Main };
            let path = StorePath::of_attempt(&effect, Attempt(2));
            assert_eq!(path.as_str(), folder);
            assert_eq!(path.as_str().parse(), Ok(path));
        }
    }

    #[test]
    fn a_path_in_a_store_leads_below_it() {
        for text in ["runs/r/s/1", "log.db", "any text", "a/..b/c", "artifacts/-x"] {
            assert_eq!(text.parse::<StorePath>().unwrap().as_str(), text);
        }
        for text in ["", "/", "/etc/passwd", "..", "../x", "a/../../x", "a//b", "./a", "a/", "a\0b"] {
            assert!(text.parse::<StorePath>().is_err(), "{text}");
            assert!(serde_json::from_value::<StorePath>(text.into()).is_err(), "{text}");
        }
    }
}
