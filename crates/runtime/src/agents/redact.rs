//! Keeps the values of secrets out of what an agent said: its stream passed the redactor of its keeper before it was decoded.

use backstay_agent::AgentEvent;
use backstay_exec::Secrets;

/// Takes them out of what an agent said, which was decoded from its stream.
pub(super) fn in_agent_event(secrets: &Secrets, event: &mut AgentEvent) {
    match event {
        AgentEvent::Message { text, .. } | AgentEvent::Reasoning { text } => secrets.redact(text),
        AgentEvent::ToolStarted { name, what, .. } => {
            [name, what].into_iter().for_each(|text| secrets.redact(text))
        }
        AgentEvent::ToolFinished { name, what, .. } => {
            [name, what].into_iter().flatten().for_each(|text| secrets.redact(text));
        }
        AgentEvent::FilesTouched { paths } => paths.iter_mut().for_each(|path| secrets.redact(path)),
        AgentEvent::Limit { message, .. }
        | AgentEvent::LoginNeeded { message }
        | AgentEvent::Refused { message }
        | AgentEvent::WrongValue { message, .. }
        | AgentEvent::Error { message }
        | AgentEvent::NetworkTrouble { message } => secrets.redact(message),
        AgentEvent::TurnEnded { last_message, failure, .. } => {
            [last_message, failure].into_iter().flatten().for_each(|text| secrets.redact(text));
        }
        // By its name a session is gone on with.
        AgentEvent::SessionStarted { .. }
        | AgentEvent::TurnStarted
        | AgentEvent::Model { .. }
        | AgentEvent::Usage(_)
        | AgentEvent::Background { .. }
        | AgentEvent::UntoldSubAgent
        | AgentEvent::Working => {}
    }
}
