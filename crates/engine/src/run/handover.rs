//! What an agent did in a step: what another one is told that takes its place.

use backstay_model::Text;
use backstay_model::event::Said;

use super::task::Predecessor;

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

    /// It as that of the agent `name`, whose place another one takes; none if it did nothing.
    pub(super) fn by(self, name: &str) -> Option<Predecessor> {
        let WorkDone { message, tools, .. } = self;
        (tools > 0 || !message.is_empty()).then(|| Predecessor { agent: name.to_owned(), message, tools })
    }
}
