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
