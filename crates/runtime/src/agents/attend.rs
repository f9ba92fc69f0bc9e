//! Looking after an agent at work: reading what it says as it comes, and seeing when it stands still.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use backstay_agent::{Obstacle, Preset, StreamFormat};
use backstay_engine::AgentEnded;
use backstay_engine::run::SaidUntil;
use backstay_exec::spool::{Chunk, Follow, Follower, Stream};
use backstay_exec::{ExitRecord, Secrets, SpoolError, waited};
use backstay_files::Dir;
use backstay_log::{BlobError, BlobStore};
use backstay_model::Timestamp;
use backstay_model::event::{Said, SaidOn};
use camino::{Utf8Path, Utf8PathBuf};
use tokio::time::Instant;

use super::observe::Observer;
use crate::clock::Clock;

/// How long a process whose turn is over may stay before it is ended; its result is taken all the same.
const OVER_GRACE: Duration = Duration::from_secs(30);
/// How long an agent may try by itself to get over what is in its way, by its kind: then its attempt is ended, so that the
/// step can wait visibly, or another agent take its place.
const LOGIN_PATIENCE: Duration = Duration::from_secs(10);
const LIMIT_PATIENCE: Duration = Duration::from_secs(120);
const NETWORK_PATIENCE: Duration = Duration::from_secs(600);
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
    pub(crate) known_until: SaidUntil,
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

/// What an ended agent's stream came to.
#[derive(Debug)]
pub(crate) struct Finding {
    pub(crate) ended: AgentEnded,
    /// Its last message, empty if there is none; absent where its output is text.
    pub(crate) answer: Option<String>,
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
    /// Begins to read. `hear` is called on a thread of its own; what it is told is told once.
    pub(crate) fn begin(
        attended: Attended,
        mut hear: impl FnMut(Heard) + Send + 'static,
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

    fn follow(self, is_over: &AtomicBool, hear: &mut impl FnMut(Heard)) -> Result<Observer, AttendError> {
        let mut follower = Follower::open(&self.folder, 0)?;
        let mut observer = self.observer();
        let mut told_at = Instant::now();
        let mut idle = Idle::new();
        let mut still = Still::new(Instant::now());
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
            if let Some(why) = still.look(&observer, self.clock.wall(), Instant::now()) {
                hear(Heard::End(why));
            } else if let Some(heard) = idle.look(&observer, &self) {
                hear(heard);
            }
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

    fn tell(&self, observer: &mut Observer, hear: &mut impl FnMut(Heard)) -> Result<(), AttendError> {
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
        hear: &mut impl FnMut(Heard),
    ) -> Result<Finding, AttendError> {
        let mut observer = observer.unwrap_or_else(|| self.observer());
        let now = self.ended_at();
        if !self.has_stream() {
            if self.preset.signs().tells_ends_by_text() {
                self.read_rest(&mut observer, (Stream::Stdout, record.stdout.size_bytes), now, hear)?;
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
        let answer = Some(observer.answer().unwrap_or_default().to_owned());
        Ok(Finding { ended, answer })
    }

    /// Reads on in both streams as their bytes came: only so it is known which signs of trouble it got over.
    fn read_in_order(
        &self,
        observer: &mut Observer,
        now: Timestamp,
        hear: &mut impl FnMut(Heard),
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
        hear: &mut impl FnMut(Heard),
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

    /// When the process ended: times of day that it said are meant from there, whoever reads them when.
    fn ended_at(&self) -> Timestamp {
        let now = self.clock.wall();
        let written = Dir::open(self.folder.as_std_path())
            .and_then(|folder| folder.status(Stream::Stdout.file_name()))
            .ok()
            .flatten()
            .map(|there| there.modified)
            .and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok())
            .and_then(|since| i64::try_from(since.as_micros()).ok());
        written.map_or(now, |micros| Timestamp::from_micros(micros).min(now))
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

/// Since when an agent has nothing more to do, or does not get over what is in its way.
struct Still {
    life: u64,
    offset: u64,
    obstacle: Option<Obstacle>,
    since: Instant,
    is_ended: bool,
}

impl Still {
    fn new(at: Instant) -> Still {
        Still { life: 0, offset: 0, obstacle: None, since: at, is_ended: false }
    }

    /// Whether its process is to be ended, at `now`, which is `at` by the clock that only runs on. That is said once.
    fn look(&mut self, observer: &Observer, now: Timestamp, at: Instant) -> Option<EndedFor> {
        let obstacle = observer.obstacle();
        // What is in its way stays the same, however often and in which words it says so.
        let is_same =
            obstacle.map(std::mem::discriminant) == self.obstacle.as_ref().map(std::mem::discriminant);
        let is_at_work =
            observer.life() != self.life || observer.is_over() && observer.offset() != self.offset;
        if is_at_work || !is_same {
            let (life, offset, obstacle) = (observer.life(), observer.offset(), obstacle.cloned());
            *self = Still { life, offset, obstacle, is_ended: self.is_ended, ..Still::new(at) };
        }
        let (patience, why) = match obstacle {
            _ if observer.is_over() => (OVER_GRACE, EndedFor::NothingToDo),
            None => return None,
            Some(Obstacle::Limit { .. }) => (LIMIT_PATIENCE, EndedFor::Obstacle),
            Some(Obstacle::Login { .. } | Obstacle::Refused { .. }) => (LOGIN_PATIENCE, EndedFor::Obstacle),
            Some(Obstacle::Network { .. }) => (NETWORK_PATIENCE, EndedFor::Obstacle),
        };
        let ends_late = observer.limit_ends(now).is_some_and(|at| at.since(now) > LIMIT_PATIENCE);
        let patience = if ends_late { patience.min(LOGIN_PATIENCE) } else { patience };
        let is_due = at.duration_since(self.since) >= patience && !self.is_ended;
        self.is_ended |= is_due;
        is_due.then_some(why)
    }
}

/// Since when an agent gives no sign of life.
struct Idle {
    life: u64,
    since: Instant,
    is_announced: bool,
    is_over: bool,
    /// What its waits for people came to when they were looked at last.
    waited: Duration,
}

impl Idle {
    fn new() -> Idle {
        Idle { life: 0, since: Instant::now(), is_announced: false, is_over: false, waited: Duration::ZERO }
    }

    /// Whether it asks a person, or did since it was looked at last: meanwhile its stream says nothing, and it is not silent.
    fn asks(&mut self, attempt: &Utf8Path) -> bool {
        let waited = waited(attempt);
        let more = waited.total.saturating_sub(self.waited);
        self.waited = self.waited.max(waited.total);
        let now = Instant::now();
        self.since = if waited.now { now } else { (self.since + more).min(now) };
        waited.now || more > Duration::ZERO
    }

    fn look(&mut self, observer: &Observer, attended: &Attended) -> Option<Heard> {
        if observer.life() != self.life {
            *self = Idle { life: observer.life(), waited: self.waited, ..Idle::new() };
            return None;
        }
        let silent = self.since.elapsed();
        let timeout = attended.idle_timeout;
        let notice =
            timeout.map_or(attended.idle_notice, |timeout| attended.idle_notice.min(timeout * 4 / 5));
        if silent >= notice && self.asks(&attended.folder) {
            return None;
        }
        if timeout.is_some_and(|timeout| silent >= timeout) && !self.is_over {
            self.is_over = true;
            return Some(Heard::End(EndedFor::Silence));
        }
        if silent >= notice && !self.is_announced {
            self.is_announced = true;
            let stop_in = timeout.map(|timeout| timeout.saturating_sub(silent));
            return Some(Heard::Stalled { silent, stop_in });
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use backstay_agent::Presets;
    use backstay_engine::{Trouble, TurnEnd};

    use super::*;

    const NOW: Timestamp = Timestamp::from_micros(1_795_250_000_000_000);

    fn observer(agent: &str) -> Observer {
        let preset = Presets::built_in().unwrap().get(agent).unwrap().clone();
        Observer::new(preset, "/work/project", SaidUntil::default(), &Secrets::of(&[]))
    }

    fn task(agent: &str) -> Vec<u8> {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../agent/tests/golden");
        std::fs::read(folder.join(agent).join("task.jsonl")).unwrap()
    }

    /// After how many seconds the agent's process is ended, and why; `None` if it is not in an hour.
    fn ends(observer: &Observer) -> Option<(u64, EndedFor)> {
        let begin = Instant::now();
        let mut still = Still::new(begin);
        let mut seconds = 0..3_600;
        let found = seconds.find_map(|second| {
            let at = begin + Duration::from_secs(second);
            Some((second, still.look(observer, NOW, at)?))
        });
        let later = begin + Duration::from_secs(7_200);
        assert_eq!(still.look(observer, NOW, later).filter(|_| found.is_some()), None, "it is said once");
        found
    }

    #[test]
    fn a_process_that_stays_after_its_result_is_ended_after_a_grace_and_has_done_its_work() {
        for agent in ["claude", "codex", "gemini"] {
            let mut observer = observer(agent);
            assert_eq!(ends(&observer), None, "{agent} has not said anything");
            observer.feed(&task(agent), NOW);
            assert_eq!(ends(&observer), Some((OVER_GRACE.as_secs(), EndedFor::NothingToDo)), "{agent}");
            assert_eq!(observer.judge(None, "", NOW), AgentEnded { turn: TurnEnd::Well, trouble: None });
            assert_eq!(observer.answer(), Some("The greeting is written."), "{agent}");
        }
    }

    #[test]
    fn a_process_that_works_in_the_background_or_begins_another_turn_is_not_over() {
        let mut observer = observer("claude");
        observer.feed(&task("claude"), NOW);
        let background = |tasks: &str| {
            format!("{{\"type\":\"system\",\"subtype\":\"background_tasks_changed\",\"tasks\":[{tasks}]}}\n")
        };
        observer.feed(background("{\"id\":\"b1\"}").as_bytes(), NOW);
        assert_eq!(ends(&observer), None, "a command works in the background");
        observer.feed(background("").as_bytes(), NOW);
        assert_eq!(ends(&observer), Some((30, EndedFor::NothingToDo)));
        let tool = r#"{"type":"assistant","message":{"id":"m9","content":[{"type":"tool_use","id":"t9","name":"Bash","input":{"command":"ls"}}]}}"#;
        observer.feed(format!("{tool}\n").as_bytes(), NOW);
        assert_eq!(ends(&observer), None, "its background work began another turn");
    }

    /// What stands on stderr alone is told once, has its moment, and ends the process after the patience for its kind.
    #[test]
    fn what_an_agent_waits_for_inside_itself_is_told_and_its_process_ended() {
        let opencode = |message: &str| {
            format!(
                "timestamp=2026-11-21T09:04:29.1Z level=ERROR run=1 message=\"stream error\" error.error=\"{message}\" session.id=ses_1"
            )
        };
        let limit = |reset_at: Option<&str>, message: &str| {
            let reset_at = reset_at.map(|at| at.parse().unwrap());
            Trouble::Limit { reset_at, message: message.to_owned() }
        };
        let gemini = "Attempt 1 failed with status 429. Retrying after 41393468ms...";
        let no_credit = "AI_APICallError: Insufficient credits. Add more on the billing page.";
        for (agent, line, seconds, expected) in [
            ("gemini", gemini.to_owned(), 10, limit(Some("2026-11-21T20:03:13.468Z"), gemini)),
            (
                "opencode",
                opencode("AI_APICallError: Usage limit reached, please try again later"),
                120,
                limit(None, "AI_APICallError: Usage limit reached, please try again later"),
            ),
            (
                "opencode",
                opencode("AI_APICallError: Rate limit reached, try again in 2h"),
                10,
                limit(Some("2026-11-21T10:33:20Z"), "AI_APICallError: Rate limit reached, try again in 2h"),
            ),
            (
                "opencode",
                opencode("AI_APICallError: Rate limit reached, try again in 20s"),
                120,
                limit(Some("2026-11-21T08:33:40Z"), "AI_APICallError: Rate limit reached, try again in 20s"),
            ),
            ("opencode", opencode(no_credit), 10, Trouble::Refused { message: no_credit.to_owned() }),
            (
                "opencode",
                opencode("AI_APICallError: invalid api key"),
                10,
                Trouble::Login { message: "AI_APICallError: invalid api key".to_owned() },
            ),
            (
                "gemini",
                "Attempt 1 failed. Retrying with backoff... TypeError: fetch failed".to_owned(),
                600,
                Trouble::Network {
                    message: "Attempt 1 failed. Retrying with backoff... TypeError: fetch failed".to_owned(),
                },
            ),
        ] {
            let mut observer = observer(agent);
            let mut told = Vec::new();
            for _ in 0..50 {
                observer.feed_stderr(format!("{line}\n").as_bytes(), NOW);
                told.extend(std::iter::from_fn(|| observer.take()).flat_map(|batch| batch.said));
            }
            assert_eq!(told.len(), 1, "{line}: {told:?}");
            assert_eq!(ends(&observer), Some((seconds, EndedFor::Obstacle)), "{line}");
            observer.end(NOW);
            assert_eq!(observer.judge(None, "", NOW).trouble, Some(expected), "{line}");
        }
    }

    #[test]
    fn a_sign_of_trouble_does_not_outlive_the_next_sign_of_life() {
        let refused = "Attempt 1 failed with status 429. Retrying after 41393468ms...\n";
        let said = "{\"type\":\"message\",\"role\":\"assistant\",\"content\":\"back\",\"delta\":true}\n";
        let mut observer = observer("gemini");
        observer.feed_stderr(refused.as_bytes(), NOW);
        observer.feed_stderr(b"No previous sessions found\n", NOW);
        observer.feed(said.as_bytes(), NOW);
        assert_eq!(ends(&observer), None);
        observer.end(NOW);
        assert_eq!(observer.judge(Some(1), "", NOW), AgentEnded { turn: TurnEnd::CutShort, trouble: None });
    }

    #[test]
    fn a_line_that_is_too_long_to_be_read_is_named_where_the_turn_has_no_end() {
        let mut observer = observer("codex");
        observer.feed(&vec![b'x'; backstay_agent::LINE_BYTES_MAX + 1], NOW);
        observer.feed(b"\n", NOW);
        observer.end(NOW);
        let expected = Trouble::LongLines { lines: 1, limit_bytes: backstay_agent::LINE_BYTES_MAX as u64 };
        assert_eq!(observer.judge(Some(0), "", NOW).trouble, Some(expected));
        observer.feed(&task("codex"), NOW);
        assert_eq!(observer.judge(Some(0), "", NOW).turn, TurnEnd::Well, "its end is known");
    }

    #[test]
    fn pieces_ticks_progress_and_lines_that_are_not_known_are_signs_of_life() {
        for (agent, line) in [
            ("gemini", r#"{"type":"message","role":"assistant","content":"a","delta":true}"#),
            ("gemini", r#"{"type":"newer","of":"kind"}"#),
            ("claude", r#"{"type":"system","subtype":"thinking_tokens","tokens":5}"#),
            ("claude", r#"{"type":"system","subtype":"task_progress"}"#),
            ("claude", r#"{"type":"tool_progress","tool_use_id":"t1"}"#),
            ("claude", r#"{"type":"stream_event","event":{}}"#),
            ("claude", r#"{"type":"system","subtype":"newer"}"#),
            ("codex", r#"{"type":"item.updated","item":{"id":"1","type":"todo_list","items":[]}}"#),
            ("codex", r#"{"type":"item.completed","item":{"id":"1","type":"reasoning","text":"so"}}"#),
            ("codex", r#"{"type":"newer.event"}"#),
            ("opencode", r#"{"type":"reasoning","sessionID":"s","part":{"text":"so"}}"#),
            ("opencode", r#"{"type":"newer","sessionID":"s"}"#),
        ] {
            let mut observer = observer(agent);
            for count in 1..=3 {
                observer.feed(format!("{line}\n").as_bytes(), NOW);
                assert_eq!(observer.life(), count, "{agent} {line}");
            }
        }
        let mut waits = observer("opencode");
        let again = r#"{"type":"step_start","sessionID":"ses_1","part":{}}"#;
        for _ in 0..1_000 {
            waits.feed(format!("{again}\n").as_bytes(), NOW);
        }
        let told: Vec<_> = std::iter::from_fn(|| waits.take()).flat_map(|batch| batch.said).collect();
        assert_eq!((waits.life(), told.len()), (0, 1), "a session that is named again and again is one fact");
    }
}
