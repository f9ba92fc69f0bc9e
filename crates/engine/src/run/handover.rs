//! What an agent is told that goes on with a task which another one began.

use backstay_model::Text;
use backstay_model::event::Said;

/// The most that is told of the last message, in bytes: its end.
const MESSAGE_BYTES_MAX: usize = 2_000;

/// What an agent did in a step, over all of its attempts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct WorkDone {
    /// Its last message, or the end of it.
    message: String,
    /// What comes next belongs to the same message, if it is a piece.
    is_open: bool,
    /// How many tools it used.
    tools: u32,
}

/// The agent that worked on the task before, and what it did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Predecessor {
    agent: String,
    done: WorkDone,
}

impl WorkDone {
    /// Takes in what the agent said or did.
    pub(super) fn fold(&mut self, said: &Said) {
        match said {
            Said::Message { text, line, piece } => {
                let text = match text {
                    Text::Inline(text) => text,
                    Text::Blob { .. } => line,
                };
                if !(self.is_open && *piece) {
                    self.message.clear();
                }
                self.message.push_str(text);
                let start =
                    self.message.floor_char_boundary(self.message.len().saturating_sub(MESSAGE_BYTES_MAX));
                self.message.drain(..start);
                self.is_open = *piece;
            }
            Said::ToolStarted { .. } => {
                self.tools += 1;
                self.is_open = false;
            }
            Said::SessionStarted { .. }
            | Said::Thought { .. }
            | Said::ToolFinished { .. }
            | Said::FilesTouched { .. }
            | Said::Usage(_)
            | Said::Limit { .. }
            | Said::LoginNeeded { .. }
            | Said::Refused { .. }
            | Said::NetworkTrouble { .. }
            | Said::Error { .. }
            | Said::TurnEnded { .. } => {}
        }
    }

    /// It as that of the agent `name`, whose instance another one takes; none if it did nothing.
    pub(super) fn by(self, name: &str) -> Option<Predecessor> {
        (self.tools > 0 || !self.message.is_empty())
            .then(|| Predecessor { agent: name.to_owned(), done: self })
    }
}

impl Predecessor {
    /// The task as its successor is told it.
    pub(super) fn hand_over(&self, task: &str) -> String {
        let WorkDone { message, tools, .. } = &self.done;
        let tools = match tools {
            0 => String::new(),
            1 => " It used 1 tool.".to_owned(),
            many => format!(" It used {many} tools."),
        };
        let message = match message.trim() {
            "" => String::new(),
            message => {
                let quoted: Vec<String> = message.lines().map(|line| format!("> {line}")).collect();
                format!(" Its last message:\n\n{}", quoted.join("\n"))
            }
        };
        format!(
            "Another agent, {}, began this task and could not finish it. What it changed is in the working folder.{tools}{message}\n\nLook at what is done already before you do anything again, and go on with the task from there.\n\nThe task:\n\n{task}",
            self.agent
        )
    }
}
