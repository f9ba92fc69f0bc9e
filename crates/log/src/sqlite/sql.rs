//! Numbers as SQLite stores them.

use backstay_model::Position;
use rusqlite::Row;

use crate::admission::Standing;

/// Returns a number as SQLite stores it. A greater number than SQLite can store (such as "from the head") becomes the greatest one.
pub(super) const fn stored(number: u64) -> i64 {
    if number > i64::MAX as u64 { i64::MAX } else { number.cast_signed() }
}

/// Reads a number.
pub(super) fn unsigned(row: &Row<'_>, index: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(index).map(i64::cast_unsigned)
}

/// Reads a position.
pub(super) fn position(row: &Row<'_>, index: usize) -> rusqlite::Result<Position> {
    unsigned(row, index).map(Position)
}

/// Returns the meaning of the column `closed`.
pub(super) const fn standing(closed: i64) -> Standing {
    match closed {
        0 => Standing::Open,
        2 => Standing::Deleted,
        _ => Standing::Closed,
    }
}

/// Returns the value for the column `closed`.
pub(super) const fn standing_number(standing: Standing) -> i64 {
    match standing {
        Standing::Open => 0,
        Standing::Closed => 1,
        Standing::Deleted => 2,
    }
}
