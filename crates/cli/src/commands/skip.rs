//! `backstay skip`.

use backstay_engine::record::{RunRecord, StepRecord, StepStage};
use backstay_model::event::{Reopened, SkipRequested, StepSkip, StepStatus};
use backstay_model::{Payload, Scope, StepId, Text};
use backstay_runtime::RunInput;

use super::input::{self, Orphan};
use crate::address::Address;
use crate::args::SkipArgs;
use crate::confirm::Consent;
use crate::context::Context;
use crate::error::CliError;
use crate::exit::Exit;
use crate::foreground::{self, Look};

/// Leaves a step out; of an ended run, takes it up again without the step.
pub(crate) async fn skip(context: &Context, args: SkipArgs) -> Result<Exit, CliError> {
    let store = context.store().await?;
    let run = context.run(&store, args.run.as_str()).await?;
    let view = store.view(run).await?;
    let step = Address::whole_step(&view.plan, &args.step)?;
    let output = args.output.as_deref().map(json_text).transpose()?;
    if view.record.status.is_ended() || view.is_without_owner() {
        context.trusted(&store)?;
    }
    if view.record.status.is_ended() {
        let status = view.record.status.predicate();
        let loses = lost_result(&view.record, &step);
        Consent {
            question: format!("{run} {status}. Start it again without `{step}`{loses}?"),
            consequence: format!("{run} {status}: to skip `{step}` is to start the run again{loses}"),
            command: "the same command with `--yes`".to_owned(),
        }
        .obtain(args.yes)?;
        let skip = Some(StepSkip { scope: Scope::step(step), output });
        store.say(run, Reopened { by: context.actor(), from: None, skip, plan: None }).await?;
        let look = if args.json { Look::Json } else { Look::Page };
        return foreground::work_or_watch(context, &store, run, look).await;
    }
    let input = RunInput::from(SkipRequested { by: context.actor(), output }).about(step);
    if view.is_without_owner() {
        // To settle it is to go on with the run: that shows.
        store.say(run, input).await?;
        let look = if args.json { Look::Json } else { Look::Page };
        return foreground::work_or_watch(context, &store, run, look).await;
    }
    let heard = input::say_and_settle(context, &store, run, input, Orphan::Settle).await?;
    input::tell(&store, run, heard, "it is left out", args.json).await
}

/// What else is lost: the result of a step that has succeeded.
fn lost_result(record: &RunRecord, step: &StepId) -> &'static str {
    let has_succeeded = |of: &StepRecord| of.stage == (StepStage::Done { status: StepStatus::Succeeded });
    if record.step(step).is_some_and(has_succeeded) { ", and to drop the result that it has" } else { "" }
}

/// A JSON value given on the command line.
pub(crate) fn json_text(text: &str) -> Result<Text, CliError> {
    match Payload::from_text(text.to_owned()) {
        Ok(payload) => Ok(Text::of(payload.as_str())),
        Err(source) => Err(CliError::NotJson { text: text.to_owned(), source }),
    }
}
