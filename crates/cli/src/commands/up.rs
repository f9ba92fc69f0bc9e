//! `backstay up`.

use backstay_log::TopicFilter;
use backstay_runtime::{Kept, StopSwitch, Store};
use tokio::signal::unix::{SignalKind, signal};

use crate::args::UpArgs;
use crate::context::Context;
use crate::detach;
use crate::error::CliError;
use crate::exit::Exit;
use crate::foreground;
use crate::output;

/// Works on every run that is due, until none is left or it is told to stop.
pub(crate) async fn up(context: &Context, args: UpArgs) -> Result<Exit, CliError> {
    let store = context.store().await?;
    context.trusted(&store)?;
    if let Some(run) = args.run {
        // Who works in the background outlives the terminal that it was started from. The handler stays for good.
        let _hangups = signal(SignalKind::hangup()).map_err(CliError::Signals)?;
        keep(context, &store, Kept::Only(run)).await?;
        return Ok(Exit::Completed);
    }
    output::note(&format!("working on what is due in {} (pid {})", store.folder(), std::process::id()));
    loop {
        let lock = match detach::lock(store.folder())? {
            Some(lock) => lock,
            None => {
                output::note("another `backstay up` works on this store; waiting to take its place");
                let folder = store.folder().to_owned();
                tokio::task::spawn_blocking(move || detach::lock_patiently(&folder)).await??
            }
        };
        let stopped = keep(context, &store, Kept::All).await?;
        drop(lock);
        // What was asked for between the last look and the freed lock would be nobody's.
        if stopped || !is_something_due(context, &store).await? {
            output::note("nothing is left to do");
            return Ok(Exit::Completed);
        }
    }
}

async fn keep(context: &Context, store: &Store, kept: Kept) -> Result<bool, CliError> {
    let trusted = context.trusted(store)?;
    let mut owner = foreground::owner(context, store, &trusted).await?;
    if kept == Kept::All
        && let Some(retention) = trusted.retention()
    {
        owner.retain(retention, context.actor());
    }
    let switch = StopSwitch::default();
    let mut interrupts = signal(SignalKind::interrupt()).map_err(CliError::Signals)?;
    let mut terminations = signal(SignalKind::terminate()).map_err(CliError::Signals)?;
    let mut kept = std::pin::pin!(owner.keep(kept, &switch));
    let mut stopped = false;
    loop {
        tokio::select! {
            kept = &mut kept => {
                kept?;
                return Ok(stopped);
            }
            _ = interrupts.recv() => {}
            _ = terminations.recv() => {}
        }
        output::note("stopping; agents at work go on by themselves until somebody resumes their runs");
        stopped = true;
        switch.stop();
    }
}

async fn is_something_due(context: &Context, store: &Store) -> Result<bool, CliError> {
    let filter = TopicFilter { open_only: true, due_by: Some(context.now()), ..TopicFilter::default() };
    let rows = store.runs(filter).await?;
    Ok(rows.iter().any(backstay_runtime::RunRow::is_without_owner))
}
