//! `backstay suspend`.

use backstay_model::event::{InputEvent, SuspendReason, SuspendRequested};

use super::input::{self, Orphan};
use crate::args::RunRef;
use crate::context::Context;
use crate::error::CliError;
use crate::exit::Exit;
use crate::output;

/// Lets a run come to a stand.
pub(crate) async fn suspend(context: &Context, args: RunRef) -> Result<Exit, CliError> {
    let store = context.store().await?;
    let run = context.run(&store, args.run.as_deref()).await?;
    let event = InputEvent::from(SuspendRequested { by: context.actor(), reason: SuspendReason::Asked });
    let heard = input::say_and_settle(context, &store, run, event, Orphan::BringToRest).await?;
    let exit = input::tell(&store, run, heard, "it comes to a stand", args.json).await?;
    output::note(&format!("next  backstay resume {run}"));
    Ok(exit)
}
