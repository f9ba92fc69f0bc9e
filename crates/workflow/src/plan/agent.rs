//! Agents: the way to start one, and the options of a step for its agent.

use backstay_model::StepId;
use backstay_model::event::Access;
use serde::{Deserialize, Serialize};

use super::EnvSpec;
use crate::expression::Template;

/// The way of a prompt to its agent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Via {
    /// On its stdin.
    #[default]
    Stdin,
    /// As its last argument.
    Arg,
    /// In a file whose path is its last argument.
    File,
    /// In the variable `BACKSTAY_PROMPT`.
    Env,
}

impl Via {
    /// The word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Via::Stdin => "stdin",
            Via::Arg => "arg",
            Via::File => "file",
            Via::Env => "env",
        }
    }
}

/// An agent that steps can name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AgentSpec {
    /// The way to start it.
    #[serde(flatten)]
    pub kind: AgentKind,
    /// Variables for it.
    pub env: Vec<EnvSpec>,
}

/// The way to start an agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum AgentKind {
    /// By a command of its own.
    Command {
        /// The program and its arguments.
        command: Vec<Template>,
        /// The way of its prompt.
        via: Via,
        /// The description of its output: one line of JSON with `stream`, `lines` and `signs`, as in a preset. Absent where
        /// the output is text and only the exit code says whether it succeeded.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reading: Option<String>,
    },
    /// By a preset, which knows its command, its sessions and its output.
    Preset {
        /// The preset's name.
        preset: String,
        /// The model; absent for the agent's own choice.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        model: Option<Template>,
        /// Arguments beside those of the preset.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        args: Vec<Template>,
        /// The way of its prompt; absent for the preset's own way.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        via: Option<Via>,
    },
}

impl AgentSpec {
    /// Its preset, if it has one.
    #[must_use]
    pub fn preset(&self) -> Option<&str> {
        match &self.kind {
            AgentKind::Preset { preset, .. } => Some(preset),
            AgentKind::Command { .. } => None,
        }
    }

    /// Returns its program and the description of its output, if it is a command with one. The program's name holds no
    /// expressions.
    #[must_use]
    pub fn reading(&self) -> Option<(&str, &str)> {
        match &self.kind {
            AgentKind::Command { command, reading, .. } => {
                Some((command.first()?.source.as_str(), reading.as_deref()?))
            }
            AgentKind::Preset { .. } => None,
        }
    }

    /// Whether its output has a known form, by a preset or a description.
    #[must_use]
    pub fn is_read(&self) -> bool {
        self.preset().is_some() || self.reading().is_some()
    }

    /// Returns all templates in it.
    pub fn templates(&self) -> impl Iterator<Item = &Template> {
        let (words, model) = match &self.kind {
            AgentKind::Command { command, .. } => (command, None),
            AgentKind::Preset { model, args, .. } => (args, model.as_ref()),
        };
        words.iter().chain(model).chain(self.env.iter().map(|env| &env.value))
    }
}

/// The options of a step for its agent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AgentOptions {
    /// The agents that replace it after a limit, in order, by their names in [`Plan::agents`](super::Plan::agents).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fallback: Vec<String>,
    /// The access mode of the agent.
    #[serde(default)]
    pub access: Access,
    /// The agent's own session that the step works in.
    #[serde(default)]
    pub session: SessionRule,
    /// The reaction to a limit of its provider.
    #[serde(default)]
    pub on_limit: OnLimit,
    /// The longest wait for limits in a row, in milliseconds of wall time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_wait_ms: Option<u64>,
    /// The model, in place of the agent's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<Template>,
    /// Arguments behind the agent's own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<Template>,
}

impl AgentOptions {
    /// Whether all options have their defaults.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == AgentOptions::default()
    }

    /// Returns all templates in it.
    pub fn templates(&self) -> impl Iterator<Item = &Template> {
        self.args.iter().chain(&self.model)
    }
}

/// The agent's own session that a step begins in. An attempt that continues another attempt always works in the session of
/// that one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionRule {
    /// A new one each time.
    #[default]
    Fresh,
    /// The last session of the step: that of the previous cycle or of the previous attempt.
    Keep,
    /// The last session of another step.
    From {
        /// That step.
        step: StepId,
        /// Whether the step works in a copy of it.
        fork: bool,
    },
}

/// The reaction to a limit of an agent's provider.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnLimit {
    /// The step waits until the limit ends.
    #[default]
    Wait,
    /// The next agent takes its place. When all have met a limit, the step waits for the first limit that ends.
    Fallback,
    /// The attempt fails.
    Fail,
}

/// Returns the name of the preset that is made of the agent `name`, a command with a described output.
#[must_use]
pub fn command_preset(name: &str) -> String {
    match name.starts_with("cmd:") {
        true => name.to_owned(),
        false => format!("cmd:{name}"),
    }
}
