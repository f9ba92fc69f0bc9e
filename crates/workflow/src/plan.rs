//! The checked plan: what a workflow file means, with every name resolved and every duration a number.
//!
//! A plan is data. It is kept as a blob of JSON and named by digest in a run's first event, so a run goes on by the
//! plan it began with, whatever becomes of the file.

use std::collections::BTreeMap;

use backstay_model::StepId;
use backstay_model::event::Access;
use serde::{Deserialize, Serialize};

use crate::expression::{Expression, Script, Template};

/// The schema version of a stored plan.
pub const PLAN_VERSION: u32 = 1;

/// A checked workflow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The schema version of the stored form: [`PLAN_VERSION`].
    pub v: u32,
    /// The workflow's name.
    pub name: String,
    /// What a run can be given, in the order of the file.
    pub inputs: Vec<InputSpec>,
    /// The agents that steps name.
    pub agents: BTreeMap<String, AgentSpec>,
    /// Variables for every step.
    pub env: Vec<EnvSpec>,
    /// The steps, in the order of the file.
    pub steps: Vec<Step>,
    /// The steps that run at the end, whatever happened.
    pub finally: Vec<Step>,
    /// The run's outputs, by name.
    pub outputs: Vec<OutputSpec>,
    /// What its agents may use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<Budget>,
}

/// What the agents of a run may use, as far as they tell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    /// Tokens, read and written.
    pub tokens: u64,
    /// What happens where no agent may begin any more.
    pub on_exceeded: OnExceeded,
}

/// What happens where a budget is used up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnExceeded {
    /// A person is asked.
    #[default]
    Ask,
    /// The step that would begin fails.
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
    /// Its value where none is given; without it the input is required.
    pub default: Option<minijinja::Value>,
    /// What it is for.
    pub description: Option<String>,
}

/// How an agent gets its prompt.
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

/// What does a step that names an agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AgentSpec {
    /// How it is started.
    #[serde(flatten)]
    pub kind: AgentKind,
    /// Variables for it.
    pub env: Vec<EnvSpec>,
}

/// How an agent is started.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum AgentKind {
    /// By a command of its own.
    Command {
        /// The program and its arguments.
        command: Vec<Template>,
        /// How it gets its prompt.
        via: Via,
        /// What is said of its output: one line of JSON with `stream`, `lines` and `signs`, as in a preset. Absent where
        /// the output is text and the exit code tells how it went.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reading: Option<String>,
    },
    /// By a preset, which knows its command, its sessions and what it says.
    Preset {
        /// The preset's name.
        preset: String,
        /// The model; absent for the agent's own choice.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        model: Option<Template>,
        /// Arguments beside those of the preset.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        args: Vec<Template>,
        /// How it gets its prompt; absent for the preset's way.
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

    /// Its program and what is said of its output, if it is a command of which something is said. The program's name holds
    /// no values.
    #[must_use]
    pub fn reading(&self) -> Option<(&str, &str)> {
        match &self.kind {
            AgentKind::Command { command, reading, .. } => {
                Some((command.first()?.source.as_str(), reading.as_deref()?))
            }
            AgentKind::Preset { .. } => None,
        }
    }

    /// Whether it is known how its output says what it does and how it went.
    #[must_use]
    pub fn is_read(&self) -> bool {
        self.preset().is_some() || self.reading().is_some()
    }

    /// The templates in it.
    pub fn templates(&self) -> impl Iterator<Item = &Template> {
        let (words, model) = match &self.kind {
            AgentKind::Command { command, .. } => (command, None),
            AgentKind::Preset { model, args, .. } => (args, model.as_ref()),
        };
        words.iter().chain(model).chain(self.env.iter().map(|env| &env.value))
    }
}

/// What a step asks of its agent beside the prompt.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AgentOptions {
    /// The agents that take its place, in order, by their names in [`Plan::agents`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fallback: Vec<String>,
    /// What it may do.
    #[serde(default)]
    pub access: Access,
    /// Which of its own sessions it works in.
    #[serde(default)]
    pub session: SessionRule,
    /// What happens where it meets a limit of its provider.
    #[serde(default)]
    pub on_limit: OnLimit,
    /// How long limits in a row are waited for, in milliseconds of wall time.
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
    /// Whether the step asks for nothing.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == AgentOptions::default()
    }

    /// The templates in it.
    pub fn templates(&self) -> impl Iterator<Item = &Template> {
        self.args.iter().chain(&self.model)
    }
}

/// Which of an agent's own sessions a step begins in. An attempt that goes on for another one is in the other's session
/// whatever this says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionRule {
    /// A new one each time.
    #[default]
    Fresh,
    /// The one that the step worked in last: in the pass before, or before it was tried again.
    Keep,
    /// The one that another step worked in last.
    From {
        /// That step.
        step: StepId,
        /// Whether it is a copy.
        fork: bool,
    },
}

/// What happens where an agent meets a limit of its provider.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnLimit {
    /// The step waits until the limit ends.
    #[default]
    Wait,
    /// The next agent takes its place; where all have met a limit, the step waits for the first that ends.
    Fallback,
    /// The attempt fails.
    Fail,
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

/// One step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Its id, unique in the file.
    pub id: StepId,
    /// What it does.
    pub verb: Verb,
    /// The steps of the same list that end before it starts; the order rule is already applied.
    pub needs: Vec<StepId>,
    /// It is left out where this is false.
    pub condition: Option<Expression>,
    /// Variables of the step (and, for a group, of all in it), after those of the plan and the agent.
    pub env: Vec<EnvSpec>,
    /// The awake time of one attempt, in milliseconds. An agent has 2 h where the file says nothing.
    pub timeout_ms: Option<u64>,
    /// How long an attempt may be silent before it is stopped, in milliseconds of awake time.
    pub idle_timeout_ms: Option<u64>,
    /// How its output is read.
    pub output: OutputFormat,
    /// The exit codes that are a success.
    pub accept_exit: ExitCodes,
    /// What happens where a crash left its work in the dark. The defaults of the language are already applied.
    pub after_crash: AfterCrash,
    /// Which failures are tried again.
    pub retry: RetryPolicy,
    /// How often its steps are done, if it is a loop; only groups are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeat: Option<Repeat>,
    /// The JSON Schema of its output: JSON text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
    /// It promises to change nothing in the folder that it works in, so it may work there beside another run.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reads_only: bool,
    /// The step that makes the worktree it works in; absent where it works in the run's own folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace: Option<StepId>,
}

/// How often the steps of a loop are done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Repeat {
    /// The loop ends where this is true. Evaluated when every step that it names has ended.
    pub until: Expression,
    /// Passes at most, from 1.
    pub max_cycles: u32,
    /// What happens where the condition is false after the last one.
    pub on_exhausted: OnExhausted,
    /// From the beginning of one pass to that of the next, at least, in milliseconds. Absent where the file does not say:
    /// then three passes in a row without a change suspend the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_cycle_ms: Option<u64>,
}

/// What happens where a loop used up its passes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnExhausted {
    /// It fails.
    #[default]
    Fail,
    /// It counts as succeeded, and the run goes on.
    Continue,
    /// A person is asked.
    Ask,
}

/// What a step does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verb {
    /// A script under a shell.
    Run {
        /// The script, with a reference to a variable in place of each `${{ }}`.
        script: Script,
        /// The shell and its arguments; the script's file is appended. Default: `bash --noprofile --norc -eo pipefail`.
        shell: Vec<String>,
    },
    /// A program without a shell.
    Command {
        /// The program and its arguments.
        argv: Vec<Template>,
    },
    /// An agent with a prompt.
    Agent {
        /// Its name in [`Plan::agents`].
        agent: String,
        /// What it is told (the text of `prompt_file` is already in here).
        prompt: Template,
        /// What else is asked of it.
        #[serde(default, skip_serializing_if = "AgentOptions::is_default")]
        options: Box<AgentOptions>,
    },
    /// A new worktree of the git checkout that the run works in, for the steps that name this one as their
    /// [`Step::workspace`]. Its output is the path of the folder to work in.
    Worktree(Worktree),
    /// Other steps.
    Group {
        /// Those steps, in the order of the file.
        steps: Vec<Step>,
    },
}

/// A new worktree of a git checkout.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Worktree {
    /// The branch that is made for it; absent for one that is named after the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<Template>,
    /// The commit that it begins with; absent for the one that is checked out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Template>,
    /// What is done in it before anything else, under the shell of a `run`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub setup: Option<Script>,
}

/// How a step's output is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutputFormat {
    /// As text, without the last line break.
    #[default]
    Text,
    /// As one JSON value.
    Json,
}

/// A set of exit codes: ranges with both ends in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitCodes(pub Vec<(i32, i32)>);

impl Default for ExitCodes {
    fn default() -> ExitCodes {
        ExitCodes(vec![(0, 0)])
    }
}

impl ExitCodes {
    /// Whether `code` is in the set.
    #[must_use]
    pub fn contains(&self, code: i32) -> bool {
        self.0.iter().any(|&(first, last)| (first..=last).contains(&code))
    }
}

/// What happens where a crash left a step's work in the dark.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AfterCrash {
    /// Another attempt goes on where the last one was: an agent continues its own session where it can.
    Resume,
    /// Another attempt begins anew.
    Rerun,
    /// A person is asked.
    Ask,
    /// The step fails.
    Fail,
    /// A command is asked: exit 0 means that the work had happened, any other code that it had not.
    Probe {
        /// The script, run like a `run` step in the step's own environment.
        script: Script,
    },
}

/// A class of failures that can be tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RetryClass {
    /// The provider refused for now.
    RateLimit,
    /// The network did not answer.
    Network,
    /// `timeout` used up.
    Timeout,
    /// `idle_timeout` used up.
    Stall,
    /// Lost with a crash.
    Crash,
    /// The output is not what the step promised.
    InvalidOutput,
    /// An exit code that is not accepted.
    Exit,
}

/// Which failures are tried again, how often and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetryPolicy {
    /// Attempts after the first; 0 means none.
    pub retries_max: u32,
    /// The classes that count; others fail at once.
    pub errors: Vec<RetryClass>,
    /// The pause before the second attempt, in milliseconds; doubled for each further one.
    pub backoff_base_ms: u64,
    /// The longest pause, in milliseconds.
    pub backoff_max_ms: u64,
}

impl Default for RetryPolicy {
    fn default() -> RetryPolicy {
        RetryPolicy { retries_max: 0, errors: Vec::new(), backoff_base_ms: 1_000, backoff_max_ms: 60_000 }
    }
}

/// The name of the preset that is made of the agent `name`, which is a command of whose output something is said.
#[must_use]
pub fn command_preset(name: &str) -> String {
    match name.starts_with("cmd:") {
        true => name.to_owned(),
        false => format!("cmd:{name}"),
    }
}

impl Plan {
    /// The presets that its agents are started by.
    pub fn presets(&self) -> impl Iterator<Item = &str> {
        self.agents.values().filter_map(AgentSpec::preset)
    }

    /// Its agents that are commands of whose output something is said: the name of the preset that is made of each, its
    /// program, and what is said.
    pub fn readings(&self) -> impl Iterator<Item = (String, &str, &str)> {
        self.agents.iter().filter_map(|(name, spec)| {
            let (program, reading) = spec.reading()?;
            Some((command_preset(name), program, reading))
        })
    }

    /// The agents that steps name, each as often as it is named.
    pub fn named_agents(&self) -> impl Iterator<Item = &str> {
        let verbs = self.walk().map(|step| &step.verb);
        let agents = verbs.filter_map(|verb| match verb {
            Verb::Agent { agent, options, .. } => Some(std::iter::once(agent).chain(&options.fallback)),
            Verb::Run { .. } | Verb::Command { .. } | Verb::Worktree(_) | Verb::Group { .. } => None,
        });
        agents.flatten().map(String::as_str)
    }

    /// All steps in the order of the file, groups before what is in them, `finally` last.
    pub fn walk(&self) -> impl Iterator<Item = &Step> {
        let mut waiting: Vec<&Step> = self.steps.iter().chain(&self.finally).rev().collect();
        std::iter::from_fn(move || {
            let step = waiting.pop()?;
            waiting.extend(step.children().iter().rev());
            Some(step)
        })
    }
}

impl Step {
    /// The steps in it, if it is a group.
    #[must_use]
    pub fn children(&self) -> &[Step] {
        match &self.verb {
            Verb::Group { steps } => steps,
            Verb::Run { .. } | Verb::Command { .. } | Verb::Agent { .. } | Verb::Worktree(_) => &[],
        }
    }
}
