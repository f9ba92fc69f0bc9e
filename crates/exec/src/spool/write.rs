//! The keeper's side: appends what came, and counts what could not be kept.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;

use backstay_files::Dir;
use backstay_model::Digest;
use backstay_model::event::Spool;

use super::times::TimesWriter;
use super::{RECORD_BYTES, STDERR_BIT, Stream, encode_record};
use crate::clock::wall;
use crate::files;

enum State {
    /// What comes is kept.
    Open,
    /// The limit is reached: what comes is counted.
    Cut,
    /// The disk was full: so many bytes are missing here if it goes on.
    Hole(u64),
}

/// Records that tell of every change of stream; 4 MiB of them.
const FINE_RECORDS_MAX: u64 = 1 << 20;
/// After that a change is told only when so many bytes wait for it: streams that take turns byte by byte would fill the disk
/// with their order, beside their limits.
const COARSE_BYTES: u64 = 4 * 1024;

/// One stream's spool.
pub(crate) struct SpoolWriter {
    file: File,
    stream: Stream,
    limit_bytes: u64,
    size_bytes: u64,
    lost_bytes: u64,
    hasher: blake3::Hasher,
    state: State,
}

/// The record of the order in which chunks came, and when.
pub(crate) struct OrderWriter {
    file: File,
    times: TimesWriter,
    /// Bytes of both streams that are noted.
    noted_bytes: u64,
    records: u64,
    last: Option<(Stream, u32)>,
    /// What is not noted yet, by stream: the disk was full, or it is too little for a change.
    owed_bytes: [u64; 2],
    /// From this record on changes are told coarsely.
    fine_records_max: u64,
}

impl SpoolWriter {
    pub(crate) fn create(folder: &Dir, stream: Stream, limit_bytes: u64) -> io::Result<SpoolWriter> {
        let file = folder.create_new_to_append(stream.file_name())?;
        Ok(SpoolWriter {
            file,
            stream,
            limit_bytes,
            size_bytes: 0,
            lost_bytes: 0,
            hasher: blake3::Hasher::new(),
            state: State::Open,
        })
    }

    /// Keeps `bytes`, or counts them as lost. It never fails: an agent is not stopped because its output cannot be kept.
    pub(crate) fn append(&mut self, bytes: &[u8], order: &mut OrderWriter) {
        match self.state {
            State::Open => {}
            State::Cut => {
                self.lost_bytes += bytes.len() as u64;
                return;
            }
            State::Hole(missing) => {
                let marker = format!("\n[backstay: {missing} bytes are missing here, the disk was full]\n");
                if !self.append_whole(marker.as_bytes(), order) {
                    self.lost_bytes += bytes.len() as u64;
                    self.state = State::Hole(missing + bytes.len() as u64);
                    return;
                }
                self.state = State::Open;
            }
        }
        let room = usize::try_from(self.limit_bytes.saturating_sub(self.size_bytes)).unwrap_or(usize::MAX);
        let taken = &bytes[..bytes.len().min(room)];
        let written = self.write(taken, order);
        let missing = (bytes.len() - written) as u64;
        self.lost_bytes += missing;
        if written < taken.len() {
            self.state = State::Hole(missing);
        } else if missing > 0 {
            self.state = State::Cut;
            let marker = format!(
                "\n[backstay: output cut at its limit of {} bytes, what follows is only counted]\n",
                self.limit_bytes
            );
            self.append_whole(marker.as_bytes(), order);
        }
    }

    /// Makes what was kept safe from a loss of power, and says what it is.
    pub(crate) fn finish(&self) -> (Spool, io::Result<()>) {
        let synced = if self.size_bytes == 0 { Ok(()) } else { self.file.sync_data() };
        let digest = Digest::from_bytes(*self.hasher.finalize().as_bytes());
        (Spool { size_bytes: self.size_bytes, digest, lost_bytes: self.lost_bytes }, synced)
    }

    /// Writes all of `bytes` or nothing.
    fn append_whole(&mut self, bytes: &[u8], order: &mut OrderWriter) -> bool {
        let before = self.size_bytes;
        let written = write_some(&mut self.file, bytes);
        if written == bytes.len() {
            self.note(bytes, order);
            return true;
        }
        // If even this fails, the bytes are there and have to be accounted for.
        if written > 0 && self.file.set_len(before).is_err() {
            self.note(&bytes[..written], order);
        }
        false
    }

    fn write(&mut self, bytes: &[u8], order: &mut OrderWriter) -> usize {
        let written = write_some(&mut self.file, bytes);
        self.note(&bytes[..written], order);
        written
    }

    fn note(&mut self, written: &[u8], order: &mut OrderWriter) {
        self.size_bytes += written.len() as u64;
        self.hasher.update(written);
        order.note(self.stream, written.len() as u64);
    }
}

impl OrderWriter {
    pub(crate) fn create(folder: &Dir) -> io::Result<OrderWriter> {
        let file = folder.create_new(files::ORDER)?;
        Ok(OrderWriter {
            file,
            times: TimesWriter::create(folder)?,
            noted_bytes: 0,
            records: 0,
            last: None,
            owed_bytes: [0, 0],
            fine_records_max: FINE_RECORDS_MAX,
        })
    }

    /// Makes the order safe from a loss of power.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        self.pay(1);
        if self.records == 0 { Ok(()) } else { self.file.sync_data() }
    }

    fn note(&mut self, stream: Stream, size_bytes: u64) {
        self.owed_bytes[stream.index()] += size_bytes;
        self.pay(if self.records < self.fine_records_max { 1 } else { COARSE_BYTES });
    }

    /// Writes what is owed, if it goes on with the last record or is at least `least_bytes`. What cannot be written stays
    /// owed; a reader shows it at the end, out of order.
    fn pay(&mut self, least_bytes: u64) {
        for stream in Stream::BOTH {
            let goes_on = self.last.is_some_and(|(last, _)| last == stream);
            let least_bytes = if goes_on { 1 } else { least_bytes };
            while self.owed_bytes[stream.index()] >= least_bytes {
                let most = u64::from(STDERR_BIT - 1);
                let size = u32::try_from(self.owed_bytes[stream.index()].min(most)).unwrap_or(STDERR_BIT - 1);
                // First the time: who sees the bytes in the order is not to find them without one.
                let end_bytes = self.noted_bytes + u64::from(size);
                self.times.note(end_bytes, wall());
                if self.write_record(stream, size).is_err() {
                    self.times.end();
                    return;
                }
                self.noted_bytes = end_bytes;
                self.owed_bytes[stream.index()] -= u64::from(size);
            }
        }
    }

    fn write_record(&mut self, stream: Stream, size: u32) -> io::Result<()> {
        if let Some((last, so_far)) = self.last
            && last == stream
            && let Some(sum) = so_far.checked_add(size).filter(|&sum| sum < STDERR_BIT)
        {
            self.file.write_all_at(&encode_record(stream, sum), (self.records - 1) * RECORD_BYTES as u64)?;
            self.last = Some((stream, sum));
            return Ok(());
        }
        self.file.write_all_at(&encode_record(stream, size), self.records * RECORD_BYTES as u64)?;
        self.records += 1;
        self.last = Some((stream, size));
        Ok(())
    }
}

/// Writes as much of `bytes` as the disk takes.
fn write_some(file: &mut File, bytes: &[u8]) -> usize {
    let mut written = 0;
    while written < bytes.len() {
        match file.write(&bytes[written..]) {
            Ok(0) => break,
            Ok(count) => written += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // Full or failing: the caller counts what is missing, whatever the reason.
            Err(_cannot_be_kept) => break,
        }
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spool::decode_record;

    fn folder() -> (tempfile::TempDir, camino::Utf8PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = camino::Utf8PathBuf::from_path_buf(folder.path().to_owned()).unwrap();
        (folder, path)
    }

    fn dir(path: &camino::Utf8Path) -> Dir {
        crate::files::open(path).unwrap()
    }

    #[test]
    fn records_grow_while_their_stream_goes_on() {
        let (_keep, path) = folder();
        let mut order = OrderWriter::create(&dir(&path)).unwrap();
        let mut stdout = SpoolWriter::create(&dir(&path), Stream::Stdout, 100).unwrap();
        let mut stderr = SpoolWriter::create(&dir(&path), Stream::Stderr, 100).unwrap();
        stdout.append(b"abc", &mut order);
        stdout.append(b"de", &mut order);
        stderr.append(b"!", &mut order);
        stdout.append(b"f", &mut order);
        let bytes = std::fs::read(path.join("order")).unwrap();
        let records: Vec<_> =
            bytes.chunks(4).map(|record| decode_record(record.try_into().unwrap())).collect();
        assert_eq!(records, [(Stream::Stdout, 5), (Stream::Stderr, 1), (Stream::Stdout, 1)]);
    }

    #[test]
    fn s16_what_is_over_the_limit_is_counted_and_marked() {
        let (_keep, path) = folder();
        let mut order = OrderWriter::create(&dir(&path)).unwrap();
        let mut stdout = SpoolWriter::create(&dir(&path), Stream::Stdout, 10).unwrap();
        for _ in 0..4 {
            stdout.append(b"1234567", &mut order);
        }
        let (spool, synced) = stdout.finish();
        synced.unwrap();
        let kept = std::fs::read(path.join("stdout")).unwrap();
        let expected =
            b"1234567123\n[backstay: output cut at its limit of 10 bytes, what follows is only counted]\n";
        assert_eq!(kept, expected);
        assert_eq!(
            spool,
            Spool { size_bytes: expected.len() as u64, digest: Digest::of(expected), lost_bytes: 18 }
        );
    }

    #[test]
    fn streams_that_take_turns_without_end_do_not_fill_the_disk_with_their_order() {
        let (_keep, path) = folder();
        let mut order = OrderWriter { fine_records_max: 10, ..OrderWriter::create(&dir(&path)).unwrap() };
        let mut spools =
            Stream::BOTH.map(|stream| SpoolWriter::create(&dir(&path), stream, u64::MAX).unwrap());
        let turns = 3 * COARSE_BYTES;
        for _ in 0..turns {
            spools.iter_mut().for_each(|spool| spool.append(b"x", &mut order));
        }
        let records = std::fs::metadata(path.join("order")).unwrap().len() / RECORD_BYTES as u64;
        assert!((10..20).contains(&records), "{records} records");
        order.finish().unwrap();
        let bytes = std::fs::read(path.join("order")).unwrap();
        let mut told = [0, 0];
        for record in bytes.chunks(RECORD_BYTES) {
            let (stream, size) = decode_record(record.try_into().unwrap());
            told[stream.index()] += u64::from(size);
        }
        assert_eq!(told, [turns, turns], "every byte has its place");
    }
}
