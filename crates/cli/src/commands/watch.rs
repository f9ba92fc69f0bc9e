//! `backstay watch`.

use backstay_log::TopicFilter;
use backstay_model::RunId;
use backstay_runtime::Store;

use super::tell::{Until, tell_all, tell_run};
use super::watch_list::{Where, watch_list};
use crate::args::WatchArgs;
use crate::context::Context;
use crate::error::CliError;
use crate::exit::{Exit, of_status};
use crate::output;
use crate::screen::{RunScreen, Start, Stays};
use crate::ui::{Line, Listen, LiveRun, Paint, Person, Role, Wish};

/// Watches one run until it ends, or all that have not.
pub(crate) async fn watch(context: &Context, args: WatchArgs) -> Result<Exit, CliError> {
    if args.everywhere {
        return everywhere(context).await;
    }
    let store = context.store().await?;
    if let Some(text) = &args.run {
        let run = context.run(&store, text.as_str()).await?;
        return watch_run(context, &store, run).await;
    }
    let rows = store.runs(TopicFilter { open_only: true, ..TopicFilter::default() }).await?;
    match (rows.as_slice(), context.is_live) {
        ([], _) => {
            output::note("no run is under way; `backstay ls` shows those that have ended");
            Ok(Exit::Completed)
        }
        ([row], true) => watch_run(context, &store, row.run).await,
        ([..], true) => watch_list(context, Where::Here(store)).await,
        ([..], false) => tell_all(context, &store).await,
    }
}

/// Watches what is under way in all stores of the user.
async fn everywhere(context: &Context) -> Result<Exit, CliError> {
    let mut stores = Vec::new();
    for folder in context.known_stores()? {
        match context.opening(&folder).await {
            Ok(store) => {
                let open = TopicFilter { open_only: true, ..TopicFilter::default() };
                if !store.runs(open).await?.is_empty() {
                    stores.push(store);
                }
            }
            Err(error) => output::note(&format!("{folder}: {}", output::describe_any(&error))),
        }
    }
    if stores.is_empty() {
        output::note("nothing under way anywhere");
        return Ok(Exit::Completed);
    }
    if context.is_live {
        return watch_list(context, Where::Everywhere).await;
    }
    let told =
        futures_util::future::try_join_all(stores.iter().map(|store| tell_all(context, store))).await?;
    Ok(told.into_iter().find(|exit| *exit != Exit::Completed).unwrap_or(Exit::Completed))
}

/// Watches one run until it ends.
pub(crate) async fn watch_run(context: &Context, store: &Store, run: RunId) -> Result<Exit, CliError> {
    if !context.is_live {
        return tell_run(context, store, run, Until::Ended).await;
    }
    let mut person = Person::listen(Listen::ToKeys)?;
    let seen = see_run(context, store, run, &mut person, Start::AtTable, Behind::LastPicture).await?;
    drop(person);
    match seen {
        Seen::Left => Ok(Exit::Completed),
        Seen::Stopped(exit) => Ok(exit),
        Seen::Ended(exit) => {
            super::show::print(context, store, run).await?;
            Ok(exit)
        }
    }
}

/// How a view of a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// The person left it.
    Left,
    /// A signal ended it.
    Stopped(Exit),
    /// The run ended.
    Ended(Exit),
}

/// What a view leaves on the screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Behind {
    /// The run as it was seen last, unless it ended.
    LastPicture,
    /// Nothing: another view follows.
    Nothing,
}

/// Shows one run until it ends or the person has seen enough.
pub(super) async fn see_run(
    context: &Context,
    store: &Store,
    run: RunId,
    person: &mut Person,
    start: Start,
    behind: Behind,
) -> Result<Seen, CliError> {
    let mut live = LiveRun::open(store, run).await?;
    let role = match behind {
        Behind::LastPicture => Role::Watches,
        Behind::Nothing => Role::Visits,
    };
    let mut screen = RunScreen::new(context, store, role, person)?;
    screen.begin(start, &live);
    let seen = loop {
        tokio::select! {
            wish = person.wish() => match wish {
                Wish::Press(key) => if screen.press(key, &live) == Stays::Leaves { break Seen::Left },
                Wish::Resize => screen.pace.hurry(),
                Wish::Pause => screen.pause(person)?,
                Wish::Interrupt => break Seen::Stopped(Exit::Interrupted),
                Wish::Terminate => break Seen::Stopped(Exit::Terminated),
                Wish::HangUp => return Ok(Seen::Stopped(Exit::Terminated)),
            },
            moment = live.next() => screen.hear(&moment?),
            is_due = screen.is_due() => if is_due {
                screen.draw(&mut live).await?;
                if live.record.status.is_ended() && !screen.is_reading() {
                    screen.clear()?;
                    return Ok(Seen::Ended(of_status(live.record.status)));
                }
            }
        }
    };
    match (behind, seen) {
        (Behind::Nothing, Seen::Left) => screen.clear()?,
        _ => screen.leave(&live, &Line::of(Paint::Dim, " no longer watched"))?,
    }
    Ok(seen)
}
