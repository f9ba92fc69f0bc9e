//! `backstay logs`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::IsTerminal;
use std::sync::Arc;
use std::time::Duration;

use backstay_engine::record::RunRecord;
use backstay_exec::spool::{Chunk, Follow, Follower, Stream, read_ordered};
use backstay_model::{Attempt, EffectCall, EffectId, RunId, StepId, Timestamp};
use backstay_runtime::{Clock, Spoken, Store};
use camino::{Utf8Path, Utf8PathBuf};
use tokio::sync::mpsc;

use super::speech::Speech;
use crate::args::{LogsArgs, StreamName};
use crate::context::{Context, find_step};
use crate::error::CliError;
use crate::exit::Exit;
use crate::output;
use crate::ui::{LiveRun, harmless};

/// Bytes that are read at once.
const PAGE_BYTES: u64 = 256 * 1024;
/// How long one wait for a spool may be.
const SPOOL_PATIENCE: Duration = Duration::from_secs(5);
/// Bytes of a line that wait for its end at most.
const LINE_BYTES_MAX: usize = 256 * 1024;
/// Chunks that may wait to be printed.
const WAITING_MAX: usize = 16;

/// One attempt whose streams are printed.
#[derive(Clone, Debug)]
struct Source {
    step: StepId,
    effect: EffectId,
    attempt: Attempt,
    folder: Utf8PathBuf,
    /// The preset of its agent, if it has one.
    preset: Option<String>,
    /// What is said above it, if it is an agent's.
    head: String,
}

/// How the bytes of an attempt become what is printed.
#[derive(Debug)]
enum Voice {
    /// As they are.
    Bytes,
    /// An agent writes for programs; its messages are for people.
    Speech(Box<Speech>),
}

impl Voice {
    /// `live_from` is the offset in stdout behind which it is read as it is written.
    fn of(source: &Source, spoken: Option<&Spoken>, folder: Option<&str>, live_from: u64) -> Voice {
        let speech = spoken.zip(source.preset.as_ref()).and_then(|(spoken, preset)| {
            let tools_at = spoken.tools_at(&source.effect, source.attempt);
            Speech::of(spoken.preset(preset)?, folder, tools_at, live_from)
        });
        speech.map_or(Voice::Bytes, |speech| Voice::Speech(Box::new(speech)))
    }

    fn head(&self, source: &Source) -> Vec<u8> {
        match self {
            Voice::Bytes => Vec::new(),
            Voice::Speech(_) => format!("─ {}\n", source.head).into_bytes(),
        }
    }

    fn say(&mut self, chunk: Chunk, now: Timestamp) -> Vec<u8> {
        match (self, chunk.stream) {
            (Voice::Bytes, _) => chunk.bytes,
            (Voice::Speech(speech), Stream::Stdout) => speech.hear(&chunk.bytes, now),
            (Voice::Speech(speech), Stream::Stderr) => speech.hear_beside(&chunk.bytes),
        }
    }

    /// Nothing more comes.
    fn end(&mut self, now: Timestamp) -> Vec<u8> {
        match self {
            Voice::Bytes => Vec::new(),
            Voice::Speech(speech) => speech.end(now),
        }
    }
}

/// What was read.
enum Read {
    Bytes(StepId, Vec<u8>),
    Failed(CliError),
}

/// Prints what the steps of a run said, in the order in which they began.
pub(crate) async fn logs(context: &Context, args: LogsArgs) -> Result<Exit, CliError> {
    let store = context.store().await?;
    let run = context.run(&store, args.run.as_deref()).await?;
    let view = store.view(run).await?;
    if let Some(at) = view.record.trimmed_at {
        output::note(&format!("what its steps wrote was freed on {}", context.times().minute(at)));
        return Ok(Exit::Completed);
    }
    let step = args.step.as_deref().map(|text| find_step(&view.plan, text)).transpose()?;
    let mut printer = Printer {
        prefixes: step.is_none(),
        is_terminal: std::io::stdout().is_terminal(),
        ..Printer::default()
    };
    let wanted = Wanted { step, stream: args.stream.map(stream), is_raw: args.raw };
    if args.follow {
        return follow(&store, run, &wanted, &mut printer).await;
    }
    let sources = sources(&store, &view.record, &wanted);
    let spoken = spoken(&store, run, &wanted, &sources).await?;
    for source in sources {
        let voice = Voice::of(&source, spoken.as_ref(), view.record.cwd.as_deref(), u64::MAX);
        print_all(&source, voice, &wanted, &mut printer, store.clock().wall())?;
        // A last line without an end is not to wait for what others said.
        printer.finish()?;
    }
    Ok(Exit::Completed)
}

/// What is asked for.
struct Wanted {
    step: Option<StepId>,
    stream: Option<Stream>,
    is_raw: bool,
}

/// What is needed to read what agents said, if any of them is among `sources`.
async fn spoken(
    store: &Store,
    run: RunId,
    wanted: &Wanted,
    sources: &[Source],
) -> Result<Option<Spoken>, CliError> {
    if wanted.is_raw || sources.iter().all(|source| source.preset.is_none()) {
        return Ok(None);
    }
    Ok(Some(store.spoken(run).await?))
}

const fn stream(name: StreamName) -> Stream {
    match name {
        StreamName::Stdout => Stream::Stdout,
        StreamName::Stderr => Stream::Stderr,
    }
}

fn sources(store: &Store, record: &RunRecord, wanted: &Wanted) -> Vec<Source> {
    let steps = record.steps.iter().filter(|step| wanted.step.as_ref().is_none_or(|id| *id == step.step));
    steps
        .flat_map(|step| step.attempts.iter().map(move |attempt| (step, attempt)))
        .filter_map(|(step, attempt)| {
            let folder = store.folder().join(attempt.folder.as_ref()?.as_str());
            let call = if attempt.probe { EffectCall::Probe } else { EffectCall::Main };
            let effect = EffectId { run: record.run, scope: step.scope.clone(), call };
            let agent = attempt.agent.as_ref();
            let preset = agent.map(|agent| agent.preset.clone());
            let version = agent.and_then(|agent| agent.version.clone());
            let head = format!(
                "{}, attempt {}{}",
                version.or_else(|| preset.clone()).unwrap_or_default(),
                attempt.attempt.0,
                step.cycle().map_or_else(String::new, |cycle| format!(" of cycle {cycle}")),
            );
            let (step, attempt) = (step.step.clone(), attempt.attempt);
            Some(Source { step, effect, attempt, folder, preset, head })
        })
        .collect()
}

fn print_all(
    source: &Source,
    mut voice: Voice,
    wanted: &Wanted,
    printer: &mut Printer,
    now: Timestamp,
) -> Result<(), CliError> {
    let is_wanted = |stream: Stream| wanted.stream.is_none_or(|only| only == stream);
    printer.print(&source.step, &voice.head(source))?;
    let mut from_bytes = 0;
    loop {
        let page = read_ordered(&source.folder, from_bytes, PAGE_BYTES)?;
        let is_over = page.next_bytes == from_bytes;
        from_bytes = page.next_bytes;
        for chunk in page.chunks.into_iter().filter(|chunk| is_wanted(chunk.stream)) {
            printer.print(&source.step, &voice.say(chunk, now))?;
        }
        if is_over {
            // What is at work says more later.
            if page.ended && is_wanted(Stream::Stdout) {
                printer.print(&source.step, &voice.end(now))?;
            }
            return Ok(());
        }
    }
}

/// Follows every attempt until the run has ended, whoever owns it meanwhile.
async fn follow(store: &Store, run: RunId, wanted: &Wanted, printer: &mut Printer) -> Result<Exit, CliError> {
    let mut live = LiveRun::open(store, run).await?;
    let (send, mut incoming) = mpsc::channel(WAITING_MAX);
    let mut send = Some(send);
    let mut known = BTreeSet::new();
    loop {
        if let Some(sender) = &send {
            let mut new = sources(store, &live.record, wanted);
            new.retain(|source| known.insert(source.folder.clone()));
            let spoken = spoken(store, run, wanted, &new).await?;
            for source in new {
                let live_from = stdout_size(&source.folder);
                let voice = Voice::of(&source, spoken.as_ref(), live.record.cwd.as_deref(), live_from);
                let (sender, only, clock) = (sender.clone(), wanted.stream, store.clock().clone());
                let teller = Teller { source, only, sender, clock };
                // It ends with the attempt, or when nobody listens any more.
                drop(tokio::task::spawn_blocking(move || teller.follow(voice)));
            }
        }
        if live.record.status.is_ended() {
            send = None;
        }
        tokio::select! {
            read = incoming.recv() => match read {
                Some(Read::Bytes(step, bytes)) => printer.print(&step, &bytes)?,
                Some(Read::Failed(error)) => return Err(error),
                None => {
                    printer.finish()?;
                    return Ok(Exit::Completed);
                }
            },
            moment = live.next(), if send.is_some() => drop(moment?),
        }
    }
}

/// How much is there already of what an attempt wrote; what cannot be told is read as if it were being written.
fn stdout_size(folder: &Utf8Path) -> u64 {
    std::fs::symlink_metadata(folder.join(Stream::Stdout.file_name())).map_or(0, |file| file.len())
}

/// Tells what one attempt says.
struct Teller {
    source: Source,
    only: Option<Stream>,
    sender: mpsc::Sender<Read>,
    clock: Arc<dyn Clock>,
}

impl Teller {
    fn follow(&self, mut voice: Voice) {
        let mut follower = match Follower::open(&self.source.folder, 0) {
            Ok(follower) => follower,
            Err(error) => return self.tell(Read::Failed(error.into())),
        };
        self.tell_bytes(voice.head(&self.source));
        let is_wanted = |stream: Stream| self.only.is_none_or(|only| only == stream);
        while !self.sender.is_closed() {
            match follower.next(SPOOL_PATIENCE) {
                Ok(Follow::Output(chunks)) => {
                    let now = self.clock.wall();
                    for chunk in chunks.into_iter().filter(|chunk| is_wanted(chunk.stream)) {
                        self.tell_bytes(voice.say(chunk, now));
                    }
                }
                Ok(Follow::Nothing) => {}
                Ok(Follow::Ended) => {
                    if is_wanted(Stream::Stdout) {
                        self.tell_bytes(voice.end(self.clock.wall()));
                    }
                    return;
                }
                Err(error) => return self.tell(Read::Failed(error.into())),
            }
        }
    }

    fn tell_bytes(&self, bytes: Vec<u8>) {
        if !bytes.is_empty() {
            self.tell(Read::Bytes(self.source.step.clone(), bytes));
        }
    }

    fn tell(&self, read: Read) {
        if self.sender.blocking_send(read).is_err() {
            tracing::debug!("nobody reads these logs any more");
        }
    }
}

/// Prints bytes as they are, or, of several steps, line by line behind the step's name.
///
/// A terminal gets no control characters but those of colours, line breaks and tabs: what a step prints is not to move
/// the cursor, set titles or answer for the person in front of it.
#[derive(Debug, Default)]
struct Printer {
    prefixes: bool,
    is_terminal: bool,
    /// The beginning of an escape sequence whose end has not come.
    escape: Vec<u8>,
    lines: Lines,
}

impl Printer {
    fn print(&mut self, step: &StepId, bytes: &[u8]) -> Result<(), CliError> {
        let clean;
        let bytes = if self.is_terminal {
            clean = harmless(&mut self.escape, bytes);
            &clean
        } else {
            bytes
        };
        if self.prefixes {
            output::put_bytes(&self.lines.take(step, bytes))
        } else {
            output::put_bytes(bytes)
        }
    }

    fn finish(&mut self) -> Result<(), CliError> {
        output::put_bytes(&self.lines.finish())
    }
}

/// Bytes of several steps as lines behind the steps' names.
///
/// A line waits for its end, so that lines of several steps stay whole; of one that grows too long what is there is given
/// away, and nothing is held of it.
#[derive(Debug, Default)]
struct Lines {
    /// The beginnings of lines whose ends have not come.
    begun: BTreeMap<StepId, Vec<u8>>,
    /// Whose line was given in part: what comes of it next needs no name, unless another's line comes between.
    open: Option<StepId>,
}

impl Lines {
    /// Takes what came of a step, and gives what is to be printed now.
    fn take(&mut self, step: &StepId, bytes: &[u8]) -> Vec<u8> {
        let begun = self.begun.entry(step.clone()).or_default();
        let end = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let rest = &bytes[end..];
        let is_too_long = if end == 0 { begun.len() } else { 0 } + rest.len() > LINE_BYTES_MAX;
        if end == 0 && !is_too_long {
            begun.extend_from_slice(rest);
            return Vec::new();
        }
        let mut given = std::mem::take(begun);
        given.extend_from_slice(if is_too_long { bytes } else { &bytes[..end] });
        if !is_too_long {
            begun.extend_from_slice(rest);
        }
        self.named(step, &given)
    }

    /// Gives what still waits, each line with an end.
    fn finish(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        for (step, rest) in std::mem::take(&mut self.begun) {
            if !rest.is_empty() {
                out.append(&mut self.named(&step, &rest));
            }
        }
        if self.open.take().is_some() {
            out.push(b'\n');
        }
        out
    }

    fn named(&mut self, step: &StepId, lines: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(lines.len() + lines.len() / 8);
        let mut goes_on = match self.open.take() {
            Some(open) if open == *step => true,
            Some(_) => {
                out.push(b'\n');
                false
            }
            None => false,
        };
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            if !goes_on {
                out.extend_from_slice(step.as_str().as_bytes());
                out.extend_from_slice(b" | ");
            }
            out.extend_from_slice(line);
            goes_on = false;
        }
        self.open = (!lines.ends_with(b"\n")).then(|| step.clone());
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(name: &str) -> StepId {
        name.parse().unwrap()
    }

    fn given(parts: &[(&str, &str)]) -> String {
        let mut lines = Lines::default();
        let mut out = Vec::new();
        for (name, text) in parts {
            out.append(&mut lines.take(&step(name), text.as_bytes()));
        }
        out.append(&mut lines.finish());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn lines_of_several_steps_stand_behind_their_names_and_stay_whole() {
        assert_eq!(given(&[("scan", "one\ntwo\n")]), "scan | one\nscan | two\n");
        let parts = [("scan", "on"), ("fix", "a\nb"), ("scan", "e\nt"), ("fix", "\n"), ("scan", "wo")];
        assert_eq!(given(&parts), "fix | a\nscan | one\nfix | b\nscan | two\n");
    }

    #[test]
    fn a_line_that_is_too_long_to_wait_is_given_in_parts_behind_one_name() {
        let part = "x".repeat(LINE_BYTES_MAX / 2 + 1);
        let long = part.repeat(5);
        let mut parts = vec![("scan", part.as_str()); 5];
        assert_eq!(given(&parts), format!("scan | {long}\n"));
        parts.push(("scan", "y\nnext\n"));
        assert_eq!(given(&parts), format!("scan | {long}y\nscan | next\n"));
        parts.truncate(4);
        parts.extend([("fix", "between\n"), ("scan", "z\n")]);
        let long = part.repeat(4);
        assert_eq!(given(&parts), format!("scan | {long}\nfix | between\nscan | z\n"));
    }

    #[test]
    fn never_is_more_held_of_a_line_than_it_may_have() {
        let mut lines = Lines::default();
        for _ in 0..20 {
            lines.take(&step("scan"), &vec![b'x'; LINE_BYTES_MAX / 3]);
            assert!(lines.begun[&step("scan")].len() <= LINE_BYTES_MAX);
        }
    }
}
