//! A part of the screen that is redrawn in place.

use std::io::Write;

use crossterm::cursor::{Hide, MoveToColumn, MoveUp, Show};
use crossterm::queue;
use crossterm::terminal::{Clear, ClearType};

use super::{Line, Paint, Style};
use crate::error::CliError;

/// Rows where nothing tells how high the screen is.
const ROWS_DEFAULT: usize = 24;
/// Columns where nothing tells how wide the screen is.
const COLUMNS_DEFAULT: usize = 80;
/// Lines that a frame has at least, however low the screen is.
const LINES_MIN: usize = 3;

/// Keeps of `lines` what fits into `room` with `foot` and an empty line above it, and says how much was left out.
fn fit(lines: &[Line], foot: &Line, room: usize) -> Vec<Line> {
    let room = room.max(LINES_MIN);
    let mut shown = lines.to_vec();
    if lines.len() + 2 > room {
        shown.truncate(room - 2);
        shown.push(Line::of(Paint::Dim, format!("   … {} more lines", lines.len() - shown.len())));
    } else {
        shown.push(Line::default());
    }
    shown.push(foot.clone());
    shown
}

/// The lines at the bottom of what was printed, redrawn in place. Shows the cursor again when dropped.
#[derive(Debug)]
pub(crate) struct Frame {
    style: Style,
    drawn: Vec<String>,
    hidden: bool,
}

impl Frame {
    /// A frame with nothing in it.
    pub(crate) fn new(style: Style) -> Frame {
        Frame { style, drawn: Vec::new(), hidden: false }
    }

    /// Draws `lines` where the last ones stood, cut to the screen, and `foot` below them in any case.
    pub(crate) fn draw(&mut self, lines: &[Line], foot: &Line) -> Result<(), CliError> {
        let (columns, rows) = match crossterm::terminal::size() {
            Ok((columns, rows)) if columns > 0 && rows > 0 => (usize::from(columns), usize::from(rows)),
            Ok(_) | Err(_) => (COLUMNS_DEFAULT, ROWS_DEFAULT),
        };
        let lines = fit(lines, foot, rows.saturating_sub(1));
        let shown: Vec<String> = lines.iter().map(|line| line.render(self.style, columns)).collect();
        if shown == self.drawn {
            return Ok(());
        }
        let mut out = Vec::new();
        self.erase(&mut out).map_err(CliError::Output)?;
        if !self.hidden {
            queue!(out, Hide).map_err(CliError::Output)?;
            self.hidden = true;
        }
        for line in &shown {
            out.extend_from_slice(line.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        self.drawn = shown;
        crate::output::put_bytes(&out)
    }

    /// Takes the frame away, so that something else can be printed in its place.
    pub(crate) fn clear(&mut self) -> Result<(), CliError> {
        let mut out = Vec::new();
        self.erase(&mut out).map_err(CliError::Output)?;
        self.drawn.clear();
        if std::mem::take(&mut self.hidden) {
            queue!(out, Show).map_err(CliError::Output)?;
        }
        crate::output::put_bytes(&out)
    }

    /// Leaves the last picture where it stands, with `foot` below it.
    pub(crate) fn leave(&mut self, lines: &[Line], foot: &Line) -> Result<(), CliError> {
        self.draw(lines, foot)?;
        self.drawn.clear();
        self.clear()
    }

    fn erase(&self, out: &mut Vec<u8>) -> std::io::Result<()> {
        if let Ok(rows) = u16::try_from(self.drawn.len())
            && rows > 0
        {
            queue!(out, MoveUp(rows), MoveToColumn(0), Clear(ClearType::FromCursorDown))?;
        }
        Ok(())
    }
}

impl Drop for Frame {
    fn drop(&mut self) {
        if self.hidden {
            let mut out = std::io::stdout().lock();
            if queue!(out, Show).and_then(|()| out.flush()).is_err() {
                // The screen is gone, and the cursor with it.
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(count: usize) -> Vec<Line> {
        (0..count).map(|number| Line::of(Paint::Plain, format!("line {number}"))).collect()
    }

    fn fitted(count: usize, room: usize) -> Vec<String> {
        let foot = Line::of(Paint::Dim, "[q] leave");
        let fitted = fit(&lines(count), &foot, room);
        fitted.iter().map(|line| line.render(Style::default(), 80)).collect()
    }

    #[test]
    fn the_keys_stand_below_what_fits_whole() {
        assert_eq!(fitted(2, 4), ["line 0", "line 1", "", "[q] leave"]);
    }

    #[test]
    fn the_keys_stay_where_the_lines_do_not_fit() {
        assert_eq!(fitted(5, 5), ["line 0", "line 1", "line 2", "   … 2 more lines", "[q] leave"]);
        assert_eq!(fitted(3, 0), ["line 0", "   … 2 more lines", "[q] leave"]);
    }
}
