//! When the bytes of both streams came.
//!
//! The file `times` holds records of 16 bytes, both numbers little-endian: the wall time in microseconds since 1970 at which
//! some bytes came, and how many bytes of both streams there were with them, counted along the file `order`. What comes
//! within a second of a record makes that record grow. A record cut short at the end counts as not written. Bytes that no
//! record counts came at a time that nobody knows.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use backstay_files::{Dir, if_there};
use backstay_model::Timestamp;
use camino::{Utf8Path, Utf8PathBuf};

use super::{failed, open};
use crate::error::SpoolError;
use crate::files;
use crate::ignore::ignore_error;

/// Bytes of one record.
const RECORD_BYTES: usize = 16;
/// What comes within this time of a record is counted by it.
const RECORD_MICROS: i64 = 1_000_000;
/// Records that are read at once.
const BLOCK_RECORDS: usize = 256;

/// Some bytes that came together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Record {
    /// When the first of them came.
    at: Timestamp,
    /// Bytes of both streams, with these.
    end_bytes: u64,
}

impl Record {
    fn encode(self) -> [u8; RECORD_BYTES] {
        let mut bytes = [0; RECORD_BYTES];
        bytes[..8].copy_from_slice(&self.at.as_micros().to_le_bytes());
        bytes[8..].copy_from_slice(&self.end_bytes.to_le_bytes());
        bytes
    }

    fn decode_all(bytes: &[u8]) -> impl Iterator<Item = Record> {
        let (records, _cut_short) = bytes.as_chunks::<RECORD_BYTES>();
        records.iter().map(|[a, b, c, d, e, f, g, h, rest @ ..]| Record {
            at: Timestamp::from_micros(i64::from_le_bytes([*a, *b, *c, *d, *e, *f, *g, *h])),
            end_bytes: u64::from_le_bytes(*rest),
        })
    }

    /// Whether what comes at `at` is still counted by this record. A clock that went back begins a new one.
    fn takes(self, at: Timestamp) -> bool {
        let after = at.as_micros().checked_sub(self.at.as_micros());
        after.is_some_and(|after| (0..RECORD_MICROS).contains(&after))
    }
}

/// The keeper's side.
pub(crate) struct TimesWriter {
    /// None since something could not be written: the times have ended.
    file: Option<File>,
    records: u64,
    last: Option<Record>,
}

impl TimesWriter {
    pub(crate) fn create(folder: &Dir) -> io::Result<TimesWriter> {
        let file = folder.create_new(files::TIMES)?;
        Ok(TimesWriter { file: Some(file), records: 0, last: None })
    }

    /// Notes that up to `end_bytes` of both streams have come at `at`. It never fails: where it cannot be noted, nothing more
    /// is.
    pub(crate) fn note(&mut self, end_bytes: u64, at: Timestamp) {
        let Some(file) = &self.file else { return };
        let (index, record) = match self.last {
            Some(last) if last.takes(at) => (self.records - 1, Record { end_bytes, ..last }),
            _ => (self.records, Record { at, end_bytes }),
        };
        match file.write_all_at(&record.encode(), index * RECORD_BYTES as u64) {
            Ok(()) => (self.records, self.last) = (index + 1, Some(record)),
            Err(_full_or_failing) => self.file = None,
        }
    }

    /// The last bytes that were noted have no place among the others: what they have shifted has no known time.
    pub(crate) fn end(&mut self) {
        if let Some(file) = self.file.take() {
            let kept = self.records.saturating_sub(1) * RECORD_BYTES as u64;
            ignore_error(file.set_len(kept), "what stays is true of the bytes that it was noted for");
        }
    }
}

/// When the bytes of an attempt came, as far as it is known.
#[derive(Debug)]
pub struct ArrivalTimes {
    folder: Utf8PathBuf,
    /// None until it was there.
    file: Option<File>,
    /// Records from the one after `first` on, as they were when they were read. All but the last are as they will always be.
    block: Vec<Record>,
    /// The number of the first record of the block.
    first: u64,
    /// Which of the block is the current one.
    current: usize,
    /// Where the bytes that the current record counts begin.
    begin_bytes: u64,
    /// A record was not of this file: nothing behind it is believed.
    is_damaged: bool,
}

impl ArrivalTimes {
    /// Those of the attempt in `folder`, which may not have begun.
    #[must_use]
    pub fn of(folder: &Utf8Path) -> ArrivalTimes {
        ArrivalTimes {
            folder: folder.to_owned(),
            file: None,
            block: Vec::new(),
            first: 0,
            current: 0,
            begin_bytes: 0,
            is_damaged: false,
        }
    }

    /// Parts the bytes between two places of both streams together by the time at which they came: how many they are,
    /// and when. The places that are asked for never go back.
    ///
    /// # Errors
    /// [`SpoolError::Io`] if the file is there and cannot be read.
    pub fn parts(
        &mut self,
        from_bytes: u64,
        end_bytes: u64,
    ) -> Result<Vec<(u64, Option<Timestamp>)>, SpoolError> {
        let (mut parts, mut at_bytes) = (Vec::new(), from_bytes);
        while at_bytes < end_bytes {
            let record = self.record_of(at_bytes)?;
            let until = record.map_or(end_bytes, |record| record.end_bytes.min(end_bytes));
            parts.push((until - at_bytes, record.map(|record| record.at)));
            at_bytes = until;
        }
        Ok(parts)
    }

    /// The record that counts the byte at this place, if there is one.
    fn record_of(&mut self, at_bytes: u64) -> Result<Option<Record>, SpoolError> {
        let mut is_just_read = false;
        while !self.is_damaged {
            match self.block.get(self.current).copied() {
                Some(record) if record.end_bytes <= self.begin_bytes => self.is_damaged = true,
                Some(record) if at_bytes < record.end_bytes => return Ok(Some(record)),
                Some(record) if self.current + 1 < self.block.len() => {
                    self.begin_bytes = record.end_bytes;
                    self.current += 1;
                    is_just_read = false;
                }
                Some(_) | None if is_just_read => break,
                // The last one may have grown, and others may have come.
                Some(_) | None => {
                    self.read_block()?;
                    is_just_read = true;
                }
            }
        }
        Ok(None)
    }

    /// Reads from the current record on.
    fn read_block(&mut self) -> Result<(), SpoolError> {
        let folder = open(&self.folder)?;
        let problem = failed(&folder, files::TIMES);
        if self.file.is_none() {
            self.file = match if_there(folder.open_file(files::TIMES)) {
                Ok(found) => found,
                Err(source) => return Err(problem(source)),
            };
        }
        self.first += self.current as u64;
        (self.current, self.block) = (0, Vec::new());
        if let Some(file) = &self.file {
            let mut bytes = vec![0; BLOCK_RECORDS * RECORD_BYTES];
            let count = read_at_most(file, &mut bytes, self.first * RECORD_BYTES as u64).map_err(problem)?;
            self.block.extend(Record::decode_all(&bytes[..count]));
        }
        Ok(())
    }
}

/// Fills `bytes` with what is at `at`, and says how many there were.
fn read_at_most(file: &File, bytes: &mut [u8], at: u64) -> io::Result<usize> {
    let mut count = 0;
    while count < bytes.len() {
        match file.read_at(&mut bytes[count..], at + count as u64) {
            Ok(0) => break,
            Ok(more) => count += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(count)
}

/// What is wrong with the records in `bytes` of an attempt that wrote `total_bytes`, for people.
pub(crate) fn times_problem(bytes: &[u8], total_bytes: u64) -> Option<String> {
    let mut before = 0;
    for (number, record) in Record::decode_all(bytes).enumerate() {
        if record.end_bytes <= before {
            return Some(format!("its record {number} counts no bytes"));
        }
        before = record.end_bytes;
    }
    (before > total_bytes).then(|| "it counts more bytes than were written".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: i64 = 1_795_250_000_000_000;

    fn at(after_ms: i64) -> Timestamp {
        Timestamp::from_micros(START + after_ms * 1_000)
    }

    fn folder() -> (tempfile::TempDir, Utf8PathBuf) {
        let keep = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::from_path_buf(keep.path().canonicalize().unwrap()).unwrap();
        (keep, path)
    }

    fn written(notes: &[(u64, i64)]) -> (tempfile::TempDir, Utf8PathBuf) {
        let (keep, path) = folder();
        let mut writer = TimesWriter::create(&open(&path).unwrap()).unwrap();
        notes.iter().for_each(|&(end_bytes, after_ms)| writer.note(end_bytes, at(after_ms)));
        (keep, path)
    }

    /// Where parts of `end_bytes` end, and when they came, in milliseconds since the start.
    fn parts(folder: &Utf8Path, end_bytes: u64) -> Vec<(u64, Option<i64>)> {
        let parts = ArrivalTimes::of(folder).parts(0, end_bytes).unwrap();
        let after = |at: Timestamp| (at.as_micros() - START) / 1_000;
        parts.into_iter().map(|(size, at)| (size, at.map(after))).collect()
    }

    fn write(folder: &Utf8Path, records: &[(i64, u64)]) {
        let bytes =
            records.iter().flat_map(|&(after_ms, end_bytes)| Record { at: at(after_ms), end_bytes }.encode());
        std::fs::write(folder.join("times"), bytes.collect::<Vec<_>>()).unwrap();
    }

    #[test]
    fn bytes_have_the_time_at_which_they_came_to_a_second() {
        let (_keep, folder) =
            written(&[(5, 0), (9, 400), (12, 999), (20, 1_000), (21, 60_000), (30, 60_500)]);
        let size = std::fs::metadata(folder.join("times")).unwrap().len();
        assert_eq!(size, 3 * RECORD_BYTES as u64, "at most one record a second");
        assert_eq!(parts(&folder, 30), [(12, Some(0)), (8, Some(1_000)), (10, Some(60_000))]);
        assert_eq!(parts(&folder, 33).last(), Some(&(3, None)), "what no record counts has no time");
        let middle = ArrivalTimes::of(&folder).parts(11, 21).unwrap();
        assert_eq!(middle, [(1, Some(at(0))), (8, Some(at(1_000))), (1, Some(at(60_000)))]);
    }

    #[test]
    fn a_clock_that_goes_back_is_believed() {
        let (_keep, folder) = written(&[(5, 0), (9, -3_600_000), (12, -3_599_500)]);
        assert_eq!(parts(&folder, 12), [(5, Some(0)), (7, Some(-3_600_000))]);
    }

    #[test]
    fn who_reads_while_it_is_written_sees_records_grow_and_come() {
        let (_keep, folder) = folder();
        let mut times = ArrivalTimes::of(&folder);
        assert_eq!(times.parts(0, 4).unwrap(), [(4, None)], "an attempt from before there were times");
        let mut writer = TimesWriter::create(&open(&folder).unwrap()).unwrap();
        writer.note(5, at(0));
        assert_eq!(times.parts(4, 5).unwrap(), [(1, Some(at(0)))]);
        writer.note(7, at(100));
        assert_eq!(times.parts(5, 8).unwrap(), [(2, Some(at(0))), (1, None)]);
        for second in 1..=(3 * BLOCK_RECORDS as u64) {
            writer.note(7 + second, at(1_000 * second.cast_signed()));
        }
        for second in 2..=(3 * BLOCK_RECORDS as u64) {
            let part = times.parts(6 + second, 7 + second).unwrap();
            assert_eq!(part, [(1, Some(at(1_000 * second.cast_signed())))]);
        }
    }

    #[test]
    fn a_record_cut_short_or_of_no_bytes_ends_what_is_known() {
        let (_keep, folder) = written(&[(5, 0), (9, 2_000)]);
        let whole = std::fs::read(folder.join("times")).unwrap();
        for cut in 1..RECORD_BYTES {
            std::fs::write(folder.join("times"), &whole[..whole.len() - cut]).unwrap();
            assert_eq!(parts(&folder, 9), [(5, Some(0)), (4, None)], "{cut} bytes are missing");
        }
        write(&folder, &[(0, 5), (1_000, 5), (2_000, 9)]);
        assert_eq!(parts(&folder, 9), [(5, Some(0)), (4, None)]);
        write(&folder, &[(0, 5), (1_000, 3), (2_000, 9)]);
        assert_eq!(parts(&folder, 9), [(5, Some(0)), (4, None)]);
        write(&folder, &[(0, 0), (1_000, 3)]);
        assert_eq!(parts(&folder, 9), [(9, None)]);
        write(&folder, &[(0, u64::MAX), (1_000, 3)]);
        assert_eq!(parts(&folder, 9), [(9, Some(0))]);
    }

    #[test]
    fn bytes_that_lost_their_place_end_the_times() {
        let (_keep, folder) = folder();
        let mut writer = TimesWriter::create(&open(&folder).unwrap()).unwrap();
        writer.note(5, at(0));
        writer.note(9, at(2_000));
        writer.end();
        writer.note(12, at(4_000));
        assert_eq!(parts(&folder, 12), [(5, Some(0)), (7, None)]);
    }

    #[test]
    fn a_disk_that_takes_no_more_ends_the_times_and_nothing_else() {
        let (_keep, folder) = written(&[(5, 0)]);
        // What cannot be written to is as good as full.
        let file = Some(File::open(folder.join("times")).unwrap());
        let mut writer = TimesWriter { file, records: 1, last: Some(Record { at: at(0), end_bytes: 5 }) };
        writer.note(9, at(2_000));
        assert!(writer.file.is_none());
        writer.note(12, at(4_000));
        assert_eq!(parts(&folder, 12), [(5, Some(0)), (7, None)]);
    }

    #[test]
    fn what_is_wrong_with_a_file_of_times_is_said() {
        let (_keep, folder) = written(&[(5, 0), (9, 2_000)]);
        let problem = |total_bytes| times_problem(&std::fs::read(folder.join("times")).unwrap(), total_bytes);
        assert_eq!((problem(9), problem(12)), (None, None));
        assert_eq!(problem(8).unwrap(), "it counts more bytes than were written");
        write(&folder, &[(0, 5), (1_000, 5)]);
        assert_eq!(problem(9).unwrap(), "its record 1 counts no bytes");
    }
}
