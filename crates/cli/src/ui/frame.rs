//! A part of the screen that is redrawn in place.

use std::io::Write;

use crossterm::cursor::{Hide, MoveToColumn, MoveUp, Show};
use crossterm::queue;
use crossterm::terminal::{Clear, ClearType};

use super::{Line, Style};
use crate::error::CliError;

/// Rows where nothing tells how high the screen is.
const ROWS_DEFAULT: usize = 24;

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

    /// Draws `lines` where the last ones stood, cut to the screen.
    pub(crate) fn draw(&mut self, lines: &[Line]) -> Result<(), CliError> {
        let (columns, rows) = crossterm::terminal::size()
            .map_or((80, ROWS_DEFAULT), |(columns, rows)| (usize::from(columns), usize::from(rows)));
        let room = rows.saturating_sub(1).max(3);
        let mut shown: Vec<String> =
            lines.iter().take(room).map(|line| line.render(self.style, columns.max(20))).collect();
        if lines.len() > room {
            shown.truncate(room - 1);
            shown.push(format!("   … {} more lines", lines.len() - shown.len()));
        }
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
        crate::output::put_bytes(&out)
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
