//! What expressions see of a run.

use std::collections::BTreeMap;
use std::sync::Arc;

use backstay_model::event::StepStatus;
use backstay_model::{StepId, Text};
use backstay_workflow::expression::{RunValues, StepValues, Values};
use minijinja::Value;

use super::RunMachine;
use super::definition::Definition;

/// The JSON of `text`, if it is one value that expressions can read.
pub(super) fn as_json(text: &str) -> Result<&str, serde_json::Error> {
    let json = serde_json::from_str::<&serde_json::value::RawValue>(text.trim())?;
    // A number beyond all bounds or a nesting too deep is JSON too, but nothing could be made of it.
    serde_json::from_str::<Value>(json.get())?;
    Ok(json.get())
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

    /// The values for an expression that names `steps`.
    pub(super) fn values(&self, definition: &Definition, steps: &[StepId]) -> Values {
        let request = self.request.as_ref();
        Values {
            inputs: definition.inputs.clone(),
            steps: steps.iter().map(|step| (step.clone(), self.step_values(definition, step))).collect(),
            run: RunValues {
                id: self.run.to_string(),
                workflow: definition.plan.name.clone(),
                cwd: request.map_or(String::new(), |request| request.cwd.clone()),
                ok: self.failed.is_none(),
            },
        }
    }

    fn step_values(&self, definition: &Definition, step: &StepId) -> StepValues {
        let state = self.steps.get(step);
        let result = self.result(step);
        let status = result.map_or(StepStatus::Skipped, |result| result.status);
        let log = state.and_then(|state| state.log.as_ref()).and_then(|log| self.text(log));
        let output_path = state
            .and_then(|state| state.folder.as_ref())
            .map(|folder| format!("{}/{folder}/stdout", definition.store));
        StepValues {
            ok: status == StepStatus::Succeeded,
            status,
            exit_code: result.and_then(|result| result.exit_code),
            output: self.output_value(definition, step),
            summary: result.map_or(String::new(), |result| result.summary.clone()),
            log: log.map_or(String::new(), |log| log.as_ref().to_owned()),
            output_path,
            artifacts: state.map_or(Vec::new(), |state| {
                state.artifacts.iter().map(|path| format!("{}/{path}", definition.store)).collect()
            }),
            attempts: state.map_or(0, |state| state.attempt.0),
        }
    }

    /// A leaf's output; for a group, an object of its steps' outputs.
    fn output_value(&self, definition: &Definition, step: &StepId) -> Value {
        if let Some(node) = definition.node(step)
            && !node.children.is_empty()
        {
            let outputs =
                node.children.iter().map(|child| (child.to_string(), self.output_value(definition, child)));
            return Value::from(minijinja::value::Serde(outputs.collect::<BTreeMap<_, _>>()));
        }
        let text =
            self.result(step).and_then(|result| result.output.as_ref()).and_then(|output| self.text(output));
        // Stored outputs are JSON by construction; one that is not reads as none, which expressions refuse to print.
        text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or(Value::from(()))
    }

    /// The run's outputs as the text of a JSON object.
    pub(super) fn outputs(&self, definition: &Definition) -> Result<String, String> {
        let mut outputs = BTreeMap::new();
        for output in &definition.plan.outputs {
            let values = self.values(definition, &output.value.steps);
            let value =
                output.value.value(&values).map_err(|error| format!("output `{}`: {error}", output.name))?;
            outputs.insert(output.name.as_str(), value);
        }
        serde_json::to_string(&outputs).map_err(|error| format!("outputs: {error}"))
    }
}
