//! `backstay resume`.

use std::collections::BTreeMap;

use backstay_engine::record::{RunRecord, RunStatus};
use backstay_exec::OpenScreen;
use backstay_files::shell_word;
use backstay_log::ClaimMode;
use backstay_model::event::{InputEvent, ResumeRequested};
use backstay_runtime::{RunView, SayError};

use super::input::{self, Successor};
use crate::args::ResumeArgs;
use crate::context::Context;
use crate::error::CliError;
use crate::exit::{Exit, of_status};
use crate::foreground::{self, Look};
use crate::output;
use crate::ui::Page;

/// Goes on with a suspended or interrupted run.
pub(crate) async fn resume(context: &Context, args: ResumeArgs) -> Result<Exit, CliError> {
    let store = context.store().await?;
    let run = context.run(&store, args.run.as_deref()).await?;
    if args.take_over
        && let Some(OpenScreen { pid, on }) = store.end_screen(run).await?
    {
        output::note(&format!(
            "ended the screen of {} (pid {pid}), which was open in {}",
            on.agent, on.session
        ));
    }
    let view = store.view(run).await?;
    let status = view.record.status;
    if status.is_ended() {
        if args.json {
            super::show::print_json(&store, run).await?;
        } else {
            has_ended(context, &view.record);
        }
        return Ok(of_status(status));
    }
    context.trusted(&store)?;
    super::retry::note_if_changed(context, &store, run, "resume").await;
    if !args.now && (args.detach || args.json || !context.is_live) {
        note_wait(context, &view);
    }
    let (mut said, mut is_wanted) = (None, false);
    if args.now || matches!(status, RunStatus::Suspended | RunStatus::Suspending) {
        let event = InputEvent::from(ResumeRequested { by: context.actor(), now: args.now });
        match store.say(run, event).await {
            Ok(input) => said = Some(input),
            // Somebody else said it first; whoever owns the run goes on with it.
            Err(SayError::Refused { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        is_wanted = true;
    }
    if args.detach {
        crate::detach::go_on(context, &store, run)?;
        // Whoever waits for the run next shall not see it stand still.
        if let Some(said) = said {
            input::verdict(context, &store, run, said, Successor::Started).await?;
        }
        return super::run::detached(run, args.json);
    }
    let look = if args.json { Look::Json } else { Look::Page };
    if is_wanted && !args.take_over {
        // An owner that was still stopping what is at work hears the wish, and goes on itself.
        return foreground::work_or_watch(context, &store, run, look).await;
    }
    let mode = if args.take_over { ClaimMode::TakeOver } else { ClaimMode::IfFree };
    foreground::work(context, &store, run, mode, look).await
}

/// Says what the run waits for, where no screen shows it.
fn note_wait(context: &Context, view: &RunView) {
    let signs = BTreeMap::new();
    if let Some(waits) = Page::of(view, &signs).waits(&context.times()) {
        let run = view.record.run;
        output::note(&format!("{waits}; `backstay resume {run} --now` tries at once"));
    }
}

/// Says that a run has ended, and what can still be done with it.
fn has_ended(context: &Context, record: &RunRecord) {
    let (run, status) = (record.run, record.status);
    let Some(freed_at) = record.trimmed_at else {
        let again = match status {
            // There is nothing to take up where every step succeeded.
            RunStatus::Completed => {
                format!("`backstay retry {run} --from STEP` begins it anew from a step on")
            }
            _ => format!("`backstay retry {run}` takes it up again"),
        };
        return output::note(&format!("{run} has ended: it is {status}; {again}"));
    };
    let freed_at = context.times().minute(freed_at);
    output::note(&format!(
        "{run} has ended: it is {status}; what it wrote was freed at {freed_at}, so it cannot be taken up again"
    ));
    output::note(&format!("left  its record: `backstay show {run}`"));
    if let Some(workflow) = &record.workflow {
        output::note(&format!("next  backstay run {}", shell_word(&workflow.file)));
    }
}
