//! A checksum in each event's row: it detects a changed byte that SQLite and the payload's form do not.
//!
//! It is in `flags`, above the bits of [`schema`](super::schema), so that it costs four bytes and no column. Only a check of the store
//! reads it. It does not cover numbers and positions, which the index and the neighbouring rows confirm.

use crc32fast::Hasher;

/// The row has a checksum: CRC-32, in the 32 bits from [`SHIFT`] on.
const FLAG_CHECKSUM: i64 = 8;
const SHIFT: u32 = 8;
/// The other bits.
const OTHERS: i64 = FLAG_CHECKSUM - 1;
/// The length of a missing text, and the greatest length that is distinguished.
const NO_TEXT: u16 = u16::MAX;
const LENGTH_MAX: u16 = u16::MAX - 1;

/// The content of an event's row. `flags` may have a checksum.
#[derive(Clone, Copy, Debug)]
pub(super) struct ChecksummedRow<'r> {
    pub(super) at: i64,
    pub(super) flags: i64,
    pub(super) kind: &'r str,
    pub(super) scope: &'r str,
    pub(super) trace: Option<&'r str>,
    pub(super) payload: &'r str,
}

impl ChecksummedRow<'_> {
    /// Returns the flags with the checksum of the row.
    pub(super) fn flags(&self) -> i64 {
        (self.flags & OTHERS) | FLAG_CHECKSUM | (i64::from(self.sum()) << SHIFT)
    }

    /// Returns whether the row has its checksum. A row without one counts as unchanged.
    pub(super) fn matches_checksum(&self) -> bool {
        self.flags & FLAG_CHECKSUM == 0 || self.flags == self.flags()
    }

    /// The checksum of the time, the lengths of the short texts, the other flags, and the texts.
    fn sum(&self) -> u32 {
        let length =
            |text: &str| u16::try_from(text.len()).unwrap_or(LENGTH_MAX).min(LENGTH_MAX).to_le_bytes();
        let mut fixed = [0_u8; 16];
        fixed[..8].copy_from_slice(&self.at.to_le_bytes());
        fixed[8..10].copy_from_slice(&length(self.kind));
        fixed[10..12].copy_from_slice(&length(self.scope));
        fixed[12..14].copy_from_slice(&self.trace.map_or(NO_TEXT.to_le_bytes(), length));
        fixed[14] = (self.flags & OTHERS).to_le_bytes()[0];
        let mut hasher = Hasher::new();
        hasher.update(&fixed);
        let texts = [self.kind, self.scope, self.trace.unwrap_or_default(), self.payload];
        texts.iter().filter(|text| !text.is_empty()).for_each(|text| hasher.update(text.as_bytes()));
        hasher.finalize()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROW: ChecksummedRow<'_> = ChecksummedRow {
        at: 1_700_000_000_000_000,
        flags: 1,
        kind: "noted",
        scope: "loop~3/build",
        trace: None,
        payload: r#"{"v":1,"text":"hello"}"#,
    };

    #[test]
    fn the_value_is_frozen() {
        // CRC-32 as in zlib, over 16 bytes (see docs/formats.md) and the texts.
        assert_eq!(ROW.flags(), 1 | 8 | (0x86db_0a3e << 8));
    }

    #[test]
    fn every_change_of_a_row_is_told_and_rows_of_earlier_versions_are_taken() {
        assert!(ROW.matches_checksum(), "it has no value yet");
        let written = ChecksummedRow { flags: ROW.flags(), ..ROW };
        assert!(written.matches_checksum());
        for (number, changed) in [
            ChecksummedRow { at: 1_700_000_000_000_001, ..written },
            ChecksummedRow { flags: written.flags ^ 1, ..written },
            ChecksummedRow { flags: written.flags ^ (1 << 20), ..written },
            ChecksummedRow { flags: written.flags | (1 << 50), ..written },
            ChecksummedRow { kind: "moted", ..written },
            ChecksummedRow { kind: "notedb", scope: "loop~3/uild", ..written },
            ChecksummedRow { scope: "loop~4/build", ..written },
            ChecksummedRow { trace: Some(""), ..written },
            ChecksummedRow { payload: r#"{"v":1,"text":"hullo"}"#, ..written },
        ]
        .into_iter()
        .enumerate()
        {
            assert!(!changed.matches_checksum(), "{number}: {changed:?}");
        }
    }
}
