//! `backstay watch` where nothing can be redrawn: a plain line for each event, and what a run needs of a person.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::time::Duration;

use backstay_log::TopicFilter;
use backstay_model::{Position, RunId};
use backstay_runtime::Store;

use super::wait::at_rest;
use crate::context::Context;
use crate::error::CliError;
use crate::exit::{Exit, of_status};
use crate::output;
use crate::ui::{Line, LiveRun, Moment, QuestionTeller, Style, failure_lines, nexts, short, story};

/// Time between two looks at who owns the runs, without news: an owner's death is no event.
const LOOK: Duration = Duration::from_secs(2);

/// How long a run is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Until {
    /// To its end. One that waits for a person says so once, and is followed on.
    Ended,
    /// Until it ends, is suspended, or does nothing before a person answers.
    AtRest,
}

/// Tells one run from its first event.
pub(crate) async fn tell_run(
    context: &Context,
    store: &Store,
    run: RunId,
    until: Until,
) -> Result<Exit, CliError> {
    let mut teller = Teller::open(store, run, Prefix::Nothing).await?;
    loop {
        let has_ended = teller.tell_what_is_there(context).await?;
        let record = &teller.live.record;
        let status = match until {
            Until::Ended => has_ended.then_some(record.status),
            Until::AtRest => at_rest(store, record).filter(|_| teller.live.is_at_head()),
        };
        if let Some(status) = status {
            return Ok(of_status(status));
        }
        let moment = teller.live.next().await?;
        teller.tell(context, &moment)?;
    }
}

/// Tells all runs that have not ended, also those that begin meanwhile, until none is left.
pub(crate) async fn tell_all(context: &Context, store: &Store) -> Result<Exit, CliError> {
    let mut tellers: BTreeMap<RunId, Teller> = BTreeMap::new();
    let mut seen = Position(0);
    loop {
        for row in store.runs(TopicFilter { open_only: true, ..TopicFilter::default() }).await? {
            if let Entry::Vacant(place) = tellers.entry(row.run) {
                place.insert(Teller::open(store, row.run, Prefix::Run).await?);
            }
        }
        let mut ended = Vec::new();
        for (run, teller) in &mut tellers {
            if teller.tell_what_is_there(context).await? {
                ended.push(*run);
            }
        }
        tellers.retain(|run, _| !ended.contains(run));
        if tellers.is_empty() {
            output::note("no run is under way any more");
            return Ok(Exit::Completed);
        }
        tokio::select! {
            position = store.log().changed(seen) => seen = position,
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

/// What stands in front of each line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Prefix {
    Nothing,
    Run,
}

/// One run that is told.
#[derive(Debug)]
struct Teller {
    store: Store,
    live: LiveRun,
    prefix: Prefix,
    questions: QuestionTeller,
    told_next: Vec<Line>,
}

impl Teller {
    async fn open(store: &Store, run: RunId, prefix: Prefix) -> Result<Teller, CliError> {
        let live = LiveRun::open_from_start(store, run).await?;
        Ok(Teller {
            store: store.clone(),
            live,
            prefix,
            questions: QuestionTeller::default(),
            told_next: Vec::new(),
        })
    }

    /// Tells what is there; true once the run has ended.
    async fn tell_what_is_there(&mut self, context: &Context) -> Result<bool, CliError> {
        while let Some(moment) = self.live.next_now().await? {
            self.tell(context, &moment)?;
        }
        if !self.live.is_at_head() {
            return Ok(false);
        }
        if self.live.record.status.is_ended() {
            let lines = failure_lines(&self.store, &self.live.page(), usize::MAX).await?;
            lines.iter().try_for_each(|line| self.line(line))?;
            return Ok(true);
        }
        self.live.look().await?;
        let page = self.live.page();
        let next = nexts(&page, &context.times(), usize::MAX);
        let asked = self.questions.lines(&self.store, &self.live, &context.times()).await?;
        asked.iter().try_for_each(|line| self.line(line))?;
        if next != self.told_next {
            next.iter().try_for_each(|line| self.line(line))?;
            self.told_next = next;
        }
        Ok(false)
    }

    fn tell(&self, context: &Context, moment: &Moment) -> Result<(), CliError> {
        match moment {
            Moment::Event(recorded, event) => match story(recorded, event, &context.times()) {
                Some(line) => self.line(&line),
                None => Ok(()),
            },
            Moment::Look => Ok(()),
        }
    }

    fn line(&self, line: &Line) -> Result<(), CliError> {
        let text = line.render(Style::default(), usize::MAX);
        match self.prefix {
            Prefix::Nothing => output::line(&text),
            Prefix::Run => output::line(&format!("{}  {text}", short(self.live.record.run))),
        }
    }
}
