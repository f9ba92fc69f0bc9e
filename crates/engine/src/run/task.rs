//! What outside work is to do, with all values filled in. The runtime makes a process of it: it knows the paths, the git
//! script and the words that agents are told.

use backstay_model::event::{Access, AgentStarting, SessionWish};
use backstay_workflow::plan::Via;
use serde::Serialize;

/// What a process is to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// A program.
    Command {
        /// With its arguments.
        argv: Vec<String>,
    },
    /// A script.
    Script {
        /// What runs it: the path of the script becomes the last argument.
        shell: Vec<String>,
        /// Its text.
        script: String,
    },
    /// The script that tells whether lost work had happened: 0 says that it had.
    Probe {
        /// Its text.
        script: String,
    },
    /// A worktree is made.
    Worktree(WorktreeTask),
    /// An agent that is a program of which nothing is known.
    Program {
        /// With its arguments.
        argv: Vec<String>,
        /// How it gets what it is told.
        via: Via,
        /// What it is told.
        prompt: Prompt,
    },
    /// An agent that is known by a preset.
    Agent(AgentTask),
}

/// A worktree to make.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WorktreeTask {
    /// The branch that it gets; absent for one that is named after the run.
    pub branch: Option<String>,
    /// The commit that it begins with; absent for the one that is checked out.
    pub from: Option<String>,
    /// The step that it is for; absent for all.
    pub step: Option<String>,
    /// A script of the workflow that runs in it once it is made.
    pub setup: Option<String>,
}

/// What an agent is to do. The runtime makes the command of it, by the preset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AgentTask {
    /// The preset, as pinned in the run's first event.
    pub preset: String,
    /// What it is told.
    pub prompt: Prompt,
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

impl AgentTask {
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

/// What an agent is told: its task, and what it has to know before that.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Prompt {
    /// The task, as the workflow says it.
    pub task: String,
    /// What it has to know.
    pub opening: Opening,
}

/// What an agent has to know before its task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Opening {
    /// Nothing: it hears of the task for the first time.
    First,
    /// It was interrupted, and goes on in its session.
    Interrupted {
        /// A person worked in the session and in its folder meanwhile.
        by_person: bool,
    },
    /// Another agent began the task.
    HandedOver(Predecessor),
    /// Its last answer cannot be used.
    Rejected {
        /// What is wrong with it.
        problem: String,
        /// It is asked in the same session, where it knows the task.
        knows_task: bool,
        /// The agent that began the task, where it does not.
        predecessor: Option<Predecessor>,
    },
}

/// The agent that worked on a task before another one, and what it did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Predecessor {
    /// Its name in the plan.
    pub agent: String,
    /// Its last message, or the end of it.
    pub message: String,
    /// How many tools it used.
    pub tools: u32,
}
