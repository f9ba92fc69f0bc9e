//! Parts of texts that may be absent.

use std::slice::SliceIndex;

/// Returns the part of `text` at `range`; empty if the range is not in the text.
pub(crate) fn part(text: &str, range: impl SliceIndex<str, Output = str>) -> &str {
    text.get(range).unwrap_or("")
}

/// Returns the first line of `text` without its end; empty for an empty text.
pub(crate) fn line(text: &str) -> &str {
    text.lines().next().unwrap_or("")
}
