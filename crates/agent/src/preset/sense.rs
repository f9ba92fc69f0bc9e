//! Whether the settings of a preset go together.

use super::data::{Patch, SessionSource, SignsPatch};
use crate::stream::{LineRules, StreamFormat};

/// A table does not make a preset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Incomplete {
    #[error("it has no `{0}`")]
    Missing(&'static str),
    #[error("`stream = \"json_lines\"` needs rules that say what its lines mean, and there are none")]
    NoRules,
    #[error("it has `lines`, which only `stream = \"json_lines\"` has")]
    RulesOfOther,
    #[error("`session = \"from_stream\"` needs a rule with `session`, and none of its `lines` has one")]
    NoSession,
    #[error("it has `signs.success` or `signs.failure`, which only `stream = \"text\"` has")]
    TextSigns,
    #[error("`signs.{0}` has an empty text, which stands in every line")]
    EmptySign(&'static str),
}

impl Incomplete {
    /// What helps.
    pub(super) fn cure(self) -> &'static str {
        match self {
            Incomplete::Missing(_) => "add it",
            Incomplete::NoRules => {
                "add a rule:  lines = [{ when = { type = \"message\" }, message = \"text\" }]"
            }
            Incomplete::RulesOfOther => "add `stream = \"json_lines\"`, or remove `lines`",
            Incomplete::NoSession => "add a rule:  { when = { type = \"start\" }, session = \"session_id\" }",
            Incomplete::EmptySign(_) => "remove that text",
            Incomplete::TextSigns => "remove them: the end of the turn is told by its stream",
        }
    }
}

impl Patch {
    /// Whether what is said of the output goes together.
    pub(super) fn expect_sense(&self) -> Result<(), Incomplete> {
        self.signs.expect_texts()?;
        let rules = self.lines.as_ref();
        let has_rules = !rules.is_none_or(LineRules::is_empty);
        let tells_session = rules.is_some_and(LineRules::tell_session);
        let is_said = |signs: &Option<Vec<String>>| signs.as_ref().is_some_and(|signs| !signs.is_empty());
        let has_text_signs = is_said(&self.signs.success) || is_said(&self.signs.failure);
        match self.stream.unwrap_or(StreamFormat::Text) {
            StreamFormat::JsonLines if !has_rules => Err(Incomplete::NoRules),
            StreamFormat::JsonLines if self.session == Some(SessionSource::FromStream) && !tells_session => {
                Err(Incomplete::NoSession)
            }
            StreamFormat::Text if !has_rules => Ok(()),
            StreamFormat::JsonLines if !has_text_signs => Ok(()),
            StreamFormat::JsonLines => Err(Incomplete::TextSigns),
            _ if has_rules => Err(Incomplete::RulesOfOther),
            _ if has_text_signs => Err(Incomplete::TextSigns),
            _ => Ok(()),
        }
    }
}

impl SignsPatch {
    fn expect_texts(&self) -> Result<(), Incomplete> {
        let signs = [
            ("limit", &self.limit),
            ("reset_after", &self.reset_after),
            ("login", &self.login),
            ("refused", &self.refused),
            ("network", &self.network),
            ("session_unknown", &self.session_unknown),
            ("session_in_use", &self.session_in_use),
            ("sub_agent", &self.sub_agent),
            ("success", &self.success),
            ("failure", &self.failure),
        ];
        let is_empty =
            |texts: &Option<Vec<String>>| texts.iter().flatten().any(|text| text.trim().is_empty());
        match signs.into_iter().find(|(_, texts)| is_empty(texts)) {
            Some((name, _)) => Err(Incomplete::EmptySign(name)),
            None => Ok(()),
        }
    }
}
