//! Text that is not YAML although it looks like it: what it trips over, and the text that was meant.

use std::ops::Range;

use backstay_model::Code;

use super::tree::{Node, parse};
use crate::codes;
use crate::diagnostic::{Fix, quoted};

/// Mended places after which reading is given up.
const MENDED_MAX: usize = 100;

/// Something that YAML reads in another way than it was meant, or not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trap {
    pub(crate) code: Code,
    pub(crate) message: String,
    /// The bytes of the file that it is about.
    pub(crate) range: Range<usize>,
    pub(crate) note: Option<String>,
    pub(crate) hint: Option<String>,
    pub(crate) fix: Option<Fix>,
}

/// A text that can be read, and how it came about.
pub(crate) struct Mended {
    /// The text.
    pub(crate) text: String,
    /// Its tree; `None` if even mending did not help.
    pub(crate) tree: Option<Node>,
    /// What was mended, and what could not be.
    pub(crate) traps: Vec<Trap>,
    edits: Vec<Edit>,
}

/// A replacement, by the bytes of the text before it.
struct Edit {
    start: usize,
    removed: usize,
    added: usize,
}

impl Mended {
    /// The bytes of `source`, which this was made from, that `range` of the mended text was: whole characters.
    pub(crate) fn original(&self, source: &str, range: &Range<usize>) -> Range<usize> {
        let byte = |at| self.edits.iter().rev().fold(at, |at, edit| original(edit, at));
        let start = source.floor_char_boundary(byte(range.start));
        start..source.ceil_char_boundary(byte(range.end)).max(start)
    }
}

fn original(edit: &Edit, at: usize) -> usize {
    if at >= edit.start + edit.added {
        at - edit.added + edit.removed
    } else if at > edit.start {
        edit.start + (at - edit.start).min(edit.removed)
    } else {
        at
    }
}

/// Reads `source`, mending what can be mended so that one mistake does not hide the others.
pub(crate) fn mend(source: &str) -> Mended {
    let mut mended = Mended { text: source.to_owned(), tree: None, traps: Vec::new(), edits: Vec::new() };
    loop {
        let (at, info) = match parse(&mended.text) {
            Ok(tree) => {
                mended.tree = Some(tree);
                return mended;
            }
            Err(error) => error,
        };
        let trap = classify(&mended.text, at, &info);
        let fix = trap.fix.clone();
        let there = |range: &Range<usize>| mended.original(source, range);
        let trap = Trap {
            range: there(&trap.range),
            fix: trap.fix.as_ref().map(|fix| Fix { range: there(&fix.range), ..fix.clone() }),
            ..trap
        };
        mended.traps.push(trap);
        match fix {
            Some(fix) if mended.traps.len() < MENDED_MAX => {
                let removed = fix.range.len();
                mended.edits.push(Edit { start: fix.range.start, removed, added: fix.replacement.len() });
                mended.text.replace_range(fix.range, &fix.replacement);
            }
            _ => return mended,
        }
    }
}

fn classify(text: &str, at: usize, info: &str) -> Trap {
    let tab = tab_at(text, at);
    if let Some(trap) = tab {
        return trap;
    }
    // The parser may notice a line late.
    let start = text[..at].rfind('\n').map_or(0, |found| found + 1);
    let mut lines = vec![start];
    if start > 0 {
        lines.push(text[..start - 1].rfind('\n').map_or(0, |found| found + 1));
    }
    for start in lines {
        if let Some(trap) = value_trap(text, start) {
            return trap;
        }
    }
    let end = text[at..].chars().next().map_or(at, |c| at + c.len_utf8());
    Trap {
        code: codes::YAML,
        message: format!("this is not YAML: {info}"),
        range: at..end,
        note: None,
        hint: info.contains("plain scalar").then(|| "put the text in quotes".to_owned()),
        fix: None,
    }
}

fn tab_at(text: &str, at: usize) -> Option<Trap> {
    let line_start = text[..at].rfind('\n').map_or(0, |found| found + 1);
    let previous = line_start.checked_sub(1).map(|end| text[..end].rfind('\n').map_or(0, |found| found + 1));
    let after = text[at..].find('\n').map(|found| at + found + 1);
    for start in [Some(line_start), previous, after].into_iter().flatten() {
        let line = &text[start..];
        let blank = &line[..line.len() - line.trim_start_matches([' ', '\t']).len()];
        if blank.contains('\t') {
            let range = start..start + blank.len();
            return Some(Trap {
                code: codes::TAB,
                message: "a tab in the indentation".to_owned(),
                range: start + blank.find('\t').unwrap_or(0)..range.end,
                note: Some("YAML allows only spaces here".to_owned()),
                hint: Some("indent with spaces".to_owned()),
                fix: Some(Fix { range, replacement: indentation(text, start) }),
            });
        }
    }
    None
}

/// The spaces that the line at `start` was most likely meant to begin with: those of the content before it.
fn indentation(text: &str, start: usize) -> String {
    let before = text[..start].lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let content = before.trim_start_matches([' ', '-']);
    let deeper = if before.trim_end().ends_with(':') { 2 } else { 0 };
    " ".repeat(before.len() - content.len() + deeper)
}

/// The value of a line `key: value` or `- value`, if it begins with what YAML reserves or has a `: ` in it.
fn value_trap(text: &str, line_start: usize) -> Option<Trap> {
    let line = text[line_start..].lines().next()?;
    let mut at = line.len() - line.trim_start().len();
    while let Some(rest) = line[at..].strip_prefix("- ") {
        at = line.len() - rest.trim_start().len();
    }
    if let Some(colon) = key_end(&line[at..]) {
        let rest = &line[at + colon..];
        at = line.len() - rest.trim_start().len();
    }
    let value = line[at..].trim_end();
    let range = line_start + at..line_start + at + value.len();
    let first = value.chars().next()?;
    let replacement = quoted(value);
    let hint = Some(format!("quote it:  {replacement}"));
    if matches!(first, '*' | '@' | '`' | '%' | '&') {
        return Some(Trap {
            code: codes::RESERVED_START,
            message: format!("a text that begins with `{first}` needs quotes"),
            note: Some(format!("YAML gives `{first}` a meaning of its own")),
            hint,
            fix: Some(Fix { range: range.clone(), replacement }),
            range,
        });
    }
    if value.contains(": ") && !matches!(first, '"' | '\'' | '{' | '[' | '|' | '>') {
        let colon = value.find(": ")?;
        return Some(Trap {
            code: codes::COLON_IN_PLAIN,
            message: "a text with `: ` in it needs quotes".to_owned(),
            range: range.start + colon..range.start + colon + 1,
            note: Some("YAML takes this for the end of a key".to_owned()),
            hint,
            fix: Some(Fix { range, replacement }),
        });
    }
    None
}

/// Where the value after `key:` begins, if the text begins with one word and a colon.
fn key_end(text: &str) -> Option<usize> {
    let colon = text.find(':')?;
    let key = &text[..colon];
    let word = !key.is_empty() && key.chars().all(|c| c.is_alphanumeric() || "_-.\"'".contains(c));
    let spaced = text[colon + 1..].starts_with([' ', '\t']);
    (word && spaced).then_some(colon + 1)
}
