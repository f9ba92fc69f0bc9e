//! The stored form of live events.

use super::{DecodeError, Heartbeat, VersionOnly, Versioned};
use crate::{InvalidPayload, Kind, LiveEvent, Payload};

/// The schema version of a stored heartbeat.
const VERSION: u32 = 1;

impl Heartbeat {
    /// The kind, as stored.
    pub const KIND: Kind = Kind::new("step_heartbeat");

    /// The payload, as stored.
    ///
    /// # Errors
    /// [`InvalidPayload`] if it has no JSON form; no heartbeat is so.
    pub fn encode(&self) -> Result<Payload, InvalidPayload> {
        Payload::encode(&Versioned { v: VERSION, body: self })
    }

    /// Reads a stored heartbeat. The number in an error is the last one before it: a live event has none.
    ///
    /// # Errors
    /// [`DecodeError`] if it is of another kind, its schema newer than this version, or its payload damaged.
    pub fn decode(live: &LiveEvent) -> Result<Heartbeat, DecodeError> {
        let (topic, seq, kind) = (live.topic.clone(), live.after_seq, live.kind.clone());
        if kind != Heartbeat::KIND {
            return Err(DecodeError::UnknownKind { topic, seq, kind });
        }
        match live.payload.decode::<VersionOnly>() {
            Ok(VersionOnly { v }) if v > VERSION => {
                Err(DecodeError::NewerVersion { topic, seq, kind, found: v, known: VERSION })
            }
            _ => match live.payload.decode::<Versioned<Heartbeat>>() {
                Ok(versioned) => Ok(versioned.body),
                Err(source) => Err(DecodeError::Payload { topic, seq, kind, source }),
            },
        }
    }
}
