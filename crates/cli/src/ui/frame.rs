//! A part of the screen that is redrawn in place, or all of it.

use std::io;

use crossterm::cursor::{Hide, MoveTo, MoveToColumn, MoveUp, Show};
use crossterm::queue;
use crossterm::terminal::{Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen};

use super::outlet::{Offered, Outlet};
use super::{Line, Style};
use crate::error::CliError;

/// Rows where nothing tells how high the screen is.
const ROWS_DEFAULT: usize = 24;
/// Columns where nothing tells how wide the screen is.
const COLUMNS_DEFAULT: usize = 80;

/// What a terminal rings at.
const BELL: u8 = 0x07;

/// How large the screen is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    /// Its columns.
    pub(crate) columns: usize,
    /// Its rows.
    pub(crate) rows: usize,
}

impl Size {
    /// Of the screen as it is now.
    pub(crate) fn now() -> Size {
        match crossterm::terminal::size() {
            Ok((columns, rows)) if columns > 0 && rows > 0 => {
                Size { columns: usize::from(columns), rows: usize::from(rows) }
            }
            Ok(_) | Err(_) => Size { columns: COLUMNS_DEFAULT, rows: ROWS_DEFAULT },
        }
    }
}

/// What the frame stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Below what was printed.
    Below,
    /// The whole screen; what stood there comes back.
    Whole,
}

/// What is drawn. Gives the screen back when dropped.
#[derive(Debug)]
pub(crate) struct Frame {
    style: Style,
    outlet: Outlet,
    place: Place,
    drawn: Vec<String>,
    /// The widths of what is drawn.
    widths: Vec<usize>,
    hidden: bool,
    rings: bool,
}

impl Frame {
    /// A frame with nothing in it.
    pub(crate) fn new(style: Style) -> Frame {
        Frame::on(Outlet::to_stdout(), style)
    }

    fn on(outlet: Outlet, style: Style) -> Frame {
        Frame {
            style,
            outlet,
            place: Place::Below,
            drawn: Vec::new(),
            widths: Vec::new(),
            hidden: false,
            rings: false,
        }
    }

    /// Draws `lines` where the last ones stood, below what was printed. They have to be fewer than the screen's rows.
    pub(crate) fn draw(&mut self, lines: &[Line], size: Size) -> Result<Offered, CliError> {
        self.show(Place::Below, lines, size)
    }

    /// Draws `lines` over the whole screen.
    pub(crate) fn draw_whole(&mut self, lines: &[Line], size: Size) -> Result<Offered, CliError> {
        self.show(Place::Whole, lines, size)
    }

    /// Rings the terminal with the next picture.
    pub(crate) const fn ring(&mut self) {
        self.rings = true;
    }

    fn show(&mut self, place: Place, lines: &[Line], size: Size) -> Result<Offered, CliError> {
        // Of what has no room on the screen the end stays; below the last line stands the cursor.
        let room = match place {
            Place::Below => size.rows.saturating_sub(1).max(1),
            Place::Whole => size.rows,
        };
        let lines = &lines[lines.len().saturating_sub(room)..];
        let shown: Vec<String> = lines.iter().map(|line| line.render(self.style, size.columns)).collect();
        if shown == self.drawn && place == self.place && !self.rings {
            return Ok(Offered::Taken);
        }
        let mut bytes = self.picture(place, &shown, size).map_err(CliError::Output)?;
        bytes.extend(self.bell());
        let offered = self.outlet.offer(bytes)?;
        if offered == Offered::Taken {
            self.widths = lines.iter().map(|line| line.width().min(size.columns)).collect();
            (self.drawn, self.place, self.hidden, self.rings) = (shown, place, true, false);
        }
        Ok(offered)
    }

    fn bell(&self) -> Option<u8> {
        self.rings.then_some(BELL)
    }

    /// The bytes that draw it.
    fn picture(&self, place: Place, shown: &[String], size: Size) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        match (self.place, place) {
            (Place::Below, Place::Below) => self.erase(&mut out, size)?,
            (Place::Below, Place::Whole) => {
                self.erase(&mut out, size)?;
                queue!(out, EnterAlternateScreen)?;
            }
            (Place::Whole, Place::Below) => queue!(out, LeaveAlternateScreen)?,
            (Place::Whole, Place::Whole) => {}
        }
        if !self.hidden {
            queue!(out, Hide)?;
        }
        match place {
            Place::Below => {
                for line in shown {
                    out.extend_from_slice(line.as_bytes());
                    out.extend_from_slice(b"\r\n");
                }
            }
            Place::Whole => {
                for (row, line) in (0_u16..).zip(shown) {
                    queue!(out, MoveTo(0, row), Clear(ClearType::CurrentLine))?;
                    out.extend_from_slice(line.as_bytes());
                }
                queue!(out, Clear(ClearType::FromCursorDown))?;
            }
        }
        Ok(out)
    }

    /// Takes the frame away, so that something else can be printed in its place.
    pub(crate) fn clear(&mut self) -> Result<(), CliError> {
        let mut bytes = self.restored(Size::now()).map_err(CliError::Output)?;
        bytes.extend(self.bell());
        self.rings = false;
        self.forget();
        if bytes.is_empty() { Ok(()) } else { self.outlet.put(bytes) }
    }

    /// Leaves the last picture where it stands. What comes next is printed below it.
    pub(crate) fn leave(&mut self, lines: &[Line], size: Size) -> Result<(), CliError> {
        self.outlet.settle();
        self.draw(lines, size)?;
        self.drawn.clear();
        self.clear()
    }

    /// Draws anew whatever comes next: somebody else may have written on the screen.
    pub(crate) fn forget(&mut self) {
        (self.drawn, self.widths, self.place, self.hidden) = (Vec::new(), Vec::new(), Place::Below, false);
    }

    /// The bytes that give the screen back.
    fn restored(&self, size: Size) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        match self.place {
            Place::Below => self.erase(&mut out, size)?,
            Place::Whole => queue!(out, LeaveAlternateScreen)?,
        }
        if self.hidden {
            queue!(out, Show)?;
        }
        Ok(out)
    }

    /// Where the screen has become narrower, what is drawn takes more rows than lines.
    fn erase(&self, out: &mut Vec<u8>, size: Size) -> io::Result<()> {
        let rows = |width: &usize| width.div_ceil(size.columns.max(1)).max(1);
        let rows: usize = if self.drawn.is_empty() { 0 } else { self.widths.iter().map(rows).sum() };
        let rows = u16::try_from(rows.min(size.rows)).unwrap_or(u16::MAX);
        if rows > 0 {
            queue!(out, MoveUp(rows), MoveToColumn(0), Clear(ClearType::FromCursorDown))?;
        }
        Ok(())
    }
}

impl Drop for Frame {
    fn drop(&mut self) {
        if self.hidden {
            // Where it was not cleared before, the picture stays and the cursor comes back.
            self.drawn.clear();
            if let Ok(bytes) = self.restored(Size::now())
                && self.outlet.put(bytes).is_err()
            {
                // The screen is gone, and the cursor with it.
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::Paint;

    const WIDE: Size = Size { columns: 80, rows: 24 };

    fn drawn(lines: &[&str]) -> Frame {
        let lines: Vec<Line> = lines.iter().map(|text| Line::of(Paint::Plain, text)).collect();
        let mut frame = Frame::new(Style::default());
        frame.drawn = lines.iter().map(|line| line.render(Style::default(), WIDE.columns)).collect();
        frame.widths = lines.iter().map(Line::width).collect();
        frame
    }

    #[test]
    fn on_a_screen_that_became_narrower_all_rows_of_the_picture_go() {
        let frame = drawn(&["0123456789", "", "01234"]);
        for (columns, up) in [(80, 3), (10, 3), (9, 4), (5, 4), (3, 7)] {
            let mut out = Vec::new();
            frame.erase(&mut out, Size { columns, ..WIDE }).unwrap();
            assert!(out.starts_with(format!("\u{1b}[{up}A").as_bytes()), "{columns}: {out:?}");
        }
    }

    #[test]
    fn a_whole_screen_gives_back_what_stood_there() {
        let mut frame = drawn(&["table"]);
        let whole = frame.picture(Place::Whole, &["log".to_owned()], WIDE).unwrap();
        assert!(String::from_utf8(whole).unwrap().contains("\u{1b}[?1049h"));
        (frame.place, frame.hidden) = (Place::Whole, true);
        assert_eq!(String::from_utf8(frame.restored(WIDE).unwrap()).unwrap(), "\u{1b}[?1049l\u{1b}[?25h");
        frame.forget();
    }
    #[test]
    fn the_screen_is_given_back_while_panicking() {
        let (say, written) = std::sync::mpsc::channel();
        let outlet = Outlet::to(move |bytes| {
            say.send(String::from_utf8_lossy(bytes).into_owned()).expect("the test listens");
            Ok(())
        });
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
            let mut frame = Frame::on(outlet, Style::default());
            frame.draw_whole(&[Line::of(Paint::Plain, "log")], WIDE).unwrap();
            panic!("a defect");
        }));
        assert!(panicked.is_err());
        let all: Vec<String> = written.iter().collect();
        assert_eq!(all.len(), 2, "{all:?}");
        assert_eq!(all[1], "\u{1b}[?1049l\u{1b}[?25h");
    }
}
