//! Working on a run in the foreground: the drive, the view beside it, and Ctrl-C.

use std::collections::BTreeMap;
use std::pin::pin;

use backstay_exec::{Keepers, socket_folder};
use backstay_log::ClaimMode;
use backstay_model::event::{Event, SuspendReason, SuspendRequested};
use backstay_model::{Coded, RunId};
use backstay_runtime::{DriveEnd, DriveError, Owner, OwnerSettings, StopSwitch, Store, TracingSink};
use camino::Utf8Path;

use crate::config;
use crate::context::{Context, utf8};
use crate::error::CliError;
use crate::exit::{Exit, of_drive};
use crate::notify::Notify;
use crate::output;
use crate::ui::{Frame, Line, Listen, LiveRun, Moment, Pace, Person, Wish, key_line, story};

/// What the person sees of a drive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// The live view, or a line for each event, and the page at the end.
    Page,
    /// A line for each event on stderr, and the record as JSON at the end.
    Json,
}

/// Registers this process as an owner of runs.
pub(crate) async fn owner(context: &Context, store: &Store) -> Result<Owner, CliError> {
    let program = utf8(std::env::current_exe().map_err(CliError::Program)?)?;
    // Not in XDG_RUNTIME_DIR: it goes with the last logout, and agents are to be reached after it.
    let sockets = socket_folder(None);
    let keepers = Keepers::new(program.clone(), vec!["keeper".to_owned()], sockets);
    let env = with_this_program(&context.env, &program);
    let mut owner = Owner::register(store, OwnerSettings { keepers, env }).await?;
    if context.env.contains_key(output::LOG_VARIABLE) {
        owner.add_sink(TracingSink)?;
    }
    if let Some(command) = config::notify(store.folder())? {
        owner.add_sink(Notify::new(command, context.env.clone()))?;
    }
    Ok(owner)
}

/// The environment, in which scripts find this program last: they may say `backstay ask`.
fn with_this_program(env: &BTreeMap<String, String>, program: &Utf8Path) -> BTreeMap<String, String> {
    let mut env = env.clone();
    if let Some(folder) = program.parent() {
        let path = env.entry("PATH".to_owned()).or_default();
        if !path.split(':').any(|known| known == folder.as_str()) {
            let colon = if path.is_empty() { "" } else { ":" };
            path.push_str(&format!("{colon}{folder}"));
        }
    }
    env
}

/// Works on `run` until it rests, and shows it.
pub(crate) async fn work(
    context: &Context,
    store: &Store,
    run: RunId,
    mode: ClaimMode,
    look: Look,
) -> Result<Exit, CliError> {
    let owner = owner(context, store).await?;
    let mut live = LiveRun::open(store, run).await?;
    // Without a view nobody sits here who could answer.
    let has_view = context.is_live && look == Look::Page;
    let switch = if has_view { StopSwitch::default() } else { StopSwitch::at_questions() };
    let (end, way) = {
        let mut view = View::new(context, look);
        let mut person = Person::listen(view.listens())?;
        view.foot = foot(&person, Way::On);
        let mut drive = pin!(owner.drive(run, mode, &switch));
        let mut way = Way::On;
        // The drive goes on while the wish is written: it may hold what the writing waits for.
        let mut saying = pin!(say_suspend(context, store, run));
        let mut is_saying = false;
        let end = loop {
            tokio::select! {
                end = &mut drive => break end,
                wish = person.wish() => {
                    if wish == Wish::Pause {
                        view.pause(&person)?;
                    } else {
                        match wish {
                            Wish::HangUp => view.close(),
                            _ => view.end()?,
                        }
                        is_saying |= way == Way::On && matches!(wish, Wish::Interrupt | Wish::Terminate);
                        way = obey(&switch, way, wish);
                        view.foot = foot(&person, way);
                    }
                    view.pace.note();
                }
                () = &mut saying, if is_saying => is_saying = false,
                moment = live.next() => view.take(context, &moment?)?,
                () = view.pace.due() => view.draw(context, &mut live).await?,
            }
        };
        let end = end?;
        while let Some(moment) = live.next_now().await? {
            view.take(context, &moment)?;
        }
        view.end()?;
        (end, way)
    };
    drop(owner);
    if way == Way::Left && end == DriveEnd::Stopped {
        return leave(store, run);
    }
    finish(context, store, run, look, end).await
}

/// Where a person wants the run to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// On, here.
    On,
    /// To a stand.
    Suspending,
    /// On, without this process.
    Left,
    /// Nowhere: its agents go on by themselves.
    Stopped,
}

/// `q` hands the run over; the first Ctrl-C lets it come to a stand, the second leaves at once.
fn obey(switch: &StopSwitch, way: Way, wish: Wish) -> Way {
    match (wish, way) {
        (Wish::Pause, way) => way,
        // A closed terminal is no wish to stop: the run goes on without it.
        (Wish::Leave | Wish::HangUp, Way::On) | (Wish::Leave, Way::Suspending) => {
            switch.stop();
            Way::Left
        }
        (Wish::HangUp, way) => way,
        (Wish::Interrupt | Wish::Terminate, Way::On) => {
            output::note("suspending: what is at work is being stopped; once more leaves at once");
            Way::Suspending
        }
        (Wish::Interrupt | Wish::Terminate, Way::Suspending | Way::Left) => {
            switch.stop();
            Way::Stopped
        }
        (Wish::Leave | Wish::Interrupt | Wish::Terminate, Way::Stopped) | (Wish::Leave, Way::Left) => way,
    }
}

/// Asks for the run to come to a stand.
async fn say_suspend(context: &Context, store: &Store, run: RunId) {
    let input = Event::from(SuspendRequested { by: context.actor(), reason: SuspendReason::Shutdown });
    if let Err(error) = store.say(run, input).await {
        // A run that cannot stand still now is already on its way to an end.
        output::note(&format!("{} {error}", error.code()));
    }
}

/// The keys that work now, and what they do.
fn foot(person: &Person, way: Way) -> Line {
    let keys: &[(&str, &str)] = match way {
        Way::On => &[("q", "leave it running"), ("Ctrl-C", "suspend, twice: leave at once")],
        Way::Suspending => &[("q", "leave it running"), ("Ctrl-C", "leave at once")],
        Way::Left | Way::Stopped => &[],
    };
    let is_working = |(key, _): &&(&str, &str)| *key != "q" || person.has_keys();
    let keys: Vec<_> = keys.iter().filter(is_working).copied().collect();
    key_line(&keys)
}

/// Hands a run that was given up to a process in the background.
fn leave(store: &Store, run: RunId) -> Result<Exit, CliError> {
    crate::detach::go_on(store, run)?;
    output::note(&format!("{run} goes on in the background"));
    output::note(&format!("next  backstay watch {run}"));
    Ok(Exit::Left)
}

/// As [`work`]; where a `backstay up` was first to take the run, shows it at work there.
pub(crate) async fn work_or_watch(
    context: &Context,
    store: &Store,
    run: RunId,
    look: Look,
) -> Result<Exit, CliError> {
    match work(context, store, run, ClaimMode::Fair, look).await {
        Err(CliError::Drive(DriveError::OwnedElsewhere { owner, .. })) => {
            let pid = owner.identity.pid;
            output::note(&format!("process {pid} took it and works on it; Ctrl-C ends this view only"));
            match look {
                Look::Page => crate::commands::watch::watch_run(context, store, run).await,
                Look::Json => {
                    let status = crate::commands::wait::rest(store, run).await?;
                    crate::commands::show::print_json(store, run).await?;
                    Ok(crate::exit::of_status(status))
                }
            }
        }
        end => end,
    }
}

async fn finish(
    context: &Context,
    store: &Store,
    run: RunId,
    look: Look,
    end: DriveEnd,
) -> Result<Exit, CliError> {
    if end == DriveEnd::Asking {
        crate::detach::hand_over(store, run).await?;
    }
    let shown = match look {
        Look::Page => crate::commands::show::print(context, store, run).await,
        Look::Json => crate::commands::show::print_json(store, run).await,
    };
    match shown {
        // Whoever reads the page has enough; how the run ended is told by the exit code all the same.
        Err(CliError::OutputClosed) => {}
        shown => shown?,
    }
    if end == DriveEnd::Stopped {
        output::note(&format!(
            "left: agents that were told to stop stop, the others go on by themselves; `backstay resume {run}` finds out"
        ));
    }
    Ok(of_drive(end))
}

/// The view beside a drive.
#[derive(Debug)]
struct View {
    frame: Option<Frame>,
    pace: Pace,
    foot: Line,
}

impl View {
    fn new(context: &Context, look: Look) -> View {
        let is_live = context.is_live && look == Look::Page;
        let pace = if is_live { Pace::undrawn() } else { Pace::default() };
        View { frame: is_live.then(|| Frame::new(context.style)), pace, foot: Line::default() }
    }

    const fn listens(&self) -> Listen {
        match &self.frame {
            Some(_) => Listen::ToKeys,
            None => Listen::ToSignals,
        }
    }

    /// Without a screen, a line for each event.
    fn take(&mut self, context: &Context, moment: &Moment) -> Result<(), CliError> {
        if self.frame.is_some() {
            self.pace.note();
        } else if let Moment::Event(recorded, event) = moment
            && let Some(line) = story(recorded, event, &context.times())
        {
            output::note(&line.render(crate::ui::Style::default(), usize::MAX));
        }
        Ok(())
    }

    async fn draw(&mut self, context: &Context, live: &mut LiveRun) -> Result<(), CliError> {
        if let Some(frame) = &mut self.frame {
            while live.next_now().await?.is_some() {}
            live.look().await?;
            let drawn = frame.draw(&live.lines(&context.times(), context.columns()), &self.foot);
            self.unless_closed(drawn)?;
        }
        self.pace.drawn();
        Ok(())
    }

    /// Nothing is drawn any more.
    fn close(&mut self) {
        self.frame = None;
    }

    /// A screen that is gone ends the view and not the work.
    fn unless_closed(&mut self, drawn: Result<(), CliError>) -> Result<(), CliError> {
        match drawn {
            Err(error @ (CliError::Output(_) | CliError::OutputClosed)) => {
                tracing::debug!(%error, "the screen is gone");
                self.close();
                Ok(())
            }
            drawn => drawn,
        }
    }

    fn pause(&mut self, person: &Person) -> Result<(), CliError> {
        match &mut self.frame {
            Some(frame) => person.pause(frame),
            None => Ok(()),
        }
    }

    /// Makes room for what is printed next.
    fn end(&mut self) -> Result<(), CliError> {
        let cleared = match &mut self.frame {
            Some(frame) => frame.clear(),
            None => Ok(()),
        };
        self.unless_closed(cleared)
    }
}
