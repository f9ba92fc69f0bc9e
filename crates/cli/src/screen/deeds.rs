//! Saying to a run what a person wants, as the command of the same name does.

use backstay_engine::record::RunStatus;
use backstay_model::RunId;
use backstay_model::event::{
    CancelRequested, InputEvent, QuestionAnswered, ResumeRequested, SuspendReason, SuspendRequested, Verdict,
};
use backstay_runtime::Store;

use crate::commands::{Heard, Successor, verdict};
use crate::context::Context;
use crate::error::CliError;
use crate::ui::Deed;

/// Who takes up a run that nobody works on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taker {
    /// A process in the background.
    Background,
    /// This process, as soon as it hears of it.
    Here,
}

/// Says it and waits for the verdict; gives what came of it in a few words.
pub(crate) async fn perform(
    context: &Context,
    store: Store,
    run: RunId,
    deed: Deed,
    taker: Taker,
) -> Result<String, CliError> {
    let by = context.actor();
    let (event, done) = match deed {
        Deed::Suspend => {
            (InputEvent::from(SuspendRequested { by, reason: SuspendReason::Asked }), "it comes to a stand")
        }
        Deed::Cancel => (InputEvent::from(CancelRequested { by, reason: None }), "it is being cancelled"),
        Deed::Answer(question, answer) => {
            (InputEvent::from(QuestionAnswered { by, question, answer }), "answered")
        }
        Deed::Resume => {
            let status = store.view(run).await?.record.status;
            if matches!(status, RunStatus::Suspended | RunStatus::Suspending) {
                (InputEvent::from(ResumeRequested { by, now: false }), "it goes on in the background")
            } else {
                crate::detach::go_on(context, &store, run)?;
                return Ok("it goes on in the background".to_owned());
            }
        }
        // These are the view's own.
        Deed::Leave | Deed::Log(_) | Deed::Diff(_) => return Ok(String::new()),
    };
    if taker == Taker::Background
        && matches!(event, InputEvent::ResumeRequested(_) | InputEvent::QuestionAnswered(_))
    {
        context.trusted(&store)?;
    }
    let said = store.say(run, event).await?;
    let verdict = match taker {
        Taker::Here => store.verdict(run, said).await?,
        Taker::Background => {
            let successor = if store.is_owned(run).await? {
                Successor::Nobody
            } else {
                crate::detach::go_on(context, &store, run)?;
                Successor::Started
            };
            let (verdict, heard) = verdict(context, &store, run, said, successor).await?;
            if successor == Successor::Nobody && matches!(heard, Heard::Settled) {
                // Its owner died before it answered.
                crate::detach::go_on(context, &store, run)?;
            }
            verdict
        }
    };
    match verdict {
        Verdict::Accepted => Ok(done.to_owned()),
        verdict => Err(CliError::Refused(verdict)),
    }
}
