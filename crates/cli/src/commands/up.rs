//! `backstay up`.

use std::collections::BTreeMap;

use backstay_log::TopicFilter;
use backstay_model::RunId;
use backstay_runtime::{DriveError, RunSelection, ShutdownHandle, Store};
use tokio::signal::unix::{SignalKind, signal};

use crate::args::UpArgs;
use crate::context::Context;
use crate::detach;
use crate::error::CliError;
use crate::exit::Exit;
use crate::foreground;
use crate::output;

/// Why runs are left that are due.
type Left = BTreeMap<RunId, DriveError>;

/// How the work of an owner ended.
enum Ended {
    /// It was told to stop.
    Stopped,
    /// There was nothing more that it could work on.
    Idle(Left),
}

/// Works on every run that is due, until none is left or it is told to stop. A run that another process has to work on is
/// left to it; one that is damaged is left and is an error.
pub(crate) async fn up(context: &Context, args: UpArgs) -> Result<Exit, CliError> {
    let store = context.store().await?;
    context.trusted(&store)?;
    if let Some(run) = args.run {
        // Who works in the background outlives the terminal that it was started from. The handler stays for good.
        let _hangups = signal(SignalKind::hangup()).map_err(CliError::Signals)?;
        return match keep(context, &store, RunSelection::Only(run)).await? {
            Ended::Stopped => Ok(Exit::Completed),
            Ended::Idle(left) => unless_damaged(left),
        };
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
        let ended = keep(context, &store, RunSelection::All).await?;
        drop(lock);
        let left = match ended {
            Ended::Stopped => Left::new(),
            // What was asked for between the last look and the freed lock would be nobody's.
            Ended::Idle(left) if is_something_due(context, &store, &left).await? => continue,
            Ended::Idle(left) => left,
        };
        let exit = unless_damaged(left)?;
        output::note("nothing is left to do");
        return Ok(exit);
    }
}

/// An error if a run is left because it is damaged. The others of which that is so were logged.
fn unless_damaged(left: Left) -> Result<Exit, CliError> {
    match left.into_values().find(DriveError::is_damage) {
        Some(damage) => Err(damage.into()),
        None => Ok(Exit::Completed),
    }
}

async fn keep(context: &Context, store: &Store, kept: RunSelection) -> Result<Ended, CliError> {
    let trusted = context.trusted(store)?;
    let mut owner = foreground::owner(context, store, &trusted).await?;
    if kept == RunSelection::All
        && let Some(retention) = trusted.retention()
    {
        owner.retain(retention, context.actor());
    }
    let switch = ShutdownHandle::default();
    let mut interrupts = signal(SignalKind::interrupt()).map_err(CliError::Signals)?;
    let mut terminations = signal(SignalKind::terminate()).map_err(CliError::Signals)?;
    let mut kept = std::pin::pin!(owner.keep(kept, &switch));
    let mut stopped = false;
    loop {
        tokio::select! {
            kept = &mut kept => {
                let left = kept?;
                return Ok(if stopped { Ended::Stopped } else { Ended::Idle(left) });
            }
            _ = interrupts.recv() => {}
            _ = terminations.recv() => {}
        }
        output::note("stopping; agents at work go on by themselves until somebody resumes their runs");
        stopped = true;
        switch.stop();
    }
}

/// Whether a run is due that nobody works on, but for those that are left.
async fn is_something_due(context: &Context, store: &Store, left: &Left) -> Result<bool, CliError> {
    let filter = TopicFilter { open_only: true, due_by: Some(context.now()), ..TopicFilter::default() };
    let rows = store.runs(filter).await?;
    Ok(rows.iter().any(|row| row.is_without_owner() && !left.contains_key(&row.run)))
}
