//! The command itself, and what is read of attempts that have written all they will for now.

use std::time::Duration;

use backstay_exec::Secrets;
use backstay_exec::spool::{Follow, Follower, Stream, read_ordered};
use backstay_model::{RunId, Timestamp};
use backstay_runtime::{AgentText, Store};
use camino::Utf8Path;

use super::follow::follow;
use super::last_lines::LastLines;
use super::printer::Printer;
use super::source::{Source, sources};
use super::voice::Voice;
use super::wanted::Wanted;
use crate::address::Address;
use crate::args::{LogsArgs, StreamName};
use crate::context::Context;
use crate::error::CliError;
use crate::exit::Exit;
use crate::output;

/// Bytes that are read at once.
const PAGE_BYTES: u64 = 256 * 1024;

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
        has_times: args.timestamps,
        secrets: Secrets::of_env(&context.env),
    };
    let mut printer = Printer::new(context, &wanted, args.tail.map(LastLines::new));
    if args.follow {
        return follow(context, &store, &view.record, &wanted, &mut printer).await;
    }
    let sources = sources(&store, &view.record, &wanted);
    let spoken = spoken(&store, run, &wanted, &sources).await?;
    for source in sources {
        let cwd = view.record.cwd.as_deref();
        let mut voice = Voice::of(&source, spoken.as_ref(), cwd, u64::MAX, &wanted);
        print_all(&source, &mut voice, &wanted, &mut printer, store.clock().wall())?;
        // A last line without an end is not to wait for what others said.
        printer.finish()?;
    }
    printer.print_tail()?;
    Ok(Exit::Completed)
}

/// What is needed to read what agents said, if any of them is among `sources`.
pub(super) async fn spoken(
    store: &Store,
    run: RunId,
    wanted: &Wanted,
    sources: &[Source],
) -> Result<Option<AgentText>, CliError> {
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
            printer.print_all(&source.step, &voice.say(chunk, now)?)?;
        }
        if is_over {
            // What is at work says more later.
            if page.ended && is_wanted(Stream::Stdout) {
                printer.print_all(&source.step, &voice.end(source, now))?;
            }
            return Ok(());
        }
    }
}

/// Prints what is there of an attempt that may still be at work, and says whether it has ended.
pub(super) fn print_what_is_there(
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
                    printer.print_all(&source.step, &voice.say(chunk, now)?)?;
                }
            }
            Follow::Nothing => return Ok(false),
            Follow::Ended => {
                if wanted.has(Stream::Stdout) {
                    printer.print_all(&source.step, &voice.end(source, now))?;
                }
                printer.finish_step(&source.step)?;
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// How much is there already of what an attempt wrote; what cannot be told is read as if it were being written.
pub(super) fn stream_size(folder: &Utf8Path, stream: Stream) -> u64 {
    std::fs::symlink_metadata(folder.join(stream.file_name())).map_or(0, |file| file.len())
}
