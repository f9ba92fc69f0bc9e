//! One line of a terminal: what stands in its columns, and where the cursor is.

use anstyle::{Ansi256Color, AnsiColor, Color, Effects, RgbColor, Style};
use unicode_width::UnicodeWidthChar;

use super::{Colours, Moves};

/// Columns of a line that is kept; of a longer one what is there is given away.
const COLUMNS_MAX: usize = 64 * 1024;
/// The column behind which nothing moves the cursor that writes nothing, unless the line is longer.
const MOVE_COLUMN_MAX: usize = 512;
/// Marks (accents, joiners) on one character.
const MARKS_MAX: usize = 8;

#[derive(Clone, Debug)]
struct Cell {
    character: char,
    /// What stands on the character and takes no column.
    marks: String,
    style: Style,
    /// Whether it is the second column of the character before it.
    is_second: bool,
}

impl Cell {
    const BLANK: Cell = Cell { character: ' ', marks: String::new(), style: Style::new(), is_second: false };
}

#[derive(Debug)]
pub(super) struct Row {
    colours: Colours,
    moves: Moves,
    tab_columns: usize,
    cells: Vec<Cell>,
    column: usize,
    style: Style,
    /// The beginning of a line that is too long to be kept.
    overlong: String,
    /// A carriage return came that is not obeyed, and nothing after it yet.
    has_returned: bool,
}

impl Row {
    pub(super) fn new(colours: Colours, moves: Moves, tab_columns: usize) -> Row {
        Row {
            colours,
            moves,
            tab_columns,
            cells: Vec::new(),
            column: 0,
            style: Style::new(),
            overlong: String::new(),
            has_returned: false,
        }
    }

    /// Whether it is as at the beginning of a line.
    pub(super) fn is_empty(&self) -> bool {
        self.cells.is_empty()
            && self.column == 0
            && self.overlong.is_empty()
            && !self.has_returned
            && self.style == Style::new()
    }

    pub(super) fn print(&mut self, character: char) {
        if std::mem::take(&mut self.has_returned) {
            self.place(' ', 1);
        }
        match character {
            '\u{2028}' | '\u{2029}' => self.place(' ', 1),
            character if is_joiner(character) => self.mark(character),
            character if !is_shown(character) => {}
            character => match character.width() {
                Some(0) => self.mark(character),
                Some(columns) => self.place(character, columns),
                None => {}
            },
        }
    }

    pub(super) fn control(&mut self, control: char) {
        let is_obeyed = self.moves == Moves::Obeyed;
        match control {
            '\r' if is_obeyed => self.column = 0,
            '\r' => self.has_returned = true,
            '\u{8}' if is_obeyed => self.column = self.column.saturating_sub(1),
            '\t' => {
                let next = (self.column / self.tab_columns + 1) * self.tab_columns;
                if is_obeyed {
                    self.column = next.min(COLUMNS_MAX);
                } else {
                    (self.column..next).for_each(|_| self.print(' '));
                }
            }
            // Where a terminal goes to the next line.
            '\u{b}' | '\u{c}' | '\u{85}' => self.print(' '),
            _ => {}
        }
    }

    pub(super) fn csi(&mut self, parameters: &str, last: char) {
        // With these a sequence is one of a terminal's own.
        if parameters.contains(|c: char| !matches!(c, '0'..=';')) {
            return;
        }
        if last == 'm' {
            return self.paint(parameters);
        }
        if self.moves == Moves::Shown {
            return;
        }
        let number = parameters.split(';').next().and_then(|text| text.parse().ok());
        let times = number.filter(|times| *times > 0).unwrap_or(1_usize);
        match last {
            'C' => self.move_to(self.column.saturating_add(times)),
            'D' => self.column = self.column.saturating_sub(times),
            'G' | '`' => self.move_to(times - 1),
            'K' => match number.unwrap_or(0) {
                0 => self.erase(self.column, self.cells.len()),
                1 => self.erase(0, self.column + 1),
                2 => self.erase(0, self.cells.len()),
                _ => {}
            },
            _ => {}
        }
    }

    /// The line as it stands.
    pub(super) fn shown(&self) -> String {
        let mut out = self.overlong.clone();
        self.render(&mut out);
        out
    }

    /// The line has ended: gives it.
    pub(super) fn end(&mut self, out: &mut String) {
        self.give_overlong(out);
        self.render(out);
        (self.column, self.style, self.has_returned) = (0, Style::new(), false);
        self.cells.clear();
    }

    /// Gives what cannot be kept until the end of the line.
    pub(super) fn give_overlong(&mut self, out: &mut String) {
        out.push_str(&self.overlong);
        self.overlong.clear();
    }

    fn move_to(&mut self, column: usize) {
        self.column = column.min(self.cells.len().saturating_sub(1).max(MOVE_COLUMN_MAX));
    }

    fn place(&mut self, character: char, columns: usize) {
        if self.column + columns > COLUMNS_MAX {
            let mut full = std::mem::take(&mut self.overlong);
            self.render(&mut full);
            self.overlong = full;
            self.cells.clear();
            self.column = 0;
        }
        while self.cells.len() < self.column {
            self.cells.push(Cell::BLANK);
        }
        let style = self.style;
        for is_second in std::iter::once(false).chain(std::iter::repeat_n(true, columns - 1)) {
            self.set(Cell { character, marks: String::new(), style, is_second });
        }
    }

    fn set(&mut self, cell: Cell) {
        let at = self.column;
        self.column += 1;
        if at == self.cells.len() {
            self.cells.push(cell);
            return;
        }
        // Of a character that takes two columns no half stays.
        if self.cells[at].is_second && !cell.is_second {
            self.cells[at - 1] = Cell::BLANK;
        }
        if self.cells.get(at + 1).is_some_and(|next| next.is_second) {
            self.cells[at + 1] = Cell::BLANK;
        }
        self.cells[at] = cell;
    }

    fn mark(&mut self, mark: char) {
        let before = |at: &usize| !self.cells[*at].is_second;
        let Some(at) = (0..self.column.min(self.cells.len())).rev().find(before) else { return };
        // After a move there is nothing to stand on.
        if self.column > self.cells.len() {
            return;
        }
        let cell = &mut self.cells[at];
        if cell.marks.chars().count() < MARKS_MAX && (!is_joiner(mark) || !cell.character.is_ascii()) {
            cell.marks.push(mark);
        }
    }

    fn erase(&mut self, from: usize, end: usize) {
        let end = end.min(self.cells.len());
        if from >= end {
            return;
        }
        if self.cells[from].is_second {
            self.cells[from - 1] = Cell::BLANK;
        }
        if self.cells.get(end).is_some_and(|next| next.is_second) {
            self.cells[end] = Cell::BLANK;
        }
        if end == self.cells.len() {
            self.cells.truncate(from);
        } else {
            self.cells[from..end].fill(Cell::BLANK);
        }
    }

    fn render(&self, out: &mut String) {
        let mut style = Style::new();
        let mut cells = self.cells.iter().filter(|cell| !cell.is_second).peekable();
        while let Some(cell) = cells.next() {
            if cell.style != style {
                out.push_str(&format!("{style:#}{}", cell.style));
                style = cell.style;
            }
            out.push(cell.character);
            // A joiner joins what no ASCII character is.
            let joins = cells.peek().is_some_and(|next| !next.character.is_ascii());
            out.push_str(if joins { &cell.marks } else { cell.marks.trim_end_matches(is_joiner) });
        }
        out.push_str(&format!("{style:#}"));
    }

    fn paint(&mut self, parameters: &str) {
        if self.colours == Colours::None {
            return;
        }
        let mut painted = self.style;
        let mut items = parameters.split(';');
        while let Some(item) = items.next() {
            let mut parts = item.split(':');
            let code = parts.next().unwrap_or_default();
            painted = match code {
                "38" | "48" => {
                    let more: Vec<&str> = parts.collect();
                    let color = if more.is_empty() { color_of(&mut items) } else { color_of_parts(&more) };
                    match (code, color) {
                        (_, None) => painted,
                        ("38", color) => painted.fg_color(color),
                        (_, color) => painted.bg_color(color),
                    }
                }
                "" => Style::new(),
                code => code.parse().map_or(painted, |code| with_code(painted, code)),
            };
        }
        self.style = self.permitted(painted);
    }

    fn permitted(&self, style: Style) -> Style {
        let is_own = |color: &Color| {
            use AnsiColor::{Cyan, Green, Red, Yellow};
            matches!(color, Color::Ansi(Red | Green | Yellow | Cyan))
        };
        match self.colours {
            Colours::None => Style::new(),
            Colours::Own => {
                let effects = OWN_EFFECTS.into_iter().filter(|effect| style.get_effects().contains(*effect));
                Style::new()
                    .fg_color(style.get_fg_color().filter(is_own))
                    .effects(effects.fold(Effects::new(), Effects::insert))
            }
            // What has the colour of its ground cannot be read.
            Colours::Any if style.get_fg_color() == style.get_bg_color() => style.fg_color(None),
            Colours::Any => style,
        }
    }
}

const OWN_EFFECTS: [Effects; 3] = [Effects::BOLD, Effects::DIMMED, Effects::UNDERLINE];

const ANSI: [AnsiColor; 8] = [
    AnsiColor::Black,
    AnsiColor::Red,
    AnsiColor::Green,
    AnsiColor::Yellow,
    AnsiColor::Blue,
    AnsiColor::Magenta,
    AnsiColor::Cyan,
    AnsiColor::White,
];

/// `style` as the code of a sequence changes it. Hidden and blinking text is shown as any other.
fn with_code(style: Style, code: u8) -> Style {
    let plain = |code: u8, first: u8| Some(Color::Ansi(ANSI[usize::from(code - first)]));
    let bright = |code: u8, first: u8| Some(Color::Ansi(ANSI[usize::from(code - first)].bright(true)));
    let with = |effect| style.effects(style.get_effects().insert(effect));
    let without = |effect| style.effects(style.get_effects().remove(effect));
    match code {
        0 => Style::new(),
        1 => with(Effects::BOLD),
        2 => with(Effects::DIMMED),
        3 => with(Effects::ITALIC),
        4 | 21 => with(Effects::UNDERLINE),
        7 => with(Effects::INVERT),
        9 => with(Effects::STRIKETHROUGH),
        22 => without(Effects::BOLD.insert(Effects::DIMMED)),
        23 => without(Effects::ITALIC),
        24 => without(Effects::UNDERLINE),
        27 => without(Effects::INVERT),
        29 => without(Effects::STRIKETHROUGH),
        30..=37 => style.fg_color(plain(code, 30)),
        39 => style.fg_color(None),
        40..=47 => style.bg_color(plain(code, 40)),
        49 => style.bg_color(None),
        90..=97 => style.fg_color(bright(code, 90)),
        100..=107 => style.bg_color(bright(code, 100)),
        _ => style,
    }
}

/// The colour of `38;5;N` or `38;2;R;G;B`.
fn color_of<'a>(items: &mut impl Iterator<Item = &'a str>) -> Option<Color> {
    let mut number = || items.next()?.parse::<u8>().ok();
    match number()? {
        5 => Some(Ansi256Color(number()?).into()),
        2 => Some(RgbColor(number()?, number()?, number()?).into()),
        _ => None,
    }
}

/// The colour of `38:5:N`, `38:2:R:G:B` or `38:2::R:G:B`.
fn color_of_parts(parts: &[&str]) -> Option<Color> {
    match parts {
        ["2", _, red, green, blue, ..] | ["2", red, green, blue] => {
            color_of(&mut ["2", red, green, blue].into_iter())
        }
        parts => color_of(&mut parts.iter().copied()),
    }
}

/// Whether a line is what it is shown as: each character has columns of its own and stands where it is read.
pub(super) fn is_plain(line: &str) -> bool {
    line.bytes().all(|byte| matches!(byte, b' '..=b'~'))
        || line.chars().all(|character| {
            matches!(character, ' '..='~')
                || (is_shown(character) && character.width().is_some_and(|columns| columns > 0))
        })
}

/// What joins or parts letters of scripts that need it, and pictures of several.
const fn is_joiner(character: char) -> bool {
    matches!(character, '\u{200c}' | '\u{200d}')
}

/// Whether a character stands where it is read. Controls are not; nor is what turns text around or cannot be seen.
pub(super) const fn is_shown(character: char) -> bool {
    !matches!(
        character,
        '\0'..='\u{1f}'
            | '\u{7f}'..='\u{9f}'
            | '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'
            | '\u{200e}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff0}'..='\u{fffb}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}
