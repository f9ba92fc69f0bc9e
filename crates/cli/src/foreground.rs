//! Working on a run in the foreground: the drive, the view beside it, and Ctrl-C.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::pin::pin;

use backstay_exec::{KEEPER_COMMAND, Keepers, socket_folders};
use backstay_log::ClaimMode;
use backstay_model::event::{InputEvent, SuspendReason, SuspendRequested};
use backstay_model::{Coded, RunId};
use backstay_runtime::{DriveEnd, DriveError, Owner, OwnerSettings, ShutdownHandle, Store, TracingSink};
use camino::Utf8Path;
use futures_util::FutureExt;

use crate::commands::tell::{Until, tell_run};
use crate::commands::wait::{note_questions, rest};
use crate::configuration::TrustedConfiguration;
use crate::context::{ADOPT, Context, utf8};
use crate::error::CliError;
use crate::exit::{Exit, of_drive};
use crate::notify::{Notify, missing_notify};
use crate::output;
use crate::programs::{ProgramPlace, ProgramSearch};
use crate::screen::{RunScreen, Stays};
use crate::ui::{Listen, LiveRun, Moment, Paint, Person, QuestionTeller, Role, Wish, story};

/// What a run that comes to a stand says.
const SUSPENDING: &str = "suspending: what is at work is being stopped; once more leaves at once";

/// What a step knows its work by.
pub(crate) const EFFECT: &str = "BACKSTAY_EFFECT";

/// What the person sees of a drive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// The live view, or a line for each event, and the page at the end.
    Page,
    /// A line for each event on stderr, and the record as JSON at the end.
    Json,
}

/// Registers this process as an owner of runs, which goes by `trusted`.
pub(crate) async fn owner(
    context: &Context,
    store: &Store,
    trusted: &TrustedConfiguration,
) -> Result<Owner, CliError> {
    let program = utf8(std::env::current_exe().map_err(CliError::Program)?)?;
    // It goes with the last logout; a keeper that is called after it listens elsewhere.
    let sockets = socket_folders(context.env.get("XDG_RUNTIME_DIR").map(Utf8Path::new));
    let keepers =
        Keepers::new(program.clone(), vec![KEEPER_COMMAND.to_owned()], sockets).with_umask(context.umask);
    let mut env = with_this_program(&context.env, &program);
    if context.adopts && !store.is_registered() {
        // What a step calls on this store needs it; a registered store is known, and others are not vouched for.
        env.insert(ADOPT.to_owned(), "1".to_owned());
    }
    let mut owner = Owner::register(store, OwnerSettings { keepers, env }).await?;
    if context.env.contains_key(output::LOG_VARIABLE) {
        owner.add_sink(TracingSink)?;
    }
    for warning in warnings(context, trusted) {
        output::note(&format!("warning: {warning}"));
    }
    if let Some(command) = trusted.notify() {
        owner.add_sink(Notify::new(command.to_vec(), context.env.clone()))?;
    }
    Ok(owner)
}

/// What a person should know of the configuration that work goes by.
fn warnings(context: &Context, trusted: &TrustedConfiguration) -> Vec<String> {
    let search = ProgramSearch::new(&context.env, &context.cwd);
    let program = trusted.notify().and_then(|command| command.first());
    let missing = program.filter(|program| search.place(program) == ProgramPlace::Missing);
    let missing = missing.map(|program| format!("`[notify]`: {}", missing_notify(program)));
    missing.into_iter().chain(trusted.left_out().map(str::to_owned)).collect()
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

/// Works on `run` until it rests, and shows it. In front of a person, a run that only waits for an answer is not left: it
/// goes on with the answer.
pub(crate) async fn work(
    context: &Context,
    store: &Store,
    run: RunId,
    mode: ClaimMode,
    look: Look,
) -> Result<Exit, CliError> {
    let trusted = context.trusted(store)?;
    let owner = owner(context, store, &trusted).await?;
    let has_view = context.is_live && look == Look::Page;
    // Without a view nobody sits here who could answer. But what a step has started ends with it: nothing of it can be left
    // to the background.
    let is_left = !has_view && !context.env.contains_key(EFFECT);
    let switch = if is_left { ShutdownHandle::at_questions() } else { ShutdownHandle::default() };
    let mut person = Person::listen(if has_view { Listen::ToKeys } else { Listen::ToSignals })?;
    let mut stage = Stage {
        context,
        live: LiveRun::open(store, run).await?,
        view: View::new(context, store, has_view, &person)?,
        questions: QuestionTeller::default(),
        way: Way::On,
    };
    stage.view.warn(&warnings(context, &trusted));
    let mut rounds = 0;
    let end = loop {
        let end = stage.drive(owner.drive(run, mode, &switch), &mut person, &switch, store).await;
        rounds += 1;
        match end {
            Ok(DriveEnd::WaitingForPerson) if stage.is_attended(&person) => {
                if stage.wait_for_word(&mut person).await == Heard::Enough {
                    break DriveEnd::WaitingForPerson;
                }
            }
            // Whoever answered elsewhere let it go on there.
            Err(CliError::Drive(DriveError::OwnedElsewhere { .. })) if rounds > 1 => {
                stage.view.end()?;
                drop((stage, person, owner));
                return crate::commands::watch::watch_run(context, store, run).await;
            }
            end => break end?,
        }
    };
    drop(owner);
    stage.read_on(&mut person).await;
    stage.view.end()?;
    let way = stage.way;
    drop((stage, person));
    if way == Way::Left && end == DriveEnd::Stopped {
        return leave(context, store, run);
    }
    finish(context, store, run, look, end).await
}

/// A run that is worked on, its view, and what the person wants.
struct Stage<'a> {
    context: &'a Context,
    live: LiveRun,
    view: View<'a>,
    questions: QuestionTeller,
    way: Way,
}

/// What a run that waits for a person heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heard {
    /// Something that it goes on with.
    Something,
    /// That nobody answers here.
    Enough,
}

impl Stage<'_> {
    /// Drives until the run rests.
    async fn drive(
        &mut self,
        drive: impl Future<Output = Result<DriveEnd, DriveError>>,
        person: &mut Person,
        switch: &ShutdownHandle,
        store: &Store,
    ) -> Result<DriveEnd, CliError> {
        let Stage { context, live, view, questions, way } = self;
        // Whatever the view meets, the drive alone says how the work ended.
        let mut drive = pin!(drive);
        // The drive goes on while the wish is written: it may hold what the writing waits for.
        let mut saying = pin!(say_suspend(context, store, live.record.run));
        let mut is_saying = false;
        loop {
            tokio::select! {
                end = &mut drive => return Ok(end?),
                wish = person.wish() => {
                    let taken = view.take_wish(wish, person, live);
                    if let Some(word) = view.unless_failed(taken).flatten() {
                        is_saying |= *way == Way::On && word == Word::Stop;
                        *way = obey(switch, *way, word);
                        let shown = view.show(*way);
                        view.unless_failed(shown);
                    }
                },
                () = &mut saying, if is_saying => is_saying = false,
                moment = live.next(), if !view.is_closed() => if let Some(moment) = view.unless_failed(moment) {
                    view.take(context, &moment);
                    // Where nothing else goes on, the run is given up before a second is over, and the page has them.
                    if matches!((&*view, moment), (View::Lines, Moment::Look)) {
                        let noted = note_questions(context, store, live, questions).await;
                        view.unless_failed(noted);
                    }
                },
                is_due = view.is_due() => if is_due {
                    let drawn = view.draw(live).await;
                    view.unless_failed(drawn);
                },
            }
        }
    }

    /// Takes what is left to hear, and lets a person read to the end.
    async fn read_on(&mut self, person: &mut Person) {
        let Stage { context, live, view, way, .. } = self;
        if view.is_closed() {
            return;
        }
        while let Some(moment) = view.unless_failed(live.next_now().await).flatten() {
            view.take(context, &moment);
        }
        while *way == Way::On && view.is_reading() {
            tokio::select! {
                wish = person.wish() => {
                    let taken = view.take_wish(wish, person, live);
                    if view.unless_failed(taken).flatten().is_some() {
                        return;
                    }
                },
                moment = live.next() => if let Some(moment) = view.unless_failed(moment) {
                    view.take(context, &moment);
                },
                is_due = view.is_due() => if is_due {
                    let drawn = view.draw(live).await;
                    view.unless_failed(drawn);
                },
            }
        }
    }

    /// Whether somebody is in front of it who can answer.
    fn is_attended(&self, person: &Person) -> bool {
        self.way == Way::On && person.has_keys() && matches!(self.view, View::Screen(_))
    }

    /// Shows the run until somebody says something to it. Nobody works on it meanwhile.
    async fn wait_for_word(&mut self, person: &mut Person) -> Heard {
        let Stage { context, live, view, .. } = self;
        while let Some(moment) = view.unless_failed(live.next_now().await).flatten() {
            view.take(context, &moment);
        }
        let before = live.inputs;
        while live.inputs == before {
            if view.is_closed() {
                return Heard::Enough;
            }
            tokio::select! {
                wish = person.wish() => {
                    let taken = view.take_wish(wish, person, live);
                    if view.unless_failed(taken).flatten().is_some() {
                        return Heard::Enough;
                    }
                },
                moment = live.next() => if let Some(moment) = view.unless_failed(moment) {
                    view.take(context, &moment);
                },
                is_due = view.is_due() => if is_due {
                    let drawn = view.draw(live).await;
                    view.unless_failed(drawn);
                },
            }
        }
        Heard::Something
    }
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

/// What a person says about this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    /// To leave the run to another one.
    Leave,
    /// To stop.
    Stop,
    /// Nothing: the terminal was closed.
    HangUp,
}

/// `q` hands the run over; the first Ctrl-C lets it come to a stand, the second leaves at once.
fn obey(switch: &ShutdownHandle, way: Way, word: Word) -> Way {
    match (word, way) {
        // A closed terminal is no wish to stop: the run goes on without it.
        (Word::Leave | Word::HangUp, Way::On) | (Word::Leave, Way::Suspending) => {
            switch.stop();
            Way::Left
        }
        (Word::HangUp, way) => way,
        (Word::Stop, Way::On) => Way::Suspending,
        (Word::Stop, Way::Suspending | Way::Left) => {
            switch.stop();
            Way::Stopped
        }
        (Word::Leave | Word::Stop, Way::Stopped) | (Word::Leave, Way::Left) => way,
    }
}

/// Asks for the run to come to a stand.
async fn say_suspend(context: &Context, store: &Store, run: RunId) {
    let input = InputEvent::from(SuspendRequested { by: context.actor(), reason: SuspendReason::Shutdown });
    if let Err(error) = store.say(run, input).await {
        // A run that cannot stand still now is already on its way to an end.
        output::note(&format!("{} {error}", error.code()));
    }
}

/// Hands a run that was given up to a process in the background.
fn leave(context: &Context, store: &Store, run: RunId) -> Result<Exit, CliError> {
    crate::detach::go_on(context, store, run)?;
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
    match work(context, store, run, ClaimMode::IfFree, look).await {
        Err(CliError::Drive(DriveError::OwnedElsewhere { owner, .. })) => {
            let pid = owner.identity.pid;
            output::note(&format!("process {pid} took it and works on it; Ctrl-C ends this view only"));
            match look {
                Look::Page if context.is_live => crate::commands::watch::watch_run(context, store, run).await,
                // As where this process works on it.
                Look::Page => tell_run(context, store, run, Until::AtRest).await,
                Look::Json => {
                    let status = rest(context, store, run).await?;
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
    let end = match end {
        DriveEnd::Asking => crate::detach::hand_over(context, store, run).await?,
        end => end,
    };
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
enum View<'a> {
    /// The run on the screen.
    Screen(Box<RunScreen<'a>>),
    /// A line for each event.
    Lines,
    /// Nobody is there any more.
    Closed,
}

impl<'a> View<'a> {
    fn new(
        context: &'a Context,
        store: &Store,
        is_live: bool,
        person: &Person,
    ) -> Result<View<'a>, CliError> {
        if !is_live {
            return Ok(View::Lines);
        }
        Ok(View::Screen(Box::new(RunScreen::new(context, store, Role::Works, person)?)))
    }

    /// Takes what a person says; gives it where it is about this process.
    fn take_wish(&mut self, wish: Wish, person: &Person, live: &LiveRun) -> Result<Option<Word>, CliError> {
        Ok(match (wish, self) {
            (Wish::Interrupt | Wish::Terminate, _) => Some(Word::Stop),
            (Wish::HangUp, view) => {
                *view = View::Closed;
                Some(Word::HangUp)
            }
            (Wish::Press(key), View::Screen(screen)) => {
                (screen.press(key, live) == Stays::Leaves).then_some(Word::Leave)
            }
            (Wish::Resize, View::Screen(screen)) => {
                screen.pace.hurry();
                None
            }
            (Wish::Pause, View::Screen(screen)) => {
                screen.pause(person)?;
                None
            }
            (Wish::Press(_) | Wish::Resize | Wish::Pause, View::Lines | View::Closed) => None,
        })
    }

    /// Says until the next key what a screen would cover.
    fn warn(&mut self, warnings: &[String]) {
        if let (View::Screen(screen), false) = (self, warnings.is_empty()) {
            screen.tell(Paint::Warn, warnings.join("; "));
        }
    }

    /// Says where the run goes from now on.
    fn show(&mut self, way: Way) -> Result<(), CliError> {
        match way {
            Way::On => {}
            Way::Suspending => match self {
                View::Screen(screen) => {
                    screen.play(Role::Stops);
                    screen.tell(Paint::Warn, SUSPENDING.to_owned());
                }
                View::Lines => output::note(SUSPENDING),
                View::Closed => {}
            },
            Way::Left | Way::Stopped => self.end()?,
        }
        Ok(())
    }

    /// Takes what happened to the run.
    fn take(&mut self, context: &Context, moment: &Moment) {
        match (self, moment) {
            (View::Screen(screen), moment) => screen.hear(moment),
            (View::Lines, Moment::Event(recorded, event)) => {
                if let Some(line) = story(recorded, event, &context.times()) {
                    output::note(&line.render(crate::ui::Style::default(), usize::MAX));
                }
            }
            (View::Lines, Moment::Look) | (View::Closed, _) => {}
        }
    }

    /// Resolves when it should be drawn (true), or something in it has come further.
    async fn is_due(&mut self) -> bool {
        match self {
            View::Screen(screen) => screen.is_due().await,
            View::Lines | View::Closed => std::future::pending().await,
        }
    }

    async fn draw(&mut self, live: &mut LiveRun) -> Result<(), CliError> {
        let View::Screen(screen) = self else { return Ok(()) };
        // A defect of the view is no reason to leave a run alone.
        match AssertUnwindSafe(screen.draw(live)).catch_unwind().await {
            Ok(drawn) => self.unless_closed(drawn),
            Err(_panic) => {
                *self = View::Lines;
                output::note("the view ended by a defect of it; the run goes on, a line for each event");
                Ok(())
            }
        }
    }

    const fn is_closed(&self) -> bool {
        matches!(self, View::Closed)
    }

    /// What the view gave. A screen that fails becomes lines, and lines that fail end; the work that they show goes on.
    fn unless_failed<T>(&mut self, given: Result<T, CliError>) -> Option<T> {
        match given {
            Ok(given) => Some(given),
            Err(error) => {
                if let View::Screen(screen) = self
                    && let Err(left) = screen.clear()
                {
                    tracing::debug!(error = %left, "the screen is gone");
                }
                *self = match self {
                    View::Screen(_) => View::Lines,
                    View::Lines | View::Closed => View::Closed,
                };
                output::note(&format!("the view ended ({}): {error}", error.code()));
                None
            }
        }
    }

    fn is_reading(&self) -> bool {
        matches!(self, View::Screen(screen) if screen.is_reading())
    }

    /// A screen that is gone ends the view and not the work.
    fn unless_closed(&mut self, drawn: Result<(), CliError>) -> Result<(), CliError> {
        match drawn {
            Err(error @ (CliError::Output(_) | CliError::OutputClosed)) => {
                tracing::debug!(%error, "the screen is gone");
                *self = View::Closed;
                Ok(())
            }
            drawn => drawn,
        }
    }

    /// Makes room for what is printed next.
    fn end(&mut self) -> Result<(), CliError> {
        let View::Screen(screen) = self else { return Ok(()) };
        let cleared = screen.clear();
        self.unless_closed(cleared)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_view_gives_is_taken_and_an_error_of_its_lines_closes_it() {
        let mut view = View::Lines;
        assert_eq!(view.unless_failed(Ok(1)), Some(1));
        assert!(!view.is_closed());
        assert_eq!(view.unless_failed::<u32>(Err(CliError::NoRuns)), None);
        assert!(view.is_closed());
    }
}
