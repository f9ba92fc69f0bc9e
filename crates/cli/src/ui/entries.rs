//! What a step said, in lines for people: the last of it, however much it is.

use std::collections::VecDeque;

use backstay_model::event::{AgentSaid, Said};
use backstay_model::{Attempt, Text};

use super::line::width;
use super::time::duration;
use super::{Colours, Line, Moves, Paint, Sanitizer, one_line};

/// Entries that are kept.
const ENTRIES_MAX: usize = 20_000;
/// Bytes of text that are kept.
const BYTES_MAX: usize = 16 << 20;
/// Bytes that are made lines of at once.
const CHUNK_BYTES: usize = 16 << 10;
/// Columns between two tabs.
const TAB_COLUMNS: usize = 8;
/// Columns in front of every line.
const INDENT: usize = 3;

/// One thing that was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    paint: Paint,
    /// It may have several lines.
    text: String,
    /// What stands at the right edge.
    right: String,
    /// The tool's call that it is, or that it is a message that more may follow.
    open: Open,
}

/// What may be added to an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Open {
    Nothing,
    Message,
    Call(String),
}

impl Entry {
    /// A line that nothing is added to.
    pub(crate) fn plain(paint: Paint, text: impl Into<String>) -> Entry {
        Entry { paint, text: text.into(), right: String::new(), open: Open::Nothing }
    }

    /// The entry on a screen: as many lines as it takes, none wider than `columns`.
    pub(crate) fn lines(&self, columns: usize) -> Vec<Line> {
        let beside = if self.right.is_empty() { 0 } else { width(&self.right) + 2 };
        let room = columns.saturating_sub(INDENT + beside).max(1);
        let mut lines: Vec<Line> = self
            .text
            .lines()
            .flat_map(|line| broken(&expanded(line), room))
            .map(|part| Line::of(Paint::Plain, " ".repeat(INDENT)).with(self.paint, part))
            .collect();
        if lines.is_empty() {
            lines.push(Line::default());
        }
        let first = lines.remove(0).with_right(columns, Paint::Dim, &self.right);
        lines.insert(0, first);
        lines
    }
}

/// The last of what was said.
#[derive(Debug)]
pub(crate) struct Entries {
    kept: VecDeque<Entry>,
    size_bytes: usize,
    dropped: u64,
    /// Makes lines of bytes.
    sanitizer: Sanitizer,
    attempt: Option<Attempt>,
}

impl Default for Entries {
    fn default() -> Entries {
        let sanitizer = Sanitizer::new(Colours::None, Moves::Obeyed);
        Entries { kept: VecDeque::new(), size_bytes: 0, dropped: 0, sanitizer, attempt: None }
    }
}

impl Entries {
    /// Those that are kept, the last one last.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &Entry> {
        self.kept.iter()
    }

    /// How many came before those that are kept.
    pub(crate) const fn dropped(&self) -> u64 {
        self.dropped
    }

    /// A line that has not ended, if there is one.
    pub(crate) fn unfinished(&self) -> Option<Entry> {
        let text = self.sanitizer.unfinished();
        (!text.is_empty()).then(|| Entry::plain(Paint::Plain, text))
    }

    /// Adds an entry.
    pub(crate) fn push(&mut self, entry: Entry) {
        self.size_bytes += entry.text.len();
        self.kept.push_back(entry);
        while self.kept.len() > ENTRIES_MAX || self.size_bytes > BYTES_MAX {
            let Some(first) = self.kept.pop_front() else { return };
            self.size_bytes -= first.text.len().min(self.size_bytes);
            self.dropped += 1;
        }
    }

    /// Adds what a process wrote. Nothing of it reaches the terminal that this would act on. A line that is longer than any
    /// screen is broken.
    pub(crate) fn wrote(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(CHUNK_BYTES) {
            let mut lines = String::new();
            self.sanitizer.take(chunk, &mut lines);
            for line in lines.lines() {
                self.push(Entry::plain(Paint::Plain, line));
            }
        }
    }

    /// Adds what an agent said or did. `whole` is the text of a message that is stored elsewhere.
    pub(crate) fn said(&mut self, said: &AgentSaid, whole: Option<&str>) {
        if self.attempt.is_some_and(|attempt| attempt != said.attempt) {
            self.push(Entry::plain(Paint::Dim, format!("── try {}", said.attempt)));
        }
        self.attempt = Some(said.attempt);
        match &said.what {
            Said::Message { text, line, piece } => {
                let text = whole.unwrap_or_else(|| inline(text).unwrap_or(line));
                self.message(text, *piece);
            }
            Said::ToolStarted { call, line, .. } => {
                self.push(Entry { open: Open::Call(call.clone()), ..Entry::plain(Paint::Dim, line) })
            }
            Said::ToolFinished { call, ok, duration_ms } => self.finish(call, *ok, *duration_ms),
            Said::Limit { message, .. }
            | Said::LoginNeeded { message }
            | Said::Refused { message }
            | Said::NetworkTrouble { message }
            | Said::Error { message } => {
                self.push(Entry::plain(Paint::Warn, message));
            }
            Said::TurnEnded { ok: false, failure: Some(failure) } => {
                self.push(Entry::plain(Paint::Bad, failure));
            }
            Said::SessionStarted { .. }
            | Said::Thought { .. }
            | Said::FilesTouched { .. }
            | Said::Usage(_)
            | Said::TurnEnded { .. } => {}
        }
    }

    fn message(&mut self, text: &str, is_piece: bool) {
        let open = if is_piece { Open::Message } else { Open::Nothing };
        match self.kept.back_mut().filter(|last| is_piece && last.open == Open::Message) {
            Some(last) => {
                last.text.push_str(text);
                self.size_bytes += text.len();
            }
            None => self.push(Entry {
                open,
                ..Entry::plain(Paint::Plain, if is_piece { text } else { text.trim_end() })
            }),
        }
    }

    fn finish(&mut self, call: &str, ok: Option<bool>, duration_ms: Option<u64>) {
        let is_it = |entry: &&mut Entry| matches!(&entry.open, Open::Call(its) if its == call);
        let Some(entry) = self.kept.iter_mut().rev().find(is_it) else { return };
        let took = duration_ms.map(|millis| duration(std::time::Duration::from_millis(millis)));
        let failed = (ok == Some(false)).then(|| "failed".to_owned());
        entry.right = failed.into_iter().chain(took).collect::<Vec<_>>().join("  ");
        entry.open = Open::Nothing;
        if ok == Some(false) {
            entry.paint = Paint::Warn;
        }
    }
}

fn inline(text: &Text) -> Option<&str> {
    match text {
        Text::Inline(text) => Some(text),
        Text::Blob { .. } => None,
    }
}

/// `line` with spaces for tabs, and without what would move the cursor.
fn expanded(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    for (index, part) in line.split('\t').enumerate() {
        if index > 0 {
            let column = width(&out);
            out.push_str(&" ".repeat(TAB_COLUMNS - column % TAB_COLUMNS));
        }
        out.push_str(&one_line(part));
    }
    out
}

/// `text` in parts of at most `columns`, between words where that leaves no part half empty.
fn broken(text: &str, columns: usize) -> Vec<String> {
    let mut parts = Vec::new();
    let mut rest = text;
    while !rest.is_empty() && width(rest) > columns {
        let most = super::line::cut(rest, columns);
        // A character may be wider than the screen.
        let most = if most.is_empty() { rest.chars().take(1).collect() } else { most };
        let space = most.rfind(' ').filter(|at| width(&most[..*at]) > columns / 2);
        let end = space.map_or(most.len(), |at| at + 1);
        parts.push(rest[..end].trim_end().to_owned());
        rest = &rest[end..];
    }
    if !rest.is_empty() || parts.is_empty() {
        parts.push(rest.to_owned());
    }
    parts
}

#[cfg(test)]
mod tests {
    use backstay_model::event::SaidOn;
    use backstay_model::{EffectCall, EffectId, RunId, Scope};

    use super::*;
    use crate::ui::Style;

    fn drawn(entries: &Entries, columns: usize) -> Vec<String> {
        let lines = entries.kept.iter().cloned().chain(entries.unfinished());
        let lines: Vec<Line> = lines.flat_map(|entry| entry.lines(columns)).collect();
        lines.iter().map(|line| line.render(Style::default(), columns)).collect()
    }

    #[test]
    fn what_a_process_writes_comes_as_lines_however_it_is_cut_and_acts_on_nothing() {
        let wrote =
            "one\ttwo\r\n\u{1b}[31mred\u{1b}[0m \u{1b}]0;title\u{7}ü\n10 %\r20 %\r30 %\nlast".as_bytes();
        for cut in 0..wrote.len() {
            let mut entries = Entries::default();
            entries.wrote(&wrote[..cut]);
            entries.wrote(&wrote[cut..]);
            assert_eq!(
                drawn(&entries, 40),
                ["   one     two", "   red ü", "   30 %", "   last"],
                "cut at {cut}: {entries:?}"
            );
        }
    }

    #[test]
    fn long_lines_are_broken_between_words_and_keep_their_indentation() {
        assert_eq!(broken("    if this { that }", 12), ["    if this", "{ that }"]);
        assert_eq!(broken("abcdefghij", 4), ["abcd", "efgh", "ij"]);
        assert_eq!(broken("日本語", 1), ["日", "本", "語"]);
        assert_eq!(broken("", 4), [""]);
    }

    #[test]
    fn only_the_last_of_much_is_kept() {
        let mut entries = Entries::default();
        entries.wrote("x\n".repeat(ENTRIES_MAX + 5).as_bytes());
        assert_eq!((entries.kept.len(), entries.dropped()), (ENTRIES_MAX, 5));
        entries.wrote(&vec![b'y'; BYTES_MAX * 2]);
        assert!(entries.size_bytes <= BYTES_MAX);
    }

    #[test]
    fn an_agents_pieces_make_a_message_and_a_tools_end_stands_beside_its_beginning() {
        let run: RunId = "run_01JDX7Q2ZK8VQ5T3W9M4N6P7R8".parse().unwrap();
        let effect =
            EffectId { root: run.into(), scope: Scope::step("fix".parse().unwrap()), call: EffectCall::Main };
        let said = |attempt, what| AgentSaid {
            effect: effect.clone(),
            attempt: Attempt(attempt),
            on: SaidOn::Stdout,
            spool_end: 1,
            what,
        };
        let piece = |text: &str| Said::Message { text: Text::of(text), line: text.to_owned(), piece: true };
        let call = "c1".to_owned();
        let started =
            Said::ToolStarted { call: call.clone(), name: "sh".to_owned(), line: "$ cargo test".to_owned() };
        let finished = Said::ToolFinished { call, ok: Some(false), duration_ms: Some(9_000) };
        let mut entries = Entries::default();
        for (attempt, what) in [
            (1, piece("The failing ")),
            (1, piece("test\nis two")),
            (1, started),
            (1, finished),
            (2, piece("on")),
        ] {
            entries.said(&said(attempt, what), None);
        }
        assert_eq!(
            drawn(&entries, 32),
            ["   The failing test", "   is two", "   $ cargo test       failed  9s", "   ── try 2", "   on"]
        );
    }
}
