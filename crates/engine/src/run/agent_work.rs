//! Work that an agent does that is known by a preset.

use backstay_model::event::{Access, AgentStarting, SessionWish, session_name};
use backstay_model::{Digest, StepId};
use backstay_workflow::expression::{EvalError, EvalErrorKind, Template, Values};
use backstay_workflow::plan::{
    AfterCrash, AgentKind, AgentOptions, AgentSpec, SessionRule, Step, Verb, Via, command_preset,
};
use serde::Serialize;

use super::RunMachine;
use super::definition::Definition;
use super::place::Place;
use super::state::Leaf;
use super::work::Work;

/// What an agent is to do. The runtime makes the command of it, by the preset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AgentWork {
    /// The preset, as pinned in the run's first event.
    pub preset: String,
    /// What it is told.
    pub prompt: String,
    /// How it gets that; absent for the preset's way.
    pub via: Option<Via>,
    /// What it may do.
    pub access: Access,
    /// The model; absent for its own choice.
    pub model: Option<String>,
    /// Arguments beside those of the preset.
    pub args: Vec<String>,
    /// Its session.
    pub session: SessionWish,
    /// The JSON Schema of its answer: JSON text.
    pub schema: Option<String>,
}

impl AgentWork {
    /// What is said of its start.
    #[must_use]
    pub fn starting(&self) -> AgentStarting {
        AgentStarting {
            preset: self.preset.clone(),
            access: self.access,
            model: self.model.clone(),
            session: self.session.clone(),
        }
    }
}

impl RunMachine {
    /// The agent that does the next attempt of `step`, with its name in the plan.
    pub(super) fn agent_of<'d>(
        &self,
        definition: &'d Definition,
        place: &Place,
        step: &'d Step,
    ) -> Option<(&'d str, &'d AgentSpec)> {
        let Verb::Agent { agent: first, .. } = &step.verb else { return None };
        let name = self.leaf(place).and_then(|leaf| leaf.agent.agent.as_deref()).unwrap_or(first);
        definition.plan.agents.get_key_value(name).map(|(name, spec)| (name.as_str(), spec))
    }

    /// Fills in what the agent `name` is to do.
    pub(super) fn fill_agent(
        &self,
        work: &mut Work,
        place: &Place,
        step: &Step,
        agent: (&str, &AgentSpec),
        values: &Values,
    ) -> Result<(), EvalError> {
        let Verb::Agent { agent: first, prompt, options } = &step.verb else { return Ok(()) };
        let (name, spec) = agent;
        let leaf = self.leaf(place);
        let task = task_of(prompt, values)?;
        let (preset, model, args, via) = match &spec.kind {
            AgentKind::Command { command, via, reading: Some(_) } => {
                let preset = command_preset(name);
                work.agent = Some(AgentWork {
                    session: self.session_of(work, step, &preset, options, leaf),
                    preset,
                    prompt: told(task, leaf, step),
                    via: Some(*via),
                    access: options.access,
                    model: None,
                    // The preset that is made of the agent has the program.
                    args: render_all(command.get(1..).unwrap_or_default(), values)?,
                    schema: step.schema.clone(),
                });
                return Ok(());
            }
            AgentKind::Command { command, via, reading: None } => {
                work.argv = render_all(command, values)?;
                let prompt = with_predecessor(task, leaf);
                match via {
                    Via::Stdin => work.stdin = Some(prompt),
                    Via::Arg => work.argv.push(prompt),
                    Via::File => work.prompt_file = Some(prompt),
                    Via::Env => work.env.push(("BACKSTAY_PROMPT".to_owned(), prompt)),
                }
                return Ok(());
            }
            AgentKind::Preset { preset, model, args, via } => (preset, model, args, via),
        };
        // What the step says of model and arguments is meant for the agent that it names.
        let own = if name == first { options.as_ref() } else { &AgentOptions::default() };
        let session = self.session_of(work, step, preset, options, leaf);
        let mut words = render_all(args, values)?;
        words.extend(render_all(&own.args, values)?);
        let model = own.model.as_ref().or(model.as_ref());
        work.agent = Some(AgentWork {
            preset: preset.clone(),
            prompt: told(task, leaf, step),
            via: *via,
            access: options.access,
            model: model.map(|model| model.render(values)).transpose()?,
            args: words,
            session,
            schema: step.schema.clone(),
        });
        Ok(())
    }

    fn session_of(
        &self,
        work: &Work,
        step: &Step,
        preset: &str,
        options: &AgentOptions,
        leaf: Option<&Leaf>,
    ) -> SessionWish {
        let fresh = session_name(Digest::of(format!("{}:{}:session", work.effect, work.attempt).as_bytes()));
        let last = |step: &StepId| self.sessions.get(&(step.clone(), preset.to_owned())).cloned();
        if let Some(id) = leaf.and_then(|leaf| going_on(leaf, step)) {
            return SessionWish::Continue { id, fresh };
        }
        let is_anew = leaf.is_some_and(|leaf| leaf.agent.anew || is_to_begin_anew(leaf, step));
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

/// The session of an earlier attempt that the next one goes on with.
fn going_on(leaf: &Leaf, step: &Step) -> Option<String> {
    leaf.agent.session.clone().filter(|_| !is_to_begin_anew(leaf, step))
}

/// Whether what was lost is to be begun anew.
fn is_to_begin_anew(leaf: &Leaf, step: &Step) -> bool {
    (leaf.losses > 0 || leaf.agent.cuts > 0) && step.after_crash == AfterCrash::Rerun
}

/// What the agent is told: the prompt, and why it is told it again where it is.
fn told(prompt: String, leaf: Option<&Leaf>, step: &Step) -> String {
    let Some(leaf) = leaf else { return prompt };
    let goes_on = going_on(leaf, step).is_some();
    let Some(problem) = &leaf.agent.repair else {
        return match goes_on {
            true if leaf.agent.intervened => format!(
                "You were interrupted, and a person worked in this session and in this folder meanwhile. Look at what was said and done, and go on with the task from there.\n\nThe task:\n\n{prompt}"
            ),
            true => format!(
                "You were interrupted. Go on with the task from where you are, and look at what is done already before you do anything again.\n\nThe task:\n\n{prompt}"
            ),
            false => with_predecessor(prompt, Some(leaf)),
        };
    };
    let task = if goes_on { String::new() } else { format!("{}\n\n", with_predecessor(prompt, Some(leaf))) };
    let shape = step
        .schema
        .as_ref()
        .map_or_else(String::new, |schema| format!(" It has to match this JSON Schema: {schema}"));
    format!(
        "{task}Your last answer cannot be used: {problem}\n\nAnswer again, with one JSON value and nothing around it.{shape}"
    )
}

/// The task, and what another agent did of it before this one.
fn with_predecessor(task: String, leaf: Option<&Leaf>) -> String {
    match leaf.and_then(|leaf| leaf.agent.predecessor.as_ref()) {
        Some(predecessor) => predecessor.hand_over(&task),
        None => task,
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
