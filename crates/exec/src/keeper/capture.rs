//! One stream of the agent on its way from the pipe into the spool.

use std::io::{self, PipeReader, PipeWriter, Read, Write};

use backstay_files::Dir;
use backstay_model::event::Spool;

use crate::redact::{Redactor, Secrets};
use crate::spec::ProcessSpec;
use crate::spool::{OrderWriter, SpoolWriter, Stream};

/// Bytes read at once.
pub(super) const READ_BYTES: usize = 64 * 1024;

/// One stream.
pub(super) struct Capture {
    pipe: Option<PipeReader>,
    redactor: Redactor,
    spool: SpoolWriter,
    redacted: Vec<u8>,
    /// Bytes that came, before redaction.
    pub(super) raw_bytes: u64,
}

/// What one read gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// Something.
    Bytes,
    /// Nothing now.
    Nothing,
    /// The pipe is closed.
    Closed,
}

impl Capture {
    /// A capture into the spool of `stream`, and the end of the pipe for the agent.
    pub(super) fn create(
        folder: &Dir,
        stream: Stream,
        spec: &ProcessSpec,
        secrets: &Secrets,
    ) -> io::Result<(Capture, PipeWriter)> {
        let (pipe, theirs) = io::pipe()?;
        super::setup::set_nonblocking(&pipe)?;
        let spool = SpoolWriter::create(folder, stream, spec.output_limit_bytes)?;
        let redactor = secrets.redactor();
        Ok((Capture { pipe: Some(pipe), redactor, spool, redacted: Vec::new(), raw_bytes: 0 }, theirs))
    }

    /// The pipe, until it is closed.
    pub(super) fn pipe(&self) -> Option<&PipeReader> {
        self.pipe.as_ref()
    }

    /// Reads once and keeps what came.
    pub(super) fn take(&mut self, buffer: &mut [u8], order: &mut OrderWriter) -> Taken {
        let Some(pipe) = &mut self.pipe else { return Taken::Closed };
        match pipe.read(buffer) {
            Ok(count) if count > 0 => {
                self.raw_bytes += count as u64;
                self.redacted.clear();
                self.redactor.push(&buffer[..count], &mut self.redacted);
                self.spool.append(&self.redacted, order);
                Taken::Bytes
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Taken::Nothing,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Taken::Bytes,
            // The end of the pipe; a pipe that cannot be read will not give more either.
            Ok(_) | Err(_) => {
                self.close(order);
                Taken::Closed
            }
        }
    }

    /// Closes the pipe and keeps what the redactor held back.
    pub(super) fn close(&mut self, order: &mut OrderWriter) {
        if self.pipe.take().is_some() {
            self.redacted.clear();
            self.redactor.finish(&mut self.redacted);
            self.spool.append(&self.redacted, order);
            self.redacted = Vec::new();
        }
    }

    /// Makes the spool safe from a loss of power and says what is in it.
    pub(super) fn finish(&self) -> (Spool, io::Result<()>) {
        self.spool.finish()
    }
}

/// What the agent reads on its stdin.
pub(super) struct StdinWriter {
    pipe: Option<PipeWriter>,
    bytes: Vec<u8>,
    fed: usize,
}

impl StdinWriter {
    /// Nothing to stdin.
    pub(super) fn none() -> StdinWriter {
        StdinWriter { pipe: None, bytes: Vec::new(), fed: 0 }
    }

    /// Feeds `text`; also the end of the pipe for the agent.
    pub(super) fn of(text: String) -> io::Result<(StdinWriter, PipeReader)> {
        let (theirs, pipe) = io::pipe()?;
        super::setup::set_nonblocking(&pipe)?;
        Ok((StdinWriter { pipe: Some(pipe), bytes: text.into_bytes(), fed: 0 }, theirs))
    }

    /// The pipe, as long as there is something to stdin.
    pub(super) fn pipe(&self) -> Option<&PipeWriter> {
        self.pipe.as_ref()
    }

    /// Writes what the pipe takes; closes it after the last byte, or when nobody reads.
    pub(super) fn give(&mut self) {
        let Some(pipe) = &mut self.pipe else { return };
        while self.fed < self.bytes.len() {
            match pipe.write(&self.bytes[self.fed..]) {
                Ok(count) if count > 0 => self.fed += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // An agent need not read its stdin.
                Ok(_) | Err(_) => break,
            }
        }
        *self = StdinWriter::none();
    }
}
