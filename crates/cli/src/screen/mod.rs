//! One run on a screen, with the person in front of it.

mod deeds;
mod reading;
mod talk;

use std::collections::BTreeSet;
use std::pin::Pin;

use backstay_model::QuestionId;
use backstay_model::event::{Event, FactEvent, SuspendReason};
use backstay_runtime::Store;

pub(crate) use self::deeds::{Taker, perform};
use self::reading::Reading;
use self::talk::PaneTalk;
use crate::context::Context;
use crate::error::CliError;
use crate::ui::{
    Console, Deed, Frame, Key, Line, LiveRun, Moment, Offered, Pace, Paint, Person, Reads, Role, Size,
};

/// What a person said to a run, on its way; in the end what came of it.
pub(crate) type Saying<'a> = Pin<Box<dyn Future<Output = Result<String, CliError>> + 'a>>;
/// A text that is being opened.
type Opening<'a> = Pin<Box<dyn Future<Output = Result<Reading, CliError>> + 'a>>;

/// Whether the view goes on after a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stays {
    /// It does.
    Here,
    /// The person leaves it.
    Leaves,
}

/// What is shown first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// The table of steps.
    AtTable,
    /// The question that is open.
    AtAnswer,
}

/// A run on the screen.
pub(crate) struct RunScreen<'a> {
    context: &'a Context,
    store: Store,
    frame: Frame,
    /// When it is drawn next.
    pub(crate) pace: Pace,
    console: Console,
    pane: PaneTalk,
    reading: Option<Reading>,
    opening: Option<Opening<'a>>,
    saying: Option<Saying<'a>>,
    /// Leaving was wished for while something is being said.
    leaves_anyhow: bool,
    bell: Bell,
}

impl<'a> RunScreen<'a> {
    /// A view of `store`'s run that nothing was drawn of.
    pub(crate) fn new(
        context: &'a Context,
        store: &Store,
        role: Role,
        person: &Person,
    ) -> Result<RunScreen<'a>, CliError> {
        let rings = context.rings && context.configuration(store.folder())?.bell();
        Ok(RunScreen {
            context,
            store: store.clone(),
            frame: Frame::new(context.style),
            pace: Pace::undrawn(),
            console: Console::new(role, person.has_keys()),
            pane: PaneTalk::default(),
            reading: None,
            opening: None,
            saying: None,
            leaves_anyhow: false,
            bell: Bell::new(rings),
        })
    }

    /// Shows what is to be shown first.
    pub(crate) fn begin(&mut self, start: Start, live: &LiveRun) {
        if start == Start::AtAnswer {
            self.console.begin_answer(&live.page());
        }
    }

    /// Says what the view is to the run from now on.
    pub(crate) fn play(&mut self, role: Role) {
        self.console.role = role;
        self.pace.hurry();
    }

    /// Says something until the next key.
    pub(crate) fn tell(&mut self, paint: Paint, text: String) {
        self.console.tell(paint, text);
        self.pace.hurry();
    }

    /// Takes what happened to the run.
    pub(crate) fn hear(&mut self, moment: &Moment) {
        if let Moment::Event(_, event) = moment
            && self.bell.hears(event)
        {
            self.frame.ring();
        }
        self.pace.note();
    }

    /// Resolves when the view should be drawn (true), or something that a key began has come further. Dropping the future
    /// loses nothing.
    pub(crate) async fn is_due(&mut self) -> bool {
        tokio::select! {
            () = self.pace.due() => return true,
            said = ready(&mut self.saying) => {
                (self.saying, self.leaves_anyhow) = (None, false);
                match said {
                    Ok(done) => self.console.tell(Paint::Good, done),
                    Err(error) => self.fault(&error),
                }
            }
            opened = ready(&mut self.opening) => {
                self.opening = None;
                match opened {
                    Ok(reading) => self.reading = Some(reading),
                    Err(error) => self.fault(&error),
                }
            }
            () = reading::more(&mut self.reading) => {
                self.pace.note();
                return false;
            }
        }
        self.pace.hurry();
        false
    }

    fn fault(&mut self, error: &CliError) {
        self.console.tell(Paint::Bad, crate::output::describe_any(error));
    }

    /// Takes a key.
    pub(crate) fn press(&mut self, key: Key, live: &LiveRun) -> Stays {
        self.pace.hurry();
        if let Some(reading) = &mut self.reading {
            if reading.reader.press(key, Size::now()) == Reads::Back {
                self.reading = None;
            }
            return Stays::Here;
        }
        let Some(deed) = self.console.press(key, &live.page()) else { return Stays::Here };
        let run = live.record.run;
        match deed {
            // A wish that nobody has heard would be lost with the view. Who means it says it twice.
            Deed::Leave if self.saying.is_some() && !self.leaves_anyhow => {
                self.leaves_anyhow = true;
                let text = "what was said before has not been heard yet; again to leave all the same";
                self.console.tell(Paint::Warn, text.to_owned());
            }
            Deed::Leave => return Stays::Leaves,
            Deed::Log(scope) => {
                self.opening = Some(Box::pin(reading::log(self.store.clone(), live.record.clone(), scope)));
            }
            Deed::Diff(scope) => {
                self.opening = Some(Box::pin(reading::diff(self.store.clone(), live.record.clone(), scope)))
            }
            _ if self.saying.is_some() => {
                let text = "what was said before has not been heard yet; nothing else is said until then";
                self.console.tell(Paint::Warn, text.to_owned());
            }
            deed => {
                self.console.tell(Paint::Dim, "…".to_owned());
                let taker = match self.console.role {
                    Role::Watches | Role::Visits => Taker::Background,
                    Role::Works | Role::Stops => Taker::Here,
                };
                self.saying = Some(Box::pin(perform(self.context, self.store.clone(), run, deed, taker)));
            }
        }
        Stays::Here
    }

    /// Draws what is there now.
    pub(crate) async fn draw(&mut self, live: &mut LiveRun) -> Result<(), CliError> {
        while let Some(moment) = live.next_now().await? {
            self.hear(&moment);
        }
        live.look().await?;
        let size = Size::now();
        if let Some(reading) = &mut self.reading {
            reading.look(&self.store, &live.record).await?;
            if live.record.status.is_ended() {
                reading.reader.note(&format!("the run is {}", live.record.status));
            }
        } else {
            self.pane.look(&self.store, &live.record, self.console.chosen_record(&live.page())).await?;
        }
        let offered = match &self.reading {
            Some(reading) => self.frame.draw_whole(&reading.reader.lines(size), size)?,
            None => {
                let times = self.context.times();
                self.frame.draw(&self.console.lines(&live.page(), self.pane.entries(), &times, size), size)?
            }
        };
        self.pace.drawn();
        if offered == Offered::Busy {
            self.pace.note();
        }
        Ok(())
    }

    /// Whether a person reads a text: that is not taken from under their eyes.
    pub(crate) const fn is_reading(&self) -> bool {
        self.reading.is_some()
    }

    /// Gives the screen back; what was drawn is gone.
    pub(crate) fn clear(&mut self) -> Result<(), CliError> {
        self.reading = None;
        self.frame.clear()
    }

    /// Gives the screen back; the last picture of the run stays, with `foot` in place of the keys.
    pub(crate) fn leave(&mut self, live: &LiveRun, foot: &Line) -> Result<(), CliError> {
        self.clear()?;
        let size = Size::now();
        let times = self.context.times();
        let mut lines = self.console.lines(&live.page(), self.pane.entries(), &times, size);
        lines.pop();
        lines.push(foot.clone());
        self.frame.leave(&lines, size)
    }

    /// Gives the terminal to the shell, and takes it again when this job is in the foreground again.
    pub(crate) fn pause(&mut self, person: &Person) -> Result<(), CliError> {
        person.pause(&mut self.frame)?;
        self.pace.hurry();
        Ok(())
    }
}

/// Resolves when what is there is done; never where nothing is.
pub(crate) async fn ready<T>(future: &mut Option<Pin<Box<dyn Future<Output = T> + '_>>>) -> T {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}

/// When the terminal rings: once for each thing that somebody should hear of.
#[derive(Debug)]
pub(crate) struct Bell {
    rings: bool,
    asked: BTreeSet<QuestionId>,
}

impl Bell {
    /// One that rings, or never does.
    pub(crate) const fn new(rings: bool) -> Bell {
        Bell { rings, asked: BTreeSet::new() }
    }

    /// Whether it rings for `event`.
    pub(crate) fn hears(&mut self, event: &Event) -> bool {
        self.rings
            && match event {
                Event::Fact(FactEvent::QuestionAsked(asked)) => self.asked.insert(asked.question),
                Event::Fact(FactEvent::RunCompleted(_))
                | Event::Fact(FactEvent::RunFailed(_))
                | Event::Fact(FactEvent::RunCancelled(_)) => true,
                Event::Fact(FactEvent::RunSuspended(suspended)) => match &suspended.reason {
                    SuspendReason::DiskFull
                    | SuspendReason::OutputLost { .. }
                    | SuspendReason::NoProgress { .. } => true,
                    // Who asked for it knows.
                    SuspendReason::Asked | SuspendReason::Shutdown | SuspendReason::TakenOver => false,
                },
                _ => false,
            }
    }
}
