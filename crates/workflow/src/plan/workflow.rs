//! The plan of a whole workflow, with its inputs, outputs and budget.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{AgentSpec, Step, Verb, command_preset};
use crate::expression::Template;

/// The schema version of a stored plan.
pub const PLAN_VERSION: u32 = 1;

/// Groups inside each other, the outermost included. A plan this deep can still be read from its JSON.
pub const GROUP_DEPTH_MAX: usize = 16;

/// A checked workflow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The schema version of the stored form: [`PLAN_VERSION`].
    pub v: u32,
    /// The workflow's name.
    pub name: String,
    /// The inputs of a run, in the order of the file.
    pub inputs: Vec<InputSpec>,
    /// The agents that steps name, by name.
    pub agents: BTreeMap<String, AgentSpec>,
    /// Variables for every step.
    pub env: Vec<EnvSpec>,
    /// The steps, in the order of the file.
    pub steps: Vec<Step>,
    /// The steps that always run at the end, also after a failure or a cancellation.
    pub finally: Vec<Step>,
    /// The run's outputs, by name.
    pub outputs: Vec<OutputSpec>,
    /// The budget of its agents; absent without a limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<Budget>,
}

impl Plan {
    /// Returns the presets of its agents.
    pub fn presets(&self) -> impl Iterator<Item = &str> {
        self.agents.values().filter_map(AgentSpec::preset)
    }

    /// Returns its agents that are commands with a described output: for each the name of the preset that is made of it, its
    /// program and the description.
    pub fn readings(&self) -> impl Iterator<Item = (String, &str, &str)> {
        self.agents.iter().filter_map(|(name, spec)| {
            let (program, reading) = spec.reading()?;
            Some((command_preset(name), program, reading))
        })
    }

    /// Returns the agents that steps name, each as often as steps name it.
    pub fn named_agents(&self) -> impl Iterator<Item = &str> {
        let verbs = self.walk().map(|step| &step.verb);
        let agents = verbs.filter_map(|verb| match verb {
            Verb::Agent { agent, options, .. } => Some(std::iter::once(agent).chain(&options.fallback)),
            Verb::Run { .. } | Verb::Command { .. } | Verb::Worktree(_) | Verb::Group { .. } => None,
        });
        agents.flatten().map(String::as_str)
    }

    /// Returns all steps in the order of the file: a group before its steps, `finally` last.
    pub fn walk(&self) -> impl Iterator<Item = &Step> {
        let mut waiting: Vec<&Step> = self.steps.iter().chain(&self.finally).rev().collect();
        std::iter::from_fn(move || {
            let step = waiting.pop()?;
            waiting.extend(step.children().iter().rev());
            Some(step)
        })
    }
}

/// The budget of all agents of a run together, as far as they report their usage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    /// Tokens, read and written.
    pub tokens: u64,
    /// The reaction when the budget is used up and an agent is to start.
    pub on_exceeded: OnExceeded,
}

/// The reaction to a budget that is used up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnExceeded {
    /// A person is asked.
    #[default]
    Ask,
    /// The step that is to start fails.
    Stop,
}

/// The type of an input's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InputType {
    /// Text.
    String,
    /// A number.
    Number,
    /// True or false.
    Boolean,
    /// A list.
    List,
    /// An object.
    Object,
    /// Shell code: the only type that may be a whole `run`.
    Script,
}

/// One declared input.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InputSpec {
    /// Its name.
    pub name: String,
    /// The type of its value.
    #[serde(rename = "type")]
    pub input_type: InputType,
    /// The value of an input that is not given; an input without a default is required.
    pub default: Option<minijinja::Value>,
    /// A description for people.
    pub description: Option<String>,
}

/// One variable of a step's environment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EnvSpec {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: Template,
}

/// One output of the run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OutputSpec {
    /// Its name.
    pub name: String,
    /// Its value; one whole `${{ }}` keeps its type.
    pub value: Template,
}
