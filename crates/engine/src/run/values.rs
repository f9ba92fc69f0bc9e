//! What expressions see of a run.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use backstay_model::event::StepStatus;
use backstay_model::{Frame, StepId, Text};
use backstay_workflow::expression::{RunValues, StepValues, Values};
use minijinja::Value;

use super::RunMachine;
use super::definition::Definition;
use super::place::Place;
use super::work::Named;

/// What keeps a text from being one JSON value that expressions can read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotOneValue {
    /// It has no value.
    #[error("it is empty")]
    Empty,
    /// A value stands first, and more behind it.
    #[error("there is more behind the value: `{0}`")]
    More(String),
    /// Its value is not whole.
    #[error("it ends in the middle of a value")]
    Cut,
    /// From here on it is no JSON.
    #[error("line {line}, column {column} is no JSON: `{from}`")]
    Broken {
        /// From 1.
        line: usize,
        /// From 1, in bytes.
        column: usize,
        /// What stands there.
        from: String,
    },
    /// It is JSON of which nothing can be made.
    #[error("it has a number that is too large, or is nested too deep")]
    BeyondBounds,
}

/// Characters that an error shows of a text.
const SHOWN_CHARS: usize = 40;

/// The JSON of `text`, if it is one value that expressions can read.
pub(super) fn as_json(text: &str) -> Result<&str, NotOneValue> {
    let text = text.trim();
    let json = serde_json::from_str::<&serde_json::value::RawValue>(text)
        .map_err(|error| not_one_value(text, &error))?;
    match serde_json::from_str::<Value>(json.get()) {
        Ok(_) => Ok(json.get()),
        Err(_no_number_or_depth_that_counts) => Err(NotOneValue::BeyondBounds),
    }
}

fn not_one_value(text: &str, error: &serde_json::Error) -> NotOneValue {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<&serde_json::value::RawValue>();
    let first = values.next();
    let shown = |from: &str| -> String {
        let line = from.trim_start().lines().next().unwrap_or_default();
        line.chars().take(SHOWN_CHARS).collect()
    };
    match first {
        None => NotOneValue::Empty,
        Some(Ok(_)) => NotOneValue::More(shown(&text[values.byte_offset()..])),
        Some(Err(_)) if error.is_eof() => NotOneValue::Cut,
        Some(Err(_)) => {
            let (line, column) = (error.line(), error.column());
            let rest = text.lines().nth(line.saturating_sub(1)).unwrap_or_default();
            let from = rest.get(column.saturating_sub(1)..).unwrap_or(rest);
            NotOneValue::Broken { line, column, from: shown(from) }
        }
    }
}

/// Whether `text` is a blob, which its sender has checked, or JSON.
pub(super) fn may_be_json(text: Option<&Text>) -> bool {
    match text {
        Some(Text::Inline(text)) => as_json(text).is_ok(),
        Some(Text::Blob { .. }) | None => true,
    }
}

impl RunMachine {
    /// The text itself, if it is at hand.
    pub(super) fn text(&self, text: &Text) -> Option<Arc<str>> {
        match text {
            Text::Inline(text) => Some(Arc::from(text.as_str())),
            Text::Blob { digest, .. } => self.texts.get(digest).cloned(),
        }
    }

    /// The values for expressions that stand in `frames` and name these steps.
    pub(super) fn values(&self, definition: &Definition, frames: &[Frame], named: &Named) -> Values {
        let request = self.request.as_ref();
        let values = |frames: &[Frame], steps: &BTreeSet<StepId>| -> BTreeMap<StepId, StepValues> {
            let value = |step: &StepId| {
                let place = self.place_seen_from(definition, step, frames);
                (step.clone(), self.step_values(definition, &place))
            };
            steps.iter().map(value).collect()
        };
        Values {
            inputs: definition.inputs.clone(),
            steps: values(frames, &named.steps),
            previous: self.frames_before(frames).map(|frames| values(&frames, &named.previous)),
            run: RunValues {
                id: self.run.to_string(),
                workflow: definition.plan.name.clone(),
                cwd: request.map_or(String::new(), |request| request.cwd.clone()),
                ok: self.failed.is_none(),
            },
        }
    }

    /// The repetitions of the innermost loop's pass before, if there was one that is still known.
    fn frames_before(&self, frames: &[Frame]) -> Option<Vec<Frame>> {
        let mut frames = frames.to_vec();
        match frames.last_mut()? {
            Frame::Cycle { cycle, .. } if *cycle > 1 => *cycle -= 1,
            _ => return None,
        }
        Some(frames)
    }

    fn step_values(&self, definition: &Definition, place: &Place) -> StepValues {
        let state = self.steps.get(place);
        let result = self.result(place);
        let status = result.map_or(StepStatus::Skipped, |result| result.status);
        let log = state.and_then(|state| state.log.as_ref()).and_then(|log| self.text(log));
        let output_path = state
            .and_then(|state| state.folder.as_ref())
            .map(|folder| format!("{}/{folder}/stdout", definition.store));
        StepValues {
            ok: status == StepStatus::Succeeded,
            status,
            exit_code: result.and_then(|result| result.exit_code),
            output: self.output_value(definition, place),
            summary: result.map_or(String::new(), |result| result.summary.clone()),
            log: log.map_or(String::new(), |log| log.as_ref().to_owned()),
            output_path,
            artifacts: state.map_or(Vec::new(), |state| {
                state.artifacts.iter().map(|path| format!("{}/{path}", definition.store)).collect()
            }),
            attempts: state.map_or(0, |state| state.attempt.0),
            cycles: state.map_or(0, |state| state.pass.cycle),
        }
    }

    /// A leaf's output; for a group, an object of its steps' outputs; for a loop, those of its last pass.
    fn output_value(&self, definition: &Definition, place: &Place) -> Value {
        if definition.node(&place.step).is_some_and(|node| !node.children.is_empty()) {
            let inner = self.inner_places(definition, place).into_iter();
            let outputs = inner.map(|inner| (inner.step.to_string(), self.output_value(definition, &inner)));
            return Value::from(minijinja::value::Serde(outputs.collect::<BTreeMap<_, _>>()));
        }
        let text =
            self.result(place).and_then(|result| result.output.as_ref()).and_then(|output| self.text(output));
        // Stored outputs are JSON by construction; one that is not reads as none, which expressions refuse to print.
        text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or(Value::from(()))
    }

    /// The run's outputs as the text of a JSON object.
    pub(super) fn outputs(&self, definition: &Definition) -> Result<String, String> {
        let mut outputs = BTreeMap::new();
        for output in &definition.plan.outputs {
            let mut named = Named::default();
            named.template(&output.value);
            let values = self.values(definition, &[], &named);
            let value =
                output.value.value(&values).map_err(|error| format!("output `{}`: {error}", output.name))?;
            outputs.insert(output.name.as_str(), value);
        }
        serde_json::to_string(&outputs).map_err(|error| format!("outputs: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::as_json;

    #[test]
    fn what_keeps_a_text_from_being_one_json_value_is_said_in_words() {
        for (text, expected) in [
            ("", "it is empty"),
            ("  \n ", "it is empty"),
            ("{\"n\": 1} and more", "there is more behind the value: `and more`"),
            ("1 2", "there is more behind the value: `2`"),
            ("{\"n\": [1, 2", "it ends in the middle of a value"),
            ("\"abc", "it ends in the middle of a value"),
            ("I cannot.", "line 1, column 1 is no JSON: `I cannot.`"),
            ("{\"n\": 1,\n  m: 2}", "line 2, column 3 is no JSON: `m: 2}`"),
            ("{\"ä\": x}", "line 1, column 8 is no JSON: `x}`"),
            ("1e999", "it has a number that is too large, or is nested too deep"),
        ] {
            assert_eq!(
                as_json(text).map_err(|problem| problem.to_string()),
                Err(expected.to_owned()),
                "{text}"
            );
        }
        assert_eq!(as_json(" {\"n\": 1}\n"), Ok("{\"n\": 1}"));
    }
}
