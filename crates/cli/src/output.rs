//! Results go to stdout, everything else to stderr.
//!
//! These functions and [`Outlet`](crate::ui) are the only ways out of this program, and nothing passes them that a terminal
//! would act on: text passes the sanitizer, JSON has escapes, and bytes that are meant for programs reach a terminal as text.

use std::error::Error;
use std::io::{self, ErrorKind, IsTerminal, Stderr, Stdout, Write};

use backstay_model::Coded;
use serde::Serialize;

use crate::context::Context;
use crate::error::CliError;
use crate::ui::{self, Colours, Moves, Sanitizer};
use crate::warning::WarningLine;

/// The schema version of every JSON document that has none of its own.
pub(crate) const JSON_SCHEMA: u32 = 1;

/// The variable that says what is logged to stderr, such as `info`; every event is logged where it is set.
pub(crate) const LOG_VARIABLE: &str = "BACKSTAY_LOG";

/// A JSON document with its schema version in front.
#[derive(Debug, Serialize)]
pub(crate) struct Document<T> {
    schema: u32,
    #[serde(flatten)]
    body: T,
}

impl<T> Document<T> {
    /// Puts the version in front of `body`.
    pub(crate) fn new(body: T) -> Document<T> {
        Document { schema: JSON_SCHEMA, body }
    }
}

/// Standard output.
#[expect(clippy::disallowed_methods, reason = "what is printed passes here")]
pub(crate) fn stdout() -> Stdout {
    io::stdout()
}

/// Standard error.
#[expect(clippy::disallowed_methods, reason = "what is printed passes here")]
pub(crate) fn stderr() -> Stderr {
    io::stderr()
}

/// Our own colours, where somebody may see them.
fn own_colours(stream: &impl IsTerminal) -> Colours {
    if stream.is_terminal() { Colours::Own } else { Colours::None }
}

/// Writes a part of the result: text for people, which begins and ends with lines.
pub(crate) fn put(text: &str) -> Result<(), CliError> {
    write_out(ui::words(text, own_colours(&stdout())).as_bytes())
}

/// Writes bytes for programs: as they are, but into a terminal as text.
pub(crate) fn put_bytes(bytes: &[u8]) -> Result<(), CliError> {
    if !stdout().is_terminal() {
        return write_out(bytes);
    }
    let (mut sanitizer, mut text) = (Sanitizer::new(Colours::None, Moves::Shown), String::new());
    sanitizer.take(bytes, &mut text);
    sanitizer.finish(&mut text);
    write_out(text.as_bytes())
}

/// Writes what has passed a [`Sanitizer`].
pub(crate) fn put_sanitized(text: &str) -> Result<(), CliError> {
    write_out(text.as_bytes())
}

fn write_out(bytes: &[u8]) -> Result<(), CliError> {
    let mut out = stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).map_err(written)
}

/// Why something could not be written to stdout.
pub(crate) fn written(error: std::io::Error) -> CliError {
    match error.kind() {
        ErrorKind::BrokenPipe => CliError::OutputClosed,
        _ => CliError::Output(error),
    }
}

/// Writes a line of the result.
pub(crate) fn line(text: &str) -> Result<(), CliError> {
    put(&format!("{text}\n"))
}

/// Writes a JSON document that a person may read.
pub(crate) fn json<T: Serialize>(value: &T) -> Result<(), CliError> {
    json_text(serde_json::to_string_pretty(value)?)
}

/// Writes a JSON document on one line.
pub(crate) fn json_line<T: Serialize>(value: &T) -> Result<(), CliError> {
    json_text(serde_json::to_string(value)?)
}

fn json_text(document: String) -> Result<(), CliError> {
    write_out(format!("{}\n", ui::json(document)).as_bytes())
}

/// Says something that is no result.
pub(crate) fn note(text: &str) {
    say(&ui::folded(&format!("{text}\n"), note_columns()), Colours::None);
}

/// Columns that a line of a note may take.
pub(crate) fn note_columns() -> usize {
    let size = rustix::termios::tcgetwinsize(stderr()).ok();
    // A terminal that does not tell its size is one of 0 columns.
    size.map(|size| usize::from(size.ws_col)).filter(|columns| *columns > 0).unwrap_or(usize::MAX)
}

/// Says lines that are no result. Where stderr is closed or full nothing is said: what this program works on goes on.
fn say(lines: &str, colours: Colours) {
    if stderr().write_all(ui::words(lines, colours).as_bytes()).is_err() {
        // Nobody reads stderr; there is nowhere else to say it.
    }
}

/// Answers arguments that are not understood, or that ask for help.
pub(crate) fn answer(answer: &clap::Error, is_painted: bool) -> Result<(), CliError> {
    let text = answer.render();
    let shown = |stream: &dyn Fn() -> bool| {
        if is_painted && stream() { text.ansi().to_string() } else { text.to_string() }
    };
    if answer.use_stderr() {
        let text = shown(&|| stderr().is_terminal());
        // The codes of colours count as well, so that a line breaks early, never late.
        say(&ui::folded(&text, note_columns()), own_colours(&stderr()));
        return Ok(());
    }
    put(&shown(&|| stdout().is_terminal()))
}

/// Says what went wrong, why, and the way out.
pub(crate) fn report(error: &CliError) {
    if matches!(error, CliError::OutputClosed) {
        return;
    }
    note(&describe(error));
}

/// An error of another crate with its causes, in a line.
pub(crate) fn describe_any(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        text.push_str(&format!(": {source}"));
        cause = source.source();
    }
    text
}

/// An error as a person reads it.
pub(crate) fn describe(error: &CliError) -> String {
    let mut text = format!("error {} {error}", error.code());
    let mut cause = error.source();
    while let Some(source) = cause {
        text.push_str(&format!("\n  because {source}"));
        cause = source.source();
    }
    if let Some(hint) = error.hint() {
        text.push_str(&format!("\n  = {hint}"));
    }
    text
}

/// Where `tracing` writes: it takes everything, for nothing that is logged is a reason to end.
struct Log;

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        say(&ui::folded(&String::from_utf8_lossy(bytes), note_columns()), Colours::None);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Lets `tracing` write to stderr what BACKSTAY_LOG asks for. Without it only warnings, in words for people: those who asked
/// for a log get times and the parts of the program that speak.
pub(crate) fn start_tracing(context: &Context) {
    let wanted = context.env.get(LOG_VARIABLE);
    let filter = tracing_subscriber::EnvFilter::try_new(wanted.map_or("warn", String::as_str))
        .unwrap_or_else(|_not_a_filter| tracing_subscriber::EnvFilter::new("warn"));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| Log)
        .log_internal_errors(false)
        .with_ansi(false);
    match wanted {
        Some(_) => log.init(),
        None => log.event_format(WarningLine).init(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_shows_its_code_its_causes_and_the_way_out() {
        let source = std::io::Error::new(ErrorKind::NotFound, "no such file");
        let error = CliError::ReadFile { path: "a/b.yaml".into(), source };
        assert_eq!(
            describe(&error),
            "error BKS-C016 a/b.yaml cannot be read\n  because no such file\n  = check the path and its permissions"
        );
    }

    #[test]
    fn a_document_begins_with_its_schema() {
        #[derive(Serialize)]
        struct Body {
            run: u32,
        }
        let text = serde_json::to_string(&Document::new(Body { run: 7 })).unwrap();
        assert_eq!(text, r#"{"schema":1,"run":7}"#);
    }
}
