//! A long text over the whole screen, to go back and forth in; at its end it follows what comes.

use super::entries::{Entries, Entry};
use super::frame::Size;
use super::typed::Key;
use super::{Line, Paint, key_line};

/// Rows of the screen that are not the text's.
const OWN_ROWS: usize = 3;

/// What stands at the top of the text's part of the screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// Whatever lets the end be seen.
    End,
    /// This row.
    Row(usize),
}

/// What becomes of a reader after a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reads {
    /// It is read on.
    On,
    /// The person goes back.
    Back,
}

/// A text and where in it a person is.
#[derive(Debug)]
pub(crate) struct Reader {
    title: String,
    noted: String,
    /// What is shown while there is nothing.
    empty: &'static str,
    entries: Entries,
    at: At,
}

impl Reader {
    /// A text that is read from its end, with what comes.
    pub(crate) fn at_end(title: String, empty: &'static str) -> Reader {
        Reader { title, noted: String::new(), empty, entries: Entries::default(), at: At::End }
    }

    /// A text that is read from its beginning.
    pub(crate) fn at_start(title: String, empty: &'static str) -> Reader {
        Reader { at: At::Row(0), ..Reader::at_end(title, empty) }
    }

    /// Says in the title what became of the run meanwhile.
    pub(crate) fn note(&mut self, text: &str) {
        self.noted = text.to_owned();
    }

    /// The text.
    pub(crate) const fn entries(&mut self) -> &mut Entries {
        &mut self.entries
    }

    /// Goes where `key` says.
    pub(crate) fn press(&mut self, key: Key, size: Size) -> Reads {
        let page = body_rows(size);
        let last = self.rows(size.columns).len().saturating_sub(page);
        let now = match self.at {
            At::End => last,
            At::Row(row) => row.min(last),
        };
        let row = match key {
            Key::Escape | Key::Enter | Key::Text('q' | 'Q') => return Reads::Back,
            Key::Up | Key::Text('k') => now.saturating_sub(1),
            Key::Down | Key::Text('j') => now + 1,
            Key::PageUp | Key::Text('b') => now.saturating_sub(page),
            Key::PageDown | Key::Text(' ') => now + page,
            Key::Home | Key::Text('g') => 0,
            Key::End | Key::Text('G') => last,
            Key::Text(_) | Key::Backspace | Key::Clear => return Reads::On,
        };
        self.at = if row >= last { At::End } else { At::Row(row) };
        Reads::On
    }

    /// The screen.
    pub(crate) fn lines(&self, size: Size) -> Vec<Line> {
        let page = body_rows(size);
        let (shown, place) = match self.at {
            At::End => (self.last_rows(size.columns, page), "the end".to_owned()),
            At::Row(row) => {
                let rows = self.rows(size.columns);
                let last = rows.len().saturating_sub(page);
                let top = row.min(last);
                let place =
                    (top * 100).checked_div(last).map_or("all of it".to_owned(), |part| format!("{part} %"));
                (rows.into_iter().skip(top).take(page).collect(), place)
            }
        };
        let gap = if self.noted.is_empty() { "" } else { " · " };
        let mut lines =
            vec![super::rule(&format!("{}{gap}{}", self.title, self.noted), &place, size.columns)];
        if shown.is_empty() {
            lines.push(Line::of(Paint::Dim, format!("   {}", self.empty)));
        }
        lines.extend(shown);
        lines.resize(page + OWN_ROWS - 1, Line::default());
        lines.push(key_line(
            &[("↑↓ PgUp PgDn", "scroll"), ("g G", "start, end"), ("esc", "back")],
            size.columns,
        ));
        lines.truncate(size.rows);
        lines
    }

    /// Every entry that is there, with a word about those that are not.
    fn all(&self) -> impl DoubleEndedIterator<Item = Entry> {
        let dropped = match self.entries.dropped() {
            0 => None,
            many => Some(Entry::plain(Paint::Dim, format!("… {many} earlier lines: backstay logs"))),
        };
        dropped.into_iter().chain(self.entries.iter().cloned()).chain(self.entries.unfinished())
    }

    fn rows(&self, columns: usize) -> Vec<Line> {
        self.all().flat_map(|entry| entry.lines(columns)).collect()
    }

    fn last_rows(&self, columns: usize, page: usize) -> Vec<Line> {
        let mut rows: Vec<Line> =
            self.all().rev().flat_map(|entry| entry.lines(columns).into_iter().rev()).take(page).collect();
        rows.reverse();
        rows
    }
}

const fn body_rows(size: Size) -> usize {
    let rows = size.rows.saturating_sub(OWN_ROWS);
    if rows == 0 { 1 } else { rows }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::Style;

    const SIZE: Size = Size { columns: 60, rows: 7 };

    fn reader(lines: usize) -> Reader {
        let mut reader = Reader::at_end("log".to_owned(), "nothing yet");
        for number in 0..lines {
            reader.entries().wrote(format!("line {number}\n").as_bytes());
        }
        reader
    }

    fn body(reader: &Reader) -> Vec<String> {
        let lines = reader.lines(SIZE);
        assert_eq!(lines.len(), SIZE.rows);
        lines[1..5].iter().map(|line| line.render(Style::default(), SIZE.columns).trim().to_owned()).collect()
    }

    #[test]
    fn at_its_end_it_follows_and_elsewhere_it_stands() {
        let mut reader = reader(10);
        assert_eq!(body(&reader), ["line 6", "line 7", "line 8", "line 9"]);
        reader.entries().wrote(b"line 10\n");
        assert_eq!(body(&reader)[3], "line 10");
        reader.press(Key::Up, SIZE);
        reader.entries().wrote(b"line 11\n");
        assert_eq!(body(&reader), ["line 6", "line 7", "line 8", "line 9"]);
        reader.press(Key::Text('G'), SIZE);
        assert_eq!(body(&reader)[3], "line 11");
    }

    #[test]
    fn keys_go_to_every_place_and_never_past_an_end() {
        let mut reader = reader(10);
        for (key, first) in [
            (Key::Home, "line 0"),
            (Key::Up, "line 0"),
            (Key::Text('j'), "line 1"),
            (Key::PageDown, "line 5"),
            (Key::Text(' '), "line 6"),
            (Key::Down, "line 6"),
            (Key::PageUp, "line 2"),
            (Key::Text('b'), "line 0"),
            (Key::End, "line 6"),
        ] {
            assert_eq!(reader.press(key, SIZE), Reads::On);
            assert_eq!(body(&reader)[0], first, "{key:?}");
        }
        assert_eq!(reader.press(Key::Escape, SIZE), Reads::Back);
    }

    #[test]
    fn a_text_that_is_shorter_than_the_screen_or_not_there_is_a_whole_screen_too() {
        assert_eq!(body(&reader(1)), ["line 0", "", "", ""]);
        assert_eq!(body(&reader(0))[0], "nothing yet");
        assert_eq!(reader(3).lines(Size { columns: 1, rows: 1 }).len(), 1);
    }
}
