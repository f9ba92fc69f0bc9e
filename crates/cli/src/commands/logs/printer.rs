//! What is printed, piece by piece.

use std::collections::BTreeMap;
use std::io::IsTerminal;

use backstay_model::{StepId, Timestamp};

use super::last_lines::LastLines;
use super::lines::Lines;
use super::voice::Said;
use super::wanted::Wanted;
use crate::context::Context;
use crate::error::CliError;
use crate::output;
use crate::ui::{Colours, Moves, Sanitizer, Times};

/// Prints what steps wrote, of several steps line by line behind the step's name, and behind a time where that is wanted.
///
/// It is text for people, in a terminal and elsewhere: what a step prints is not to move the cursor, set titles or answer
/// for the person in front of it, and a progress bar is what it was last. `--raw` gives the bytes as they are, but not to a
/// terminal.
#[derive(Debug)]
pub(super) struct Printer {
    prefixes: bool,
    /// How a time before each line is shown, if one is.
    times: Option<Times>,
    /// Which colours text may have; none where bytes are given as they are.
    text: Option<Colours>,
    /// What came of a step and cannot be printed yet.
    waiting: BTreeMap<StepId, Waiting>,
    lines: Lines,
    /// The last lines of what came, where no others are wanted.
    pub(super) tail: Option<LastLines>,
    /// A line has begun and not ended.
    is_within_line: bool,
}

/// What came of a step and cannot be printed yet.
#[derive(Debug)]
struct Waiting {
    /// What makes text of bytes; none where they are given as they are.
    sanitizer: Option<Sanitizer>,
    /// What stands before the line that has begun, if one has.
    label: Option<String>,
}

impl Printer {
    pub(super) fn new(context: &Context, wanted: &Wanted, tail: Option<LastLines>) -> Printer {
        let is_terminal = output::stdout().is_terminal();
        let colours = if context.style.color { Colours::Any } else { Colours::None };
        Printer {
            prefixes: wanted.address.as_ref().is_none_or(|address| !address.is_leaf()),
            times: wanted.has_times.then(|| context.times()),
            text: (is_terminal || !wanted.is_raw).then_some(colours),
            waiting: BTreeMap::new(),
            lines: Lines::default(),
            tail,
            is_within_line: false,
        }
    }

    /// Prints what stands above what follows, on a line of its own.
    pub(super) fn print_head(&mut self, step: &StepId, head: &Said) -> Result<(), CliError> {
        if head.bytes.is_empty() {
            return Ok(());
        }
        self.finish_step(step)?;
        if self.is_within_line && !self.has_labels() {
            self.put(b"\n")?;
        }
        self.print(step, head)
    }

    pub(super) fn print_all(&mut self, step: &StepId, all: &[Said]) -> Result<(), CliError> {
        all.iter().try_for_each(|said| self.print(step, said))
    }

    pub(super) fn print(&mut self, step: &StepId, said: &Said) -> Result<(), CliError> {
        if self.times.is_none() {
            return self.print_piece(step, said.at, &said.bytes);
        }
        // Each line has the time at which its first byte came.
        let mut lines = said.bytes.split_inclusive(|byte| *byte == b'\n');
        lines.try_for_each(|line| self.print_piece(step, said.at, line))
    }

    /// Prints a part of a line; where there are no times, of any number of lines.
    fn print_piece(&mut self, step: &StepId, at: Option<Timestamp>, bytes: &[u8]) -> Result<(), CliError> {
        let label = self.label(step, at);
        let new = || Waiting {
            sanitizer: self.text.map(|colours| Sanitizer::new(colours, Moves::Obeyed)),
            label: None,
        };
        let waiting = self.waiting.entry(step.clone()).or_insert_with(new);
        let begun = waiting.label.take().unwrap_or(label);
        if !bytes.ends_with(b"\n") {
            waiting.label = Some(begun.clone());
        }
        match &mut waiting.sanitizer {
            None => self.put_of(step, &begun, bytes),
            Some(sanitizer) => {
                let mut text = String::new();
                sanitizer.take(bytes, &mut text);
                self.put_of(step, &begun, text.as_bytes())
            }
        }
    }

    fn has_labels(&self) -> bool {
        self.prefixes || self.times.is_some()
    }

    /// What stands before a line.
    fn label(&self, step: &StepId, at: Option<Timestamp>) -> String {
        let mut label = String::new();
        if let Some(times) = &self.times {
            label.push_str(&times.stamp(at));
            label.push(' ');
        }
        if self.prefixes {
            label.push_str(step.as_str());
            label.push_str(" | ");
        }
        label
    }

    /// Puts what a step wrote, each line behind its label.
    fn put_of(&mut self, step: &StepId, label: &str, bytes: &[u8]) -> Result<(), CliError> {
        if !self.has_labels() {
            return self.put(bytes);
        }
        let lines = self.lines.take(step, label, bytes);
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
        match self.text {
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
        for (step, waiting) in std::mem::take(&mut self.waiting) {
            self.finish_waiting(&step, waiting)?;
        }
        Ok(())
    }

    fn finish_waiting(&mut self, step: &StepId, waiting: Waiting) -> Result<(), CliError> {
        let Waiting { sanitizer: Some(mut sanitizer), label } = waiting else { return Ok(()) };
        let mut text = String::new();
        sanitizer.finish(&mut text);
        let label = label.unwrap_or_else(|| self.label(step, None));
        self.put_of(step, &label, text.as_bytes())
    }

    /// Prints what waits of a step's last line: what follows is of something else.
    pub(super) fn finish_step(&mut self, step: &StepId) -> Result<(), CliError> {
        if let Some(waiting) = self.waiting.remove(step) {
            self.finish_waiting(step, waiting)?;
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
