//! Texts that events speak of.

use serde::{Deserialize, Serialize};

use crate::Digest;
use crate::limits::INLINE_TEXT_BYTES_MAX;

/// A text, in the event itself if it is short, else by the digest of its blob.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Text {
    /// The text itself.
    Inline(String),
    /// Where the text is.
    Blob {
        /// The digest of its UTF-8 bytes.
        digest: Digest,
        /// Their number.
        size_bytes: u64,
    },
}

impl Text {
    /// How `text` is stored: inline, or as a blob that the caller has to keep before it says so.
    #[must_use]
    pub fn of(text: &str) -> Text {
        if text.len() <= INLINE_TEXT_BYTES_MAX {
            Text::Inline(text.to_owned())
        } else {
            Text::Blob { digest: Digest::of(text.as_bytes()), size_bytes: text.len() as u64 }
        }
    }

    /// The digest of the blob, if it is one.
    #[must_use]
    pub fn blob(&self) -> Option<Digest> {
        match self {
            Text::Inline(_) => None,
            Text::Blob { digest, .. } => Some(*digest),
        }
    }
}
