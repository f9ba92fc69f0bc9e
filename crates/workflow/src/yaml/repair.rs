//! Verifies edits of a file: an edit may change only the value that it is for. The trees before and after it are compared.

use std::ops::Range;

use super::tree::{Entry, Kind, Node, ParseError, Style, parse};
use crate::diagnostic::{Fix, Withheld};

/// Edits that are verified one by one if they fail together: each takes two readings of the file.
const VERIFIED_ALONE_MAX: usize = 100;
/// Bytes that are read to verify edits one by one. In a large file fewer are verified.
const VERIFIED_BYTES_MAX: usize = 16 * 1024 * 1024;
/// The widths of a tab that [`without_tabs`] tries.
const TAB_COLUMNS: std::ops::RangeInclusive<usize> = 1..=8;

/// An edit and its intended effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Edit {
    pub(crate) fix: Fix,
    pub(crate) intent: Intent,
}

/// The intended effect of an edit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Intent {
    /// The scalar at the bytes `node` has the value `text`. The `swallowed` entries after it become part of the text.
    Value { node: Range<usize>, text: String, swallowed: usize },
    /// The mapping of the whole file begins with `key: value`.
    FirstEntry { key: &'static str, value: &'static str },
}

/// Verifies edits of `source`, whose tree is `before`: each must have its intended effect and no other.
pub(crate) fn verify(source: &str, before: &Node, edits: &[Edit]) -> Vec<Result<(), Withheld>> {
    let alone = |edit: &Edit| fits(source, before, std::slice::from_ref(edit));
    if fits(source, before, edits).is_ok() {
        return vec![Ok(()); edits.len()];
    }
    let verified_alone_max = (VERIFIED_BYTES_MAX / (2 * source.len().max(1))).clamp(1, VERIFIED_ALONE_MAX);
    let verified = |(index, edit): (usize, &Edit)| {
        if index < verified_alone_max { alone(edit) } else { Err(Withheld::ChangesMore) }
    };
    let mut verdicts: Vec<Result<(), Withheld>> = edits.iter().enumerate().map(verified).collect();
    // Those that are made are made together: then they have to fit together, or only the first is made.
    let made = || edits.iter().zip(&verdicts).filter(|(_, verdict)| verdict.is_ok());
    let together: Vec<Edit> = made().map(|(edit, _)| edit.clone()).collect();
    if fits(source, before, &together).is_err() {
        let later = verdicts.iter_mut().filter(|verdict| verdict.is_ok()).skip(1);
        later.for_each(|verdict| *verdict = Err(Withheld::ChangesMore));
    }
    verdicts
}

fn fits(source: &str, before: &Node, edits: &[Edit]) -> Result<(), Withheld> {
    let mut ordered: Vec<&Edit> = edits.iter().collect();
    ordered.sort_by_key(|edit| (edit.fix.range.start, edit.fix.range.end));
    let is_apart = |pair: &[&Edit]| pair[0].fix.range.end <= pair[1].fix.range.start;
    if !ordered.windows(2).all(is_apart) {
        return Err(Withheld::ChangesMore);
    }
    let mark = mark(source);
    let marks: Vec<(&Range<usize>, String)> = ordered
        .iter()
        .enumerate()
        .map(|(index, edit)| match edit.intent {
            Intent::Value { .. } => (&edit.fix.range, format!("{mark}{index}")),
            Intent::FirstEntry { .. } => (&edit.fix.range, edit.fix.replacement.clone()),
        })
        .collect();
    let texts: Vec<(&Range<usize>, String)> =
        ordered.iter().map(|edit| (&edit.fix.range, edit.fix.replacement.clone())).collect();
    let unreadable = |_: ParseError| Withheld::Unreadable;
    let marked = parse(&edited(source, pairs(&marks))).map_err(unreadable)?;
    let after = parse(&edited(source, pairs(&texts))).map_err(unreadable)?;
    let comparison = Comparison { mark: &mark, edits: &ordered };
    let (marked_rest, after_rest) = comparison.without_first_entry(&marked, &after)?;
    let is_confined = comparison.is_confined(before, &marked_rest);
    if is_confined && comparison.is_meant(&marked_rest, &after_rest) {
        Ok(())
    } else {
        Err(Withheld::ChangesMore)
    }
}

/// A word that does not occur in the text.
fn mark(source: &str) -> String {
    let mut mark = "edited_".to_owned();
    while source.contains(&mark) {
        mark.push('_');
    }
    mark
}

/// `source` with each of the ranges, which are in order and apart, replaced by its text.
pub(super) fn edited<'e>(
    source: &str,
    replacements: impl IntoIterator<Item = (&'e Range<usize>, &'e str)>,
) -> String {
    let mut text = String::with_capacity(source.len());
    let mut copied = 0;
    for (range, replacement) in replacements {
        text.push_str(&source[copied..range.start]);
        text.push_str(replacement);
        copied = range.end;
    }
    text.push_str(&source[copied..]);
    text
}

/// References to ranges and their texts.
fn pairs<'e>(
    replacements: &'e [(&'e Range<usize>, String)],
) -> impl Iterator<Item = (&'e Range<usize>, &'e str)> {
    replacements.iter().map(|(range, text)| (*range, text.as_str()))
}

struct Comparison<'e> {
    /// What the text of a marked scalar begins with; the index of its edit follows.
    mark: &'e str,
    edits: &'e [&'e Edit],
}

impl Comparison<'_> {
    /// Both trees without the entry that an edit put before all others.
    fn without_first_entry(&self, marked: &Node, after: &Node) -> Result<(Node, Node), Withheld> {
        let first = self.edits.iter().find_map(|edit| match edit.intent {
            Intent::FirstEntry { key, value } => Some((key, value)),
            Intent::Value { .. } => None,
        });
        let Some((key, value)) = first else { return Ok((marked.clone(), after.clone())) };
        let rest = |tree: &Node| {
            let Kind::Map(entries) = &tree.kind else { return None };
            let (first, rest) = entries.split_first()?;
            let is_meant = first.key.text() == Some(key) && first.value.text() == Some(value);
            is_meant.then(|| Node { kind: Kind::Map(rest.to_vec()), ..tree.clone() })
        };
        rest(marked).zip(rest(after)).ok_or(Withheld::ChangesMore)
    }

    /// The edit of a marked scalar.
    fn edit(&self, node: &Node) -> Option<&Edit> {
        let index = node.text()?.strip_prefix(self.mark)?;
        self.edits.get(index.parse::<usize>().ok()?).copied()
    }

    /// Whether the marks stand in place of the values to change, and all other values are as before.
    fn is_confined(&self, before: &Node, marked: &Node) -> bool {
        if let Some(edit) = self.edit(marked) {
            return matches!(&edit.intent, Intent::Value { node, .. } if node.start == before.range.start);
        }
        match (&before.kind, &marked.kind) {
            (Kind::List(before), Kind::List(marked)) => {
                before.len() == marked.len()
                    && before.iter().zip(marked).all(|(before, marked)| self.is_confined(before, marked))
            }
            (Kind::Map(before), Kind::Map(marked)) => self.are_confined(before, marked),
            _ => is_same_scalar(before, marked),
        }
    }

    fn are_confined(&self, before: &[Entry], marked: &[Entry]) -> bool {
        let mut before = before.iter();
        let all = marked.iter().all(|marked| {
            let Some(entry) = before.next() else { return false };
            if let Some(Intent::Value { swallowed, .. }) = self.edit(&marked.value).map(|edit| &edit.intent) {
                before.by_ref().take(*swallowed).for_each(drop);
            }
            self.is_confined(&entry.key, &marked.key) && self.is_confined(&entry.value, &marked.value)
        });
        all && before.next().is_none()
    }

    /// Whether each mark is replaced by the intended text, and all other values are as with the marks.
    fn is_meant(&self, marked: &Node, after: &Node) -> bool {
        if let Some(edit) = self.edit(marked) {
            return after.tag.is_none()
                && matches!(&edit.intent, Intent::Value { text, .. } if after.text() == Some(text));
        }
        match (&marked.kind, &after.kind) {
            (Kind::List(marked), Kind::List(after)) => {
                marked.len() == after.len()
                    && marked.iter().zip(after).all(|(marked, after)| self.is_meant(marked, after))
            }
            (Kind::Map(marked), Kind::Map(after)) => {
                marked.len() == after.len()
                    && marked.iter().zip(after).all(|(marked, after)| {
                        self.is_meant(&marked.key, &after.key) && self.is_meant(&marked.value, &after.value)
                    })
            }
            _ => is_same_scalar(marked, after),
        }
    }
}

fn is_same_scalar(left: &Node, right: &Node) -> bool {
    let plain = |style: Style| style == Style::Plain;
    matches!(
        (&left.kind, &right.kind),
        (Kind::Scalar { text: left, style: left_style }, Kind::Scalar { text: right, style: right_style })
            if left == right && plain(*left_style) == plain(*right_style)
    ) && left.tag == right.tag
}

/// Whether two trees have the same values, wherever these stand.
pub(super) fn is_same(left: &Node, right: &Node) -> bool {
    left.tag == right.tag
        && match (&left.kind, &right.kind) {
            (Kind::List(left), Kind::List(right)) => {
                left.len() == right.len() && left.iter().zip(right).all(|(left, right)| is_same(left, right))
            }
            (Kind::Map(left), Kind::Map(right)) => {
                left.len() == right.len()
                    && left.iter().zip(right).all(|(left, right)| {
                        is_same(&left.key, &right.key) && is_same(&left.value, &right.value)
                    })
            }
            _ => is_same_scalar(left, right),
        }
}

/// Returns the indentations at `ranges` in spaces, if all widths of a tab make the same tree.
///
/// # Errors
/// [`Withheld`] if no width makes a file that can be read, or two make different ones.
pub(super) fn without_tabs(source: &str, ranges: &[Range<usize>]) -> Result<Vec<String>, Withheld> {
    let mut found: Option<(Node, Vec<String>)> = None;
    let ways = TAB_COLUMNS.flat_map(|columns| [(columns, true), (columns, false)]);
    for (columns, stops) in ways {
        let indentations: Vec<String> =
            ranges.iter().map(|range| spaces(&source[range.clone()], columns, stops)).collect();
        let replaced = ranges.iter().zip(indentations.iter().map(String::as_str));
        let Ok(tree) = parse(&edited(source, replaced)) else { continue };
        match &found {
            None => found = Some((tree, indentations)),
            Some((other, _)) if is_same(other, &tree) => {}
            Some(_) => return Err(Withheld::TabWidth),
        }
    }
    found.map(|(_, indentations)| indentations).ok_or(Withheld::Unreadable)
}

/// An indentation with its tabs as spaces; with `stops` a tab leads to the next multiple of `columns`.
fn spaces(indentation: &str, columns: usize, stops: bool) -> String {
    let width = indentation.chars().fold(0, |width, character| match character {
        '\t' if stops => (width / columns + 1) * columns,
        '\t' => width + columns,
        _ => width + 1,
    });
    " ".repeat(width)
}
