//! EffectSpec that an agent does that is known by a preset.

use backstay_model::event::{SessionWish, session_name};
use backstay_model::{Digest, StepId};
use backstay_workflow::expression::{EvalError, EvalErrorKind, Template, Values};
use backstay_workflow::plan::{
    AfterCrash, AgentKind, AgentOptions, AgentSpec, SessionRule, Step, Verb, command_preset,
};

use super::RunMachine;
use super::effect_spec::EffectSpec;
use super::instance::StepInstance;
use super::plan_index::PlanIndex;
use super::state::Leaf;
use super::task::{AgentTask, Opening, Predecessor, Prompt, Task};

impl RunMachine {
    /// The agent that does the next attempt of `step`, with its name in the plan.
    pub(super) fn agent_of<'d>(
        &self,
        plan: &'d PlanIndex,
        instance: &StepInstance,
        step: &'d Step,
    ) -> Option<(&'d str, &'d AgentSpec)> {
        let Verb::Agent { agent: first, .. } = &step.verb else { return None };
        let name = self.leaf(instance).and_then(|leaf| leaf.agent.agent.as_deref()).unwrap_or(first);
        plan.plan.agents.get_key_value(name).map(|(name, spec)| (name.as_str(), spec))
    }

    /// What the agent `name` is to do.
    pub(super) fn agent_task(
        &self,
        work: &EffectSpec,
        step: &Step,
        (name, spec): (&str, &AgentSpec),
        values: &Values,
        attempts: Attempts<'_>,
    ) -> Result<Task, EvalError> {
        let Verb::Agent { agent: first, prompt, options } = &step.verb else {
            return Ok(Task::Command { argv: Vec::new() });
        };
        let task = task_of(prompt, values)?;
        let (preset, model, args, via) = match &spec.kind {
            AgentKind::Command { command, via, reading: Some(_) } => {
                let preset = command_preset(name);
                return Ok(Task::Agent(AgentTask {
                    session: self.session_of(work, step, &preset, options, attempts),
                    preset,
                    prompt: attempts.prompt(task, step),
                    via: Some(*via),
                    access: options.access,
                    model: None,
                    // The preset that is made of the agent has the program.
                    args: render_all(command.get(1..).unwrap_or_default(), values)?,
                    schema: step.schema.clone(),
                }));
            }
            AgentKind::Command { command, via, reading: None } => {
                let opening = attempts.predecessor().map_or(Opening::First, Opening::HandedOver);
                let prompt = Prompt { task, opening };
                return Ok(Task::Program { argv: render_all(command, values)?, via: *via, prompt });
            }
            AgentKind::Preset { preset, model, args, via } => (preset, model, args, via),
        };
        // What the step says of model and arguments is meant for the agent that it names.
        let own = if name == first { options.as_ref() } else { &AgentOptions::default() };
        let session = self.session_of(work, step, preset, options, attempts);
        let mut words = render_all(args, values)?;
        words.extend(render_all(&own.args, values)?);
        let model = own.model.as_ref().or(model.as_ref());
        Ok(Task::Agent(AgentTask {
            preset: preset.clone(),
            prompt: attempts.prompt(task, step),
            via: *via,
            access: options.access,
            model: model.map(|model| model.render(values)).transpose()?,
            args: words,
            session,
            schema: step.schema.clone(),
        }))
    }

    fn session_of(
        &self,
        work: &EffectSpec,
        step: &Step,
        preset: &str,
        options: &AgentOptions,
        attempts: Attempts<'_>,
    ) -> SessionWish {
        let fresh = session_name(Digest::of(format!("{}:{}:session", work.effect, work.attempt).as_bytes()));
        let last = |step: &StepId| self.sessions.get(&(step.clone(), preset.to_owned())).cloned();
        if let Some(id) = attempts.session(step) {
            return SessionWish::Continue { id, fresh };
        }
        let is_anew = attempts.begins_new_session(step);
        let (found, fork) = match &options.session {
            _ if is_anew => (None, false),
            SessionRule::Fresh => (None, false),
            SessionRule::Keep => (last(&step.id), false),
            SessionRule::From { step, fork } => (last(step), *fork),
        };
        match found {
            Some(from) if fork => SessionWish::Fork { from, id: fresh },
            Some(id) => SessionWish::Continue { id, fresh },
            None => SessionWish::Fresh { id: fresh },
        }
    }
}

/// The attempts of a step so far, and how many of them were lost in a row.
#[derive(Clone, Copy)]
pub(super) struct Attempts<'a> {
    pub(super) leaf: Option<&'a Leaf>,
    pub(super) losses: u32,
}

impl Attempts<'_> {
    /// The session of an earlier attempt that the next one goes on with.
    fn session(&self, step: &Step) -> Option<String> {
        let session = self.leaf?.agent.session.clone();
        session.filter(|_| !self.begins_anew(step))
    }

    fn begins_new_session(&self, step: &Step) -> bool {
        self.leaf.is_some_and(|leaf| leaf.agent.anew) || self.begins_anew(step)
    }

    /// Whether what was lost is to be begun anew.
    fn begins_anew(&self, step: &Step) -> bool {
        let cuts = self.leaf.map_or(0, |leaf| leaf.agent.cuts);
        (self.losses > 0 || cuts > 0) && step.after_crash == AfterCrash::Rerun
    }

    fn predecessor(&self) -> Option<Predecessor> {
        self.leaf?.agent.predecessor.clone()
    }

    /// What the agent is told: the task, and why it is told it again where it is.
    fn prompt(&self, task: String, step: &Step) -> Prompt {
        let goes_on = self.session(step).is_some();
        let agent = self.leaf.map(|leaf| &leaf.agent);
        let opening = match agent.and_then(|agent| agent.repair.clone()) {
            Some(problem) => {
                Opening::Rejected { problem, knows_task: goes_on, predecessor: self.predecessor() }
            }
            None if goes_on => {
                Opening::Interrupted { by_person: agent.is_some_and(|agent| agent.intervened) }
            }
            None => self.predecessor().map_or(Opening::First, Opening::HandedOver),
        };
        Prompt { task, opening }
    }
}

/// What an agent is to do: no agent is started, and nothing paid, for a prompt that its values leave empty.
fn task_of(prompt: &Template, values: &Values) -> Result<String, EvalError> {
    let task = prompt.render(values)?;
    if task.trim().is_empty() {
        return Err(EvalError {
            kind: EvalErrorKind::EmptyPrompt,
            expression: prompt.source.trim().to_owned(),
            message: "the prompt is empty: give what it prints a value, or leave the step out with `if`"
                .to_owned(),
        });
    }
    Ok(task)
}

fn render_all(parts: &[Template], values: &Values) -> Result<Vec<String>, EvalError> {
    parts.iter().map(|part| part.render(values)).collect()
}
