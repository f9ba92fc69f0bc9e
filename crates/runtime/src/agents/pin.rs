//! The presets that a run goes by.

use std::collections::BTreeMap;
use std::sync::Arc;

use backstay_agent::{Preset, Presets};
use backstay_model::Digest;
use backstay_workflow::PresetTraits;
use backstay_workflow::plan::Plan;

use crate::error::RunError;

/// What the check of a workflow has to know of `presets`.
#[must_use]
pub fn preset_traits(presets: &Presets) -> BTreeMap<String, PresetTraits> {
    let traits = |preset: &Preset| PresetTraits {
        access: preset.access().collect(),
        can_resume: preset.can_resume(),
        can_fork: preset.can_fork(),
        file_prefix: preset.file_prefix().map(ToOwned::to_owned),
    };
    presets.iter().map(|preset| (preset.name().to_owned(), traits(preset))).collect()
}

/// The presets that a run goes by.
#[derive(Debug, Default)]
pub(crate) struct Pinned {
    /// Their digests, by name.
    pub(crate) presets: BTreeMap<String, Digest>,
    /// What is to be kept under these.
    pub(crate) texts: Vec<Arc<str>>,
}

/// The presets that `plan` names.
pub(crate) fn pin(plan: &Plan, presets: &Presets) -> Result<Pinned, RunError> {
    let mut pinned = Pinned::default();
    for name in plan.presets() {
        if pinned.presets.contains_key(name) {
            continue;
        }
        let preset = presets.get(name).ok_or_else(|| RunError::UnknownPreset { preset: name.to_owned() })?;
        let stored =
            preset.stored().map_err(|source| RunError::PresetForm { preset: name.to_owned(), source })?;
        pinned.presets.insert(name.to_owned(), Digest::of(stored.as_bytes()));
        pinned.texts.push(Arc::from(stored));
    }
    Ok(pinned)
}
