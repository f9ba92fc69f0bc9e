//! What is different where the work is an agent's that is known by a preset.

use std::time::Duration;

use backstay_agent::Preset;
use backstay_engine::Report;
use backstay_engine::effect::OutputRead;
use backstay_exec::{ExitRecord, KeeperControl, ProcessSpec};
use backstay_model::event::AgentRunning;
use backstay_model::{Attempt, EffectCall, EffectId};

use super::flight::{GRACE, News, Watch, chain};
use super::run_loop::{Drive, millis};
use crate::agents::{AgentCase, AttendError, Attendant, Attended, CaseError, Finding, Heard, Taken};

/// How long an agent may give no sign of life before that is said.
const IDLE_NOTICE: Duration = Duration::from_secs(600);

impl Drive<'_> {
    /// What has to be known of the agent that is started by `work`.
    pub(super) fn case_of_work(&self, work: &backstay_engine::run::EffectSpec) -> Option<AgentCase> {
        let presets = &self.machine.request()?.presets;
        let agent = work.agent()?;
        Some(AgentCase::new(agent.starting(), presets, OutputRead::default(), work.idle_timeout_ms))
    }

    /// What has to be known of the agent that an earlier owner started, if it was one.
    pub(super) fn case_of_effect(&self, effect: &EffectId, attempt: Attempt) -> Option<AgentCase> {
        let presets = &self.machine.request()?.presets;
        let starting = self.machine.agent_starting(effect).filter(|_| effect.call == EffectCall::Main)?;
        let known_until = self.machine.output_read(effect, attempt);
        Some(AgentCase::new(starting.clone(), presets, known_until, self.machine.idle_timeout_ms(effect)))
    }
}

impl Watch {
    /// The agent's preset; none if the work is no such agent's. The secrets that it gives to the agent are known from now on.
    pub(super) fn preset(&mut self) -> Result<Option<Preset>, CaseError> {
        let Some(case) = &self.agent else { return Ok(None) };
        let preset = case.preset(&self.store.blobs)?;
        self.secrets = self.secrets.with_env(preset.env(case.starting.access));
        Ok(Some(preset))
    }

    /// The same, to start it.
    pub(super) fn preset_to_start(&mut self) -> Result<Option<Preset>, CaseError> {
        let preset = self.preset()?;
        if let Some((case, preset)) = self.agent.as_ref().zip(preset.as_ref()) {
            case.expect_startable(preset, &self.store)?;
        }
        Ok(preset)
    }

    /// What is known of the agent that was started, or found again, before it says anything.
    pub(super) fn running(&self, preset: Option<&Preset>, version: Option<String>) -> Option<AgentRunning> {
        let (case, preset) = (self.agent.as_ref()?, preset?);
        Some(AgentRunning { version, session: case.known_session(preset) })
    }

    /// What is read of the agent, and by what rules.
    pub(super) fn attended(&self, preset: Option<&Preset>) -> Option<Attended> {
        let (case, preset) = (self.agent.as_ref()?, preset?);
        Some(Attended {
            preset: preset.clone(),
            folder: self.store.folder.join(&self.folder),
            cwd: self.workplace.clone(),
            known_until: case.known_until,
            idle_timeout: case.idle_timeout_ms.map(Duration::from_millis),
            idle_notice: IDLE_NOTICE,
            blobs: self.store.blobs.clone(),
            clock: self.store.clock.clone(),
            secrets: self.secrets.clone(),
        })
    }

    /// Leaves to the keeper of `spec` what an agent's stream does not show better than its bytes.
    pub(super) fn without_bytes(&self, spec: &mut ProcessSpec, preset: Option<&Preset>) {
        if self.attended(preset).is_some_and(|attended| attended.has_stream()) {
            (spec.idle_timeout_ms, spec.idle_notice_ms) = (None, None);
        }
    }

    /// Begins to read what the agent says; none where there is nothing to read.
    pub(super) fn attend(&self, attended: Option<&Attended>, control: KeeperControl) -> Option<Attendant> {
        let attended = attended.filter(|attended| attended.has_stream())?.clone();
        let watch = self.clone();
        let begun = Attendant::begin(attended, move |heard| watch.hear(heard, Some(&control)));
        match begun {
            Ok(attendant) => Some(attendant),
            Err(error) => {
                // All that it says is read at its end.
                tracing::warn!(effect = %self.effect, %error, "nobody reads what an agent says as it comes");
                None
            }
        }
    }

    fn hear(&self, heard: Heard, control: Option<&KeeperControl>) -> Taken {
        let (effect, attempt) = (self.effect.clone(), self.attempt);
        match heard {
            Heard::Said(on, said) => self.say(News::Report(Report::Said { effect, attempt, on, said })),
            Heard::Stalled { silent, stop_in } => self.say(News::Report(Report::Stalled {
                effect,
                attempt,
                silent_ms: millis(silent),
                stop_in_ms: stop_in.map(millis),
            })),
            Heard::End(why) => {
                let told = control.map(|control| control.stop(self.epoch, why.reason(), GRACE));
                if let Some(Err(error)) = told {
                    let error = chain(&error);
                    tracing::warn!(%effect, ?why, %error, "the keeper of an agent that is to end cannot be told");
                    return Taken::NotNow;
                }
            }
        }
        Taken::Yes
    }

    /// Reads what the ended agent said to its end, from where `attendant` stood.
    pub(super) fn finding(
        &self,
        attended: &Attended,
        attendant: Option<Attendant>,
        record: &ExitRecord,
    ) -> Result<Finding, AttendError> {
        let observer = attendant.map(Attendant::stop).transpose();
        let observer = match observer {
            Ok(observer) => observer,
            // What it could not read as it came is read anew.
            Err(error) => {
                tracing::warn!(effect = %self.effect, error = %chain(&error), "an agent is read anew");
                None
            }
        };
        attended.finish(observer, record, &mut |heard| self.hear(heard, None))
    }
}
