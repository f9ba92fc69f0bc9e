//! Topics: the names of the log's sequences.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::limits::TOPIC_CHARS_MAX;
use crate::{RunId, SessionId};

/// The name of one sequence of events: 1 to 200 of `a-z 0-9 . _ -`. Checked once, cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Topic(Arc<str>);

/// The text is not a topic's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a topic: 1 to {TOPIC_CHARS_MAX} of a-z 0-9 . _ -")]
pub struct InvalidTopic(pub String);

impl Topic {
    /// The topic of a run and of everything in its tree.
    #[must_use]
    pub fn run(run: RunId) -> Topic {
        Topic(Arc::from(format!("run.{}", run.ulid().to_ascii_lowercase())))
    }

    /// The run whose topic this is, if it is one.
    #[must_use]
    pub fn run_id(&self) -> Option<RunId> {
        let ulid = self.0.strip_prefix("run.")?;
        format!("{}{}", RunId::PREFIX, ulid.to_ascii_uppercase()).parse().ok()
    }

    /// The topic of a session that was opened on its own.
    #[must_use]
    pub fn session(session: SessionId) -> Topic {
        Topic(Arc::from(format!("session.{}", session.ulid().to_ascii_lowercase())))
    }

    /// The session whose topic this is, if it is one's.
    #[must_use]
    pub fn session_id(&self) -> Option<SessionId> {
        let ulid = self.0.strip_prefix("session.")?;
        format!("{}{}", SessionId::PREFIX, ulid.to_ascii_uppercase()).parse().ok()
    }

    /// Spells free text so that it can stand in a topic's name; two texts never give one spelling.
    ///
    /// `a-z`, `0-9` and `-` stay; every other byte becomes `_` and two hexadecimal digits.
    #[must_use]
    pub fn component(text: &str) -> String {
        let mut spelled = String::with_capacity(text.len());
        for byte in text.bytes() {
            if byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' {
                spelled.push(char::from(byte));
            } else {
                spelled.push_str(&format!("_{byte:02x}"));
            }
        }
        spelled
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Topic {
    type Err = InvalidTopic;

    fn from_str(text: &str) -> Result<Topic, InvalidTopic> {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
        if (1..=TOPIC_CHARS_MAX).contains(&text.len()) && text.bytes().all(allowed) {
            Ok(Topic(Arc::from(text)))
        } else {
            Err(InvalidTopic(text.to_owned()))
        }
    }
}

impl TryFrom<String> for Topic {
    type Error = InvalidTopic;

    fn try_from(text: String) -> Result<Topic, InvalidTopic> {
        text.parse()
    }
}

impl From<Topic> for String {
    fn from(topic: Topic) -> String {
        topic.0.as_ref().to_owned()
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn l1_a_topic_outside_its_alphabet_or_length_is_refused() {
        for text in ["", "A", "run/1", "run 1", "ümlaut", &"a".repeat(201)] {
            assert_eq!(text.parse::<Topic>(), Err(InvalidTopic(text.to_owned())));
        }
        for text in ["a", "run.01jd", "a_b-c.9", &"a".repeat(200)] {
            assert_eq!(text.parse::<Topic>().map(|topic| topic.to_string()), Ok(text.to_owned()));
        }
    }

    #[test]
    fn l1_free_text_is_spelled_in_the_alphabet() {
        assert_eq!(Topic::component("Fix #1_b"), "_46ix_20_231_5fb");
    }

    #[test]
    fn the_topic_of_a_run_or_a_session_names_it() {
        let run: RunId = "run_01JDX7Q2ZK8VQ5T3W9M4N6P7R8".parse().unwrap();
        assert_eq!(Topic::run(run).as_str(), "run.01jdx7q2zk8vq5t3w9m4n6p7r8");
        assert_eq!(Topic::run(run).run_id(), Some(run));
        let session: SessionId = "ses_01JDX7Q2ZK8VQ5T3W9M4N6P7R8".parse().unwrap();
        assert_eq!(Topic::session(session).as_str(), "session.01jdx7q2zk8vq5t3w9m4n6p7r8");
        assert_eq!(Topic::session(session).session_id(), Some(session));
        assert_eq!(Topic::session(session).run_id(), None);
    }

    proptest! {
        #[test]
        fn l1_two_texts_never_give_one_component(left in ".{0,12}", right in ".{0,12}") {
            prop_assert_eq!(Topic::component(&left) == Topic::component(&right), left == right);
        }
    }
}
