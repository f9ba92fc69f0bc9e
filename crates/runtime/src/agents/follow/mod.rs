//! Looking after an agent at work: reading what it says as it comes, and seeing when it stands still.

mod quiet;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use backstay_agent::{Preset, StreamFormat};
use backstay_engine::AgentEnded;
use backstay_engine::effect::OutputRead;
use backstay_exec::spool::{Chunk, Follow, Follower, Stream};
use backstay_exec::{ExitRecord, Secrets, SpoolError, StopReason};
use backstay_files::Dir;
use backstay_log::{BlobError, BlobStore};
use backstay_model::Timestamp;
use backstay_model::event::{Said, SaidOn};
use camino::Utf8PathBuf;
use tokio::time::Instant;

use self::quiet::Watches;
use super::translate::{Answer, Observer};
use crate::clock::Clock;

/// The shortest time between two reports of what an agent said.
const REPORT_PACE: Duration = Duration::from_millis(300);
/// The longest wait without a look at whether the agent stands still.
const LOOK: Duration = Duration::from_secs(1);
/// Bytes that are read at once.
const CHUNK_BYTES: usize = 256 * 1024;
/// Bytes at the end of stderr in which signs of trouble are looked for.
const STDERR_BYTES: u64 = 4 * 1024;

/// What is read of an agent's attempt, and by what rules.
#[derive(Clone, Debug)]
pub(crate) struct Attended {
    pub(crate) preset: Preset,
    /// The attempt's folder.
    pub(crate) folder: Utf8PathBuf,
    /// The folder that the agent works in.
    pub(crate) cwd: String,
    /// How much of what it said the log knows.
    pub(crate) known_until: OutputRead,
    pub(crate) idle_timeout: Option<Duration>,
    pub(crate) idle_notice: Duration,
    pub(crate) blobs: BlobStore,
    pub(crate) clock: Arc<dyn Clock>,
    /// What must not become an event.
    pub(crate) secrets: Secrets,
}

/// What becomes known of an agent at work.
#[derive(Debug)]
pub(crate) enum Heard {
    /// It said something.
    Said(SaidOn, Vec<(u64, Said)>),
    /// It gave no sign of life for long.
    Stalled { silent: Duration, stop_in: Option<Duration> },
    /// Its process is to be ended.
    End(EndedFor),
}

/// Whether what was heard was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    Yes,
    /// What has to be done about it cannot be done now: it is to be told again.
    NotNow,
}

/// Why the process of an agent is ended before it ends by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EndedFor {
    /// It gave no sign of life for longer than it may.
    Silence,
    /// Its turn is over, and it stays.
    NothingToDo,
    /// It waits inside for what is in its way.
    Obstacle,
}

impl EndedFor {
    /// What its keeper is told, and keeps for whoever owns the run when it has ended.
    pub(crate) fn reason(self) -> StopReason {
        match self {
            EndedFor::Silence => StopReason::Silent,
            EndedFor::NothingToDo => StopReason::Over,
            EndedFor::Obstacle => StopReason::Obstacle,
        }
    }
}

/// What an ended agent's stream came to.
#[derive(Debug)]
pub(crate) struct Finding {
    pub(crate) ended: AgentEnded,
    /// Absent where its output is text.
    pub(crate) answer: Option<Answer>,
}

/// What an agent left cannot be read or kept, for a reason of this machine.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AttendError {
    #[error("cannot read {path}")]
    Read { path: Utf8PathBuf, source: io::Error },
    #[error(transparent)]
    Blob(#[from] BlobError),
    #[error(transparent)]
    Spool(#[from] SpoolError),
    #[error("the thread that reads what an agent says died")]
    Died,
}

/// A thread that reads what an agent says.
#[derive(Debug)]
pub(crate) struct Attendant {
    is_over: Arc<AtomicBool>,
    thread: JoinHandle<Result<Observer, AttendError>>,
}

impl Attendant {
    /// Begins to read. `hear` is called on a thread of its own; what it takes is told once.
    pub(crate) fn begin(
        attended: Attended,
        mut hear: impl FnMut(Heard) -> Taken + Send + 'static,
    ) -> io::Result<Attendant> {
        let is_over = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&is_over);
        let name = format!("agent-{}", attended.preset.name());
        let thread =
            std::thread::Builder::new().name(name).spawn(move || attended.follow(&over, &mut hear))?;
        Ok(Attendant { is_over, thread })
    }

    /// The agent's process is over, or somebody else's: waits until what was read is told.
    pub(crate) fn stop(self) -> Result<Observer, AttendError> {
        self.is_over.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or(Err(AttendError::Died))
    }
}

impl Attended {
    /// Whether what the agent says can be read as it comes.
    pub(crate) fn has_stream(&self) -> bool {
        self.preset.stream() != StreamFormat::Text
    }

    fn observer(&self) -> Observer {
        Observer::new(self.preset.clone(), &self.cwd, self.known_until, &self.secrets)
    }

    fn follow(
        self,
        is_over: &AtomicBool,
        hear: &mut impl FnMut(Heard) -> Taken,
    ) -> Result<Observer, AttendError> {
        let mut follower = Follower::open(&self.folder, 0)?;
        let mut observer = self.observer();
        let mut told_at = Instant::now();
        let mut watches = Watches::of(&self, told_at);
        while !is_over.load(Ordering::Relaxed) {
            let patience = match observer.is_told() {
                true => LOOK,
                false => REPORT_PACE.saturating_sub(told_at.elapsed()),
            };
            let ended = match follower.next(patience)? {
                Follow::Output(chunks) => {
                    let now = self.clock.wall();
                    chunks.iter().for_each(|chunk| Attended::take(chunk, &mut observer, now));
                    false
                }
                Follow::Nothing => false,
                Follow::Ended => true,
            };
            let is_due = told_at.elapsed() >= REPORT_PACE || observer.is_full();
            if !observer.is_told() && (is_due || ended) {
                self.tell(&mut observer, hear)?;
                told_at = Instant::now();
            }
            if ended {
                break;
            }
            watches.look(&observer, self.clock.wall(), Instant::now(), hear);
        }
        self.tell(&mut observer, hear)?;
        Ok(observer)
    }

    fn take(chunk: &Chunk, observer: &mut Observer, now: Timestamp) {
        match chunk.stream {
            Stream::Stdout if chunk.offset_bytes == observer.offset() => observer.feed(&chunk.bytes, now),
            Stream::Stderr if chunk.offset_bytes == observer.stderr_offset() => {
                observer.feed_stderr(&chunk.bytes, now);
            }
            Stream::Stdout | Stream::Stderr => {}
        }
    }

    fn tell(
        &self,
        observer: &mut Observer,
        hear: &mut impl FnMut(Heard) -> Taken,
    ) -> Result<(), AttendError> {
        while let Some(batch) = observer.take() {
            for text in &batch.texts {
                self.blobs.put(text.as_bytes())?;
            }
            hear(Heard::Said(batch.on, batch.said));
        }
        Ok(())
    }

    /// Reads to its end what the process with this `record` said, from where `observer` stands.
    pub(crate) fn finish(
        &self,
        observer: Option<Observer>,
        record: &ExitRecord,
        hear: &mut impl FnMut(Heard) -> Taken,
    ) -> Result<Finding, AttendError> {
        let mut observer = observer.unwrap_or_else(|| self.observer());
        let now = self.ended_at();
        if !self.has_stream() {
            if self.preset.signs().tells_ends_by_text() {
                for (stream, size_bytes) in
                    [(Stream::Stdout, record.stdout.size_bytes), (Stream::Stderr, record.stderr.size_bytes)]
                {
                    self.read_rest(&mut observer, (stream, size_bytes), now, hear)?;
                }
                observer.end(now);
                self.tell(&mut observer, hear)?;
            }
            let ended = observer.judge(record.exit_code, &self.last_of_stderr(), now);
            return Ok(Finding { ended, answer: None });
        }
        self.read_in_order(&mut observer, now, hear)?;
        for (stream, size_bytes) in
            [(Stream::Stderr, record.stderr.size_bytes), (Stream::Stdout, record.stdout.size_bytes)]
        {
            self.read_rest(&mut observer, (stream, size_bytes), now, hear)?;
        }
        observer.end(now);
        self.tell(&mut observer, hear)?;
        let ended = observer.judge(record.exit_code, "", now);
        // An agent that said nothing answered nothing: its stream is no answer.
        Ok(Finding { ended, answer: Some(observer.answer()) })
    }

    /// Reads on in both streams as their bytes came: only so it is known which signs of trouble it got over.
    fn read_in_order(
        &self,
        observer: &mut Observer,
        now: Timestamp,
        hear: &mut impl FnMut(Heard) -> Taken,
    ) -> Result<(), AttendError> {
        let from = observer.offset() + observer.stderr_offset();
        let mut follower = match Follower::open(&self.folder, from) {
            Ok(follower) => follower,
            Err(error) => {
                tracing::debug!(folder = %self.folder, %error, "the streams of an agent are read one by one");
                return Ok(());
            }
        };
        loop {
            match follower.next(Duration::ZERO) {
                Ok(Follow::Output(chunks)) => {
                    chunks.iter().for_each(|chunk| Attended::take(chunk, observer, now));
                    if observer.is_full() {
                        self.tell(observer, hear)?;
                    }
                }
                Ok(Follow::Nothing | Follow::Ended) => return Ok(()),
                // Each stream is read by itself then.
                Err(error) => {
                    tracing::debug!(folder = %self.folder, %error, "the order of an agent's streams is lost");
                    return Ok(());
                }
            }
        }
    }

    /// Reads what is left of a stream with so many bytes.
    fn read_rest(
        &self,
        observer: &mut Observer,
        (stream, size_bytes): (Stream, u64),
        now: Timestamp,
        hear: &mut impl FnMut(Heard) -> Taken,
    ) -> Result<(), AttendError> {
        let path = self.folder.join(stream.file_name());
        let read = |source| AttendError::Read { path: path.clone(), source };
        let from = match stream {
            Stream::Stdout => observer.offset(),
            Stream::Stderr => observer.stderr_offset(),
        };
        let mut file = match self.open(stream) {
            Ok(file) => file,
            // What somebody removed says nothing more.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(read(error)),
        };
        file.seek(SeekFrom::Start(from)).map_err(read)?;
        let mut rest = file.take(size_bytes.saturating_sub(from));
        let mut bytes = vec![0; CHUNK_BYTES];
        loop {
            let length = rest.read(&mut bytes).map_err(read)?;
            if length == 0 {
                return Ok(());
            }
            match stream {
                Stream::Stdout => observer.feed(&bytes[..length], now),
                Stream::Stderr => observer.feed_stderr(&bytes[..length], now),
            }
            if observer.is_full() {
                self.tell(observer, hear)?;
            }
        }
    }

    fn open(&self, stream: Stream) -> io::Result<File> {
        Dir::open(self.folder.as_std_path())?.open_file(stream.file_name())
    }

    /// When the process last wrote something: times of day and waits that it said are meant from there, whoever reads them
    /// when.
    fn ended_at(&self) -> Timestamp {
        let now = self.clock.wall();
        let written = |stream: Stream| {
            let status = Dir::open(self.folder.as_std_path())
                .and_then(|folder| folder.status(stream.file_name()))
                .ok()
                .flatten()?;
            let since = status.modified.duration_since(std::time::UNIX_EPOCH).ok()?;
            i64::try_from(since.as_micros()).ok()
        };
        let last = written(Stream::Stdout).max(written(Stream::Stderr));
        last.map_or(now, |micros| Timestamp::from_micros(micros).min(now))
    }

    /// The end of stderr. It is only looked through for signs: what cannot be read has none.
    fn last_of_stderr(&self) -> String {
        match self.open(Stream::Stderr).and_then(read_end) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) => {
                tracing::debug!(folder = %self.folder, %error, "the stderr of an agent cannot be read");
                String::new()
            }
        }
    }
}

fn read_end(mut file: File) -> io::Result<Vec<u8>> {
    let size = file.metadata()?.len();
    file.seek(SeekFrom::Start(size.saturating_sub(STDERR_BYTES)))?;
    let mut bytes = Vec::new();
    file.take(STDERR_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}
