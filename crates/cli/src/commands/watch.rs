//! `backstay watch`.

use backstay_log::TopicFilter;
use backstay_model::{Position, RunId};
use backstay_runtime::Store;

use super::tell::{tell_all, tell_run};
use crate::args::WatchArgs;
use crate::context::Context;
use crate::error::CliError;
use crate::exit::{Exit, of_status};
use crate::output;
use crate::ui::{Frame, Line, Listen, LiveRun, Pace, Paint, Person, Wish, key_line};

/// Time between two looks at the list without news.
const LIST_LOOK: std::time::Duration = std::time::Duration::from_secs(2);

/// Watches one run until it ends, or all that have not.
pub(crate) async fn watch(context: &Context, args: WatchArgs) -> Result<Exit, CliError> {
    let store = context.store().await?;
    if let Some(text) = &args.run {
        let run = context.run(&store, text).await?;
        return watch_run(context, &store, run).await;
    }
    let rows = store.runs(TopicFilter { open_only: true, ..TopicFilter::default() }).await?;
    match (rows.as_slice(), context.is_live) {
        ([], _) => {
            output::note("no run is under way; `backstay ls` shows those that have ended");
            Ok(Exit::Completed)
        }
        ([row], true) => watch_run(context, &store, row.run).await,
        ([..], true) => watch_all(context, &store).await,
        ([..], false) => tell_all(context, &store).await,
    }
}

/// Watches one run until it ends.
pub(crate) async fn watch_run(context: &Context, store: &Store, run: RunId) -> Result<Exit, CliError> {
    if !context.is_live {
        return tell_run(context, store, run).await;
    }
    let mut live = LiveRun::open(store, run).await?;
    let mut screen = Screen::open(context)?;
    loop {
        tokio::select! {
            wish = screen.person.wish() => {
                let lines = live.lines(&context.times(), context.columns());
                if let Some(exit) = screen.obey(wish, &lines)? {
                    return Ok(exit);
                }
            }
            moment = live.next() => {
                moment?;
                screen.pace.note();
            }
            () = screen.pace.due() => {
                while live.next_now().await?.is_some() {}
                live.look().await?;
                if live.record.status.is_ended() {
                    break;
                }
                screen.draw(&live.lines(&context.times(), context.columns()))?;
            }
        }
    }
    screen.frame.clear()?;
    drop(screen);
    super::show::print(context, store, run).await?;
    Ok(of_status(live.record.status))
}

async fn watch_all(context: &Context, store: &Store) -> Result<Exit, CliError> {
    let mut screen = Screen::open(context)?;
    let mut seen = Position(0);
    let mut lines = Vec::new();
    loop {
        tokio::select! {
            wish = screen.person.wish() => {
                if let Some(exit) = screen.obey(wish, &lines)? {
                    return Ok(exit);
                }
            }
            position = store.log().changed(seen) => {
                seen = position;
                screen.pace.note();
            }
            () = tokio::time::sleep(LIST_LOOK) => screen.pace.note(),
            () = screen.pace.due() => {
                let rows = store.runs(TopicFilter { open_only: true, ..TopicFilter::default() }).await?;
                if rows.is_empty() {
                    screen.frame.clear()?;
                    output::note("no run is under way any more");
                    return Ok(Exit::Completed);
                }
                lines = super::ls::lines(&context.times(), &rows);
                screen.draw(&lines)?;
            }
        }
    }
}

/// A live view and the person in front of it.
struct Screen {
    // Dropped first: the terminal is given back before the cursor is shown.
    person: Person,
    frame: Frame,
    pace: Pace,
    foot: Line,
}

impl Screen {
    fn open(context: &Context) -> Result<Screen, CliError> {
        let person = Person::listen(Listen::ToKeys)?;
        let key = if person.has_keys() { "q" } else { "Ctrl-C" };
        let foot = key_line(&[(key, "leave this view")]);
        Ok(Screen { person, frame: Frame::new(context.style), pace: Pace::undrawn(), foot })
    }

    fn draw(&mut self, lines: &[Line]) -> Result<(), CliError> {
        self.frame.draw(lines, &self.foot)?;
        self.pace.drawn();
        Ok(())
    }

    /// The exit, if the person leaves; the last picture stays.
    fn obey(&mut self, wish: Wish, lines: &[Line]) -> Result<Option<Exit>, CliError> {
        let exit = match wish {
            Wish::Pause => {
                self.person.pause(&mut self.frame)?;
                self.pace.note();
                return Ok(None);
            }
            Wish::Leave => Exit::Completed,
            Wish::Interrupt => Exit::Interrupted,
            Wish::Terminate => Exit::Terminated,
        };
        self.frame.leave(lines, &Line::of(Paint::Dim, " no longer watched"))?;
        Ok(Some(exit))
    }
}
