//! Signs of trouble in text: what agents say when there is no better sign, and when a limit ends.

mod reset;
mod tokens;
mod zone;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use self::reset::Reset;
use crate::stream::AgentEvent;

/// What stands before the end of a limit, whoever says it. A preset may add to it.
const BEFORE_RESET: [&str; 11] = [
    "resets",
    "reset",
    "try again",
    "retry",
    "retrying",
    "retrydelay",
    "regain access",
    "available",
    "available again",
    "wait",
    "limit reached|",
];
/// The header of HTTP: a number behind it are seconds.
const RETRY_AFTER: &str = "retry-after";
/// Characters in which a time is looked for.
const RESET_CHARS_MAX: usize = 120;

/// A piece of text that is sought whatever its case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    written: String,
    lower: String,
}

impl From<String> for Pattern {
    fn from(written: String) -> Pattern {
        Pattern { lower: written.to_lowercase(), written }
    }
}

impl Pattern {
    /// As the preset has it.
    pub(crate) fn written(&self) -> &str {
        &self.written
    }
}

/// Whether one of `patterns` is in `text`, which is in lower case.
fn has(patterns: &[Pattern], text: &str) -> bool {
    patterns.iter().any(|pattern| text.contains(&pattern.lower))
}

/// Pieces of text by which trouble is known, whatever their case. They are held against what an agent says of errors, in
/// its stream and on its stderr, and never against what its model says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Patterns {
    /// The allowance is used up, or too much was asked at once.
    pub limit: Vec<Pattern>,
    /// What stands before the time at which a limit ends.
    pub reset_after: Vec<Pattern>,
    /// There are no credentials, or they are not accepted.
    pub login: Vec<Pattern>,
    /// The account or the request is refused, and waiting does not help.
    pub refused: Vec<Pattern>,
    /// The provider cannot be reached, or failed.
    pub network: Vec<Pattern>,
    /// The session that was to be resumed is not there.
    pub session_unknown: Vec<Pattern>,
    /// The session that was to be started is there already: it wants to be resumed.
    pub session_in_use: Vec<Pattern>,
    /// On stderr: a sub-agent works of which the stream tells nothing. Such a line is no sign of trouble, whatever else is in it.
    pub sub_agent: Vec<Pattern>,
    /// Of an agent whose output is text: it did what it was told.
    pub success: Vec<Pattern>,
    /// Of an agent whose output is text: it did not, whatever its exit code says.
    pub failure: Vec<Pattern>,
}

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Symptom {
    /// The provider refuses until later.
    Limit,
    /// A person has to log in.
    Login,
    /// The account or the request is refused: a person has to pay, to ask for a right, or to ask for something else.
    Refused,
    /// The provider cannot be reached, or failed.
    Network,
    /// The session that was to be resumed is not there.
    SessionUnknown,
    /// The session that was to be started is there already.
    SessionInUse,
}

impl Patterns {
    /// What `text`, something that an agent said about an error, is a sign of.
    #[must_use]
    pub fn symptom(&self, text: &str) -> Option<Symptom> {
        let text = text.to_lowercase();
        if has(&self.sub_agent, &text) {
            return None;
        }
        [
            (&self.session_in_use, Symptom::SessionInUse),
            (&self.session_unknown, Symptom::SessionUnknown),
            (&self.refused, Symptom::Refused),
            (&self.limit, Symptom::Limit),
            (&self.login, Symptom::Login),
            (&self.network, Symptom::Network),
        ]
        .into_iter()
        .find_map(|(patterns, symptom)| has(patterns, &text).then_some(symptom))
    }

    /// Whether `line`, of stderr, says that a sub-agent works of which the stream tells nothing.
    #[must_use]
    pub fn is_sub_agent(&self, line: &str) -> bool {
        has(&self.sub_agent, &line.to_lowercase())
    }

    /// Whether `line`, of the output or the stderr of an agent that tells nothing else, says how its turn ended, and whether
    /// well. A failure counts before a success.
    #[must_use]
    pub fn end_by_text(&self, line: &str) -> Option<bool> {
        let line = line.to_lowercase();
        match (has(&self.failure, &line), has(&self.success, &line)) {
            (true, _) => Some(false),
            (false, true) => Some(true),
            (false, false) => None,
        }
    }

    /// Whether the output of an agent that is text has to be read to know how its turn ended.
    #[must_use]
    pub fn tells_ends_by_text(&self) -> bool {
        !self.success.is_empty() || !self.failure.is_empty()
    }

    /// The time that `text` names as the end of a limit: the first that stands behind one of the words that announce it.
    #[must_use]
    pub fn reset(&self, text: &str) -> Option<Reset> {
        let lower = text.to_ascii_lowercase();
        let own = self.reset_after.iter().map(|before| before.written.to_ascii_lowercase());
        let announced = BEFORE_RESET.iter().map(|before| (*before).to_owned()).chain(own);
        let mut ends: Vec<usize> = announced
            .flat_map(|before| lower.match_indices(&before).map(|(at, it)| at + it.len()).collect::<Vec<_>>())
            .collect();
        ends.sort_unstable();
        let behind = |end: usize| {
            let line = text.get(end..)?.lines().next()?;
            Some(line.chars().take(RESET_CHARS_MAX).collect::<String>().trim().to_owned())
        };
        let header = lower.find(RETRY_AFTER).and_then(|at| behind(at + RETRY_AFTER.len()));
        let seconds = header.as_ref().and_then(|said| {
            let digits = said.trim_start_matches([':', '"', '=', ' ', '[']);
            let digits = &digits[..digits.find(|each: char| !each.is_ascii_digit()).unwrap_or(digits.len())];
            (!digits.is_empty()).then(|| format!("{digits} seconds"))
        });
        let said = ends.into_iter().filter_map(behind).chain(header).chain(seconds);
        said.into_iter().find(|said| Reset::is_said_by(said)).map(Reset::Said)
    }

    /// `message`, of an error that did not end the turn, as an event.
    pub(crate) fn error(&self, message: &str) -> AgentEvent {
        self.event(message).unwrap_or_else(|| AgentEvent::Error { message: message.to_owned() })
    }

    /// `message`, something that an agent said about an error, as an event, where it is a sign of what is in its way.
    #[must_use]
    pub fn event(&self, message: &str) -> Option<AgentEvent> {
        let text = message.to_owned();
        match self.symptom(message)? {
            Symptom::Limit => Some(AgentEvent::Limit { reset: self.reset(message), message: text }),
            Symptom::Login => Some(AgentEvent::LoginNeeded { message: text }),
            Symptom::Refused => Some(AgentEvent::Refused { message: text }),
            Symptom::Network => Some(AgentEvent::NetworkTrouble { message: text }),
            Symptom::SessionUnknown | Symptom::SessionInUse => None,
        }
    }

    /// What `line`, of stderr, is a sign of: by the provider's own words, where they say enough, for what stands around them
    /// may be pages.
    #[must_use]
    pub fn event_of_line(&self, line: &str) -> Option<AgentEvent> {
        self.event(&provider_words(line)).or_else(|| self.event(line))
    }
}

/// What the provider says in what an agent prints around it: in a JSON document, or as the error of a line of a log; all of
/// `message` where it says nothing so.
pub(crate) fn provider_words(message: &str) -> String {
    if let Some((_, behind)) = message.split_once("error.error=\"") {
        return behind.split('"').next().unwrap_or(behind).to_owned();
    }
    let inner = message.find("{\"error\"").and_then(|start| {
        let mut documents = serde_json::Deserializer::from_str(&message[start..]).into_iter::<Value>();
        documents.next()?.ok()
    });
    let said = inner.and_then(|document| {
        let error = &document["error"];
        let code = error["code"].as_u64().map(|code| format!(" ({code})")).unwrap_or_default();
        Some(format!("{}{code}", error["message"].as_str()?))
    });
    said.unwrap_or_else(|| message.to_owned())
}

#[cfg(test)]
mod tests {
    use super::{Patterns, Reset, Symptom};

    #[test]
    fn text_is_a_sign_whatever_its_case_and_the_reset_is_cut_out_of_it() {
        let patterns = Patterns {
            limit: vec!["hit your usage limit".to_owned().into()],
            reset_after: vec!["try again at ".to_owned().into()],
            login: vec!["Not logged in".to_owned().into()],
            ..Patterns::default()
        };
        assert_eq!(patterns.symptom("You have HIT your usage limit"), Some(Symptom::Limit));
        assert_eq!(patterns.symptom("not logged in · Please run /login"), Some(Symptom::Login));
        assert_eq!(patterns.symptom("all is well"), None);
        let patterns = Patterns { sub_agent: vec!["helper started".to_owned().into()], ..patterns };
        let line = "INFO Helper started: look why we hit your usage limit";
        assert_eq!(
            (patterns.is_sub_agent(line), patterns.symptom(line)),
            (true, None),
            "it is about its task"
        );
        let text = "purchase more credits or try again at 10:26 PM.\nmore";
        assert_eq!(patterns.reset(text), Some(Reset::Said("at 10:26 PM.".to_owned())));
        assert_eq!(patterns.reset("try again at ."), None);
        assert_eq!(patterns.reset("ö try again at"), None);
    }
}
