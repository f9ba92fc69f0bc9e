//! Numbers as SQLite stores them.

use backstay_model::Position;
use rusqlite::Row;

use crate::admission::Standing;

/// A number as SQLite stores it. Numbers here count events, so they never reach the sign; what a caller gives beyond it
/// (such as "from the head") means the greatest there is.
pub(super) const fn stored(number: u64) -> i64 {
    if number > i64::MAX as u64 { i64::MAX } else { number.cast_signed() }
}

/// A number as it was stored.
pub(super) fn unsigned(row: &Row<'_>, index: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(index).map(i64::cast_unsigned)
}

/// A position as it was stored.
pub(super) fn position(row: &Row<'_>, index: usize) -> rusqlite::Result<Position> {
    unsigned(row, index).map(Position)
}

/// What the column `closed` says.
pub(super) const fn standing(closed: i64) -> Standing {
    match closed {
        0 => Standing::Open,
        2 => Standing::Deleted,
        _ => Standing::Closed,
    }
}

/// What the column `closed` has to say.
pub(super) const fn standing_number(standing: Standing) -> i64 {
    match standing {
        Standing::Open => 0,
        Standing::Closed => 1,
        Standing::Deleted => 2,
    }
}
