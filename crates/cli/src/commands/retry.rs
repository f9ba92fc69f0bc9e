//! `backstay retry`.

use backstay_model::event::{Event, Reopened};

use super::input::{self, Successor};
use crate::address::Address;
use crate::args::RetryArgs;
use crate::context::Context;
use crate::error::CliError;
use crate::exit::Exit;
use crate::foreground::{self, Look};

/// Takes an ended run up again.
pub(crate) async fn retry(context: &Context, args: RetryArgs) -> Result<Exit, CliError> {
    let store = context.store().await?;
    let run = context.run(&store, args.run.as_deref()).await?;
    context.trusted(&store)?;
    let view = store.view(run).await?;
    let from = args.from.as_deref().map(|text| Address::whole_step(&view.plan, text)).transpose()?;
    let said = store.say(run, Event::from(Reopened { by: context.actor(), from, skip: None })).await?;
    if args.detach {
        crate::detach::go_on(context, &store, run)?;
        // Whoever waits for the run next shall not see how it had ended before.
        input::verdict(context, &store, run, said, Successor::Started).await?;
        return super::run::detached(run, args.json);
    }
    let look = if args.json { Look::Json } else { Look::Page };
    foreground::work_or_watch(context, &store, run, look).await
}
