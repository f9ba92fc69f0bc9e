//! Keeps the values of secrets out of what becomes an event.
//!
//! Bytes of a step pass the redactor of its keeper. What did not (a file's name, an error of the system, a command with its
//! values) and what was decoded afterwards passes here. Only words for people are changed: by names, ids and values the
//! machine decides.

use backstay_engine::{OutputProblem, ProcessEnded, Report};
use backstay_exec::Secrets;
use backstay_model::StorePath;
use backstay_model::event::{Because, Event, Verdict};

use super::flight::{News, Trouble};

/// Takes them out of what is told of an attempt. What an agent said was redacted as it was read by `agents::redact`.
pub(super) fn in_news(secrets: &Secrets, news: &mut News) {
    match news {
        News::Report(Report::Ended { process, .. }) => in_end(secrets, process),
        News::Report(Report::Stuck { message, .. }) => secrets.redact(message),
        News::Trouble {
            trouble: Trouble::NoRoom(message) | Trouble::Damage(message) | Trouble::Other(message),
            ..
        } => secrets.redact(message),
        News::Report(
            Report::Running { .. }
            | Report::Said { .. }
            | Report::Attached { .. }
            | Report::Stalled { .. }
            | Report::Lost { .. },
        )
        | News::Held { .. }
        | News::Beat { .. }
        | News::StoreGone { .. } => {}
    }
}

fn in_end(secrets: &Secrets, process: &mut ProcessEnded) {
    process.message.iter_mut().for_each(|message| secrets.redact(message));
    process.shape_problem.iter_mut().for_each(|problem| secrets.redact(problem));
    // What stands for a value has no separator: the path stays one of the store.
    let clean = |path: &StorePath| secrets.redacted(path.as_str()).parse().ok();
    process.artifacts = process.artifacts.iter().filter_map(clean).collect();
    match &mut process.output_problem {
        Some(OutputProblem::Unreadable { message }) => secrets.redact(message),
        Some(OutputProblem::Cut { .. } | OutputProblem::Lost { .. } | OutputProblem::NotAFile) | None => {}
    }
}

/// Takes them out of an event that the machine made.
pub(super) fn in_event(secrets: &Secrets, event: &mut Event) {
    match event {
        Event::EffectStarting(starting) => secrets.redact(&mut starting.preview),
        Event::EffectFinished(finished) => finished.message.iter_mut().for_each(|text| secrets.redact(text)),
        Event::EffectStuck(stuck) => secrets.redact(&mut stuck.message),
        Event::StepFinished(finished) => secrets.redact(&mut finished.summary),
        Event::RunFailed(failed) => secrets.redact(&mut failed.reason),
        Event::QuestionAsked(asked) => secrets.redact(&mut asked.prompt),
        Event::StepRetryScheduled(retry) => secrets.redact(&mut retry.message),
        Event::StepContinues(continues) => match &mut continues.because {
            Because::Limit { message, .. }
            | Because::Unreachable { message, .. }
            | Because::LoginNeeded { message }
            | Because::Refused { message }
            | Because::NotStarted { message }
            | Because::CutShort { message } => secrets.redact(message),
            Because::InvalidOutput { problem } => secrets.redact(problem),
            Because::SessionUnknown | Because::SessionInUse | Because::SessionBusy => {}
        },
        Event::Settled(settled) => match &mut settled.verdict {
            Verdict::Refused { message, .. } => secrets.redact(message),
            Verdict::Accepted | Verdict::Superseded { .. } => {}
        },
        // No words of others are in these, or ones that were redacted before they came to the machine, or what people said.
        Event::RunRequested(_)
        | Event::SuspendRequested(_)
        | Event::ResumeRequested(_)
        | Event::CancelRequested(_)
        | Event::SkipRequested(_)
        | Event::QuestionAnswered(_)
        | Event::AskRequested(_)
        | Event::PlanChanged(_)
        | Event::StepsRedefined(_)
        | Event::Intervened(_)
        | Event::Reopened(_)
        | Event::OwnerChanged(_)
        | Event::OwnerReleased(_)
        | Event::RunStarted(_)
        | Event::RunSuspending(_)
        | Event::RunSuspended(_)
        | Event::RunResumed(_)
        | Event::RunCancelling(_)
        | Event::RunCompleted(_)
        | Event::RunCancelled(_)
        | Event::HostSlept(_)
        | Event::CheckoutBusy(_)
        | Event::CheckoutFree(_)
        | Event::StepStarted(_)
        | Event::StepSkipped(_)
        | Event::StepStalled(_)
        | Event::StepTimedOut(_)
        | Event::StepsReset(_)
        | Event::CycleStarted(_)
        | Event::LoopEnded(_)
        | Event::TimerFired(_)
        | Event::EffectRunning(_)
        | Event::EffectAttached(_)
        | Event::AgentSaid(_)
        | Event::EffectLost(_)
        | Event::EffectInDoubt(_)
        | Event::EffectResolved(_)
        | Event::BudgetRaised(_)
        | Event::QuestionClosed(_)
        | Event::Trimmed(_) => {}
    }
}
