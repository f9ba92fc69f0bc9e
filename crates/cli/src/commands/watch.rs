//! `backstay watch`.

use backstay_log::TopicFilter;
use backstay_model::{Position, RunId};
use backstay_runtime::Store;

use crate::args::WatchArgs;
use crate::context::Context;
use crate::error::CliError;
use crate::exit::{Exit, of_status};
use crate::output;
use crate::ui::{Frame, LiveRun, Moment, Style, story};

/// Time between two looks at the list without news.
const LIST_LOOK: std::time::Duration = std::time::Duration::from_secs(2);

/// Watches one run until it ends, or all that have not.
pub(crate) async fn watch(context: &Context, args: WatchArgs) -> Result<Exit, CliError> {
    let store = context.store().await?;
    match &args.run {
        Some(text) => {
            let run = context.run(&store, text).await?;
            watch_run(context, &store, run).await
        }
        None => {
            let rows = store.runs(TopicFilter { open_only: true, ..TopicFilter::default() }).await?;
            match (rows.as_slice(), context.is_live) {
                ([], _) => {
                    output::note("no run is under way; `backstay ls` shows those that have ended");
                    Ok(Exit::Completed)
                }
                ([row], _) => watch_run(context, &store, row.run).await,
                ([..], true) => watch_all(context, &store).await,
                ([row, ..], false) => watch_run(context, &store, row.run).await,
            }
        }
    }
}

/// Watches one run until it ends.
pub(crate) async fn watch_run(context: &Context, store: &Store, run: RunId) -> Result<Exit, CliError> {
    if !context.is_live {
        return tell_run(context, store, run).await;
    }
    let mut live = LiveRun::open(store, run).await?;
    {
        let mut frame = Frame::new(context.style);
        loop {
            while live.next_now().await?.is_some() {}
            live.look().await?;
            if live.record.status.is_ended() {
                frame.clear()?;
                break;
            }
            frame.draw(&live.lines(&context.times(), context.columns()))?;
            live.next().await?;
        }
    }
    super::show::print(context, store, run).await?;
    Ok(of_status(live.record.status))
}

/// A plain line for each event, from the first on.
async fn tell_run(context: &Context, store: &Store, run: RunId) -> Result<Exit, CliError> {
    let mut live = LiveRun::open_from_start(store, run).await?;
    loop {
        let moment = live.next().await?;
        if let Moment::Event(recorded, event) = &moment
            && let Some(line) = story(recorded, event, &context.times())
        {
            output::line(&line.render(Style::default(), usize::MAX))?;
        }
        if live.record.status.is_ended() && live.is_at_head() {
            return Ok(of_status(live.record.status));
        }
    }
}

async fn watch_all(context: &Context, store: &Store) -> Result<Exit, CliError> {
    let mut frame = Frame::new(context.style);
    let mut seen = Position(0);
    loop {
        let rows = store.runs(TopicFilter { open_only: true, ..TopicFilter::default() }).await?;
        if rows.is_empty() {
            frame.clear()?;
            output::note("no run is under way any more");
            return Ok(Exit::Completed);
        }
        frame.draw(&super::ls::lines(context, &rows))?;
        tokio::select! {
            position = store.log().changed(seen) => seen = position,
            () = tokio::time::sleep(LIST_LOOK) => {}
        }
    }
}
