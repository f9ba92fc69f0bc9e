//! Diagnostics: the place, the error and the way to correct it.

use std::fmt;
use std::ops::Range;

use backstay_model::Code;
use serde::{Serialize, Serializer};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// The severity of a diagnostic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The file has no plan.
    Error,
    /// The file has a plan, which may not do what its author meant.
    Warning,
}

/// A change of the file that corrects it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fix {
    /// The bytes of the file that it replaces.
    pub range: Range<usize>,
    /// The text in their place.
    pub replacement: String,
}

/// The reaction of `check --fix` to a diagnostic.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Repair {
    /// No edit is known.
    #[default]
    Unknown,
    /// It makes this edit. The file was read with the edit: one value changes, to the text that the author wrote.
    Edit(Fix),
    /// It leaves the file as it is, although an edit is known.
    Withheld(Withheld),
}

/// The reason why an edit is not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Withheld {
    /// The words behind ` #` may belong to the text, or be a comment.
    MayBeComment,
    /// `*name` may be a text, or the alias of an anchor that is missing.
    MayBeAlias,
    /// Tabs of different widths make different workflows.
    TabWidth,
    /// With the edit, more than this value would change.
    ChangesMore,
    /// The file cannot be read with the edit.
    Unreadable,
}

impl fmt::Display for Withheld {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Withheld::MayBeComment => "the words behind ` #` may be a comment",
            Withheld::MayBeAlias => "an alias may be meant",
            Withheld::TabWidth => "tabs of different widths would make different workflows",
            Withheld::ChangesMore => "more than this value would change",
            Withheld::Unreadable => "the file could not be read afterwards",
        })
    }
}

/// One error or warning about a workflow file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// Whether the file is refused.
    pub severity: Severity,
    /// The stable code; see [`crate::codes`].
    #[serde(serialize_with = "code_text")]
    pub code: Code,
    /// The error, in a few words.
    pub message: String,
    /// The path of the file, as the user gave it.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// The bytes of the file that it is about.
    pub range: Range<usize>,
    /// The text at the caret.
    pub note: Option<String>,
    /// The way to correct it.
    pub hint: Option<String>,
    /// The reaction of `check --fix`.
    pub repair: Repair,
}

fn code_text<S: Serializer>(code: &Code, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(code)
}

/// The first byte of each line of a text.
pub(crate) struct Lines {
    starts: Vec<usize>,
}

impl Lines {
    pub(crate) fn new(text: &str) -> Lines {
        let starts = text.match_indices('\n').map(|(at, _)| at + 1);
        Lines { starts: std::iter::once(0).chain(starts).collect() }
    }

    /// The number of the line, from 1, in which the byte `offset` stands.
    pub(crate) fn line(&self, offset: usize) -> usize {
        self.starts.partition_point(|start| *start <= offset)
    }

    /// The first byte of the line in which the byte `offset` stands.
    pub(crate) fn start(&self, offset: usize) -> usize {
        self.starts[self.line(offset) - 1]
    }
}

impl Diagnostic {
    /// The edit that `check --fix` makes.
    #[must_use]
    pub fn edit(&self) -> Option<&Fix> {
        match &self.repair {
            Repair::Edit(fix) => Some(fix),
            Repair::Unknown | Repair::Withheld(_) => None,
        }
    }

    /// The diagnostic as a person reads it on a screen of `columns`, with the line of `text` that it is about. Sentences
    /// are not broken; what is drawn below each other fits.
    #[must_use]
    pub fn render(&self, text: &str, columns: usize) -> String {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let place = format!("{}:{}:{}", self.file, self.line, self.column);
        let number = self.line.to_string();
        let margin = " ".repeat(number.len());
        let mut out = headed(&format!("{severity} {} {}", self.code, self.message), &place, &margin, columns);
        let before = text.get(..self.range.start).unwrap_or(text);
        let start = before.rfind('\n').map_or(0, |at| at + 1);
        if let Some(line) = text[start..].lines().next() {
            let left = line.chars().count().saturating_sub(self.column - 1).max(1);
            let length = text
                .get(self.range.clone())
                .map_or(1, |part| crate::text::line(part).chars().count().clamp(1, left));
            let room = columns.saturating_sub(margin.len() + BAR.width());
            let Excerpt { shown, before, carets } = excerpt(line, self.column - 1, length, room);
            out.push_str(&format!("{number}{BAR}{shown}\n{margin}{BAR}{}", " ".repeat(before)));
            out.push_str(&"^".repeat(carets));
            match &self.note {
                Some(note) if before + carets + 1 + note.width() <= room => {
                    out.push_str(&format!(" {note}\n"))
                }
                Some(note) => out.push_str(&format!("\n{margin} = {note}\n")),
                None => out.push('\n'),
            }
        }
        if let Some(hint) = &self.hint {
            let fixable =
                if matches!(self.repair, Repair::Edit(_)) { "          (backstay check --fix)" } else { "" };
            out.push_str(&format!("{margin} = {hint}{fixable}\n"));
        }
        if let Repair::Withheld(why) = self.repair {
            out.push_str(&format!("{margin} = `check --fix` leaves it: {why}\n"));
        }
        out
    }
}

/// What stands between the number of a line and the line.
const BAR: &str = " | ";

/// The head of a diagnostic with its place at the right edge, or in a line of its own where there is no room.
fn headed(head: &str, place: &str, margin: &str, columns: usize) -> String {
    const EDGE: usize = 92;
    const GAP_MIN: usize = 2;
    let used = head.width() + place.width();
    if used + GAP_MIN > columns {
        return format!("{head}\n{margin}--> {place}\n");
    }
    let gap = columns.min(EDGE).saturating_sub(used).max(GAP_MIN);
    format!("{head}{}{place}\n", " ".repeat(gap))
}

/// The part of a line that is shown; `before` and `carets` are columns.
struct Excerpt {
    shown: String,
    before: usize,
    carets: usize,
}

/// Of a line the part around the `length` characters behind the first `at`, in at most `room` columns.
fn excerpt(line: &str, at: usize, length: usize, room: usize) -> Excerpt {
    const COLUMNS_MAX: usize = 120;
    const COLUMNS_MIN: usize = 16;
    let room = room.clamp(COLUMNS_MIN, COLUMNS_MAX);
    let characters: Vec<char> = line.chars().map(|c| if c == '\t' { ' ' } else { c }).collect();
    let width = |part: &[char]| part.iter().map(|c| c.width().unwrap_or(0)).sum::<usize>();
    let is_cut = width(&characters) > room;
    // Both ends may get a mark. A part of what stands before goes first, then what is meant, then what follows.
    let room = if is_cut { room - 2 } else { room };
    let mut from = at.min(characters.len());
    let mut used = 0;
    let mut grown_by = |c: &char, limit: usize| {
        let grown = used + c.width().unwrap_or(0);
        let fits = grown <= limit;
        used = if fits { grown } else { used };
        fits
    };
    let before_max = if is_cut { room * 2 / 5 } else { room };
    while from > 0 && grown_by(&characters[from - 1], before_max) {
        from -= 1;
    }
    let mut until = at.min(characters.len());
    while until < characters.len() && grown_by(&characters[until], room) {
        until += 1;
    }
    while from > 0 && grown_by(&characters[from - 1], room) {
        from -= 1;
    }
    let mark = |is_cut: bool| if is_cut { "…" } else { "" };
    let shown: String = characters[from..until].iter().collect();
    let meant = at.min(until)..(at + length).min(until);
    Excerpt {
        shown: format!("{}{shown}{}", mark(from > 0), mark(until < characters.len())),
        before: width(&characters[from..meant.start]) + usize::from(from > 0),
        carets: width(&characters[meant]).max(1),
    }
}

/// A text with edits made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fixed {
    /// The text.
    pub text: String,
    /// How many edits were made.
    pub edits: usize,
}

/// Makes every edit of `diagnostics` in `text`, except one that overlaps an edit before it.
#[must_use]
pub fn apply_fixes(text: &str, diagnostics: &[Diagnostic]) -> Fixed {
    let mut fixes: Vec<&Fix> = diagnostics.iter().filter_map(Diagnostic::edit).collect();
    fixes.sort_by_key(|fix| (fix.range.start, fix.range.end));
    let mut fixed = Fixed { text: String::with_capacity(text.len()), edits: 0 };
    let mut copied = 0;
    for fix in fixes {
        let Some(between) = text.get(copied..fix.range.start) else { continue };
        if text.get(fix.range.clone()).is_none() {
            continue;
        }
        fixed.text.push_str(between);
        fixed.text.push_str(&fix.replacement);
        fixed.edits += 1;
        copied = fix.range.end;
    }
    fixed.text.push_str(&text[copied..]);
    fixed
}

/// The one of `known` that is nearest to `name`, if one is near.
#[must_use]
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let length = name.chars().count();
    let near = length.div_ceil(3).max(1);
    let name = name.to_lowercase();
    known
        .into_iter()
        .filter(|candidate| candidate.chars().count().abs_diff(length) <= near)
        .map(|candidate| (distance(&name, candidate), candidate))
        .filter(|(distance, _)| *distance <= near)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Edits between two words: insertions, deletions, replacements.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (index, character) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = index + 1;
        for (column, other) in right.iter().enumerate() {
            let replaced = diagonal + usize::from(character != *other);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(row[column] + 1).min(row[column + 1] + 1);
        }
    }
    row[right.len()]
}

/// `text` as a YAML string in quotes.
pub(crate) fn quoted(text: &str) -> String {
    if text.contains(['"', '\\']) { format!("'{}'", text.replace('\'', "''")) } else { format!("\"{text}\"") }
}

/// `a`, `b` and `c` in backticks.
pub(crate) fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names.into_iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
