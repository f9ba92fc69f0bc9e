//! Telling a person, by a command of theirs, that a run needs them or has ended.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::time::Duration;

use backstay_engine::record::why_suspended;
use backstay_exec::{BoundedCommandError, run_within};
use backstay_model::event::{Event, FactEvent, SuspendReason};
use backstay_model::{QuestionId, Recorded, RunId};
use backstay_runtime::Sink;

use crate::ui::{Colours, duration, words};

/// How long the command has.
const BOUND: Duration = Duration::from_secs(10);

/// Runs the command for what a person should hear of. It is told what happened by its environment.
#[derive(Debug)]
pub(crate) struct Notify {
    command: Vec<String>,
    env: BTreeMap<String, String>,
    /// After a restart of the owner events may come again; a question is told once.
    told: BTreeSet<QuestionId>,
}

/// What is said of a command of `[notify]` whose program is not there.
pub(crate) fn missing_notify(program: &str) -> String {
    format!("there is no program `{}`: nobody is told what runs need", program.escape_debug())
}

impl Notify {
    pub(crate) fn new(command: Vec<String>, env: BTreeMap<String, String>) -> Notify {
        Notify { command, env, told: BTreeSet::new() }
    }
}

impl Sink for Notify {
    fn take(&mut self, recorded: &Recorded) {
        let Ok(event) = Event::decode(recorded) else { return };
        if let Event::Fact(FactEvent::QuestionAsked(asked)) = &event
            && !self.told.insert(asked.question)
        {
            return;
        }
        let (Some((what, message)), Some(run)) = (news(&event), recorded.topic.run_id()) else { return };
        if let Err(trouble) = self.tell(run, what, &message, BOUND) {
            tracing::warn!("{trouble}");
        }
    }

    fn name(&self) -> &'static str {
        "`[notify]`"
    }
}

impl Notify {
    /// Runs the command, for at most `bound`. The error is a line for people.
    fn tell(&self, run: RunId, what: &str, message: &str, bound: Duration) -> Result<(), String> {
        let [program, arguments @ ..] = self.command.as_slice() else { return Ok(()) };
        let mut command = Command::new(program);
        command.args(arguments).env_clear().envs(&self.env);
        command.env("BACKSTAY_RUN", run.to_string());
        command.env("BACKSTAY_NEWS", what).env("BACKSTAY_MESSAGE", words(message, Colours::None));
        let trouble = match run_within(command, Vec::new(), bound) {
            Ok(output) if output.status.success() => return Ok(()),
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.stderr);
                let said = said.trim();
                let said = if said.is_empty() { String::new() } else { format!(": {said}") };
                format!("failed with {}{said}", output.status)
            }
            Err(BoundedCommandError::TimedOut { bound }) => {
                format!("had not ended after {}, and was ended with all that it had started", duration(bound))
            }
            Err(BoundedCommandError::Start(error)) => format!("cannot be started: {error}"),
            Err(BoundedCommandError::Read(error)) => format!("said what cannot be read: {error}"),
        };
        Err(format!("the command of [notify], `{}`, {trouble}", self.command.join(" ")))
    }
}

/// What a person should hear of: a word for it, and a line.
fn news(event: &Event) -> Option<(&'static str, String)> {
    Some(match event {
        Event::Fact(FactEvent::QuestionAsked(asked)) => ("asks", asked.prompt.clone()),
        Event::Fact(FactEvent::RunCompleted(_)) => ("completed", "completed".to_owned()),
        Event::Fact(FactEvent::RunFailed(failed)) => ("failed", failed.reason.clone()),
        Event::Fact(FactEvent::RunCancelled(cancelled)) => {
            ("cancelled", cancelled.reason.clone().unwrap_or_else(|| "cancelled".to_owned()))
        }
        Event::Fact(FactEvent::RunSuspended(suspended)) => match &suspended.reason {
            reason @ (SuspendReason::DiskFull
            | SuspendReason::OutputLost { .. }
            | SuspendReason::NoProgress { .. }) => ("suspended", why_suspended(&suspended.by, reason)),
            // Who asked for it knows.
            SuspendReason::Asked | SuspendReason::Shutdown | SuspendReason::TakenOver => return None,
        },
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(command: &[&str], bound: Duration) -> Result<(), String> {
        let env = std::iter::once(("PATH".to_owned(), "/usr/bin:/bin".to_owned())).collect();
        let notify = Notify::new(command.iter().map(|word| (*word).to_owned()).collect(), env);
        notify.tell("run_01JDX7Q2ZK8VQ5T3W9M4N6P7R8".parse().unwrap(), "asks", "Go?", bound)
    }

    #[test]
    fn what_goes_wrong_with_the_command_names_it() {
        assert_eq!(told(&["sh", "-c", "test \"$BACKSTAY_MESSAGE\" = Go?"], BOUND), Ok(()));
        assert_eq!(
            told(&["sleep", "600"], Duration::from_millis(200)).unwrap_err(),
            "the command of [notify], `sleep 600`, had not ended after 0.2s, and was ended with all that it had started"
        );
        assert_eq!(
            told(&["sh", "-c", "echo no >&2; exit 3"], BOUND).unwrap_err(),
            "the command of [notify], `sh -c echo no >&2; exit 3`, failed with exit status: 3: no"
        );
        let missing = told(&["/nowhere/at/all"], BOUND).unwrap_err();
        assert!(
            missing.starts_with("the command of [notify], `/nowhere/at/all`, cannot be started: "),
            "{missing}"
        );
    }
}
