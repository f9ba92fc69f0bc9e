//! Keeps the values of secrets out of what becomes an event.
//!
//! Bytes of a step pass the redactor of its keeper. What did not (a file's name, an error of the system, a command with its
//! values) and what was decoded afterwards passes here. Only words for people are changed: by names, ids and values the
//! machine decides.

use backstay_engine::{OutputProblem, ProcessEnded, Report};
use backstay_exec::Secrets;
use backstay_model::StorePath;
use backstay_model::event::{ContinueReason, FactEvent, Verdict};

use super::in_flight::{News, Trouble};

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

/// Takes them out of a fact that the machine decided.
pub(super) fn in_fact(secrets: &Secrets, fact: &mut FactEvent) {
    match fact {
        FactEvent::EffectStarting(starting) => secrets.redact(&mut starting.preview),
        FactEvent::EffectFinished(finished) => {
            finished.message.iter_mut().for_each(|text| secrets.redact(text))
        }
        FactEvent::EffectStuck(stuck) => secrets.redact(&mut stuck.message),
        FactEvent::StepFinished(finished) => secrets.redact(&mut finished.summary),
        FactEvent::RunFailed(failed) => secrets.redact(&mut failed.reason),
        FactEvent::QuestionAsked(asked) => secrets.redact(&mut asked.prompt),
        FactEvent::StepRetryScheduled(retry) => secrets.redact(&mut retry.message),
        FactEvent::StepContinues(continues) => match &mut continues.because {
            ContinueReason::Limit { message, .. }
            | ContinueReason::Unreachable { message, .. }
            | ContinueReason::LoginNeeded { message }
            | ContinueReason::Refused { message }
            | ContinueReason::NotStarted { message }
            | ContinueReason::CutShort { message } => secrets.redact(message),
            ContinueReason::InvalidOutput { problem } => secrets.redact(problem),
            ContinueReason::SessionUnknown | ContinueReason::SessionInUse | ContinueReason::SessionBusy => {}
        },
        FactEvent::Settled(settled) => match &mut settled.verdict {
            Verdict::Refused { message, .. } => secrets.redact(message),
            Verdict::Accepted | Verdict::Superseded { .. } => {}
        },
        // No words of others are in these, or ones that were redacted before they came to the machine.
        FactEvent::PlanChanged(_)
        | FactEvent::StepsRedefined(_)
        | FactEvent::OwnerChanged(_)
        | FactEvent::OwnerReleased(_)
        | FactEvent::RunStarted(_)
        | FactEvent::RunSuspending(_)
        | FactEvent::RunSuspended(_)
        | FactEvent::RunResumed(_)
        | FactEvent::RunCancelling(_)
        | FactEvent::RunCompleted(_)
        | FactEvent::RunCancelled(_)
        | FactEvent::HostSlept(_)
        | FactEvent::CheckoutBusy(_)
        | FactEvent::CheckoutFree(_)
        | FactEvent::StepStarted(_)
        | FactEvent::StepSkipped(_)
        | FactEvent::StepStalled(_)
        | FactEvent::StepTimedOut(_)
        | FactEvent::StepsReset(_)
        | FactEvent::CycleStarted(_)
        | FactEvent::LoopEnded(_)
        | FactEvent::TimerFired(_)
        | FactEvent::EffectRunning(_)
        | FactEvent::EffectAttached(_)
        | FactEvent::AgentSaid(_)
        | FactEvent::EffectLost(_)
        | FactEvent::EffectInDoubt(_)
        | FactEvent::EffectResolved(_)
        | FactEvent::BudgetRaised(_)
        | FactEvent::QuestionClosed(_)
        | FactEvent::Trimmed(_) => {}
    }
}
