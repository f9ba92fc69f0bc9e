//! Lines that never grow wider than the screen.

use unicode_width::UnicodeWidthChar;

use super::sanitize::one_line;
use super::{Paint, Style};

/// One line, in pieces of one paint each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Line {
    pieces: Vec<(Paint, String)>,
    is_whole: bool,
}

impl Line {
    /// A line with `text` in it.
    pub(crate) fn of(paint: Paint, text: impl AsRef<str>) -> Line {
        Line::default().with(paint, text)
    }

    /// The line with `text` at its end.
    pub(crate) fn with(mut self, paint: Paint, text: impl AsRef<str>) -> Line {
        self.pieces.push((paint, one_line(text.as_ref())));
        self
    }

    /// The line as one that is never cut: the screen wraps it. For what is copied from a page that is printed once.
    pub(crate) fn whole(self) -> Line {
        Line { is_whole: true, ..self }
    }

    /// The line as one that is cut where the screen ends, for a view that is drawn in place.
    pub(crate) fn bounded(self) -> Line {
        Line { is_whole: false, ..self }
    }

    /// The line with `text` after it at the right edge of `columns`, if there is room for it; without an edge, beside it.
    pub(crate) fn with_right(self, columns: usize, paint: Paint, text: &str) -> Line {
        if columns == usize::MAX {
            return self.with(Paint::Plain, "  ").with(paint, text);
        }
        let used = self.width() + width(text);
        let gap = columns.saturating_sub(used);
        if gap < 2 { self } else { self.with(Paint::Plain, " ".repeat(gap)).with(paint, text) }
    }

    /// The line with spaces up to the column `column`.
    pub(crate) fn filled_to(self, column: usize) -> Line {
        let gap = column.saturating_sub(self.width());
        self.with(Paint::Plain, " ".repeat(gap))
    }

    /// The line as the one that is chosen: marked in its first column, which has to be empty.
    pub(crate) fn marked(mut self) -> Line {
        if let Some(first) = self.pieces.first_mut() {
            *first = (Paint::Bold, "›".to_owned());
        }
        self
    }

    /// Columns that it takes.
    pub(crate) fn width(&self) -> usize {
        self.pieces.iter().map(|(_, text)| width(text)).sum()
    }

    /// The line as it is written, cut to `columns`.
    pub(crate) fn render(&self, style: Style, columns: usize) -> String {
        let mut out = String::new();
        let mut left = if self.is_whole { usize::MAX } else { columns };
        let is_cut = self.width() > left;
        for (paint, text) in &self.pieces {
            let room = if is_cut { left.saturating_sub(1) } else { left };
            let part = if width(text) <= room { text.clone() } else { cut(text, room) };
            left = left.saturating_sub(width(&part));
            out.push_str(&style.paint(*paint, &part));
            if part.len() < text.len() {
                out.push('…');
                return out;
            }
        }
        // Spaces at the end are of no use, and get in the way of comparing.
        if style.color { out } else { out.trim_end().to_owned() }
    }
}

/// Columns that `text` takes.
pub(crate) fn width(text: &str) -> usize {
    text.chars().map(character_width).sum()
}

/// The beginning of `text` that fits into `columns`.
pub(crate) fn cut(text: &str, columns: usize) -> String {
    let mut used = 0;
    text.chars()
        .take_while(|character| {
            used += character_width(*character);
            used <= columns
        })
        .collect()
}

/// `text`, or as much of it as fits into `columns` with a mark behind it.
pub(crate) fn cut_with_mark(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        text.to_owned()
    } else {
        format!("{}…", cut(text, columns.saturating_sub(1)))
    }
}

/// `text`, or as much of its beginning and its end as fits into `columns` with a mark between them: names that are made
/// by one rule differ at their ends.
pub(crate) fn cut_in_the_middle(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let room = columns.saturating_sub(1);
    let end_room = room / 2;
    let begin = cut(text, room - end_room);
    let mut used = 0;
    let mut end: Vec<char> = text
        .chars()
        .rev()
        .take_while(|character| {
            used += character_width(*character);
            used <= end_room
        })
        .collect();
    end.reverse();
    format!("{begin}…{}", end.into_iter().collect::<String>())
}

/// A line across the screen with a title in it, and `right` at its end.
pub(crate) fn rule(title: &str, right: &str, columns: usize) -> Line {
    let left = format!(" {title} ");
    let right = if right.is_empty() { String::new() } else { format!(" {right} ") };
    let used = 2 + width(&left) + width(&right);
    let Some(gap) = columns.checked_sub(used + 1).filter(|gap| *gap > 0) else {
        return Line::of(Paint::Dim, " ─").with(Paint::Bold, left);
    };
    Line::of(Paint::Dim, " ─")
        .with(Paint::Bold, left)
        .with(Paint::Dim, "─".repeat(gap))
        .with(Paint::Dim, right)
        .with(Paint::Dim, "─")
}

/// `text` in lines of at most `columns`, broken between words; a longer word has a line of its own.
pub(crate) fn wrapped(text: &str, columns: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if width(line) + 1 + width(word) <= columns => {
                line.push(' ');
                line.push_str(word);
            }
            Some(_) | None => lines.push(word.to_owned()),
        }
    }
    lines
}

/// East Asian scripts and emoji take two columns; combining marks and joiners none.
fn character_width(character: char) -> usize {
    character.width().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Style = Style { color: false };

    #[test]
    fn a_line_is_cut_to_the_screen_with_a_mark() {
        let line = Line::of(Paint::Plain, "one ").with(Paint::Good, "two").with(Paint::Dim, " three");
        assert_eq!(line.render(PLAIN, 13), "one two three");
        assert_eq!(line.render(PLAIN, 12), "one two thr…");
        assert_eq!(line.render(PLAIN, 6), "one t…");
    }

    #[test]
    fn of_a_name_the_beginning_and_the_end_stay() {
        assert_eq!(cut_in_the_middle("check_part_number_12", 20), "check_part_number_12");
        assert_eq!(cut_in_the_middle("check_part_number_12", 12), "check_…er_12");
        assert_eq!(cut_in_the_middle("日本語日本語", 8), "日本…語");
        assert_eq!(cut_in_the_middle("check", 1), "…");
    }

    #[test]
    fn a_text_is_broken_between_words() {
        assert_eq!(wrapped("one two  three", 7), ["one two", "three"]);
        assert_eq!(wrapped("extraordinary it is", 6), ["extraordinary", "it is"]);
        assert_eq!(wrapped("one two", usize::MAX), ["one two"]);
        assert!(wrapped(" ", 6).is_empty());
    }

    #[test]
    fn a_rule_reaches_over_the_screen_and_keeps_its_title() {
        assert_eq!(rule("fix", "", 16).render(PLAIN, 16), " ─ fix ─────────");
        assert_eq!(rule("fix", "try 2", 20).render(PLAIN, 20), " ─ fix ───── try 2 ─");
        assert_eq!(rule("a long title", "50 %", 10).render(PLAIN, 10), " ─ a long…");
    }

    #[test]
    fn wide_characters_count_twice() {
        assert_eq!(width("日本 a"), 6);
        assert_eq!(Line::of(Paint::Plain, "日本語").render(PLAIN, 5), "日本…");
    }

    #[test]
    fn what_a_process_says_cannot_move_the_cursor() {
        let line = Line::of(Paint::Good, "a\u{1b}[31mred\u{1b}[0m\r\nb\u{7}\tc")
            .with(Paint::Plain, "\u{9b}2J\u{202e}d");
        assert_eq!(line.render(PLAIN, 80), "ared b cd");
    }

    #[test]
    fn the_right_part_stands_at_the_edge_or_is_left_out() {
        let line = Line::of(Paint::Plain, "left").with_right(12, Paint::Dim, "right");
        assert_eq!(line.render(PLAIN, 12), "left   right");
        let piped = Line::of(Paint::Plain, "left").with_right(usize::MAX, Paint::Dim, "right");
        assert_eq!(piped.render(PLAIN, usize::MAX), "left  right");
        assert_eq!(
            Line::of(Paint::Plain, "left").with_right(10, Paint::Dim, "right").render(PLAIN, 10),
            "left"
        );
    }

    #[test]
    fn colours_are_only_where_they_are_wanted() {
        let line = Line::of(Paint::Good, "ok");
        assert_eq!(line.render(PLAIN, 80), "ok");
        assert_eq!(line.render(Style { color: true }, 80), "\u{1b}[32mok\u{1b}[0m");
    }
}
