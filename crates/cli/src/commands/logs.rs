//! `backstay logs`.

use std::collections::BTreeSet;
use std::io::IsTerminal;
use std::time::Duration;

use backstay_engine::record::RunRecord;
use backstay_exec::spool::{Follow, Follower, Stream, read_ordered};
use backstay_model::{RunId, StepId};
use backstay_runtime::Store;
use camino::Utf8PathBuf;
use tokio::sync::mpsc;

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
/// Chunks that may wait to be printed.
const WAITING_MAX: usize = 16;

/// One attempt whose streams are printed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Source {
    step: StepId,
    folder: Utf8PathBuf,
}

/// What was read.
enum Read {
    Bytes(StepId, Vec<u8>),
    Failed(CliError),
}

/// Prints what the steps of a run said, in the order in which they began.
pub(crate) async fn logs(context: &Context, args: LogsArgs) -> Result<Exit, CliError> {
    let store = context.store().await?;
    let run = context.run(&store, &args.run).await?;
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
    let wanted = Wanted { step, stream: args.stream.map(stream) };
    if args.follow {
        return follow(&store, run, &wanted, &mut printer).await;
    }
    for source in sources(&store, &view.record, &wanted) {
        print_all(&source, &wanted, &mut printer)?;
        // A last line without an end is not to wait for what others said.
        printer.finish()?;
    }
    Ok(Exit::Completed)
}

/// What is asked for.
struct Wanted {
    step: Option<StepId>,
    stream: Option<Stream>,
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
            let folder = store.folder().join(attempt.folder.as_ref()?);
            Some(Source { step: step.step.clone(), folder })
        })
        .collect()
}

fn print_all(source: &Source, wanted: &Wanted, printer: &mut Printer) -> Result<(), CliError> {
    let mut from_bytes = 0;
    loop {
        let page = read_ordered(&source.folder, from_bytes, PAGE_BYTES)?;
        if page.next_bytes == from_bytes {
            return Ok(());
        }
        from_bytes = page.next_bytes;
        for chunk in page.chunks.iter().filter(|chunk| wanted.stream.is_none_or(|only| only == chunk.stream))
        {
            printer.print(&source.step, &chunk.bytes)?;
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
            for source in sources(store, &live.record, wanted) {
                if known.insert(source.clone()) {
                    let (sender, only) = (sender.clone(), wanted.stream);
                    // It ends with the attempt, or when nobody listens any more.
                    drop(tokio::task::spawn_blocking(move || follow_one(&source, only, &sender)));
                }
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

fn follow_one(source: &Source, only: Option<Stream>, sender: &mpsc::Sender<Read>) {
    let failed = |error| Read::Failed(CliError::Spool(error));
    let mut follower = match Follower::open(&source.folder, 0) {
        Ok(follower) => follower,
        Err(error) => return tell(sender, failed(error)),
    };
    while !sender.is_closed() {
        match follower.next(SPOOL_PATIENCE) {
            Ok(Follow::Output(chunks)) => {
                for chunk in chunks.into_iter().filter(|chunk| only.is_none_or(|only| only == chunk.stream)) {
                    tell(sender, Read::Bytes(source.step.clone(), chunk.bytes));
                }
            }
            Ok(Follow::Nothing) => {}
            Ok(Follow::Ended) => return,
            Err(error) => return tell(sender, failed(error)),
        }
    }
}

fn tell(sender: &mpsc::Sender<Read>, read: Read) {
    if sender.blocking_send(read).is_err() {
        tracing::debug!("nobody reads these logs any more");
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
    begun: std::collections::BTreeMap<StepId, Vec<u8>>,
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
        if !self.prefixes {
            return output::put_bytes(bytes);
        }
        let begun = self.begun.entry(step.clone()).or_default();
        begun.extend_from_slice(bytes);
        if let Some(end) = begun.iter().rposition(|byte| *byte == b'\n') {
            let whole: Vec<u8> = begun.drain(..=end).collect();
            return output::put_bytes(&prefixed(step, &whole));
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), CliError> {
        for (step, mut rest) in std::mem::take(&mut self.begun) {
            if !rest.is_empty() {
                rest.push(b'\n');
                output::put_bytes(&prefixed(&step, &rest))?;
            }
        }
        Ok(())
    }
}

fn prefixed(step: &StepId, lines: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(lines.len() * 2);
    for line in lines.split_inclusive(|byte| *byte == b'\n') {
        out.extend_from_slice(format!("{step} | ").as_bytes());
        out.extend_from_slice(line);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_several_steps_stand_behind_their_names() {
        let step: StepId = "scan".parse().unwrap();
        assert_eq!(prefixed(&step, b"one\ntwo\n"), b"scan | one\nscan | two\n");
    }
}
