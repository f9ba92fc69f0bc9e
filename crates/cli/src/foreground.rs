//! Working on a run in the foreground: the drive, the view beside it, and Ctrl-C.

use std::pin::pin;

use backstay_exec::{Keepers, socket_folder};
use backstay_log::ClaimMode;
use backstay_model::event::{Event, SuspendReason, SuspendRequested};
use backstay_model::{Coded, RunId};
use backstay_runtime::{DriveEnd, DriveError, Owner, OwnerSettings, StopSwitch, Store, TracingSink};
use camino::Utf8Path;
use tokio::signal::unix::{SignalKind, signal};

use crate::context::{Context, utf8};
use crate::error::CliError;
use crate::exit::{Exit, of_drive};
use crate::output;
use crate::ui::{Frame, Line, LiveRun, Moment, Paint, story};

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
    let sockets = socket_folder(context.env.get("XDG_RUNTIME_DIR").map(Utf8Path::new));
    let keepers = Keepers::new(program, vec!["keeper".to_owned()], sockets);
    let mut owner = Owner::register(store, OwnerSettings { keepers, env: context.env.clone() }).await?;
    if context.env.contains_key(output::LOG_VARIABLE) {
        owner.add_sink(TracingSink)?;
    }
    Ok(owner)
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
    let switch = StopSwitch::default();
    let end = {
        let mut view = View::new(context, look);
        let mut drive = pin!(owner.drive(run, mode, &switch));
        let mut interrupts = signal(SignalKind::interrupt()).map_err(CliError::Signals)?;
        let mut terminations = signal(SignalKind::terminate()).map_err(CliError::Signals)?;
        let mut asked = false;
        let end = loop {
            tokio::select! {
                end = &mut drive => break end,
                _ = interrupts.recv() => stop(context, store, run, &switch, &mut asked, &mut view).await?,
                _ = terminations.recv() => stop(context, store, run, &switch, &mut asked, &mut view).await?,
                moment = live.next() => view.show(context, &mut live, moment?).await?,
            }
        };
        let end = end?;
        while let Some(moment) = live.next_now().await? {
            view.tell(context, &moment)?;
        }
        view.end()?;
        end
    };
    drop(owner);
    finish(context, store, run, look, end).await
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

/// Ctrl-C: the first lets the run come to a stand, the second leaves at once.
async fn stop(
    context: &Context,
    store: &Store,
    run: RunId,
    switch: &StopSwitch,
    asked: &mut bool,
    view: &mut View,
) -> Result<(), CliError> {
    view.end()?;
    if std::mem::replace(asked, true) {
        switch.stop();
        return Ok(());
    }
    output::note("suspending: what is at work is being stopped; once more leaves at once");
    let input = Event::from(SuspendRequested { by: context.actor(), reason: SuspendReason::Shutdown });
    if let Err(error) = store.say(run, input).await {
        // A run that cannot stand still now is already on its way to an end.
        output::note(&format!("{} {error}", error.code()));
    }
    Ok(())
}

async fn finish(
    context: &Context,
    store: &Store,
    run: RunId,
    look: Look,
    end: DriveEnd,
) -> Result<Exit, CliError> {
    match look {
        Look::Page => crate::commands::show::print(context, store, run).await?,
        Look::Json => crate::commands::show::print_json(store, run).await?,
    }
    if end == DriveEnd::Stopped {
        output::note(&format!(
            "left: agents at work go on by themselves; `backstay resume {run}` finds them again"
        ));
    }
    Ok(of_drive(end))
}

/// The view beside a drive.
#[derive(Debug)]
struct View {
    frame: Option<Frame>,
}

impl View {
    fn new(context: &Context, look: Look) -> View {
        let is_live = context.is_live && look == Look::Page;
        View { frame: is_live.then(|| Frame::new(context.style)) }
    }

    async fn show(&mut self, context: &Context, live: &mut LiveRun, moment: Moment) -> Result<(), CliError> {
        self.tell(context, &moment)?;
        if let Some(frame) = &mut self.frame {
            while live.next_now().await?.is_some() {}
            live.look().await?;
            let mut lines = live.lines(&context.times(), context.columns());
            lines.push(Line::default());
            lines.push(Line::of(Paint::Dim, " Ctrl-C suspends the run, once more leaves its agents at work"));
            frame.draw(&lines)?;
        }
        Ok(())
    }

    /// Without a screen, a line for each event.
    fn tell(&self, context: &Context, moment: &Moment) -> Result<(), CliError> {
        if let (None, Moment::Event(recorded, event)) = (&self.frame, moment)
            && let Some(line) = story(recorded, event, &context.times())
        {
            output::note(&line.render(crate::ui::Style::default(), usize::MAX));
        }
        Ok(())
    }

    /// Makes room for what is printed next.
    fn end(&mut self) -> Result<(), CliError> {
        match &mut self.frame {
            Some(frame) => frame.clear(),
            None => Ok(()),
        }
    }
}
