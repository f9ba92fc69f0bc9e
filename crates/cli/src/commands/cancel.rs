//! `backstay cancel`.

use backstay_model::event::{CancelRequested, InputEvent};

use super::input::{self, Orphan};
use crate::args::CancelArgs;
use crate::context::Context;
use crate::error::CliError;
use crate::exit::Exit;

/// Stops a run for good.
pub(crate) async fn cancel(context: &Context, args: CancelArgs) -> Result<Exit, CliError> {
    let store = context.store().await?;
    let run = context.run(&store, args.run.as_deref()).await?;
    let event = InputEvent::from(CancelRequested { by: context.actor(), reason: args.reason });
    let heard = input::say_and_settle(context, &store, run, event, Orphan::BringToRest).await?;
    input::tell(&store, run, heard, "it is being stopped", args.json).await
}
