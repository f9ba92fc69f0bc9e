//! What is printed, piece by piece.

use std::collections::BTreeMap;
use std::io::IsTerminal;

use backstay_model::StepId;

use super::last_lines::LastLines;
use super::lines::Lines;
use super::wanted::Wanted;
use crate::context::Context;
use crate::error::CliError;
use crate::output;
use crate::ui::{Colours, Moves, Sanitizer};

/// Prints what steps wrote, of several steps line by line behind the step's name.
///
/// It is text for people, in a terminal and elsewhere: what a step prints is not to move the cursor, set titles or answer
/// for the person in front of it, and a progress bar is what it was last. `--raw` gives the bytes as they are, but not to a
/// terminal.
#[derive(Debug)]
pub(super) struct Printer {
    prefixes: bool,
    /// What makes text of bytes, for each step; none where they are given as they are.
    sanitizers: Option<BTreeMap<StepId, Sanitizer>>,
    colours: Colours,
    lines: Lines,
    /// The last lines of what came, where no others are wanted.
    pub(super) tail: Option<LastLines>,
    /// A line has begun and not ended.
    is_within_line: bool,
}

impl Printer {
    pub(super) fn new(context: &Context, wanted: &Wanted, tail: Option<LastLines>) -> Printer {
        let is_terminal = output::stdout().is_terminal();
        Printer {
            prefixes: wanted.address.as_ref().is_none_or(|address| !address.is_leaf()),
            sanitizers: (is_terminal || !wanted.is_raw).then(BTreeMap::new),
            colours: if context.style.color { Colours::Any } else { Colours::None },
            lines: Lines::default(),
            tail,
            is_within_line: false,
        }
    }

    /// Prints what stands above what follows, on a line of its own.
    pub(super) fn print_head(&mut self, step: &StepId, bytes: &[u8]) -> Result<(), CliError> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.finish_step(step)?;
        if self.is_within_line && !self.prefixes {
            self.put(b"\n")?;
        }
        self.print(step, bytes)
    }

    pub(super) fn print(&mut self, step: &StepId, bytes: &[u8]) -> Result<(), CliError> {
        let Some(sanitizers) = &mut self.sanitizers else { return self.put_of(step, bytes) };
        let colours = self.colours;
        let new = || Sanitizer::new(colours, Moves::Obeyed);
        let mut text = String::new();
        sanitizers.entry(step.clone()).or_insert_with(new).take(bytes, &mut text);
        self.put_of(step, text.as_bytes())
    }

    /// Puts what a step wrote, behind its name where several write.
    fn put_of(&mut self, step: &StepId, bytes: &[u8]) -> Result<(), CliError> {
        if !self.prefixes {
            return self.put(bytes);
        }
        let lines = self.lines.take(step, bytes);
        self.put(&lines)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), CliError> {
        let Some(last) = bytes.last() else { return Ok(()) };
        self.is_within_line = *last != b'\n';
        match &mut self.tail {
            Some(tail) => {
                tail.push(bytes);
                Ok(())
            }
            None => self.write(bytes),
        }
    }

    fn write(&self, bytes: &[u8]) -> Result<(), CliError> {
        match self.sanitizers {
            Some(_) => output::put_sanitized(&String::from_utf8_lossy(bytes)),
            None => output::put_bytes(bytes),
        }
    }

    /// Prints the last lines of what came, and from now on all that comes.
    pub(super) fn print_tail(&mut self) -> Result<(), CliError> {
        match self.tail.take() {
            Some(tail) => self.write(&tail.into_bytes()),
            None => Ok(()),
        }
    }

    /// Prints the lines that the sanitizers hold because they have not ended.
    pub(super) fn finish_sanitizers(&mut self) -> Result<(), CliError> {
        for (step, mut sanitizer) in self.sanitizers.as_mut().map(std::mem::take).unwrap_or_default() {
            let mut text = String::new();
            sanitizer.finish(&mut text);
            self.put_of(&step, text.as_bytes())?;
        }
        Ok(())
    }

    /// Prints what waits of a step's last line: what follows is of something else.
    pub(super) fn finish_step(&mut self, step: &StepId) -> Result<(), CliError> {
        if let Some(mut sanitizer) = self.sanitizers.as_mut().and_then(|sanitizers| sanitizers.remove(step)) {
            let mut text = String::new();
            sanitizer.finish(&mut text);
            self.put_of(step, text.as_bytes())?;
        }
        let line = self.lines.end(step);
        self.put(&line)
    }

    /// Prints lines that have not ended.
    pub(super) fn finish(&mut self) -> Result<(), CliError> {
        self.finish_sanitizers()?;
        let lines = self.lines.finish();
        self.put(&lines)
    }
}
