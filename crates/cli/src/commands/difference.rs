//! A difference as a person reads it in a terminal.
//!
//! It is a text of others: a file can contain anything. So git is asked for it without colours, and what it gives passes the
//! sanitizer; only then it is painted, line by line, and given to the pager.

use std::io::{BufRead, BufReader, Read as _};

use backstay_model::ObjectId;
use backstay_runtime::{Checkout, DiffForm, TreeError};
use tokio::signal::unix::{SignalKind, signal};

use crate::context::Context;
use crate::error::CliError;
use crate::pager::Pager;
use crate::ui::{Colours, DiffPaint, Moves, Paint, Sanitizer, Style};

/// Bytes of a line that are read at once.
const PIECE_BYTES: u64 = 64 * 1024;

/// Shows what is different between two commits. True if git was content.
pub(super) fn show(
    context: &Context,
    checkout: &Checkout,
    from: &ObjectId,
    to: &ObjectId,
    form: DiffForm,
) -> Result<bool, CliError> {
    let mut pager = Pager::start(context, &checkout.users_pager()?)?;
    // Ctrl-C is for the pager, which outlives it: who shows a text through one stays.
    let _interrupts = match pager {
        Pager::Program { .. } => Some(signal(SignalKind::interrupt()).map_err(CliError::Signals)?),
        Pager::None => None,
    };
    let mut text = BufReader::new(checkout.read_diff(from, to, form, context.columns())?);
    let mut shown = ShownDiff::new(context.style, form);
    let (mut piece, mut is_wanted) = (Vec::new(), true);
    while is_wanted {
        piece.clear();
        let count = text.by_ref().take(PIECE_BYTES).read_until(b'\n', &mut piece).map_err(unreadable)?;
        if count == 0 {
            is_wanted = pager.put(&shown.end())?;
            break;
        }
        is_wanted = pager.put(&shown.take(&piece))?;
    }
    let is_content = text.into_inner().finish()?;
    pager.finish()?;
    Ok(is_content || !is_wanted)
}

fn unreadable(error: std::io::Error) -> CliError {
    TreeError::Git { command: "diff".to_owned(), message: error.to_string() }.into()
}

/// Makes what is shown of a difference.
struct ShownDiff {
    style: Style,
    form: DiffForm,
    sanitizer: Sanitizer,
    paint: DiffPaint,
}

impl ShownDiff {
    fn new(style: Style, form: DiffForm) -> ShownDiff {
        let sanitizer = Sanitizer::new(Colours::None, Moves::Shown);
        ShownDiff { style, form, sanitizer, paint: DiffPaint::default() }
    }

    /// Takes a line, or a part of one that is very long.
    fn take(&mut self, piece: &[u8]) -> String {
        let mut text = String::new();
        match piece.strip_suffix(b"\r\n") {
            // Lines that differ in this alone are not to look alike.
            Some(line) => self.sanitizer.take(&[line, b"^M\n"].concat(), &mut text),
            None => self.sanitizer.take(piece, &mut text),
        }
        self.painted(&text)
    }

    fn end(&mut self) -> String {
        let mut text = String::new();
        self.sanitizer.finish(&mut text);
        self.painted(&text)
    }

    fn painted(&mut self, text: &str) -> String {
        let lines = text.split_inclusive('\n').map(|line| {
            let (words, end) = line.strip_suffix('\n').map_or((line, ""), |words| (words, "\n"));
            match self.form {
                DiffForm::Lines => self.style.paint(self.paint.of(words), words) + end,
                DiffForm::Sums => sum(self.style, words) + end,
            }
        });
        lines.collect()
    }
}

/// A line as ` path | 3 ++-`, its signs painted.
fn sum(style: Style, line: &str) -> String {
    let (words, signs) = line.split_at(line.trim_end_matches(['+', '-']).len());
    let (added, removed) = signs.split_at(signs.trim_end_matches('-').len());
    format!("{words}{}{}", style.paint(Paint::Good, added), style.paint(Paint::Bad, removed))
}
