//! EffectSpec: a step's verb with all its values filled in.

use std::collections::BTreeSet;

use backstay_model::event::EffectClass;
use backstay_model::{Attempt, Digest, EffectCall, EffectId, StepId};
use backstay_workflow::expression::{EvalError, EvalErrorKind, Expression, Script, Template, Values};
use backstay_workflow::first_command;
use backstay_workflow::plan::{AfterCrash, EnvSpec, Step, Verb, Worktree};
use serde::Serialize;

use super::agent_spec::Attempts;
use super::instance::{Repetition, StepInstance};
use super::plan_index::{Node, PlanIndex};
use super::task::{AgentTask, Task, WorktreeTask};
use crate::topic::TopicMachine;

/// The time that a probe has, in milliseconds.
const PROBE_TIMEOUT_MS: u64 = 60_000;
/// The time that a step of `finally` has where the file gives it none, in milliseconds.
const FINALLY_TIMEOUT_MS: u64 = 600_000;
/// Silence after which a step is said to stall, in milliseconds.
const IDLE_NOTICE_MS: u64 = 600_000;
/// Characters of a command that lists show.
const PREVIEW_CHARS: usize = 200;

/// One process to run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EffectSpec {
    /// Which work.
    pub effect: EffectId,
    /// Which try.
    pub attempt: Attempt,
    /// What may be done after a crash.
    pub class: EffectClass,
    /// What it is to do.
    pub task: Task,
    /// Variables on top of the owner's environment, in order; later ones win.
    pub env: Vec<(String, String)>,
    /// The absolute path of the folder to work in.
    pub cwd: String,
    /// The awake time it has, in milliseconds.
    pub timeout_ms: Option<u64>,
    /// How long it may be silent, in milliseconds of awake time.
    pub idle_timeout_ms: Option<u64>,
    /// How long it may be silent before that is said, in milliseconds of awake time.
    pub idle_notice_ms: u64,
}

impl EffectSpec {
    /// The agent that does it, if it is known by a preset.
    #[must_use]
    pub fn agent(&self) -> Option<&AgentTask> {
        match &self.task {
            Task::Agent(agent) => Some(agent),
            _ => None,
        }
    }

    /// The digest of the whole: what is started is what was decided.
    #[must_use]
    pub fn digest(&self) -> Digest {
        // A struct of strings and numbers has a JSON form.
        Digest::of(&serde_json::to_vec(self).unwrap_or_default())
    }

    /// The beginning of the command, for people.
    #[must_use]
    pub fn preview(&self) -> String {
        let first_line = |text: &str| text.trim().lines().next().unwrap_or("").to_owned();
        let text = match &self.task {
            Task::Command { argv } | Task::Program { argv, .. } => argv.join(" "),
            Task::Script { script, .. } | Task::Probe { script } => first_command(script).to_owned(),
            Task::Worktree(_) => "git worktree add".to_owned(),
            Task::Agent(agent) => format!("{}: {}", agent.preset, first_line(&agent.prompt.task)),
        };
        text.chars().take(PREVIEW_CHARS).collect()
    }
}

impl TopicMachine {
    /// Fills in the values of `step`'s work.
    pub(super) fn effect_spec(
        &self,
        plan: &PlanIndex,
        instance: &StepInstance,
        step: &Step,
        call: EffectCall,
        attempt: Attempt,
    ) -> Result<EffectSpec, EvalError> {
        let mut named = StepReferences::default();
        named_by(step, &mut named);
        let agent = self.run.agent_of(plan, instance, step);
        let env_specs = self.env_specs(plan, instance, step);
        env_specs.iter().for_each(|spec| named.template(&spec.value));
        agent.into_iter().flat_map(|(_, agent)| agent.templates()).for_each(|part| named.template(part));
        let values = self.values(plan, &instance.repetitions, &named);

        let mut work = EffectSpec {
            effect: self.effects.effect(instance.scope(), call),
            attempt,
            class: EffectClass::Attach,
            task: Task::Command { argv: Vec::new() },
            env: render_env(&env_specs, &values)?,
            cwd: self.workplace(plan, instance, step)?,
            timeout_ms: plan.node(&step.id).and_then(total_budget_ms),
            idle_timeout_ms: step.idle_timeout_ms,
            idle_notice_ms: IDLE_NOTICE_MS,
        };
        work.task = match (call, &step.after_crash, agent) {
            (EffectCall::Probe, AfterCrash::Probe { script }, _) => {
                work.class = EffectClass::Repeat;
                (work.timeout_ms, work.idle_timeout_ms) = (Some(PROBE_TIMEOUT_MS), None);
                Task::Probe { script: render_script(&mut work, script, &values)? }
            }
            (_, _, Some(agent)) => {
                let losses = self.effects.losses(&work.effect);
                let attempts = Attempts { leaf: self.run.leaf(instance), losses };
                self.run.agent_task(&work, step, agent, &values, attempts)?
            }
            (_, _, None) => verb_task(&mut work, step, &values)?,
        };
        self.add_own_env(&mut work, instance);
        Ok(work)
    }

    /// The variables that the workflow gives to `step`, the later ones win.
    fn env_specs<'d>(
        &self,
        plan: &'d PlanIndex,
        instance: &StepInstance,
        step: &'d Step,
    ) -> Vec<&'d EnvSpec> {
        let around = plan.groups_around(&step.id);
        let groups = around.iter().rev().filter_map(|group| plan.node(group));
        let agent = self.run.agent_of(plan, instance, step);
        let plan = plan.plan.env.iter();
        plan.chain(agent.into_iter().flat_map(|(_, agent)| &agent.env))
            .chain(groups.flat_map(|group| &group.step.env))
            .chain(&step.env)
            .collect()
    }

    /// The variables that the workflow gives to the work of `effect` in flight, with the values that it was started with.
    ///
    /// # Errors
    /// [`EvalError`] if a value cannot be made. Then the work could not have been started either.
    pub fn env_of(&self, effect: &EffectId) -> Result<Vec<(String, String)>, EvalError> {
        let found = self.run.plan.as_ref().zip(StepInstance::of(&effect.scope));
        let Some((plan, instance)) = found else { return Ok(Vec::new()) };
        let Some(node) = plan.node(&instance.step) else { return Ok(Vec::new()) };
        let env_specs = self.env_specs(plan, &instance, &node.step);
        let mut named = StepReferences::default();
        env_specs.iter().for_each(|spec| named.template(&spec.value));
        render_env(&env_specs, &self.values(plan, &instance.repetitions, &named))
    }

    /// What the agent was asked to do that worked on `effect` last, if `preset` is its preset.
    ///
    /// # Errors
    /// [`EvalError`] if a value cannot be made. Then the work could not have been started either.
    pub fn agent_work_of(
        &self,
        effect: &EffectId,
        attempt: Attempt,
        preset: &str,
    ) -> Result<Option<AgentTask>, EvalError> {
        let found = self.run.plan.as_ref().zip(StepInstance::of(&effect.scope));
        let Some((plan, instance)) = found else { return Ok(None) };
        let Some(node) = plan.node(&instance.step) else { return Ok(None) };
        let work = self.effect_spec(plan, &instance, &node.step, EffectCall::Main, attempt)?;
        Ok(work.agent().filter(|agent| agent.preset == preset).cloned())
    }

    /// The absolute path of the folder that the step works in: the run's own, or a worktree.
    fn workplace(&self, plan: &PlanIndex, instance: &StepInstance, step: &Step) -> Result<String, EvalError> {
        let Some(maker) = &step.workspace else {
            return Ok(self.run.request.as_ref().map_or(String::new(), |request| request.cwd.clone()));
        };
        let made = self.run.instance_seen_from(plan, maker, &instance.repetitions);
        let output = self.run.result(&made).and_then(|result| result.output.as_ref());
        let path = output.and_then(|text| serde_json::from_str::<String>(&self.run.text(text)?).ok());
        path.filter(|path| path.starts_with('/')).ok_or_else(|| EvalError {
            kind: EvalErrorKind::Undefined,
            expression: format!("steps.{maker}.output"),
            message: "it is not the path of a worktree to work in".to_owned(),
        })
    }

    /// The absolute path of the folder that the work of `effect` works in, as far as it is known.
    #[must_use]
    pub fn folder_of(&self, effect: &EffectId) -> Option<String> {
        let plan = self.run.plan.as_ref()?;
        let instance = StepInstance::of(&effect.scope)?;
        self.workplace(plan, &instance, &plan.node(&instance.step)?.step).ok()
    }

    /// Whether the work of `effect` makes a worktree, and changes nothing in the folder that it works in.
    #[must_use]
    pub fn makes_worktree(&self, effect: &EffectId) -> bool {
        let node = self.run.plan.as_ref().zip(effect.scope.step_id());
        let node = node.and_then(|(plan, step)| plan.node(step));
        node.is_some_and(|node| matches!(node.step.verb, Verb::Worktree(_)))
    }

    fn add_own_env(&self, work: &mut EffectSpec, instance: &StepInstance) {
        let folder = self.run.request.as_ref().map_or(String::new(), |request| request.folder.clone());
        for (name, value) in [
            ("BACKSTAY_RUN", self.run().to_string()),
            ("BACKSTAY_WORKFLOW_DIR", folder),
            ("BACKSTAY_STEP", instance.step.to_string()),
            ("BACKSTAY_EFFECT", work.effect.to_string()),
            ("BACKSTAY_ATTEMPT", work.attempt.to_string()),
        ] {
            work.env.push((name.to_owned(), value));
        }
        if let Some(Repetition::Cycle { cycle, .. }) = instance.repetitions.last() {
            work.env.push(("BACKSTAY_CYCLE".to_owned(), cycle.to_string()));
        }
    }
}

fn render_env(env_specs: &[&EnvSpec], values: &Values) -> Result<Vec<(String, String)>, EvalError> {
    env_specs.iter().map(|spec| Ok((spec.name.clone(), spec.value.render(values)?))).collect()
}

fn verb_task(work: &mut EffectSpec, step: &Step, values: &Values) -> Result<Task, EvalError> {
    Ok(match &step.verb {
        Verb::Run { script, shell } => {
            Task::Script { shell: shell.clone(), script: render_script(work, script, values)? }
        }
        Verb::Command { argv } => Task::Command {
            argv: argv.iter().map(|part| part.render(values)).collect::<Result<Vec<_>, _>>()?,
        },
        Verb::Worktree(worktree) => Task::Worktree(worktree_task(work, worktree, values)?),
        // The plan names the agents of its steps; a group has no work of its own.
        Verb::Agent { .. } | Verb::Group { .. } => Task::Command { argv: Vec::new() },
    })
}

fn worktree_task(
    work: &mut EffectSpec,
    worktree: &Worktree,
    values: &Values,
) -> Result<WorktreeTask, EvalError> {
    let render = |text: &Option<Template>| text.as_ref().map(|text| text.render(values)).transpose();
    let setup = worktree.setup.as_ref().map(|setup| render_script(work, setup, values)).transpose()?;
    let step = work.effect.scope.step_id().map_or("", StepId::as_str);
    Ok(WorktreeTask {
        branch: render(&worktree.branch)?,
        from: render(&worktree.from)?,
        // That of a whole run is named after the run alone.
        step: step.strip_suffix("_worktree").map(str::to_owned),
        setup,
    })
}

/// The text of a script. Its values are variables of the work.
fn render_script(work: &mut EffectSpec, script: &Script, values: &Values) -> Result<String, EvalError> {
    let rendered = script.render(values)?;
    work.env.extend(rendered.env);
    Ok(rendered.text)
}

/// The awake time that one attempt has, in milliseconds.
pub(super) fn total_budget_ms(node: &Node) -> Option<u64> {
    node.step.timeout_ms.or(node.in_finally.then_some(FINALLY_TIMEOUT_MS))
}

/// The steps that expressions name.
#[derive(Clone, Debug, Default)]
pub(super) struct StepReferences {
    /// As `steps.x`.
    pub(super) steps: BTreeSet<StepId>,
    /// As `previous.x`.
    pub(super) previous: BTreeSet<StepId>,
}

impl StepReferences {
    pub(super) fn expression(&mut self, expression: &Expression) {
        self.steps.extend(expression.steps.iter().cloned());
        self.previous.extend(expression.previous.iter().cloned());
    }

    pub(super) fn template(&mut self, template: &Template) {
        self.steps.extend(template.steps.iter().cloned());
        self.previous.extend(template.previous.iter().cloned());
    }
}

/// Adds the steps that expressions of `step` itself name.
pub(super) fn named_by(step: &Step, named: &mut StepReferences) {
    step.condition.iter().for_each(|condition| named.expression(condition));
    step.env.iter().for_each(|env| named.template(&env.value));
    step.repeat.iter().for_each(|repeat| named.expression(&repeat.until));
    let scripts = match &step.after_crash {
        AfterCrash::Probe { script } => Some(script),
        _ => None,
    };
    let own = match &step.verb {
        Verb::Run { script, .. } => Some(script),
        Verb::Command { argv } => {
            argv.iter().for_each(|part| named.template(part));
            None
        }
        Verb::Agent { prompt, options, .. } => {
            named.template(prompt);
            options.templates().for_each(|part| named.template(part));
            None
        }
        Verb::Worktree(worktree) => {
            worktree.branch.iter().chain(&worktree.from).for_each(|part| named.template(part));
            worktree.setup.as_ref()
        }
        Verb::Group { .. } => None,
    };
    named.steps.extend(step.workspace.clone());
    for script in scripts.into_iter().chain(own) {
        script.variables.iter().for_each(|variable| named.expression(&variable.expression));
    }
}
