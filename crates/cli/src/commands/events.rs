//! `backstay events`.

use backstay_log::{Cursor, Subscription};
use backstay_model::event::Event;
use backstay_model::{Delivery, Recorded, RunId, Seq, Topic};
use backstay_runtime::Store;
use serde::Serialize;

use crate::args::EventsArgs;
use crate::context::Context;
use crate::error::CliError;
use crate::exit::Exit;
use crate::output::{self, Document};

/// Prints the events of a run.
pub(crate) async fn events(context: &Context, args: EventsArgs) -> Result<Exit, CliError> {
    let store = context.store().await?;
    let run = context.run(&store, &args.run).await?;
    // An unknown run is an error, not an empty topic.
    store.view(run).await?;
    let mut events = subscribe(&store, run, args.after.as_deref())?;
    let mut ended = false;
    loop {
        let delivery = match events.try_next().await? {
            Some(delivery) => delivery,
            None if !args.follow || ended => return Ok(Exit::Completed),
            None => events.next().await?,
        };
        if let Delivery::Event(recorded) = delivery {
            ended = after(ended, &recorded);
            print(context, &recorded, events.cursor(), args.json)?;
        }
    }
}

fn subscribe(store: &Store, run: RunId, after: Option<&str>) -> Result<Subscription, CliError> {
    let topic = Topic::run(run);
    let Some(text) = after else { return Ok(store.log().follow(&topic, Seq(0))) };
    match text.parse::<u64>() {
        Ok(seq) => Ok(store.log().follow(&topic, Seq(seq))),
        Err(_no_number) => Ok(store.log().subscribe(&topic, &text.parse::<Cursor>()?)?),
    }
}

/// Whether the run has ended after `recorded`. What cannot be decoded here ends nothing.
fn after(ended: bool, recorded: &Recorded) -> bool {
    match Event::decode(recorded) {
        Ok(Event::RunCompleted(_) | Event::RunFailed(_) | Event::RunCancelled(_)) => true,
        Ok(Event::Reopened(_) | Event::RunResumed(_)) => false,
        Ok(_) | Err(_) => ended,
    }
}

fn print(context: &Context, recorded: &Recorded, cursor: Option<Cursor>, json: bool) -> Result<(), CliError> {
    #[derive(Serialize)]
    struct Printed<'a> {
        #[serde(flatten)]
        recorded: &'a Recorded,
        cursor: Option<Cursor>,
    }
    if json {
        return output::json_line(&Document::new(Printed { recorded, cursor }));
    }
    output::line(&format!(
        "{:>5}  {}  {:<22} {:<16} {}",
        recorded.seq.0,
        context.times().second(recorded.at),
        recorded.kind.as_str(),
        recorded.scope.to_string(),
        recorded.payload.as_str(),
    ))
}
