//! Telling a person, by a command of theirs, that a run needs them or has ended.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::time::Duration;

use backstay_exec::run_within;
use backstay_model::event::{Event, SuspendReason};
use backstay_model::{QuestionId, Recorded};
use backstay_runtime::Sink;

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

impl Notify {
    pub(crate) fn new(command: Vec<String>, env: BTreeMap<String, String>) -> Notify {
        Notify { command, env, told: BTreeSet::new() }
    }
}

impl Sink for Notify {
    fn take(&mut self, recorded: &Recorded) {
        let Ok(event) = Event::decode(recorded) else { return };
        if let Event::QuestionAsked(asked) = &event
            && !self.told.insert(asked.question)
        {
            return;
        }
        let (Some((what, message)), Some(run)) = (news(&event), recorded.topic.run_id()) else { return };
        let [program, arguments @ ..] = self.command.as_slice() else { return };
        let mut command = Command::new(program);
        command.args(arguments).env_clear().envs(&self.env);
        command.env("BACKSTAY_RUN", run.to_string());
        command.env("BACKSTAY_NEWS", what).env("BACKSTAY_MESSAGE", &message);
        match run_within(command, Vec::new(), BOUND) {
            Ok(output) if output.status.success() => {}
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.stderr);
                tracing::warn!(program, status = %output.status, said = said.trim(), "the command of [notify] failed");
            }
            Err(error) => tracing::warn!(program, %error, "the command of [notify] cannot run"),
        }
    }
}

/// What a person should hear of: a word for it, and a line.
fn news(event: &Event) -> Option<(&'static str, String)> {
    Some(match event {
        Event::QuestionAsked(asked) => ("asks", asked.prompt.clone()),
        Event::RunCompleted(_) => ("completed", "completed".to_owned()),
        Event::RunFailed(failed) => ("failed", failed.reason.clone()),
        Event::RunCancelled(cancelled) => {
            ("cancelled", cancelled.reason.clone().unwrap_or_else(|| "cancelled".to_owned()))
        }
        Event::RunSuspended(suspended) => match suspended.reason {
            SuspendReason::DiskFull => ("suspended", "the disk was full".to_owned()),
            SuspendReason::FastCycles => ("suspended", "its loop turned too fast".to_owned()),
            // Who asked for it knows.
            SuspendReason::Asked | SuspendReason::Shutdown => return None,
        },
        _ => return None,
    })
}
