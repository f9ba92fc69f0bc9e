//! Cursors: a reader's place, as a token that fits only its own log and topic.

use std::fmt;
use std::str::FromStr;

use backstay_model::{LogId, Position, Seq, Topic};
use serde::{Deserialize, Serialize};

/// The first field of a cursor's text: the version of the text form.
const PREFIX: &str = "cur1";
/// Hexadecimal digits of the checksum.
const CHECKSUM_DIGITS: usize = 12;
/// The greatest length of a cursor's text: prefix, log, two numbers of 20 digits, a topic of 200, checksum, five separators.
const CHARS_MAX: usize = 320;

/// The greatest number and position of a store.
const NUMBER_MAX: u64 = i64::MAX as u64;

/// A place right behind one event of one topic of one log.
///
/// Text form: `cur1~LOG~SEQ~POSITION~TOPIC~CHECKSUM`, where the checksum is the first 12 hexadecimal digits of the BLAKE3
/// digest of everything before its `~`. Readers hand it back as it is; its content is not for them.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cursor {
    log: LogId,
    topic: Topic,
    seq: Seq,
    g: Position,
}

/// A cursor cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CursorError {
    /// The text is not a cursor, or is damaged.
    #[error("`{text}` is not a cursor")]
    Malformed {
        /// The first characters of what was read.
        text: String,
    },
    /// The cursor is of another log.
    #[error("the cursor is of the log {found}, this is {expected}")]
    WrongLog {
        /// The log that was asked.
        expected: LogId,
        /// The cursor's log.
        found: LogId,
    },
    /// The cursor is of another topic.
    #[error("the cursor is of the topic {found}, not of {expected}")]
    WrongTopic {
        /// The topic that was asked for.
        expected: Topic,
        /// The cursor's topic.
        found: Topic,
    },
    /// The cursor stands behind an event that does not exist yet.
    #[error("the cursor stands at {seq}, but {topic} ends at {head}")]
    Ahead {
        /// The topic.
        topic: Topic,
        /// Where the cursor stands.
        seq: Seq,
        /// Where the topic ends.
        head: Seq,
    },
    /// The cursor stands behind an event that an earlier incarnation of the log lost.
    #[error("the cursor stands at {seq} of {topic}, which was lost; the topic ends at {head}")]
    Lost {
        /// The topic.
        topic: Topic,
        /// Where the cursor stands.
        seq: Seq,
        /// Where the topic ends.
        head: Seq,
    },
}

impl Cursor {
    /// The cursor behind the event `seq` at `g` of `topic`.
    #[must_use]
    pub(crate) const fn new(log: LogId, topic: Topic, seq: Seq, g: Position) -> Cursor {
        Cursor { log, topic, seq, g }
    }

    /// Its topic.
    #[must_use]
    pub const fn topic(&self) -> &Topic {
        &self.topic
    }

    /// The number that it stands behind.
    #[must_use]
    pub const fn seq(&self) -> Seq {
        self.seq
    }

    /// The position of the event that it stands behind.
    #[must_use]
    pub const fn position(&self) -> Position {
        self.g
    }

    /// Checks that the cursor is of `topic` in the log `log`. Touches no store.
    ///
    /// # Errors
    /// [`CursorError::WrongLog`] or [`CursorError::WrongTopic`].
    pub fn check(&self, log: LogId, topic: &Topic) -> Result<(), CursorError> {
        if self.log != log {
            return Err(CursorError::WrongLog { expected: log, found: self.log });
        }
        if self.topic != *topic {
            return Err(CursorError::WrongTopic { expected: topic.clone(), found: self.topic.clone() });
        }
        Ok(())
    }

    fn body(&self) -> String {
        format!("{PREFIX}~{}~{}~{}~{}", self.log.ulid(), self.seq, self.g, self.topic)
    }
}

fn checksum(body: &str) -> String {
    let mut digits = blake3::hash(body.as_bytes()).to_hex().to_string();
    digits.truncate(CHECKSUM_DIGITS);
    digits
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let body = self.body();
        write!(f, "{body}~{}", checksum(&body))
    }
}

impl FromStr for Cursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Cursor, CursorError> {
        parse(text).ok_or_else(|| CursorError::Malformed { text: text.chars().take(64).collect() })
    }
}

fn parse(text: &str) -> Option<Cursor> {
    if text.len() > CHARS_MAX {
        return None;
    }
    let (body, check) = text.rsplit_once('~')?;
    if checksum(body) != check {
        return None;
    }
    let mut fields = body.split('~');
    if fields.next()? != PREFIX {
        return None;
    }
    let log = format!("{}{}", LogId::PREFIX, fields.next()?).parse().ok()?;
    let seq = Seq(fields.next()?.parse().ok()?);
    let g = Position(fields.next()?.parse().ok()?);
    if seq.0.max(g.0) > NUMBER_MAX {
        return None;
    }
    let topic = fields.next()?.parse().ok()?;
    fields.next().is_none().then_some(Cursor { log, topic, seq, g })
}

impl TryFrom<String> for Cursor {
    type Error = CursorError;

    fn try_from(text: String) -> Result<Cursor, CursorError> {
        text.parse()
    }
}

impl From<Cursor> for String {
    fn from(cursor: Cursor) -> String {
        cursor.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn example() -> Cursor {
        Cursor::new(
            "log_01JDX7Q2ZK8VQ5T3W9M4N6P7R8".parse().unwrap(),
            "run.a_b-c".parse().unwrap(),
            Seq(17),
            Position(1234),
        )
    }

    #[test]
    fn l12_the_text_form_is_frozen() {
        let text = "cur1~01JDX7Q2ZK8VQ5T3W9M4N6P7R8~17~1234~run.a_b-c~";
        assert!(example().to_string().starts_with(text), "{}", example());
        assert_eq!(example().to_string().parse(), Ok(example()));
    }

    proptest! {
        #[test]
        fn l12_a_changed_character_is_malformed(at in 0_usize..62, to in "[0-9a-z~]") {
            let text = example().to_string();
            let mut changed = text.clone();
            changed.replace_range(at..=at, &to);
            prop_assume!(changed != text);
            let parsed = changed.parse::<Cursor>();
            prop_assert!(matches!(parsed, Err(CursorError::Malformed { .. })), "{:?}", parsed);
        }

        #[test]
        fn l12_garbage_is_malformed(text in ".{0,80}") {
            let parsed = text.parse::<Cursor>();
            prop_assert!(matches!(parsed, Err(CursorError::Malformed { .. })), "{:?}", parsed);
        }
    }
}
