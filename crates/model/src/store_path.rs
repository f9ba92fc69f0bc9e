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
        let call = match effect.call {
            EffectCall::Main => String::new(),
            call => format!(".{call}"),
        };
        // A scope spells what is not a letter or a digit, so with another separator it is one part of a path.
        let scope = effect.scope.to_string().replace('/', ",");
        StorePath(format!("runs/{}/{scope}{call}/{attempt}", effect.root))
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
    use crate::{Frame, Root, Scope};

    #[test]
    fn the_folder_of_an_attempt_is_a_path_in_a_store_whatever_its_items_are_called() {
        let run = Root::Run("run_01JDX7Q2ZK8VQ5T3W9M4N6P7R8".parse().unwrap());
        let folder = |key: &str, call| {
            let step = |id: &str| Frame::Step(id.parse().unwrap());
            let frames = vec![step("fan"), Frame::Item(key.to_owned()), step("work")];
            let scope = Scope::from_frames(frames).unwrap();
            StorePath::of_attempt(&EffectId { root: run, scope, call }, Attempt(2))
        };
        for (key, call, path) in [
            ("x", EffectCall::Main, "fan=x,work/2"),
            ("x", EffectCall::Probe, "fan=x,work.probe/2"),
            ("../../../x", EffectCall::Main, "fan=_2e_2e_2f_2e_2e_2f_2e_2e_2fx,work/2"),
        ] {
            let folder = folder(key, call);
            assert_eq!(folder.as_str(), format!("runs/{run}/{path}"));
            assert_eq!(folder.as_str().parse(), Ok(folder));
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
