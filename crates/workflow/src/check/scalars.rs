//! Texts, numbers, durations and lists, with the traps of YAML.

use crate::codes;
use crate::diagnostic::{Withheld, quoted};
use crate::yaml::{Comment, Kind, Node, Plain, Style, comment};

use super::reader::{Reader, Report, first_line};

impl Reader<'_> {
    /// Reads a text. Reports a number, a boolean, an empty value, and a text that YAML cuts or tags.
    pub(super) fn text<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n str> {
        let Kind::Scalar { text, style } = &node.kind else {
            self.wrong_type(node, what, "a text");
            return None;
        };
        if let Some(tag) = &node.tag {
            self.tagged(node, tag, what);
            return None;
        }
        if *style == Style::Plain && self.cut_at_hash(node, text, what) {
            return None;
        }
        self.unused_anchor(node, what);
        match node.plain() {
            Some(Plain::Text) => Some(text),
            Some(Plain::Nothing) if text.is_empty() => {
                self.wrong_type(node, what, "a text");
                None
            }
            _ => {
                self.not_a_text(node, text, what);
                None
            }
        }
    }

    /// `prompt: &now do it`: YAML takes the first word as an anchor. Warns of an anchor without an alias.
    fn unused_anchor(&mut self, node: &Node, what: &str) {
        let before = crate::text::part(self.source, ..node.range.start).trim_end_matches(' ');
        let start = before
            .rfind(|c: char| c.is_whitespace() || matches!(c, '[' | '{' | ','))
            .map_or(0, |at| at + before[at..].chars().next().map_or(1, char::len_utf8));
        let Some(name) = before[start..].strip_prefix('&') else { return };
        if !name.is_empty() && self.has_alias(name) {
            return;
        }
        let range = start..before.len();
        self.report(
            Report::warning(codes::ALIAS, &range, format!("{what} begins behind `&{name}`"))
                .note("YAML takes this as an anchor, and no alias names it")
                .hint("remove it; if it belongs to the text, put the text in quotes"),
        );
    }

    /// Whether `*` and `name` stand anywhere in the file.
    fn has_alias(&self, name: &str) -> bool {
        let source = self.source;
        let words =
            || source.split('*').skip(1).map(|rest| rest.split(char::is_whitespace).next().unwrap_or(""));
        let behind_stars = self.behind_stars.get_or_init(|| words().collect());
        behind_stars.range(name..).next().is_some_and(|word| word.starts_with(name))
    }

    fn not_a_text(&mut self, node: &Node, text: &str, what: &str) {
        let replacement = quoted(text);
        self.report(
            Report::error(
                codes::NOT_A_STRING,
                &node.range,
                format!("{what} is a text, `{text}` is {}", node.describe()),
            )
            .hint(format!("quote it:  {replacement}"))
            .fix(node, node.range.clone(), replacement, text),
        );
    }

    /// `yes`, `no`, `on` and `off`: booleans for many readers of YAML, texts for others.
    pub(super) fn doubtful_boolean(&mut self, node: &Node, what: &str) -> bool {
        let Kind::Scalar { text, style: Style::Plain, .. } = &node.kind else { return false };
        if !matches!(text.to_lowercase().as_str(), "yes" | "no" | "on" | "off" | "y" | "n") {
            return false;
        }
        let replacement = quoted(text);
        self.report(
            Report::error(
                codes::NOT_A_STRING,
                &node.range,
                format!("{what} is a text, `{text}` may be read as a boolean"),
            )
            .hint(format!("quote it:  {replacement}"))
            .fix(node, node.range.clone(), replacement, text),
        );
        true
    }

    /// Reports `!x`, which YAML takes as a tag.
    pub(super) fn tagged(&mut self, node: &Node, tag: &str, what: &str) {
        let before = crate::text::part(self.source, ..node.range.end);
        let line = before.rfind('\n').map_or(0, |at| at + 1);
        let rest = crate::text::line(crate::text::part(self.source, line..));
        let Some(at) = rest.find(tag).map(|at| line + at) else {
            let message = format!("{what} has the tag `{tag}`");
            return self.report(Report::error(codes::TAG, &node.range, message).hint("remove the tag"));
        };
        let in_line = &self.source[at..line + rest.len()];
        let (end, is_doubtful) = match comment(in_line) {
            Comment::None => (in_line.len(), false),
            Comment::Certain(at) => (at, false),
            Comment::Doubtful(at) => (at, true),
        };
        let is_flow = rest[..at - line].contains(['{', '[']);
        let end = match is_flow {
            true => in_line[..end].find([',', '}', ']']).unwrap_or(end),
            false => end,
        };
        let value = in_line[..end].trim_end();
        let value = if rest.trim_start().starts_with(['{', '-']) && value.ends_with('}') {
            value.trim_end_matches('}').trim_end()
        } else {
            value
        };
        let range = at..at + value.len();
        let (replacement, meant) = match what {
            "`if`" => {
                let words = negated(value.trim_start_matches('!').trim_start());
                (words.clone(), words)
            }
            _ => (quoted(value), value.to_owned()),
        };
        let said = if what == "`if`" { "write it as a word" } else { "quote it" };
        let report = Report::error(codes::TAG, &range, format!("{what} is lost: YAML takes `!` as a tag"))
            .hint(format!("{said}:  {replacement}"));
        self.report(if is_doubtful {
            report.withheld(Withheld::MayBeComment)
        } else {
            report.fix(node, range, replacement, meant)
        });
    }

    /// `prompt: Fix issue #123`: YAML reads the rest as a comment.
    fn cut_at_hash(&mut self, node: &Node, text: &str, what: &str) -> bool {
        let end = node.range.end;
        let rest = crate::text::part(self.source, end..);
        if !rest.starts_with(" #") {
            return false;
        }
        let rest = crate::text::line(rest);
        let is_cut = rest
            .strip_prefix(" #")
            .is_some_and(|comment| comment.starts_with(|c: char| !c.is_whitespace() && c != '#' && c != '!'));
        if !is_cut {
            return false;
        }
        let kept = crate::text::part(self.source, node.range.clone());
        let (cut, is_doubtful) = match comment(rest) {
            Comment::None => (rest.trim_end(), false),
            Comment::Certain(at) => (&rest[..at], false),
            Comment::Doubtful(0) => (rest.trim_end(), true),
            Comment::Doubtful(at) => (&rest[..at], true),
        };
        let replacement = quoted(&format!("{kept}{cut}"));
        let report = Report::error(
            codes::CUT_AT_HASH,
            &(end + 1..end + 2),
            format!("{} is cut at \" #\"", what.trim_matches('`')),
        )
        .note(format!("YAML reads the rest as a comment: what is left is \"{kept}\""));
        self.report(if is_doubtful {
            report
                .hint(format!("quote it:  {replacement}  or, for a comment, put a space after the `#`"))
                .withheld(Withheld::MayBeComment)
        } else {
            report.hint(format!("quote it:  {replacement}")).fix(
                node,
                node.range.start..end + cut.len(),
                replacement,
                format!("{text}{cut}"),
            )
        });
        true
    }

    /// Reads a whole number from 0 on.
    pub(super) fn count(&mut self, node: &Node, what: &str) -> Option<u32> {
        match node.plain() {
            Some(Plain::Integer(number)) => {
                let count = u32::try_from(number).ok();
                if count.is_none() {
                    self.report(Report::error(
                        codes::WRONG_VALUE,
                        &node.range,
                        format!("{what} is a number from 0 to {}, this is {number}", u32::MAX),
                    ));
                }
                count
            }
            _ => {
                self.wrong_type(node, what, "a number");
                None
            }
        }
    }

    /// A duration with its unit, in milliseconds.
    pub(super) fn duration(&mut self, node: &Node, what: &str) -> Option<u64> {
        let Kind::Scalar { text, .. } = &node.kind else {
            self.wrong_type(node, what, "a duration");
            return None;
        };
        if is_zero(text) {
            let message = format!("{what} is zero: `{text}`");
            self.report(
                Report::error(codes::INVALID_DURATION, &node.range, message)
                    .hint("remove it to have no limit"),
            );
            return None;
        }
        let duration = duration_ms(text);
        if duration.is_none() {
            let report = Report::error(
                codes::INVALID_DURATION,
                &node.range,
                format!("{what} is not a duration: `{text}`"),
            );
            let bare = !text.is_empty() && text.chars().all(|c| c.is_ascii_digit());
            self.report(if bare {
                report.hint(format!("a duration has a unit: `{text}s`, `{text}m`, `{text}h`"))
            } else {
                report.hint("write it like `90s`, `20m`, `2h30m`")
            });
        }
        duration
    }

    /// A list of scalars, or one scalar in its place.
    pub(super) fn list<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n [Node]> {
        match &node.kind {
            Kind::List(items) => Some(items),
            Kind::Scalar { .. } | Kind::Map(_) => {
                self.wrong_type(node, what, "a list");
                None
            }
        }
    }

    /// One of a few words.
    pub(super) fn word<T: Copy>(&mut self, node: &Node, what: &str, words: &[(&str, T)]) -> Option<T> {
        self.word_or_foreign(node, what, words, &[])
    }

    /// One of a few words; for a word of another tool the hint names ours.
    pub(super) fn word_or_foreign<T: Copy>(
        &mut self,
        node: &Node,
        what: &str,
        words: &[(&str, T)],
        foreign: &[(&str, &str)],
    ) -> Option<T> {
        let text = node.text();
        if let Some((_, value)) = words.iter().find(|(word, _)| Some(*word) == text) {
            return Some(*value);
        }
        let all = crate::diagnostic::listed(words.iter().map(|(word, _)| *word));
        let Some(text) = text else {
            self.wrong_type(node, what, &format!("one of {all}"));
            return None;
        };
        let ours = foreign.iter().find(|(word, _)| *word == text.to_lowercase());
        let near = crate::diagnostic::nearest(text, words.iter().map(|(word, _)| *word));
        let hint = match (ours, near) {
            (Some((_, ours)), _) => Some(format!("write `{ours}`")),
            (None, near) => near.map(|near| format!("did you mean `{near}`?")),
        };
        let range = first_line(self.source, &node.range);
        self.report(
            Report::error(codes::WRONG_VALUE, &range, format!("{what} is one of {all}, not `{text}`"))
                .maybe_hint(hint),
        );
        None
    }
}

/// A duration of zeros only.
pub(super) fn is_zero(text: &str) -> bool {
    let digits: Vec<char> = text.chars().filter(char::is_ascii_digit).collect();
    !digits.is_empty() && digits.iter().all(|digit| *digit == '0') && text.ends_with(char::is_alphabetic)
}

/// `!a == b` in words: `!` binds closer than a comparison, `not` does not.
fn negated(value: &str) -> String {
    let operand =
        value.find(|c: char| !(c.is_alphanumeric() || "_.[]()'\"".contains(c))).unwrap_or(value.len());
    let (operand, rest) = value.split_at(operand);
    let compares =
        ["==", "!=", "<", ">", "in ", "is "].iter().any(|word| rest.trim_start().starts_with(word));
    if compares { format!("(not {operand}){rest}") } else { format!("not {value}") }
}

/// `2h30m` in milliseconds; `None` if the text is no duration or is 0.
pub(super) fn duration_ms(text: &str) -> Option<u64> {
    let mut total = 0_u64;
    let mut rest = text;
    let mut smallest = u64::MAX;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let unit = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let factor = match &rest[..unit] {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        if factor >= smallest {
            return None;
        }
        smallest = factor;
        total = total.checked_add(number.checked_mul(factor)?)?;
        rest = &rest[unit..];
    }
    (total > 0).then_some(total)
}
