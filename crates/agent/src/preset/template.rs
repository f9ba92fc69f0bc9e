//! Pieces of a command line.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// One piece of a template: an argument with places in it, or a whole list of arguments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(super) enum Piece {
    /// A list of arguments stands here.
    List(List),
    /// One argument.
    Argument(Vec<Part>),
}

/// The lists that can stand in a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum List {
    /// What the access mode says.
    Access,
    /// What chooses the model, if one is asked for.
    Model,
    /// What hands over the schema, if one is asked for.
    Schema,
    /// The user's own arguments.
    Args,
    /// What delivers the prompt.
    Prompt,
}

/// A part of an argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// As it stands.
    Text(String),
    /// A value stands here.
    Place(Place),
}

/// The values that can stand in an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The session's name.
    Session,
    /// The name of the copy, at a fork.
    NewSession,
    /// The model.
    Model,
    /// The schema, or the path of its file.
    Schema,
    /// The prompt.
    Prompt,
    /// The path of the file with the prompt.
    PromptFile,
}

/// There is no such place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{{{0}}}` is no place; there are {{access}} {{model}} {{schema}} {{args}} {{prompt}} {{session}} {{new_session}} {{prompt_file}}"
)]
pub(super) struct UnknownPlace(String);

impl TryFrom<String> for Piece {
    type Error = UnknownPlace;

    fn try_from(text: String) -> Result<Piece, UnknownPlace> {
        match text.as_str() {
            "{access}" => return Ok(Piece::List(List::Access)),
            "{args}" => return Ok(Piece::List(List::Args)),
            _ => {}
        }
        let mut parts = Vec::new();
        let mut rest = text.as_str();
        while let Some((before, after)) = rest.split_once('{') {
            let Some((name, behind)) = after.split_once('}') else { break };
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            parts.push(Part::Place(name.parse()?));
            rest = behind;
        }
        if !rest.is_empty() || parts.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Piece::Argument(parts))
    }
}

/// The piece as files spell it.
impl From<Piece> for String {
    fn from(piece: Piece) -> String {
        piece.to_string()
    }
}

impl fmt::Display for Piece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = match self {
            Piece::List(List::Access) => return f.write_str("{access}"),
            Piece::List(List::Args) => return f.write_str("{args}"),
            // Which of these a file means is told by where the piece stands.
            Piece::List(List::Model) => return f.write_str("{model}"),
            Piece::List(List::Schema) => return f.write_str("{schema}"),
            Piece::List(List::Prompt) => return f.write_str("{prompt}"),
            Piece::Argument(parts) => parts,
        };
        parts.iter().try_for_each(|part| match part {
            Part::Text(text) => f.write_str(text),
            Part::Place(place) => write!(f, "{{{}}}", place.name()),
        })
    }
}

impl Place {
    pub(super) fn name(self) -> &'static str {
        match self {
            Place::Session => "session",
            Place::NewSession => "new_session",
            Place::Model => "model",
            Place::Schema => "schema",
            Place::Prompt => "prompt",
            Place::PromptFile => "prompt_file",
        }
    }
}

impl Piece {
    /// In `start`, `resume` and `fork` a place that is a whole piece may stand for a list of arguments.
    pub(super) fn as_list(&self) -> Option<List> {
        match self {
            Piece::List(list) => Some(*list),
            Piece::Argument(parts) => match parts.as_slice() {
                [Part::Place(Place::Model)] => Some(List::Model),
                [Part::Place(Place::Schema)] => Some(List::Schema),
                [Part::Place(Place::Prompt)] => Some(List::Prompt),
                _ => None,
            },
        }
    }
}

impl FromStr for Place {
    type Err = UnknownPlace;

    fn from_str(name: &str) -> Result<Place, UnknownPlace> {
        match name {
            "session" => Ok(Place::Session),
            "new_session" => Ok(Place::NewSession),
            "model" => Ok(Place::Model),
            "schema" => Ok(Place::Schema),
            "prompt" => Ok(Place::Prompt),
            "prompt_file" => Ok(Place::PromptFile),
            other => Err(UnknownPlace(other.to_owned())),
        }
    }
}
