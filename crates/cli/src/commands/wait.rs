//! `backstay wait`.

use backstay_engine::record::RunStatus;
use backstay_model::RunId;
use backstay_runtime::Store;

use crate::args::WaitArgs;
use crate::context::Context;
use crate::error::CliError;
use crate::exit::{Exit, of_status};
use crate::output;
use crate::ui::{LiveRun, parse_duration};

/// Waits until a run ends, stands still or needs a person; the exit code says which.
pub(crate) async fn wait(context: &Context, args: WaitArgs) -> Result<Exit, CliError> {
    let timeout = args.timeout.as_deref().map(parse_duration).transpose()?;
    let store = context.store().await?;
    let run = context.run(&store, &args.run).await?;
    let status = match timeout {
        None => rest(&store, run).await?,
        Some(timeout) => match tokio::time::timeout(timeout, rest(&store, run)).await {
            Ok(status) => status?,
            Err(_elapsed) => {
                let status = store.view(run).await?.record.status;
                output::note(&format!("{run} is still {status}"));
                return Ok(Exit::TimedOut);
            }
        },
    };
    if args.json {
        super::show::print_json(&store, run).await?;
    } else {
        output::line(&status.to_string())?;
    }
    Ok(of_status(status))
}

/// Resolves once the run ended, stands still or needs a person.
pub(crate) async fn rest(store: &Store, run: RunId) -> Result<RunStatus, CliError> {
    let mut live = LiveRun::open(store, run).await?;
    loop {
        let status = live.record.status;
        if status.is_ended() || matches!(status, RunStatus::Waiting | RunStatus::Suspended) {
            return Ok(status);
        }
        live.next().await?;
    }
}
