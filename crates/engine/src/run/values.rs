//! What expressions see of a run.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use backstay_model::event::StepStatus;
use backstay_model::{EffectCall, StepId, Text};
use backstay_workflow::expression::{RunValues, StepValues, Values};
use minijinja::Value;

use super::RunMachine;
use super::effect_spec::StepReferences;
use super::instance::{Repetition, StepInstance};
use super::plan_index::PlanIndex;
use crate::topic::TopicMachine;

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
}

impl TopicMachine {
    /// The values for expressions that stand in `repetitions` and name these steps.
    pub(super) fn values(
        &self,
        plan: &PlanIndex,
        repetitions: &[Repetition],
        named: &StepReferences,
    ) -> Values {
        let request = self.run.request.as_ref();
        let values = |repetitions: &[Repetition], steps: &BTreeSet<StepId>| -> BTreeMap<StepId, StepValues> {
            let value = |step: &StepId| {
                let instance = self.run.instance_seen_from(plan, step, repetitions);
                (step.clone(), self.step_values(plan, &instance))
            };
            steps.iter().map(value).collect()
        };
        Values {
            inputs: plan.inputs.clone(),
            steps: values(repetitions, &named.steps),
            previous: repetitions_before(repetitions)
                .map(|repetitions| values(&repetitions, &named.previous)),
            run: RunValues {
                id: self.run.run.to_string(),
                workflow: plan.plan.name.clone(),
                cwd: request.map_or(String::new(), |request| request.cwd.clone()),
                ok: self.run.failed.is_none(),
            },
        }
    }

    fn step_values(&self, plan: &PlanIndex, instance: &StepInstance) -> StepValues {
        let state = self.run.steps.get(instance);
        let result = self.run.result(instance);
        let main = self.effects.effect(instance.scope(), EffectCall::Main);
        let status = result.map_or(StepStatus::Skipped, |result| result.status);
        let log = state.and_then(|state| state.log.as_ref()).and_then(|log| self.run.text(log));
        let output_path = state
            .and_then(|state| state.folder.as_ref())
            .map(|folder| format!("{}/{folder}/stdout", plan.store));
        StepValues {
            ok: status == StepStatus::Succeeded,
            status,
            exit_code: result.and_then(|result| result.exit_code),
            output: self.output_value(plan, instance),
            summary: result.map_or(String::new(), |result| result.summary.clone()),
            log: log.map_or(String::new(), |log| log.as_ref().to_owned()),
            output_path,
            artifacts: state.map_or(Vec::new(), |state| {
                state.artifacts.iter().map(|path| format!("{}/{path}", plan.store)).collect()
            }),
            attempts: self.effects.attempt(&main).0,
            cycles: state.map_or(0, |state| state.pass.cycle),
        }
    }

    /// A leaf's output; for a group, an object of its steps' outputs; for a loop, those of its last pass.
    fn output_value(&self, plan: &PlanIndex, instance: &StepInstance) -> Value {
        if plan.node(&instance.step).is_some_and(|node| !node.children.is_empty()) {
            let inner = self.run.instances(plan, instance).into_iter();
            let outputs = inner.map(|inner| (inner.step.to_string(), self.output_value(plan, &inner)));
            return Value::from(minijinja::value::Serde(outputs.collect::<BTreeMap<_, _>>()));
        }
        let text = self.run.result(instance).and_then(|result| result.output.as_ref());
        let text = text.and_then(|output| self.run.text(output));
        // Stored outputs are JSON by construction; one that is not reads as none, which expressions refuse to print.
        text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or(Value::from(()))
    }

    /// The run's outputs as the text of a JSON object.
    pub(super) fn outputs(&self, plan: &PlanIndex) -> Result<String, String> {
        let mut outputs = BTreeMap::new();
        for output in &plan.plan.outputs {
            let mut named = StepReferences::default();
            named.template(&output.value);
            let values = self.values(plan, &[], &named);
            let value =
                output.value.value(&values).map_err(|error| format!("output `{}`: {error}", output.name))?;
            outputs.insert(output.name.as_str(), value);
        }
        serde_json::to_string(&outputs).map_err(|error| format!("outputs: {error}"))
    }
}

/// The repetitions of the innermost loop's pass before, if there was one that is still known.
fn repetitions_before(repetitions: &[Repetition]) -> Option<Vec<Repetition>> {
    let mut repetitions = repetitions.to_vec();
    match repetitions.last_mut()? {
        Repetition::Cycle { cycle, .. } if *cycle > 1 => *cycle -= 1,
        _ => return None,
    }
    Some(repetitions)
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
