//! Prefixed ULIDs. They are drawn by the runtime; this crate only holds and spells them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use ulid::Ulid;

use crate::{Digest, Timestamp};

/// The text is not an id of the kind that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an id of the form {prefix}… with 26 characters after the prefix")]
pub struct InvalidId {
    /// What was read.
    pub text: String,
    /// The prefix that ids of this kind begin with.
    pub prefix: &'static str,
}

macro_rules! prefixed_ulid {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Ulid);

        impl $name {
            /// What the text form begins with.
            pub const PREFIX: &'static str = $prefix;

            /// The id drawn at `at` with `chance` as its random part.
            #[must_use]
            pub fn new(at: Timestamp, chance: u128) -> Self {
                Self(Ulid::from_parts(at.as_millis_since_epoch(), chance))
            }

            /// The id that belongs to `digest`: the same digest gives the same id.
            #[must_use]
            pub fn derived(digest: Digest) -> Self {
                let mut bytes = [0_u8; 16];
                bytes.copy_from_slice(&digest.as_bytes()[..16]);
                Self(Ulid::from(u128::from_be_bytes(bytes)))
            }

            /// When it was drawn, to the millisecond; meaningless for a derived one.
            #[must_use]
            pub fn drawn_at(&self) -> Timestamp {
                Timestamp::from_micros(i64::try_from(self.0.timestamp_ms()).unwrap_or(0).saturating_mul(1_000))
            }

            /// The 26 characters after the prefix.
            #[must_use]
            pub fn ulid(&self) -> String {
                self.0.to_string()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}{}", $prefix, self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{self}")
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                text.strip_prefix($prefix)
                    .and_then(|rest| Ulid::from_string(rest).ok())
                    .map(Self)
                    .ok_or_else(|| InvalidId { text: text.to_owned(), prefix: $prefix })
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;

            fn try_from(text: String) -> Result<Self, InvalidId> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.to_string()
            }
        }
    };
}

prefixed_ulid!(
    /// Identifies one run. Text form: `run_` and a 26-character ULID.
    RunId,
    "run_"
);
prefixed_ulid!(
    /// Identifies one process that owns topics. Text form: `own_` and a 26-character ULID.
    OwnerId,
    "own_"
);
prefixed_ulid!(
    /// Identifies one question to a person. Text form: `qst_` and a 26-character ULID.
    QuestionId,
    "qst_"
);
prefixed_ulid!(
    /// Identifies one log, so that a cursor of another log can be told. Text form: `log_` and a 26-character ULID.
    LogId,
    "log_"
);
prefixed_ulid!(
    /// Identifies one session: a conversation with a model. Text form: `ses_` and a 26-character ULID.
    SessionId,
    "ses_"
);
prefixed_ulid!(
    /// Identifies one worker: a durable delegate. Text form: `wrk_` and a 26-character ULID.
    WorkerId,
    "wrk_"
);
