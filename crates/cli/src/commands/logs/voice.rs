//! How the bytes of an attempt become what is printed.

use backstay_exec::spool::{Chunk, Stream};
use backstay_exec::{Redactor, Secrets};
use backstay_model::Timestamp;
use backstay_runtime::Spoken;

use super::source::Source;
use super::speech::Speech;

/// How the bytes of an attempt become what is printed.
#[derive(Debug)]
pub(super) enum Voice {
    /// As they are.
    Bytes,
    /// An agent writes for programs; its messages are for people.
    Speech(Box<Speech>, Redactor),
}

impl Voice {
    /// `live_from` is the offset in stdout behind which it is read as it is written.
    pub(super) fn of(
        source: &Source,
        spoken: Option<&Spoken>,
        folder: Option<&str>,
        live_from: u64,
        secrets: &Secrets,
    ) -> Voice {
        let speech = spoken.zip(source.preset.as_ref()).and_then(|(spoken, preset)| {
            let tools_at = spoken.tools_at(&source.effect, source.attempt);
            Speech::of(spoken.preset(preset)?, folder, tools_at, live_from)
        });
        speech.map_or(Voice::Bytes, |speech| Voice::Speech(Box::new(speech), secrets.redactor()))
    }

    pub(super) fn head(&self, source: &Source) -> Vec<u8> {
        match self {
            Voice::Bytes => {
                source.mark.as_ref().map_or_else(Vec::new, |mark| format!("─ {mark}\n").into_bytes())
            }
            Voice::Speech(..) => format!("─ {}\n", source.head).into_bytes(),
        }
    }

    pub(super) fn say(&mut self, chunk: Chunk, now: Timestamp) -> Vec<u8> {
        let Voice::Speech(speech, redactor) = self else { return chunk.bytes };
        let said = match chunk.stream {
            Stream::Stdout => speech.hear(&chunk.bytes, now),
            Stream::Stderr => speech.hear_beside(&chunk.bytes),
        };
        let mut clean = Vec::with_capacity(said.len());
        redactor.push(&said, &mut clean);
        clean
    }

    /// Nothing more comes.
    pub(super) fn end(&mut self, now: Timestamp) -> Vec<u8> {
        let Voice::Speech(speech, redactor) = self else { return Vec::new() };
        let mut clean = Vec::new();
        redactor.push(&speech.end(now), &mut clean);
        redactor.finish(&mut clean);
        clean
    }
}
