//! Text that looks like YAML and is not: the traps in it, and the text that the author meant.

use std::ops::Range;

use backstay_model::Code;

use super::comment::{Comment, comment};
use super::repair::{Edit, Intent, edited, verify, without_tabs};
use super::tree::{DEPTH_MAX, NODES_MAX, Node, ParseError, ParseErrorKind, parse};
use crate::codes;
use crate::diagnostic::{Fix, Repair, Withheld, quoted};

/// The largest number of traps in one file; the rest of the file is not read.
const TRAPS_MAX: usize = 100;
/// The largest number of bytes that are read in search of traps: each trap takes some readings of the whole file.
const READ_BYTES_MAX: usize = 32 * 1024 * 1024;
/// The widths of a tab that recovery tries.
const TAB_COLUMNS: [usize; 4] = [2, 4, 8, 1];

/// A text that YAML reads in another way than its author meant, or not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trap {
    pub(crate) code: Code,
    pub(crate) message: String,
    /// The bytes of the file that it is about.
    pub(crate) range: Range<usize>,
    pub(crate) note: Option<String>,
    pub(crate) hint: Option<String>,
    pub(crate) repair: Repair,
}

/// A text that can be read, and the replacements that made it so.
pub(crate) struct Recovered {
    /// The text.
    pub(crate) text: String,
    /// Its tree; `None` if it still can not be read.
    pub(crate) tree: Option<Node>,
    /// The traps of the file: those with a replacement, and at most one without.
    pub(crate) traps: Vec<Trap>,
    replacements: Vec<Replacement>,
}

/// A piece of the file that was replaced so that reading can go on.
#[derive(Clone, Debug)]
struct Replacement {
    /// Its bytes in the file.
    range: Range<usize>,
    text: String,
    /// The index of its trap.
    trap: usize,
    meaning: Meaning,
}

/// The author's meaning of a piece that was replaced.
#[derive(Clone, Debug)]
enum Meaning {
    /// This text.
    Text(String),
    /// An indentation with tabs.
    Indentation,
    /// The meaning is not certain.
    Doubtful(Withheld),
}

/// A trap and the edit with which the file can be read further.
struct Candidate {
    trap: Trap,
    fix: Fix,
    meaning: Meaning,
}

impl Recovered {
    /// Returns the bytes of `source`, the file, that became `range` of the recovered text: whole characters.
    pub(crate) fn original(&self, source: &str, range: &Range<usize>) -> Range<usize> {
        let start = source.floor_char_boundary(self.original_byte(range.start));
        start..source.ceil_char_boundary(self.original_byte(range.end)).max(start)
    }

    fn original_byte(&self, at: usize) -> usize {
        let mut shift: isize = 0;
        for replacement in &self.replacements {
            let start = replacement.range.start.saturating_add_signed(shift);
            if at <= start {
                break;
            }
            if at < start + replacement.text.len() {
                return replacement.range.start + (at - start).min(replacement.range.len());
            }
            shift += replacement.text.len().cast_signed() - replacement.range.len().cast_signed();
        }
        at.saturating_add_signed(-shift)
    }

    /// Returns the bytes of each replacement in the recovered text.
    fn places(&self) -> Vec<Range<usize>> {
        let mut shift: isize = 0;
        let place = |replacement: &Replacement| {
            let start = replacement.range.start.saturating_add_signed(shift);
            shift += replacement.text.len().cast_signed() - replacement.range.len().cast_signed();
            start..start + replacement.text.len()
        };
        self.replacements.iter().map(place).collect()
    }

    fn insert(&mut self, replacement: Replacement, source: &str) {
        let at = self.replacements.partition_point(|other| other.range.start < replacement.range.start);
        self.replacements.insert(at, replacement);
        self.text = replaced(source, &self.replacements);
    }

    /// Decides which replacements `check --fix` makes.
    fn verify(&mut self, source: &str) {
        self.verify_tabs(source);
        let places = self.places();
        let edits: Vec<(usize, Edit)> = self
            .replacements
            .iter()
            .zip(places)
            .filter_map(|(replacement, place)| match &replacement.meaning {
                Meaning::Text(text) => {
                    let fix = Fix { range: place.clone(), replacement: replacement.text.clone() };
                    let intent = Intent::Value { node: place, text: text.clone(), swallowed: 0 };
                    Some((replacement.trap, Edit { fix, intent }))
                }
                Meaning::Indentation | Meaning::Doubtful(_) => None,
            })
            .collect();
        let (traps, edits): (Vec<usize>, Vec<Edit>) = edits.into_iter().unzip();
        let verdicts = match &self.tree {
            Some(tree) => verify(&self.text, tree, &edits),
            None => vec![Err(Withheld::Unreadable); edits.len()],
        };
        for (trap, verdict) in traps.into_iter().zip(verdicts) {
            self.decide(trap, verdict);
        }
        for replacement in &self.replacements {
            if let Meaning::Doubtful(why) = replacement.meaning {
                self.traps[replacement.trap].repair = Repair::Withheld(why);
            }
        }
    }

    /// Gives the tabs their width, if all widths with which the file can be read make the same tree.
    fn verify_tabs(&mut self, source: &str) {
        let is_tab = |replacement: &Replacement| matches!(replacement.meaning, Meaning::Indentation);
        let tabs: Vec<usize> =
            (0..self.replacements.len()).filter(|i| is_tab(&self.replacements[*i])).collect();
        if tabs.is_empty() {
            return;
        }
        let mut with_tabs = self.replacements.clone();
        for index in &tabs {
            let blank = source[with_tabs[*index].range.clone()].to_owned();
            with_tabs[*index].text = blank;
        }
        let text = replaced(source, &with_tabs);
        let bare = Recovered { text, tree: None, traps: Vec::new(), replacements: with_tabs };
        let places = bare.places();
        let ranges: Vec<Range<usize>> = tabs.iter().map(|index| places[*index].clone()).collect();
        let verdict = match self.tree {
            Some(_) => without_tabs(&bare.text, &ranges),
            None => Err(Withheld::Unreadable),
        };
        let verdict = verdict.map(|blanks| {
            for (index, blank) in tabs.iter().zip(blanks) {
                self.replacements[*index].text = blank;
            }
            self.text = replaced(source, &self.replacements);
            self.tree = parse(&self.text).ok();
        });
        for index in tabs {
            self.decide(self.replacements[index].trap, verdict);
        }
    }

    fn decide(&mut self, trap: usize, verdict: Result<(), Withheld>) {
        let repair = match verdict {
            Err(why) => Repair::Withheld(why),
            Ok(()) => {
                let replacement = self.replacements.iter().find(|replacement| replacement.trap == trap);
                replacement.map_or(Repair::Unknown, |replacement| {
                    let Replacement { range, text, .. } = replacement.clone();
                    Repair::Edit(Fix { range, replacement: text })
                })
            }
        };
        self.traps[trap].repair = repair;
    }
}

fn replaced(source: &str, replacements: &[Replacement]) -> String {
    edited(source, replacements.iter().map(|replacement| (&replacement.range, replacement.text.as_str())))
}

/// Reads `source` and replaces traps, so that one mistake does not hide the others.
pub(crate) fn recover(source: &str) -> Recovered {
    let mut recovered =
        Recovered { text: source.to_owned(), tree: None, traps: Vec::new(), replacements: Vec::new() };
    let mut read_bytes = 0;
    while recovered.traps.len() < TRAPS_MAX && read_bytes < READ_BYTES_MAX {
        read_bytes += recovered.text.len();
        let error = match parse(&recovered.text) {
            Ok(tree) => {
                recovered.tree = Some(tree);
                break;
            }
            Err(error) => error,
        };
        let there = |range: &Range<usize>| recovered.original(source, range);
        let candidates = match error.kind {
            ParseErrorKind::Syntax(_) | ParseErrorKind::AliasOfItself => {
                candidates(&recovered.text, error.at)
            }
            ParseErrorKind::SecondDocument | ParseErrorKind::TooLarge | ParseErrorKind::TooDeep => Vec::new(),
        };
        let found = candidates.into_iter().find(|candidate| {
            read_bytes += recovered.text.len();
            makes_progress(&recovered, source, error.at, candidate)
        });
        let Some(Candidate { trap, fix, meaning }) = found else {
            let trap = unrecoverable(&recovered.text, &error);
            let range = there(&trap.range);
            recovered.traps.push(Trap { range, ..trap });
            break;
        };
        let (range, trap_range) = (there(&fix.range), there(&trap.range));
        let replacement = Replacement { range, text: fix.replacement, trap: recovered.traps.len(), meaning };
        recovered.traps.push(Trap { range: trap_range, ..trap });
        recovered.insert(replacement, source);
    }
    recovered.verify(source);
    recovered
}

/// Whether the text can be read further with the candidate. A candidate that does not help is no trap.
fn makes_progress(recovered: &Recovered, source: &str, at: usize, candidate: &Candidate) -> bool {
    let Fix { range, replacement } = &candidate.fix;
    // Also beside each other: between two replacements there is no telling what was whose in the file.
    let original = recovered.original(source, range);
    let touches =
        |other: &Replacement| other.range.start <= original.end && original.start <= other.range.end;
    if recovered.replacements.iter().any(touches) {
        return false;
    }
    let mut text = recovered.text.clone();
    text.replace_range(range.clone(), replacement);
    let same_place = if range.start <= at { at + replacement.len() - range.len().min(at) } else { at };
    match parse(&text) {
        Ok(_) => true,
        Err(error) => error.at > same_place,
    }
}

/// Returns the possible causes near the byte `at`, where reading failed.
fn candidates(text: &str, at: usize) -> Vec<Candidate> {
    let line = line_start(text, at);
    // The parser may notice a line late.
    let previous = line.checked_sub(1).map(|end| line_start(text, end));
    let next = text[at..].find('\n').map(|found| at + found + 1);
    let values = [Some(line), previous].into_iter().flatten().filter_map(|start| value_trap(text, start));
    let tabs = [Some(line), previous, next].into_iter().flatten().flat_map(|start| tab_traps(text, start));
    values.chain(tabs).collect()
}

fn line_start(text: &str, at: usize) -> usize {
    text[..at].rfind('\n').map_or(0, |found| found + 1)
}

fn unrecoverable(text: &str, error: &ParseError) -> Trap {
    let at = error.at;
    let end = text[at..].chars().next().map_or(at, |c| at + c.len_utf8());
    let (range, message, hint) = match &error.kind {
        ParseErrorKind::SecondDocument => (
            at..at + text[at..].lines().next().map_or(0, str::len),
            "a workflow file holds one document".to_owned(),
            Some("put each workflow into a file of its own, or remove the line `---`"),
        ),
        ParseErrorKind::TooDeep => (
            at..end,
            format!("more than {DEPTH_MAX} lists and mappings inside each other"),
            Some("put a deep value into a file, and let a step read the file"),
        ),
        ParseErrorKind::TooLarge => (
            at..end,
            format!("the file has more than {NODES_MAX} values, with what its aliases stand for"),
            Some("put a part of the steps into a workflow of its own"),
        ),
        ParseErrorKind::AliasOfItself => {
            (at..end, "this is not YAML: an alias inside the value that it names".to_owned(), None)
        }
        ParseErrorKind::Syntax(info) => (
            at..end,
            format!("this is not YAML: {info}"),
            info.contains("plain scalar").then_some("put the text in quotes"),
        ),
    };
    Trap {
        code: codes::YAML,
        message,
        range,
        note: None,
        hint: hint.map(ToOwned::to_owned),
        repair: Repair::Unknown,
    }
}

/// Returns the tabs in the indentation of the line at `start` as a trap, once for each possible width.
fn tab_traps(text: &str, start: usize) -> Vec<Candidate> {
    let line = &text[start..];
    let blank = &line[..line.len() - line.trim_start_matches([' ', '\t']).len()];
    let Some(tab) = blank.find('\t') else { return Vec::new() };
    let range = start..start + blank.len();
    let widths = TAB_COLUMNS.map(|columns| " ".repeat(blank.replace('\t', &" ".repeat(columns)).len()));
    let candidate = |replacement: String| Candidate {
        trap: Trap {
            code: codes::TAB,
            message: "a tab in the indentation".to_owned(),
            range: start + tab..range.end,
            note: Some("YAML allows only spaces here".to_owned()),
            hint: Some("indent with spaces".to_owned()),
            repair: Repair::Unknown,
        },
        fix: Fix { range: range.clone(), replacement },
        meaning: Meaning::Indentation,
    };
    std::iter::once(indentation(text, start)).chain(widths).map(candidate).collect()
}

/// Returns the most likely indentation of the line at `start`: that of the content before it.
fn indentation(text: &str, start: usize) -> String {
    let before = text[..start].lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let content = before.trim_start_matches([' ', '-']);
    let deeper = if before.trim_end().ends_with(':') { 2 } else { 0 };
    " ".repeat(before.len() - content.len() + deeper)
}

/// Returns the value of a line `key: value` or `- value` as a trap, if it begins with a reserved character or contains `: `.
fn value_trap(text: &str, line_start: usize) -> Option<Candidate> {
    let line = text[line_start..].lines().next()?;
    let at = value_start(line);
    let value = line[at..].trim_end();
    let (value, is_doubtful) = match comment(value) {
        Comment::None => (value, false),
        Comment::Certain(at) => (value[..at].trim_end(), false),
        Comment::Doubtful(at) => (value[..at].trim_end(), true),
    };
    let range = line_start + at..line_start + at + value.len();
    let first = value.chars().next()?;
    let replacement = quoted(value);
    let trap = |code, message: String, range: Range<usize>, note: String| Trap {
        code,
        message,
        range,
        note: Some(note),
        hint: Some(format!("quote it:  {replacement}")),
        repair: Repair::Unknown,
    };
    let meaning =
        if is_doubtful { Meaning::Doubtful(Withheld::MayBeComment) } else { Meaning::Text(value.to_owned()) };
    let fix = Fix { range: range.clone(), replacement: replacement.clone() };
    if let Some(name) = value.strip_prefix('*').filter(|name| is_anchor_name(name)) {
        let trap = Trap {
            hint: Some(format!("define `&{name}` before it; if it is a text, quote it:  {replacement}")),
            ..trap(
                codes::ALIAS,
                format!("`{value}` is an alias, and nothing before it has the anchor `&{name}`"),
                range,
                "YAML takes `*` as the beginning of an alias".to_owned(),
            )
        };
        return Some(Candidate { trap, fix, meaning: Meaning::Doubtful(Withheld::MayBeAlias) });
    }
    if matches!(first, '*' | '@' | '`' | '%' | '&') {
        let trap = trap(
            codes::RESERVED_START,
            format!("a text that begins with `{first}` needs quotes"),
            range,
            format!("YAML gives `{first}` a meaning of its own"),
        );
        return Some(Candidate { trap, fix, meaning });
    }
    if value.contains(": ") && !matches!(first, '"' | '\'' | '{' | '[' | '|' | '>' | '!') {
        let colon = range.start + value.find(": ")?;
        let trap = trap(
            codes::COLON_IN_PLAIN,
            "a text with `: ` in it needs quotes".to_owned(),
            colon..colon + 1,
            "YAML takes this for the end of a key".to_owned(),
        );
        return Some(Candidate { trap, fix, meaning });
    }
    None
}

/// Returns the first byte of the value of a line: behind the dashes of lists, a key, and an anchor.
fn value_start(line: &str) -> usize {
    let mut at = line.len() - line.trim_start().len();
    while let Some(rest) = line[at..].strip_prefix("- ") {
        at = line.len() - rest.trim_start().len();
    }
    if let Some(colon) = key_end(&line[at..]) {
        let rest = &line[at + colon..];
        at = line.len() - rest.trim_start().len();
    }
    match line[at..].strip_prefix('&').and_then(|rest| rest.split_once(' ')) {
        Some((name, rest)) if is_anchor_name(name) => line.len() - rest.trim_start().len(),
        _ => at,
    }
}

fn is_anchor_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-'))
}

/// Returns the first byte behind `key:`, if the text begins with one word and a colon.
fn key_end(text: &str) -> Option<usize> {
    let colon = text.find(':')?;
    let key = &text[..colon];
    let word = !key.is_empty() && key.chars().all(|c| c.is_alphanumeric() || "_-.\"'".contains(c));
    let spaced = text[colon + 1..].starts_with([' ', '\t']);
    (word && spaced).then_some(colon + 1)
}
