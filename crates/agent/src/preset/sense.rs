//! Whether the settings of a preset go together.

use super::data::{DeliveryVia, Patch, Preset, SessionSource, SignsPatch};
use super::template::{List, Part, Piece, Place};
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
    #[error("it has no access mode: a step needs `access.read`, `access.write` or `access.full`")]
    NoAccess,
    #[error("its prompt goes in via {}, and it has no `prompt.{}`", .0.name(), .0.name())]
    NoVia(DeliveryVia),
    #[error("`{setting}` has no `{{{place}}}`: {loss}")]
    NoPlace { setting: &'static str, place: &'static str, loss: Loss },
    #[error("`{setting}` has `{{{place}}}` inside an argument, and its prompt goes in via {}", .via.name())]
    NotFilled { setting: &'static str, place: &'static str, via: DeliveryVia, only: DeliveryVia },
    #[error("`signs.{0}` has an empty text, which stands in every line")]
    EmptySign(&'static str),
}

/// What would not reach the agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Loss {
    #[error("the agent would be started without its prompt, which goes in via {}", .0.name())]
    Prompt(DeliveryVia),
    #[error("the arguments in `prompt.{}` would never be passed", .0.name())]
    PromptArguments(DeliveryVia),
    #[error("the arguments in its access modes would never be passed")]
    AccessArguments,
    #[error("the agent would not be told which session it is to use")]
    Session,
    #[error("the arguments in `model` would never be passed")]
    ModelArguments,
    #[error("the agent would not be told the schema of its answer")]
    Schema,
}

impl Incomplete {
    /// What helps.
    pub(super) fn cure(self) -> String {
        match self {
            Incomplete::Missing(_) => "add it".to_owned(),
            Incomplete::NoRules => {
                "add a rule:  lines = [{ when = { type = \"message\" }, message = \"text\" }]".to_owned()
            }
            Incomplete::RulesOfOther => "add `stream = \"json_lines\"`, or remove `lines`".to_owned(),
            Incomplete::NoSession => {
                "add a rule:  { when = { type = \"start\" }, session = \"session_id\" }".to_owned()
            }
            Incomplete::TextSigns => "remove them: the end of the turn is told by its stream".to_owned(),
            Incomplete::NoAccess => {
                "add `access.write = { args = [] }`, with the arguments that let it change files".to_owned()
            }
            Incomplete::NoVia(via) => {
                let value = match via {
                    DeliveryVia::Stdin => "[]",
                    DeliveryVia::Arg => "[\"{prompt}\"]",
                    DeliveryVia::File => "[\"{prompt_file}\"]",
                    DeliveryVia::Env => "\"PROMPT\"",
                };
                format!("add `prompt.{} = {value}`, or name another way in `prompt.via`", via.name())
            }
            Incomplete::NoPlace { setting, place, .. } => format!("add `\"{{{place}}}\"` to `{setting}`"),
            Incomplete::NotFilled { only, .. } => {
                format!("make it an argument of its own, or set `prompt.via = \"{}\"`", only.name())
            }
            Incomplete::EmptySign(_) => "remove that text".to_owned(),
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

impl Preset {
    /// Whether an agent can be started by it, and is told all that it has to know.
    pub(super) fn expect_usable(&self) -> Result<(), Incomplete> {
        if self.access.is_empty() {
            return Err(Incomplete::NoAccess);
        }
        self.expect_delivery(self.prompt.via)?;
        let has_access_arguments = self.access.values().any(|mode| !mode.args.is_empty());
        if has_access_arguments && !has_list(&self.start, List::Access) {
            return Err(no_place("start", "access", Loss::AccessArguments));
        }
        if self.model.as_ref().is_some_and(|model| !model.is_empty()) && !has_list(&self.start, List::Model) {
            return Err(no_place("start", "model", Loss::ModelArguments));
        }
        if self.schema.is_some()
            && let Some((setting, _)) =
                self.task_templates().find(|(_, template)| !has_list(template, List::Schema))
        {
            return Err(no_place(setting, "schema", Loss::Schema));
        }
        self.expect_session()
    }

    /// Whether a model that it is to use reaches the agent.
    #[must_use]
    pub fn takes_model(&self) -> bool {
        let by_setting = self.model.as_ref().is_some_and(|model| !model.is_empty());
        let inside = |piece: &Piece| piece.as_list().is_none() && has_place(piece, Place::Model);
        by_setting || self.start.iter().any(inside)
    }

    /// Whether arguments of a workflow's own reach the agent.
    #[must_use]
    pub fn takes_args(&self) -> bool {
        has_list(&self.start, List::Args)
    }

    /// Each setting that starts an agent with a task, and what it says.
    fn task_templates(&self) -> impl Iterator<Item = (&'static str, &[Piece])> {
        let templates = [
            ("start", Some(self.start.as_slice())),
            ("resume", self.resume.as_deref()),
            ("fork", self.fork.as_deref()),
        ];
        templates.into_iter().filter_map(|(setting, template)| Some((setting, template?)))
    }

    /// The ways in which it takes a prompt.
    pub fn vias(&self) -> impl Iterator<Item = DeliveryVia> {
        let all = [DeliveryVia::Stdin, DeliveryVia::Arg, DeliveryVia::File, DeliveryVia::Env];
        all.into_iter().filter(|via| self.expect_delivery(*via).is_ok())
    }

    /// Whether a prompt that goes in via `via` reaches the agent however it is started.
    fn expect_delivery(&self, via: DeliveryVia) -> Result<(), Incomplete> {
        let delivery = self.prompt.delivery(via).ok_or(Incomplete::NoVia(via))?;
        self.task_templates().try_for_each(|(setting, template)| {
            expect_delivered(setting, template, via.setting(), delivery, via)
        })
    }

    /// Whether each command is told the session that it is about.
    fn expect_session(&self) -> Result<(), Incomplete> {
        let Some(source) = self.session else { return Ok(()) };
        let is_chosen = source == SessionSource::Chosen;
        let needs = [
            ("start", Some(&self.start).filter(|_| is_chosen), Place::Session),
            ("resume", self.resume.as_ref(), Place::Session),
            ("fork", self.fork.as_ref(), Place::Session),
            ("fork", self.fork.as_ref().filter(|_| is_chosen), Place::NewSession),
            ("screen", self.screen.as_ref(), Place::Session),
        ];
        for (setting, template, place) in needs {
            if template.is_some_and(|template| !template.iter().any(|piece| has_place(piece, place))) {
                return Err(no_place(setting, place.name(), Loss::Session));
            }
        }
        Ok(())
    }
}

/// Whether a prompt that goes in via `via` reaches the agent that `template` starts, which is the setting `setting`;
/// `delivery` stands in it for `{prompt}`, and is the setting `of_delivery`.
fn expect_delivered(
    setting: &'static str,
    template: &[Piece],
    of_delivery: &'static str,
    delivery: &[Piece],
    via: DeliveryVia,
) -> Result<(), Incomplete> {
    let takes_delivery = has_list(template, List::Prompt);
    if !delivery.is_empty() && !takes_delivery {
        let loss = match via {
            DeliveryVia::Arg | DeliveryVia::File => Loss::Prompt(via),
            DeliveryVia::Stdin | DeliveryVia::Env => Loss::PromptArguments(via),
        };
        return Err(no_place(setting, "prompt", loss));
    }
    let own = template.iter().filter(|piece| piece.as_list().is_none()).map(|piece| (setting, piece));
    let delivered = delivery.iter().map(|piece| (of_delivery, piece));
    let pieces: Vec<_> = own.chain(delivered).collect();
    for (place, only) in [(Place::Prompt, DeliveryVia::Arg), (Place::PromptFile, DeliveryVia::File)] {
        let holder = pieces.iter().find(|(_, piece)| has_place(piece, place));
        match holder {
            None if via == only => {
                let setting = if takes_delivery { of_delivery } else { setting };
                return Err(no_place(setting, place.name(), Loss::Prompt(via)));
            }
            Some((setting, _)) if via != only => {
                return Err(Incomplete::NotFilled { setting, place: place.name(), via, only });
            }
            None | Some(_) => {}
        }
    }
    Ok(())
}

fn no_place(setting: &'static str, place: &'static str, loss: Loss) -> Incomplete {
    Incomplete::NoPlace { setting, place, loss }
}

fn has_list(template: &[Piece], list: List) -> bool {
    template.iter().any(|piece| piece.as_list() == Some(list))
}

fn has_place(piece: &Piece, place: Place) -> bool {
    matches!(piece, Piece::Argument(parts) if parts.contains(&Part::Place(place)))
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
