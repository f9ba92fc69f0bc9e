//! One event as one line of plain words.

use backstay_engine::record::{LimitWait, busy_words, why_suspended};
use backstay_model::event::{
    Answer, AttemptEnd, ContinueReason, EffectFinished, Event, FactEvent, FailureClass, InputEvent, LoopEnd,
    Resolution, ResumeRequested, RunSuspended, Said, StepContinues, StepRedefined, StepStatus, SuspendReason,
    TimeBudget, Verdict,
};
use backstay_model::{Frame, Recorded, Seq};

use super::one_line;
use super::time::{Times, duration};
use super::words::{counted, failure_words};
use super::{Line, Paint};

/// The line of `event`; none for what only machines need to know.
pub(crate) fn story(recorded: &Recorded, event: &Event, times: &Times) -> Option<Line> {
    let (paint, text) = words(event, times)?;
    let line = Line::of(Paint::Dim, format!("{}  ", times.second(recorded.at)));
    Some(match recorded.scope.step_id() {
        Some(step) => line.with(Paint::Bold, format!("{step}{}: ", pass(recorded))).with(paint, text),
        None => line.with(paint, text),
    })
}

/// The pass of the innermost loop that the event's step stands in, for people.
fn pass(recorded: &Recorded) -> String {
    let repeats = |frame: &&Frame| matches!(frame, Frame::Cycle(_) | Frame::Item(_));
    match recorded.scope.frames().iter().rfind(repeats) {
        Some(Frame::Cycle(cycle)) => format!(" ({cycle})"),
        Some(Frame::Item(key)) => format!("/{key}"),
        _ => String::new(),
    }
}

/// Why a run stands still.
fn suspended(said: &RunSuspended) -> String {
    let why = why_suspended(&said.by, &said.reason);
    match said.reason {
        SuspendReason::Asked | SuspendReason::Shutdown => format!("suspended {why}"),
        SuspendReason::DiskFull
        | SuspendReason::OutputLost { .. }
        | SuspendReason::NoProgress { .. }
        | SuspendReason::TakenOver => format!("suspended: {why}"),
    }
}

fn words(event: &Event, times: &Times) -> Option<(Paint, String)> {
    Some(match event {
        Event::Input(InputEvent::RunRequested(request)) => {
            (Paint::Plain, format!("{} asked for by {}", request.run, request.by))
        }
        Event::Input(InputEvent::SuspendRequested(said)) => {
            (Paint::Warn, format!("{} wants it to stand still", said.by))
        }
        Event::Input(InputEvent::ResumeRequested(ResumeRequested { by, now: false })) => {
            (Paint::Plain, format!("{by} wants it to go on"))
        }
        Event::Input(InputEvent::ResumeRequested(ResumeRequested { by, now: true })) => {
            (Paint::Plain, format!("{by} wants it to go on now: waits for limits and retries end"))
        }
        Event::Input(InputEvent::CancelRequested(said)) => {
            (Paint::Warn, format!("{} wants it cancelled", said.by))
        }
        Event::Input(InputEvent::SkipRequested(said)) => {
            (Paint::Plain, format!("{} wants it left out", said.by))
        }
        Event::Input(InputEvent::QuestionAnswered(said)) => {
            let Answer { choice, .. } = &said.answer;
            (Paint::Plain, format!("{} answers {}: {choice}", said.by, said.question))
        }
        Event::Input(InputEvent::Reopened(said)) => (Paint::Plain, format!("{} takes it up again", said.by)),
        Event::Fact(FactEvent::PlanChanged(changed)) => {
            (Paint::Busy, format!("goes on by {} as it is now", changed.plan.file))
        }
        Event::Fact(FactEvent::StepsRedefined(redefined)) => {
            let word = |step: &StepRedefined| format!("{} {}", step.step, step.redefinition.as_str());
            (Paint::Plain, redefined.steps.iter().map(word).collect::<Vec<_>>().join(", "))
        }
        Event::Fact(FactEvent::OwnerChanged(changed)) => {
            (Paint::Dim, format!("owned by pid {} on {}", changed.pid, changed.host))
        }
        Event::Fact(FactEvent::Settled(settled)) => return verdict(settled.input, &settled.verdict),
        Event::Fact(FactEvent::RunStarted(_)) => (Paint::Busy, "the run began".to_owned()),
        Event::Fact(FactEvent::RunSuspending(_)) => (Paint::Warn, "coming to a stand".to_owned()),
        Event::Fact(FactEvent::RunSuspended(said)) => (Paint::Warn, suspended(said)),
        Event::Fact(FactEvent::RunResumed(_)) => (Paint::Busy, "goes on".to_owned()),
        Event::Fact(FactEvent::RunCancelling(_)) => (Paint::Warn, "being cancelled".to_owned()),
        Event::Fact(FactEvent::RunCompleted(_)) => (Paint::Good, "completed".to_owned()),
        Event::Fact(FactEvent::RunFailed(end)) => (Paint::Bad, format!("failed: {}", end.reason)),
        Event::Fact(FactEvent::RunCancelled(_)) => (Paint::Warn, "cancelled".to_owned()),
        Event::Fact(FactEvent::Trimmed(said)) => (
            Paint::Dim,
            format!("what was before this was freed by {}: {}", said.by, counted(said.events, "event")),
        ),
        Event::Input(InputEvent::ManualIntervention(done)) => {
            let took = duration(done.until.since(done.from));
            let text = format!("{} worked in the session of {} for {took}", done.by, done.agent);
            (Paint::Warn, text)
        }
        Event::Fact(FactEvent::CheckoutBusy(busy)) => (Paint::Warn, busy_words(busy)),
        Event::Fact(FactEvent::CheckoutFree(_)) => (Paint::Plain, "the checkout is free".to_owned()),
        Event::Fact(FactEvent::HostSlept(slept)) => {
            (Paint::Warn, format!("the host slept for {}", millis(slept.asleep_ms)))
        }
        Event::Fact(FactEvent::CycleStarted(started)) if started.check => {
            (Paint::Busy, "checked once more after the last cycle".to_owned())
        }
        Event::Fact(FactEvent::CycleStarted(started)) => {
            (Paint::Busy, format!("cycle {} of {}", started.nth, started.max_cycles))
        }
        Event::Fact(FactEvent::LoopEnded(ended)) => match ended.reason {
            LoopEnd::Satisfied => (Paint::Good, format!("`{}` holds", ended.until)),
            LoopEnd::Exhausted => {
                (Paint::Warn, format!("`{}` does not hold, and no cycle is left", ended.until))
            }
        },
        Event::Fact(FactEvent::StepSkipped(skipped)) => (Paint::Dim, format!("skipped: {}", skipped.reason)),
        Event::Fact(FactEvent::StepFinished(finished)) => {
            let paint = match finished.status {
                StepStatus::Succeeded => Paint::Good,
                StepStatus::Failed => Paint::Bad,
                StepStatus::Skipped | StepStatus::Cancelled => Paint::Warn,
            };
            (paint, format!("{} ({})", finished.summary, millis(finished.duration_ms)))
        }
        Event::Fact(FactEvent::StepRetryScheduled(retry)) => {
            let (next, at) = (retry.attempt.next(), times.second(retry.due_at));
            (Paint::Warn, format!("{}; try {next} at {at}", retry.message))
        }
        Event::Fact(FactEvent::StepContinues(continues)) => (Paint::Warn, continues_words(continues, times)),
        Event::Fact(FactEvent::AgentSaid(said)) => return said_words(&said.what),
        Event::Fact(FactEvent::StepStalled(stalled)) => {
            let stop =
                stalled.stop_in_ms.map_or_else(String::new, |ms| format!(", stopped in {}", millis(ms)));
            (Paint::Warn, format!("silent for {}{stop}", millis(stalled.silent_ms)))
        }
        Event::Fact(FactEvent::StepTimedOut(timed_out)) => {
            let budget = match timed_out.budget {
                TimeBudget::Total => "timeout",
                TimeBudget::Idle => "idle_timeout",
            };
            (Paint::Warn, format!("{budget} of {} used up", millis(timed_out.budget_ms)))
        }
        Event::Fact(FactEvent::StepsReset(reset)) => {
            (Paint::Plain, format!("done anew: {}", counted(reset.steps.len() as u64, "step")))
        }
        Event::Fact(FactEvent::EffectStarting(starting)) => {
            (Paint::Busy, format!("starts: {}", starting.preview))
        }
        Event::Fact(FactEvent::EffectAttached(attached)) if attached.had_ended => {
            (Paint::Good, "found again; it had ended by itself".to_owned())
        }
        Event::Fact(FactEvent::EffectAttached(_)) => (Paint::Good, "found again, still at work".to_owned()),
        Event::Fact(FactEvent::EffectFinished(finished)) => return attempt(finished),
        Event::Fact(FactEvent::EffectStuck(stuck)) => {
            (Paint::Warn, format!("cannot be followed for now: {}", stuck.message))
        }
        Event::Fact(FactEvent::EffectLost(_)) => (Paint::Warn, "lost with a crash".to_owned()),
        Event::Fact(FactEvent::EffectInDoubt(_)) => {
            (Paint::Warn, "in doubt: it may or may not have happened".to_owned())
        }
        Event::Fact(FactEvent::EffectResolved(resolved)) => {
            let text = match resolved.resolution {
                Resolution::Done { .. } => "counts as done",
                Resolution::NotDone => "not done yet: it is tried again",
                Resolution::Failed => "counts as failed",
            };
            (Paint::Plain, text.to_owned())
        }
        Event::Fact(FactEvent::BudgetRaised(raised)) => {
            (Paint::Plain, format!("{} tokens may be used in all", raised.tokens))
        }
        Event::Fact(FactEvent::QuestionAsked(asked)) => {
            (Paint::Warn, format!("asks: {}", one_line(&asked.prompt)))
        }
        // These follow from what was told, or are for machines.
        Event::Fact(FactEvent::OwnerReleased(_))
        | Event::Input(InputEvent::AskRequested(_))
        | Event::Fact(FactEvent::StepStarted(_))
        | Event::Fact(FactEvent::TimerFired(_))
        | Event::Fact(FactEvent::EffectRunning(_))
        | Event::Fact(FactEvent::QuestionClosed(_)) => return None,
    })
}

fn verdict(input: Seq, verdict: &Verdict) -> Option<(Paint, String)> {
    match verdict {
        Verdict::Accepted => None,
        Verdict::Refused { message, .. } => Some((Paint::Warn, format!("input {input} refused: {message}"))),
        Verdict::Superseded { by } => Some((Paint::Dim, format!("input {input} came after input {by}"))),
    }
}

/// The step's own end tells of a success; of the rest the attempt does.
fn attempt(finished: &EffectFinished) -> Option<(Paint, String)> {
    match finished.end {
        AttemptEnd::Succeeded | AttemptEnd::Cancelled => None,
        AttemptEnd::Interrupted => Some((Paint::Warn, "stopped, to be taken up again".to_owned())),
        AttemptEnd::Failed { failure: class } => {
            let process = finished.result.process();
            let exit_code = process.and_then(|process| process.exit_code);
            let signal = process.and_then(|process| process.signal);
            let ended = match (class, exit_code, signal) {
                (FailureClass::Exit, Some(code), _) => format!("exit {code}"),
                (FailureClass::Exit | FailureClass::Crash, None, Some(signal)) => {
                    format!("ended by signal {signal}")
                }
                _ => failure_words(class).to_owned(),
            };
            let message = finished.message.as_ref().unwrap_or(&ended);
            Some((Paint::Warn, format!("try {}: {message}", finished.attempt)))
        }
    }
}

/// What an agent said or does, as far as a person wants to see it go by.
fn said_words(said: &Said) -> Option<(Paint, String)> {
    match said {
        Said::Message { line, .. } => Some((Paint::Plain, line.clone())),
        Said::ToolStarted { line, .. } => Some((Paint::Dim, line.clone())),
        Said::Limit { message, .. }
        | Said::LoginNeeded { message }
        | Said::Refused { message }
        | Said::NetworkTrouble { message }
        | Said::Error { message } => Some((Paint::Warn, message.clone())),
        Said::SessionStarted { .. }
        | Said::Thought { .. }
        | Said::ToolFinished { .. }
        | Said::FilesTouched { .. }
        | Said::Usage(_)
        | Said::TurnEnded { .. } => None,
    }
}

fn continues_words(continues: &StepContinues, times: &Times) -> String {
    let next = &continues.next;
    let goes_on = || wait_words(continues, times).unwrap_or_else(|| format!("{next} goes on"));
    match (&continues.because, continues.wait) {
        (ContinueReason::Limit { .. }, Some(_)) => goes_on(),
        (ContinueReason::Limit { .. }, None) => format!("{} met a limit; {}", continues.agent, goes_on()),
        (
            ContinueReason::Unreachable { message, .. }
            | ContinueReason::LoginNeeded { message }
            | ContinueReason::Refused { message }
            | ContinueReason::NotStarted { message },
            _,
        ) => format!("{message}; {}", goes_on()),
        (ContinueReason::CutShort { message }, Some(wait)) => {
            format!("{message}; it is started again at {}", times.second(wait.until))
        }
        (ContinueReason::CutShort { message }, None) => format!("{message}; it is started again"),
        (ContinueReason::SessionUnknown, _) => "its session is not there; it begins a new one".to_owned(),
        (ContinueReason::SessionInUse, _) => "its session is there already; it goes on with it".to_owned(),
        (ContinueReason::SessionBusy, Some(wait)) => {
            format!("another process works in its session; it tries again at {}", times.minute(wait.until))
        }
        (ContinueReason::SessionBusy, None) => {
            "another process works in its session; it begins a new one".to_owned()
        }
        (ContinueReason::InvalidOutput { problem }, _) => format!("{problem}; it is asked to mend that"),
    }
}

/// What the next attempt of an agent waits for; `None` if it begins at once.
fn wait_words(continues: &StepContinues, times: &Times) -> Option<String> {
    let wait = continues.wait?;
    let limit = LimitWait::of(continues).map(|limit| super::limit_words(&limit, times));
    Some(limit.unwrap_or_else(|| format!("{} is asked again {}", continues.next, times.minute(wait.until))))
}

fn millis(millis: u64) -> String {
    duration(std::time::Duration::from_millis(millis))
}

#[cfg(test)]
mod tests {
    use backstay_model::event::{Actor, AgentWait, StepRetryScheduled, WaitReason};
    use backstay_model::{Attempt, Timestamp};

    use super::*;

    #[test]
    fn what_follows_a_failed_try_says_what_failed_and_what_is_waited_for() {
        // Noon of the first day of 1970.
        let until = Timestamp::from_micros(43_200_000_000);
        let times = Times::utc(until);
        let continues = |next: &str, because, reason: Option<WaitReason>| {
            let wait = reason.map(|reason| AgentWait { until, reason });
            let (agent, next) = ("codex".to_owned(), next.to_owned());
            Event::from(StepContinues { attempt: Attempt(2), agent, next, because, wait })
        };
        let retry = |failure, message: &str| {
            let message = message.to_owned();
            Event::from(StepRetryScheduled { attempt: Attempt(2), failure, message, due_at: until })
        };
        let away = || ContinueReason::Unreachable { until: Some(until), message: "away".to_owned() };
        let cut = || ContinueReason::CutShort { message: "ended by signal 9".to_owned() };
        let limit = || ContinueReason::Limit { reset_at: None, until, message: "no more".to_owned() };
        let by = || Actor { name: "ada".to_owned(), via: "command line".to_owned() };
        let resume = |now| Event::from(InputEvent::from(ResumeRequested { by: by(), now }));
        for (event, expected) in [
            (resume(false), "ada (command line) wants it to go on"),
            (resume(true), "ada (command line) wants it to go on now: waits for limits and retries end"),
            (retry(FailureClass::Network, "away"), "away; try 3 at 12:00:00"),
            (retry(FailureClass::Exit, "exit 7"), "exit 7; try 3 at 12:00:00"),
            (continues("claude", away(), None), "away; claude goes on"),
            (continues("codex", away(), Some(WaitReason::Network)), "away; codex is asked again 12:00"),
            (continues("codex", cut(), None), "ended by signal 9; it is started again"),
            (
                continues("codex", cut(), Some(WaitReason::Restart)),
                "ended by signal 9; it is started again at 12:00:00",
            ),
            (continues("claude", limit(), None), "codex met a limit; claude goes on"),
            (
                continues("codex", limit(), Some(WaitReason::Limit)),
                "codex's limit has no known end: asks again 12:00",
            ),
        ] {
            assert_eq!(words(&event, &times).map(|(_, text)| text).as_deref(), Some(expected));
        }
    }
}
