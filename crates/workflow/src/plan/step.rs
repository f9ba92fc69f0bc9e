//! Steps: their work, their order and their loops.

use backstay_model::StepId;
use serde::{Deserialize, Serialize};

use super::{AfterCrash, AgentOptions, EnvSpec, ExitCodes, RetryPolicy};
use crate::expression::{Expression, Script, Template};

/// One step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Its id, unique in the file.
    pub id: StepId,
    /// The work of the step.
    pub verb: Verb,
    /// The steps of the same list that it waits for directly.
    ///
    /// A step waits also for the steps that these wait for, and so on: the steps before it are what can be reached along
    /// `needs`. A step without `needs` in the file waits for all steps above it; here it names only those of them that
    /// no other step above waits for. So `a`, `b`, `c` in plain order become b → a, c → b, and `a`, `b` with `needs: []`, `c`
    /// become c → a and c → b. Read them transitively: a step that is in no `needs` may still be waited for.
    pub needs: Vec<StepId>,
    /// The step is skipped if this is false.
    pub condition: Option<Expression>,
    /// Variables of the step (and, for a group, of all in it), after those of the plan and the agent.
    pub env: Vec<EnvSpec>,
    /// The longest awake time of one attempt, in milliseconds. The default of an agent is 2 h.
    pub timeout_ms: Option<u64>,
    /// The longest time without output before an attempt is stopped, in milliseconds of awake time.
    pub idle_timeout_ms: Option<u64>,
    /// The form of its output.
    pub output: OutputFormat,
    /// The exit codes that are a success.
    pub accept_exit: ExitCodes,
    /// The reaction to a crash after which the outcome of its work is unknown. The defaults of the language are applied.
    pub after_crash: AfterCrash,
    /// The failures after which it is tried again.
    pub retry: RetryPolicy,
    /// The rule of its cycles, if it is a loop. Only a group can be one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeat: Option<Repeat>,
    /// The JSON Schema of its output: JSON text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
    /// Whether the step promises to change nothing in its folder. Then it may work there beside another run.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reads_only: bool,
    /// The step that makes its worktree; absent where it works in the run's own folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace: Option<StepId>,
}

impl Step {
    /// Returns its steps, if it is a group.
    #[must_use]
    pub fn children(&self) -> &[Step] {
        match &self.verb {
            Verb::Group { steps } => steps,
            Verb::Run { .. } | Verb::Command { .. } | Verb::Agent { .. } | Verb::Worktree(_) => &[],
        }
    }
}

/// The rule of a loop's cycles.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Repeat {
    /// The loop ends when this is true. It is evaluated when every step that it names has ended.
    pub until: Expression,
    /// The largest number of cycles, from 1.
    pub max_cycles: u32,
    /// The reaction to a condition that is still false after the last cycle.
    pub on_exhausted: OnExhausted,
    /// The shortest time from the start of one cycle to the start of the next, in milliseconds. Without it three cycles in a row
    /// without a change suspend the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_cycle_ms: Option<u64>,
}

/// The reaction to a loop that has used up its cycles.
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

/// The work of a step.
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
        /// Its name in [`Plan::agents`](super::Plan::agents).
        agent: String,
        /// The prompt, or the text of `prompt_file`.
        prompt: Template,
        /// The options for the agent.
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
    /// The name of its new branch; absent for a name made of the run's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<Template>,
    /// The commit that it begins with; absent for the checked-out commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Template>,
    /// A script that runs in it first, under the shell of a `run`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub setup: Option<Script>,
}

/// The form of a step's output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutputFormat {
    /// As text, without the last line break.
    #[default]
    Text,
    /// As one JSON value.
    Json,
}
