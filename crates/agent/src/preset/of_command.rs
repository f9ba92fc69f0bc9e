//! An agent that a workflow names by its command, with what it says of the command's output.

use std::collections::BTreeMap;

use backstay_model::event::Access;
use serde::Deserialize;

use super::data::{DeliveryVia, ModePatch, Patch, Preset, PromptPatch, SignsPatch};
use super::load::meant;
use super::sense::Incomplete;
use super::template::{List, Part, Piece, Place};
use crate::stream::{LineRules, StreamFormat};

/// What can be said of the output of a command, as in a preset.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Reading {
    stream: Option<StreamFormat>,
    lines: Option<LineRules>,
    signs: SignsPatch,
}

/// What is said of the output of a command cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ReadingError {
    /// Behind what in the JSON text: an offset in bytes; none where it is about all of it.
    pub at: Option<usize>,
    /// What is wrong, in one line.
    pub message: String,
    /// What helps.
    pub hint: Option<String>,
}

impl Preset {
    /// The agent `name` that is started as `program` with the user's arguments and reads its prompt as any command does.
    /// `reading` is what is said of its output: one line of JSON with `stream`, `lines` and `signs`, as in a preset. It is
    /// not asked for its version: a program that knows no such argument might begin to work.
    ///
    /// # Errors
    /// `reading` is not of that form, or its parts do not go together.
    pub fn of_command(name: &str, program: &str, reading: &str) -> Result<Preset, ReadingError> {
        let Reading { stream, lines, signs } = serde_json::from_str(reading).map_err(|error| {
            let message = error.to_string();
            let text = message.rsplit_once(" at line ").map_or(message.as_str(), |(text, _)| text);
            let hint = meant(text).map(|meant| format!("did you mean `{meant}`?"));
            ReadingError { at: Some(error.column()), message: text.to_owned(), hint }
        })?;
        let value = |place: Place| vec![Piece::Argument(vec![Part::Place(place)])];
        let patch = Patch {
            program: Some(program.to_owned()),
            version: Some(Vec::new()),
            stream,
            lines,
            signs,
            start: Some([vec![Piece::List(List::Args)], value(Place::Prompt)].concat()),
            prompt: PromptPatch {
                via: Some(DeliveryVia::Stdin),
                stdin: Some(Vec::new()),
                arg: Some(value(Place::Prompt)),
                file: Some(value(Place::PromptFile)),
                env: Some("BACKSTAY_PROMPT".to_owned()),
                ..PromptPatch::default()
            },
            // What it may do is its own business.
            access: BTreeMap::from(
                [Access::Read, Access::Write, Access::Full].map(|access| (access, ModePatch::default())),
            ),
            ..Patch::default()
        };
        patch.complete(name).map_err(|fault: Incomplete| ReadingError {
            at: None,
            message: fault.to_string().replace("stream = \"json_lines\"", "stream: json_lines"),
            hint: Some(fault.cure()),
        })
    }
}
