//! The reader of one stream.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::event::{AgentEvent, Observed};
use super::lines::{LINE_BYTES_MAX, Lines};
use super::rules::LineRules;
use super::what::Folder;
use super::{claude, codex, gemini, opencode, rules};
use crate::trouble::Patterns;

/// The form in which an agent tells what it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StreamFormat {
    /// It tells nothing that can be parsed: its output is text.
    Text,
    /// `codex exec --json`.
    Codex,
    /// `claude --output-format stream-json --verbose`.
    Claude,
    /// `gemini --output-format stream-json`.
    Gemini,
    /// `opencode run --format json`.
    Opencode,
    /// Lines of JSON that are read by rules.
    JsonLines,
}

/// What a reader has met. None of it is an error: agents change faster than their readers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Lines that had something in them.
    pub lines: u64,
    /// Lines that are no JSON of the expected form.
    pub malformed: u64,
    /// Lines of a kind that this reader does not know.
    pub unknown: u64,
    /// Lines beyond [`LINE_BYTES_MAX`].
    pub overlong: u64,
}

/// Reads one stream, in chunks as they come. Every line is understood by itself, so that a reader may begin at any
/// [`Observed::spool_end`] and gives exactly the events that the first one would have given from there.
#[derive(Debug)]
pub struct Reader {
    format: StreamFormat,
    context: Context,
    lines: Lines,
    counts: Counts,
}

/// What the parsers of lines may know beside the line.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) patterns: Patterns,
    pub(super) folder: Folder,
    /// The rules of [`StreamFormat::JsonLines`].
    rules: LineRules,
}

/// What became of a line.
#[derive(Debug, PartialEq)]
pub(super) enum Parsed {
    /// Its kind is known; it may still say nothing of interest.
    Known(Vec<AgentEvent>),
    /// A kind that the reader does not know.
    Unknown,
}

impl Reader {
    /// A reader that begins at the offset `from` of the spool: 0, or the `spool_end` of the last event that is kept.
    /// `patterns` are the preset's, for errors that have no better sign than their text.
    #[must_use]
    pub fn new(format: StreamFormat, patterns: Patterns, from: u64) -> Reader {
        let context = Context { patterns, folder: Folder::default(), rules: LineRules::default() };
        Reader { format, context, lines: Lines::at(from, LINE_BYTES_MAX), counts: Counts::default() }
    }

    /// The same, and [`StreamFormat::JsonLines`] are read by `rules`.
    #[must_use]
    pub fn by_rules(mut self, rules: &LineRules) -> Reader {
        self.context.rules = rules.clone();
        self
    }

    /// The same, and paths in one-line texts are shown from `folder`.
    #[must_use]
    pub fn in_folder(mut self, folder: &str) -> Reader {
        self.context.folder = Folder(Some(folder.to_owned()));
        self
    }

    /// Takes the next bytes and gives the events of the lines that they complete.
    pub fn feed(&mut self, bytes: &[u8]) -> Vec<Observed> {
        let Reader { format, context, lines, counts } = self;
        let mut observed = Vec::new();
        lines.feed(bytes, |line, end| read(*format, context, line, end, counts, &mut observed));
        observed
    }

    /// The stream has ended: gives the events of a last line without an end.
    pub fn end(&mut self) -> Vec<Observed> {
        let Reader { format, context, lines, counts } = self;
        let mut observed = Vec::new();
        lines.end(|line, end| read(*format, context, line, end, counts, &mut observed));
        observed
    }

    /// What this reader has met so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts { overlong: self.lines.overlong(), ..self.counts }
    }

    /// Where in the stream the last line was found that is longer than [`LINE_BYTES_MAX`]; 0 without one.
    #[must_use]
    pub fn overlong_at(&self) -> u64 {
        self.lines.overlong_at()
    }
}

fn read(
    format: StreamFormat,
    context: &Context,
    line: &[u8],
    spool_end: u64,
    counts: &mut Counts,
    observed: &mut Vec<Observed>,
) {
    let line = String::from_utf8_lossy(line);
    let line = line.trim();
    if format == StreamFormat::Text {
        let event = match context.patterns.end_by_text(line) {
            None => return,
            Some(true) => AgentEvent::done(None),
            Some(false) => AgentEvent::failed(Some(line.to_owned())),
        };
        observed.push(Observed { spool_end, event });
        return;
    }
    if line.is_empty() {
        return;
    }
    counts.lines += 1;
    // A key that stands twice is no reason to refuse a line: the last one counts.
    let parsed = serde_json::from_str::<Value>(line).and_then(|line| match format {
        StreamFormat::Text => Ok(Parsed::Known(Vec::new())),
        StreamFormat::Codex => codex::parse(line, context),
        StreamFormat::Claude => claude::parse(line, context),
        StreamFormat::Gemini => gemini::parse(line, context),
        StreamFormat::Opencode => opencode::parse(line, context),
        StreamFormat::JsonLines => rules::parse(&line, &context.rules, context),
    });
    match parsed {
        Ok(Parsed::Known(events)) => {
            observed.extend(events.into_iter().map(|event| Observed { spool_end, event }));
        }
        // A newer program tells what this reader has no words for: it is at work all the same.
        Ok(Parsed::Unknown) => {
            counts.unknown += 1;
            observed.push(Observed { spool_end, event: AgentEvent::Working });
        }
        Err(_not_of_this_form) => counts.malformed += 1,
    }
}
