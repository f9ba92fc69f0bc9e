//! What has to be known to read what the agents of a run said.

use std::collections::BTreeMap;

use backstay_agent::Preset;
use backstay_model::event::{Event, FactEvent, InputEvent, Said};
use backstay_model::{Attempt, Digest, EffectId, RunId, Seq, Timestamp, Topic};

use crate::error::RunError;
use crate::store::Store;

/// What has to be known to read what the agents of a run said, beside their spools.
#[derive(Debug, Default)]
pub struct AgentText {
    presets: BTreeMap<String, (Digest, Preset)>,
    /// When tools began and ended, by the offset behind the line that said so.
    tools_at: BTreeMap<(EffectId, Attempt), BTreeMap<u64, Timestamp>>,
}

impl AgentText {
    /// The preset of this name, as the run goes by it.
    #[must_use]
    pub fn preset(&self, name: &str) -> Option<&Preset> {
        self.presets.get(name).map(|(_, preset)| preset)
    }

    /// The digest that the run pins of the preset of this name.
    pub(crate) fn pinned(&self, name: &str) -> Option<Digest> {
        self.presets.get(name).map(|(digest, _)| *digest)
    }

    /// When tools of an attempt began and ended, as the log knows it: by the offset behind the line that said so. It is the
    /// time at which the owner read the line, a third of a second late at most while there was one.
    #[must_use]
    pub fn tools_at(&self, effect: &EffectId, attempt: Attempt) -> BTreeMap<u64, Timestamp> {
        self.tools_at.get(&(effect.clone(), attempt)).cloned().unwrap_or_default()
    }
}

impl Store {
    /// Reads what has to be known to read what the agents of `run` said.
    ///
    /// # Errors
    /// [`RunError`] if the run or one of its presets cannot be read.
    pub async fn spoken(&self, run: RunId) -> Result<AgentText, RunError> {
        let mut spoken = AgentText::default();
        let mut pinned: BTreeMap<String, Digest> = BTreeMap::new();
        let take = |recorded: &backstay_model::Recorded| {
            match Event::decode(recorded)? {
                Event::Input(InputEvent::RunRequested(request)) => pinned = request.presets,
                Event::Fact(FactEvent::PlanChanged(changed)) => pinned.extend(changed.plan.presets),
                Event::Fact(FactEvent::AgentSaid(said))
                    if matches!(said.what, Said::ToolStarted { .. } | Said::ToolFinished { .. }) =>
                {
                    let of = spoken.tools_at.entry((said.effect, said.attempt)).or_default();
                    of.insert(said.spool_end, recorded.at);
                }
                _ => {}
            }
            Ok(())
        };
        if let Some(gap) = self.each_event(&Topic::run(run), Seq(0), take).await? {
            return Err(self.trimmed(run, gap.first).await);
        }
        for (name, digest) in pinned {
            let text = self.text_of(digest).await?;
            let preset = Preset::from_stored(&name, &text)
                .map_err(|source| RunError::StoredPreset { preset: name.clone(), source })?;
            spoken.presets.insert(name, (digest, preset));
        }
        Ok(spoken)
    }
}
