//! How the bytes of an attempt become what is printed.

use backstay_exec::Redactor;
use backstay_exec::spool::{ArrivalTimes, Chunk, Stream};
use backstay_model::Timestamp;
use backstay_runtime::AgentText;

use super::source::Source;
use super::speech::Speech;
use super::wanted::Wanted;
use crate::error::CliError;

/// Bytes to print.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Said {
    /// When they came, where that is wanted and known.
    pub(super) at: Option<Timestamp>,
    pub(super) bytes: Vec<u8>,
}

/// How the bytes of an attempt become what is printed.
#[derive(Debug)]
pub(super) struct Voice {
    manner: Manner,
    /// None if no times are wanted.
    times: Option<ArrivalTimes>,
    /// When the bytes that were said last came.
    last_at: Option<Timestamp>,
}

#[derive(Debug)]
enum Manner {
    /// As they are.
    Bytes,
    /// An agent writes for programs; its messages are for people.
    Speech(Box<Speech>, Redactor),
}

impl Voice {
    /// `live_from` is the offset in stdout behind which it is read as it is written.
    pub(super) fn of(
        source: &Source,
        spoken: Option<&AgentText>,
        folder: Option<&str>,
        live_from: u64,
        wanted: &Wanted,
    ) -> Voice {
        let speech = spoken.zip(source.preset.as_ref()).and_then(|(spoken, preset)| {
            let tools_at = spoken.tools_at(&source.effect, source.attempt);
            Speech::of(spoken.preset(preset)?, folder, tools_at, live_from)
        });
        let redactor = || wanted.secrets.redactor();
        Voice {
            manner: speech.map_or(Manner::Bytes, |speech| Manner::Speech(Box::new(speech), redactor())),
            times: wanted.has_times.then(|| ArrivalTimes::of(&source.folder)),
            last_at: None,
        }
    }

    pub(super) fn head(&self, source: &Source) -> Said {
        let text = match self.manner {
            Manner::Bytes => source.mark.as_ref(),
            Manner::Speech(..) => Some(&source.head),
        };
        let bytes = text.map_or_else(Vec::new, |text| format!("─ {text}\n").into_bytes());
        Said { at: Some(source.starting_at), bytes }
    }

    pub(super) fn say(&mut self, chunk: Chunk, now: Timestamp) -> Result<Vec<Said>, CliError> {
        let Some(times) = &mut self.times else {
            let bytes = self.manner.say(chunk.stream, &chunk.bytes, now);
            return Ok(vec![Said { at: None, bytes }]);
        };
        let parts = times.parts(chunk.at_bytes, chunk.at_bytes + chunk.bytes.len() as u64)?;
        let (mut all, mut rest) = (Vec::with_capacity(parts.len()), chunk.bytes.as_slice());
        for (size_bytes, at) in parts {
            let (part, later) = rest.split_at(usize::try_from(size_bytes).unwrap_or(rest.len()));
            rest = later;
            all.push(Said { at, bytes: self.manner.say(chunk.stream, part, now) });
            self.last_at = at;
        }
        Ok(all)
    }

    /// Nothing more comes.
    pub(super) fn end(&mut self, source: &Source, now: Timestamp) -> [Said; 2] {
        let (rest, verdict) = self.manner.end(now);
        [Said { at: self.last_at, bytes: rest }, Said { at: source.ended_at, bytes: verdict }]
    }
}

impl Manner {
    fn say(&mut self, stream: Stream, bytes: &[u8], now: Timestamp) -> Vec<u8> {
        let Manner::Speech(speech, redactor) = self else { return bytes.to_vec() };
        let said = match stream {
            Stream::Stdout => speech.hear(bytes, now),
            Stream::Stderr => speech.hear_beside(bytes),
        };
        let mut clean = Vec::with_capacity(said.len());
        redactor.push(&said, &mut clean);
        clean
    }

    /// What is left to say of what came, and what there is to say of how it ended.
    fn end(&mut self, now: Timestamp) -> (Vec<u8>, Vec<u8>) {
        let Manner::Speech(speech, redactor) = self else { return (Vec::new(), Vec::new()) };
        let (mut rest, mut verdict) = (Vec::new(), Vec::new());
        redactor.push(&speech.end(now), &mut rest);
        redactor.push(&speech.verdict(), &mut verdict);
        redactor.finish(&mut verdict);
        (rest, verdict)
    }
}
