//! The attempts whose streams are printed.

use backstay_engine::record::RunRecord;
use backstay_model::{Attempt, EffectCall, EffectId, StepId, Timestamp};
use backstay_runtime::Store;
use camino::Utf8PathBuf;

use super::wanted::Wanted;

/// One attempt whose streams are printed.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) step: StepId,
    pub(super) effect: EffectId,
    pub(super) attempt: Attempt,
    pub(super) folder: Utf8PathBuf,
    pub(super) starting_at: Timestamp,
    pub(super) ended_at: Option<Timestamp>,
    /// The preset of its agent, if it has one.
    pub(super) preset: Option<String>,
    /// What is said above it, if it is an agent's.
    pub(super) head: String,
    /// What is said above it otherwise, where it is not all that the step said.
    pub(super) mark: Option<String>,
}

/// The attempts of `record` that are wanted, in the order in which they began.
pub(super) fn sources(store: &Store, record: &RunRecord, wanted: &Wanted) -> Vec<Source> {
    let steps = record.steps.iter().filter(|step| wanted.address.as_ref().is_none_or(|only| only.has(step)));
    steps
        .flat_map(|step| step.attempts.iter().map(move |attempt| (step, attempt)))
        .filter_map(|(step, attempt)| {
            let folder = store.folder().join(attempt.folder.as_ref()?.as_str());
            let call = if attempt.probe { EffectCall::Probe } else { EffectCall::Main };
            let effect = EffectId { root: record.run.into(), scope: step.scope.clone(), call };
            let agent = attempt.agent.as_ref();
            let preset = agent.map(|agent| agent.preset.clone());
            let version = agent.and_then(|agent| agent.version.clone());
            let head = format!(
                "{}, attempt {}{}",
                version.or_else(|| preset.clone()).unwrap_or_default(),
                attempt.attempt.0,
                step.cycle().map_or_else(String::new, |cycle| format!(" of cycle {cycle}")),
            );
            let mark = wanted.mark(step, attempt);
            let (starting_at, ended_at) = (attempt.starting_at, attempt.ended_at);
            let (step, attempt) = (step.step.clone(), attempt.attempt);
            Some(Source { step, effect, attempt, folder, starting_at, ended_at, preset, head, mark })
        })
        .collect()
}
