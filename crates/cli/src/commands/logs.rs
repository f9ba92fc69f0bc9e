//! `backstay logs`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

use backstay_engine::record::{AttemptRecord, RunRecord, StepRecord};
use backstay_exec::spool::{Chunk, Follow, Follower, Stream, read_ordered};
use backstay_exec::{Redactor, Secrets};
use backstay_model::{Attempt, EffectCall, EffectId, RunId, StepId, Timestamp};
use backstay_runtime::{Clock, Spoken, Store};
use camino::{Utf8Path, Utf8PathBuf};
use tokio::sync::mpsc;

use super::last_lines::LastLines;
use super::speech::Speech;
use crate::address::Address;
use crate::args::{LogsArgs, StreamName};
use crate::context::Context;
use crate::error::CliError;
use crate::exit::Exit;
use crate::output;
use crate::ui::{Colours, LiveRun, Moves, Sanitizer};

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
    /// What is said above it otherwise, where it is not all that the step said.
    mark: Option<String>,
}

/// How the bytes of an attempt become what is printed.
#[derive(Debug)]
enum Voice {
    /// As they are.
    Bytes,
    /// An agent writes for programs; its messages are for people.
    Speech(Box<Speech>, Redactor),
}

impl Voice {
    /// `live_from` is the offset in stdout behind which it is read as it is written.
    fn of(
        source: &Source,
        spoken: Option<&Spoken>,
        folder: Option<&str>,
        live_from: u64,
        secrets: &Secrets,
    ) -> Voice {
        let speech = spoken.zip(source.preset.as_ref()).and_then(|(spoken, preset)| {
            let tools_at = spoken.tools_at(&source.effect, source.attempt);
            Speech::of(spoken.preset(preset)?, folder, tools_at, live_from)
        });
        speech.map_or(Voice::Bytes, |speech| Voice::Speech(Box::new(speech), secrets.redactor()))
    }

    fn head(&self, source: &Source) -> Vec<u8> {
        match self {
            Voice::Bytes => {
                source.mark.as_ref().map_or_else(Vec::new, |mark| format!("─ {mark}\n").into_bytes())
            }
            Voice::Speech(..) => format!("─ {}\n", source.head).into_bytes(),
        }
    }

    fn say(&mut self, chunk: Chunk, now: Timestamp) -> Vec<u8> {
        let Voice::Speech(speech, redactor) = self else { return chunk.bytes };
        let said = match chunk.stream {
            Stream::Stdout => speech.hear(&chunk.bytes, now),
            Stream::Stderr => speech.hear_beside(&chunk.bytes),
        };
        let mut clean = Vec::with_capacity(said.len());
        redactor.push(&said, &mut clean);
        clean
    }

    /// Nothing more comes.
    fn end(&mut self, now: Timestamp) -> Vec<u8> {
        let Voice::Speech(speech, redactor) = self else { return Vec::new() };
        let mut clean = Vec::new();
        redactor.push(&speech.end(now), &mut clean);
        redactor.finish(&mut clean);
        clean
    }
}

/// What was read.
enum Read {
    /// What stands above what follows.
    Head(StepId, Vec<u8>),
    Bytes(StepId, Vec<u8>),
    /// An attempt of this step ended.
    Ended(StepId),
    Failed(CliError),
}

/// Prints what the steps of a run said, in the order in which they began.
pub(crate) async fn logs(context: &Context, args: LogsArgs) -> Result<Exit, CliError> {
    // What is only read does not go on: there is nothing to follow.
    let store = if args.follow { context.store().await? } else { context.store_to_read().await? };
    let run = context.run(&store, args.run.as_deref()).await?;
    let view = store.view(run).await?;
    if let Some(at) = view.record.trimmed_at {
        output::note(&format!("what its steps wrote was freed on {}", context.times().minute(at)));
        return Ok(Exit::Completed);
    }
    let address = args.step.as_deref().map(|text| Address::of_run(&view, text)).transpose()?;
    if let Some(address) = address.as_ref().filter(|_| !args.follow) {
        address.expect_in(&view.record)?;
    }
    let wanted = Wanted {
        address,
        stream: args.stream.map(stream),
        is_raw: args.raw,
        secrets: Secrets::of_env(&context.env),
    };
    let mut printer = Printer::new(context, &wanted, args.tail.map(LastLines::new));
    if args.follow {
        return follow(&store, &view.record, &wanted, &mut printer).await;
    }
    let sources = sources(&store, &view.record, &wanted);
    let spoken = spoken(&store, run, &wanted, &sources).await?;
    for source in sources {
        let cwd = view.record.cwd.as_deref();
        let mut voice = Voice::of(&source, spoken.as_ref(), cwd, u64::MAX, &wanted.secrets);
        print_all(&source, &mut voice, &wanted, &mut printer, store.clock().wall())?;
        // A last line without an end is not to wait for what others said.
        printer.finish()?;
    }
    printer.print_tail()?;
    Ok(Exit::Completed)
}

/// What is asked for.
struct Wanted {
    address: Option<Address>,
    stream: Option<Stream>,
    is_raw: bool,
    /// Those that this process knows: what is decoded here was not looked through before.
    secrets: Secrets,
}

impl Wanted {
    fn has(&self, stream: Stream) -> bool {
        self.stream.is_none_or(|only| only == stream)
    }

    /// What stands above what an attempt wrote, where the step wrote more.
    fn mark(&self, step: &StepRecord, attempt: &AttemptRecord) -> Option<String> {
        let is_one_cycle = self.address.as_ref().is_some_and(Address::is_of_cycle);
        let cycle = step.cycle().filter(|_| !is_one_cycle).map(|cycle| format!("cycle {cycle}"));
        let number = attempt.attempt.0;
        let attempt = (number > 1).then(|| format!("attempt {number}"));
        let parts: Vec<String> = cycle.into_iter().chain(attempt).collect();
        (!self.is_raw && !parts.is_empty()).then(|| parts.join(", "))
    }
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
    let steps = record.steps.iter().filter(|step| wanted.address.as_ref().is_none_or(|only| only.has(step)));
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
            let mark = wanted.mark(step, attempt);
            let (step, attempt) = (step.step.clone(), attempt.attempt);
            Some(Source { step, effect, attempt, folder, preset, head, mark })
        })
        .collect()
}

/// Prints what is there.
fn print_all(
    source: &Source,
    voice: &mut Voice,
    wanted: &Wanted,
    printer: &mut Printer,
    now: Timestamp,
) -> Result<(), CliError> {
    let is_wanted = |stream: Stream| wanted.has(stream);
    printer.print_head(&source.step, &voice.head(source))?;
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

/// Prints what is there of an attempt that may still be at work, and says whether it has ended.
fn print_what_is_there(
    source: &Source,
    follower: &mut Follower,
    voice: &mut Voice,
    wanted: &Wanted,
    printer: &mut Printer,
    now: Timestamp,
) -> Result<bool, CliError> {
    // An attempt may write faster than this reads: the others are not to wait for its end.
    let there: u64 = Stream::BOTH.into_iter().map(|stream| stream_size(&source.folder, stream)).sum();
    let mut read = 0;
    printer.print_head(&source.step, &voice.head(source))?;
    while read <= there {
        match follower.next(Duration::ZERO)? {
            Follow::Output(chunks) => {
                read += chunks.iter().map(|chunk| chunk.bytes.len() as u64).sum::<u64>();
                for chunk in chunks.into_iter().filter(|chunk| wanted.has(chunk.stream)) {
                    printer.print(&source.step, &voice.say(chunk, now))?;
                }
            }
            Follow::Nothing => return Ok(false),
            Follow::Ended => {
                if wanted.has(Stream::Stdout) {
                    printer.print(&source.step, &voice.end(now))?;
                }
                printer.finish_step(&source.step)?;
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// Follows every attempt until the run has ended, whoever owns it meanwhile. `past` is all that the run did so far.
async fn follow(
    store: &Store,
    past: &RunRecord,
    wanted: &Wanted,
    printer: &mut Printer,
) -> Result<Exit, CliError> {
    let run = past.run;
    let mut live = LiveRun::open(store, run).await?;
    let (send, mut incoming) = mpsc::channel(WAITING_MAX);
    let mut send = Some(send);
    let mut known = BTreeSet::new();
    let mut tellers: BTreeMap<StepId, Told> = BTreeMap::new();
    // What is followed lets go of old cycles.
    let mut past = Some(past);
    loop {
        if let Some(sender) = &send {
            let is_first_round = past.is_some();
            let records = past.take().into_iter().chain([&live.record]);
            let mut new: Vec<Source> = records.flat_map(|record| sources(store, record, wanted)).collect();
            new.retain(|source| known.insert(source.folder.clone()));
            let spoken = spoken(store, run, wanted, &new).await?;
            for source in new {
                let live_from = stream_size(&source.folder, Stream::Stdout);
                let cwd = live.record.cwd.as_deref();
                let mut voice = Voice::of(&source, spoken.as_ref(), cwd, live_from, &wanted.secrets);
                let mut begun = None;
                if is_first_round {
                    let mut follower = Follower::open(&source.folder, 0)?;
                    let now = store.clock().wall();
                    if print_what_is_there(&source, &mut follower, &mut voice, wanted, printer, now)? {
                        continue;
                    }
                    begun = Some(follower);
                }
                let (sender, only, clock) = (sender.clone(), wanted.stream, store.clock().clone());
                let step = source.step.clone();
                let teller = Teller { source, only, sender, clock };
                let teller = teller.start(begun, voice, tellers.remove(&step));
                tellers.insert(step, teller);
            }
            if printer.tail.is_some() {
                // A line that has not ended is one of the last ones.
                printer.finish_sanitizers()?;
            }
            printer.print_tail()?;
        }
        if live.record.status.is_ended() {
            send = None;
        }
        tokio::select! {
            read = incoming.recv() => match read {
                Some(Read::Bytes(step, bytes)) => printer.print(&step, &bytes)?,
                Some(Read::Head(step, bytes)) => printer.print_head(&step, &bytes)?,
                Some(Read::Ended(step)) => printer.finish_step(&step)?,
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
fn stream_size(folder: &Utf8Path, stream: Stream) -> u64 {
    std::fs::symlink_metadata(folder.join(stream.file_name())).map_or(0, |file| file.len())
}

/// Is closed once an attempt was told to its end.
type Told = Receiver<()>;

/// Tells what one attempt says.
struct Teller {
    source: Source,
    only: Option<Stream>,
    sender: mpsc::Sender<Read>,
    clock: Arc<dyn Clock>,
}

impl Teller {
    /// Tells once the attempt of the step before it was told, so that the two do not mix. It ends with the attempt, or
    /// when nobody listens any more.
    fn start(self, begun: Option<Follower>, voice: Voice, before: Option<Told>) -> Told {
        let (telling, told) = std::sync::mpsc::channel();
        drop(tokio::task::spawn_blocking(move || {
            // Nothing is ever sent: the other end goes with its teller.
            if before.is_some_and(|told| told.recv_timeout(SPOOL_PATIENCE) == Err(RecvTimeoutError::Timeout))
            {
                tracing::debug!("an attempt before goes on without an end");
            }
            self.follow(begun, voice);
            drop::<Sender<()>>(telling);
        }));
        told
    }

    /// What `begun` has read was told already, as was what stands above it.
    fn follow(&self, begun: Option<Follower>, mut voice: Voice) {
        let mut follower = match begun {
            Some(begun) => begun,
            None => {
                let opened = match Follower::open(&self.source.folder, 0) {
                    Ok(opened) => opened,
                    Err(error) => return self.tell(Read::Failed(error.into())),
                };
                self.tell_head(voice.head(&self.source));
                opened
            }
        };
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
                    return self.tell(Read::Ended(self.source.step.clone()));
                }
                Err(error) => return self.tell(Read::Failed(error.into())),
            }
        }
    }

    fn tell_head(&self, bytes: Vec<u8>) {
        if !bytes.is_empty() {
            self.tell(Read::Head(self.source.step.clone(), bytes));
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

/// Prints what steps wrote, of several steps line by line behind the step's name.
///
/// It is text for people, in a terminal and elsewhere: what a step prints is not to move the cursor, set titles or answer
/// for the person in front of it, and a progress bar is what it was last. `--raw` gives the bytes as they are, but not to a
/// terminal.
#[derive(Debug)]
struct Printer {
    prefixes: bool,
    /// What makes text of bytes, for each step; none where they are given as they are.
    sanitizers: Option<BTreeMap<StepId, Sanitizer>>,
    colours: Colours,
    lines: Lines,
    /// The last lines of what came, where no others are wanted.
    tail: Option<LastLines>,
    /// A line has begun and not ended.
    is_within_line: bool,
}

impl Printer {
    fn new(context: &Context, wanted: &Wanted, tail: Option<LastLines>) -> Printer {
        let is_terminal = output::stdout().is_terminal();
        Printer {
            prefixes: wanted.address.as_ref().is_none_or(|address| !address.is_leaf()),
            sanitizers: (is_terminal || !wanted.is_raw).then(BTreeMap::new),
            colours: if context.style.color { Colours::Any } else { Colours::None },
            lines: Lines::default(),
            tail,
            is_within_line: false,
        }
    }

    /// Prints what stands above what follows, on a line of its own.
    fn print_head(&mut self, step: &StepId, bytes: &[u8]) -> Result<(), CliError> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.finish_step(step)?;
        if self.is_within_line && !self.prefixes {
            self.put(b"\n")?;
        }
        self.print(step, bytes)
    }

    fn print(&mut self, step: &StepId, bytes: &[u8]) -> Result<(), CliError> {
        let Some(sanitizers) = &mut self.sanitizers else { return self.put_of(step, bytes) };
        let colours = self.colours;
        let new = || Sanitizer::new(colours, Moves::Obeyed);
        let mut text = String::new();
        sanitizers.entry(step.clone()).or_insert_with(new).take(bytes, &mut text);
        self.put_of(step, text.as_bytes())
    }

    /// Puts what a step wrote, behind its name where several write.
    fn put_of(&mut self, step: &StepId, bytes: &[u8]) -> Result<(), CliError> {
        if !self.prefixes {
            return self.put(bytes);
        }
        let lines = self.lines.take(step, bytes);
        self.put(&lines)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), CliError> {
        let Some(last) = bytes.last() else { return Ok(()) };
        self.is_within_line = *last != b'\n';
        match &mut self.tail {
            Some(tail) => {
                tail.push(bytes);
                Ok(())
            }
            None => self.write(bytes),
        }
    }

    fn write(&self, bytes: &[u8]) -> Result<(), CliError> {
        match self.sanitizers {
            Some(_) => output::put_sanitized(&String::from_utf8_lossy(bytes)),
            None => output::put_bytes(bytes),
        }
    }

    /// Prints the last lines of what came, and from now on all that comes.
    fn print_tail(&mut self) -> Result<(), CliError> {
        match self.tail.take() {
            Some(tail) => self.write(&tail.into_bytes()),
            None => Ok(()),
        }
    }

    /// Prints the lines that the sanitizers hold because they have not ended.
    fn finish_sanitizers(&mut self) -> Result<(), CliError> {
        for (step, mut sanitizer) in self.sanitizers.as_mut().map(std::mem::take).unwrap_or_default() {
            let mut text = String::new();
            sanitizer.finish(&mut text);
            self.put_of(&step, text.as_bytes())?;
        }
        Ok(())
    }

    /// Prints what waits of a step's last line: what follows is of something else.
    fn finish_step(&mut self, step: &StepId) -> Result<(), CliError> {
        if let Some(mut sanitizer) = self.sanitizers.as_mut().and_then(|sanitizers| sanitizers.remove(step)) {
            let mut text = String::new();
            sanitizer.finish(&mut text);
            self.put_of(step, text.as_bytes())?;
        }
        let line = self.lines.end(step);
        self.put(&line)
    }

    /// Prints lines that have not ended.
    fn finish(&mut self) -> Result<(), CliError> {
        self.finish_sanitizers()?;
        let lines = self.lines.finish();
        self.put(&lines)
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

    /// Gives what still waits of a step, with an end.
    fn end(&mut self, step: &StepId) -> Vec<u8> {
        let rest = self.begun.remove(step).unwrap_or_default();
        let mut out = if rest.is_empty() { Vec::new() } else { self.named(step, &rest) };
        if self.open.as_ref() == Some(step) {
            self.open = None;
            out.push(b'\n');
        }
        out
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
