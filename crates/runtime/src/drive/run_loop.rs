//! The loop itself.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use backstay_engine::effect::Desired;
use backstay_engine::run::Phase;
use backstay_engine::topic::{Input, Outcome, TopicMachine};
use backstay_engine::{DecisionContext, EffectHost, Report, StopReason};
use backstay_exec::is_waiting;
use backstay_log::{ClaimMode, Direction, StoreError, Subscription};
use backstay_model::event::{LostEvidence, OwnerReleased};
use backstay_model::limits::PAGE_EVENTS_MAX;
use backstay_model::{Attempt, Delivery, EffectId, Epoch, Recorded, RunId, Seq, Topic};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::StopSwitch;
use super::append::Appending;
use super::checkout::Tenancy;
use super::flight::{Flight, News, Trouble};
use super::gone::KeptExit;
use super::tenure::DriveEnd;
use crate::error::{DriveError, RunError};
use crate::owner::Owner;
use crate::request::chance;

/// Sleeps of the host shorter than this are not told.
const SLEPT_AT_LEAST: Duration = Duration::from_secs(5);
/// The longest wait without a look at the clocks: a host that slept wakes timers of people late otherwise.
const CLOCK_BACKSTOP: Duration = Duration::from_secs(30);
/// Characters of the reason why work is stuck.
const MESSAGE_CHARS: usize = 1_000;
/// Until work that could not be told to stop is told again.
const STOP_AGAIN: Duration = Duration::from_secs(1);

/// Until work that could not be followed is looked for again; doubled with each time, up to the longest. Work that did not
/// begin counts as lost each time, so it is not done in haste.
const STUCK_AGAIN_FIRST: Duration = Duration::from_secs(30);
const STUCK_AGAIN_LONGEST: Duration = Duration::from_secs(300);

/// What ended a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Woken {
    /// There is something to decide about.
    News,
    /// The stop switch was used.
    Stopped,
}

/// Work that could not be followed.
#[derive(Debug)]
struct Stuck {
    message: String,
    is_damage: bool,
    /// When it is looked for again.
    again_at: Instant,
    pause: Duration,
}

/// One owned run being worked on.
pub(super) struct Drive<'a> {
    pub(super) owner: &'a Owner,
    pub(super) run: RunId,
    pub(super) topic: Topic,
    pub(super) epoch: Epoch,
    /// How it was claimed.
    pub(super) mode: ClaimMode,
    pub(super) machine: TopicMachine,
    pub(super) in_flight: BTreeMap<EffectId, Flight>,
    /// Begun work of which nothing can be told for now. What works beside it goes on.
    stuck: BTreeMap<EffectId, Stuck>,
    pub(super) news: mpsc::UnboundedSender<News>,
    /// Ranges of the machine's own facts that were acknowledged and not yet read back.
    pub(super) own: VecDeque<(Seq, Seq)>,
    pub(super) subscription: Subscription,
    pub(super) incoming: mpsc::UnboundedReceiver<News>,
    /// Reports that are not durable yet: they are kept until they are.
    pub(super) reports: VecDeque<Report>,
    asleep: Duration,
    /// Work that should stop could not be told so.
    is_untold: bool,
    /// How it stands to the folder that it works in.
    pub(super) tenancy: Tenancy,
    /// Work met a full disk, and nothing was done about it yet.
    no_room: Option<DriveError>,
    /// It was told once to stand still because the disk is full.
    pub(super) has_met_full_disk: bool,
    /// The store is not where it was.
    is_store_gone: bool,
    /// How work ended since.
    pub(super) exits: Vec<KeptExit>,
}

impl<'a> Drive<'a> {
    /// A drive of `run`, whose `machine` is folded up to some number at or after the claim's or before it.
    pub(super) fn new(
        owner: &'a Owner,
        run: RunId,
        epoch: Epoch,
        mode: ClaimMode,
        machine: TopicMachine,
    ) -> Drive<'a> {
        let topic = Topic::run(run);
        let (news, incoming) = mpsc::unbounded_channel();
        Drive {
            owner,
            run,
            epoch,
            mode,
            subscription: owner.store.log.follow(&topic, machine.head()),
            topic,
            machine,
            in_flight: BTreeMap::new(),
            stuck: BTreeMap::new(),
            news,
            own: VecDeque::new(),
            incoming,
            reports: VecDeque::new(),
            asleep: owner.store.clock.asleep(),
            is_untold: false,
            tenancy: Tenancy::default(),
            no_room: None,
            has_met_full_disk: false,
            is_store_gone: false,
            exits: Vec::new(),
        }
    }

    /// Works until the run is at rest or `switch` is used.
    pub(super) async fn until_at_rest(&mut self, switch: &StopSwitch) -> Result<DriveEnd, DriveError> {
        loop {
            match self.work(switch).await {
                Ok(end) => return Ok(end),
                Err(error) => {
                    let error = self.or_store_gone(error, switch).await;
                    self.make_room(error).await?;
                }
            }
        }
    }

    async fn work(&mut self, switch: &StopSwitch) -> Result<DriveEnd, DriveError> {
        loop {
            if self.is_store_gone {
                let location = self.owner.store.folder.join("log.db").into();
                return Err(RunError::Append(StoreError::Gone { location }.into()).into());
            }
            self.refuse_if_lost()?;
            self.read_what_is_there().await?;
            if let Some(error) = self.no_room.take() {
                return Err(error);
            }
            self.ask_for_checkout().await;
            let settled = self.pass().await?;
            if !settled {
                continue;
            }
            self.reconcile();
            if !self.reports.is_empty() {
                continue;
            }
            if self.has_untold_tenant() || self.has_unasked_checkout() {
                continue;
            }
            if let Some(error) = self.stands_still() {
                return Err(error);
            }
            if self.machine.is_at_rest() && self.in_flight.is_empty() {
                if let Some(end) = self.try_to_leave().await? {
                    return Ok(end);
                }
                continue;
            }
            if switch.leaves_questions() && self.only_asks() {
                return Ok(DriveEnd::Asking);
            }
            if self.wait(switch).await? == Woken::Stopped {
                return Ok(DriveEnd::Stopped);
            }
        }
    }

    /// Fails once this process has lost its proof that it lives: it starts nothing from then on.
    fn refuse_if_lost(&self) -> Result<(), DriveError> {
        if self.owner.guard.is_lost() { Err(DriveError::OwnerLost { run: self.run }) } else { Ok(()) }
    }

    /// Decides about everything that was said, and begins nothing.
    pub(super) async fn settle_inputs(&mut self) -> Result<(), DriveError> {
        loop {
            self.read_what_is_there().await?;
            self.owner.store.give_what_is_missing(&mut self.machine).await?;
            let env = DecisionContext { host: None, ..self.env()? };
            let outcome = self.machine.handle(&env, Input::Look);
            match self.append(outcome).await? {
                Appending::Superseded => self.fold_anew().await?,
                Appending::Durable(outcome) => {
                    if !outcome.more_to_do && !self.machine.has_unsettled_inputs() {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Whether each step at work is known to live, and waits for a person.
    fn only_asks(&self) -> bool {
        let waits = |(effect, flight): (&EffectId, &Flight)| {
            flight.control.is_some() && is_waiting(&self.owner.store.attempt_folder(effect, flight.attempt))
        };
        self.machine.asks_people_only() && self.stuck.is_empty() && self.in_flight.iter().all(waits)
    }

    /// Waits until there is something to decide about. Signs of life and the run's own facts are passed on meanwhile.
    async fn wait(&mut self, switch: &StopSwitch) -> Result<Woken, DriveError> {
        loop {
            let patience = self.patience();
            let is_news = tokio::select! {
                biased;
                () = switch.stopped() => return Ok(Woken::Stopped),
                news = self.incoming.recv() => news.is_some_and(|news| self.hear(news)),
                delivery = self.subscription.next() => self.take(delivery?)?,
                () = tokio::time::sleep(patience) => {
                    // Who only waits would not find out by what it writes.
                    self.is_store_gone |= self.is_store_away();
                    true
                }
            };
            if is_news || self.slept().is_some() {
                return Ok(Woken::News);
            }
        }
    }

    /// Lets the machine decide once and appends what follows. True if there is nothing more to decide for now.
    async fn pass(&mut self) -> Result<bool, DriveError> {
        self.owner.store.give_what_is_missing(&mut self.machine).await?;
        let report = self.reports.front().cloned();
        if let Some(Report::Ended { process, .. }) = &report {
            for text in [&process.output, &process.log].into_iter().flatten() {
                if let Some(digest) = text.blob() {
                    let text = self.owner.store.text(text).await?;
                    self.machine.give_text(digest, text);
                }
            }
        }
        let tenant = if report.is_none() { self.untold_tenant() } else { None };
        let input = match (&report, self.slept(), tenant) {
            (Some(report), ..) => Input::Report(report.clone()),
            (None, Some(asleep), _) => Input::HostSlept { asleep_ms: millis(asleep) },
            (None, None, Some(busy)) => Input::CheckoutBusy(busy),
            (None, None, None) => Input::Look,
        };
        let env = self.env()?;
        let outcome = self.machine.handle(&env, input.clone());
        let Outcome { starts, more_to_do, .. } = match self.append(outcome).await? {
            Appending::Durable(outcome) => outcome,
            Appending::Superseded => {
                self.fold_anew().await?;
                return Ok(false);
            }
        };
        if let Some(report) = report {
            self.reports.pop_front();
            let (effect, attempt) = report.attempt();
            let is_over = matches!(report, Report::Ended { .. } | Report::Lost { .. });
            if is_over && self.in_flight.get(effect).is_some_and(|flight| flight.attempt == attempt) {
                self.in_flight.remove(effect);
            }
        }
        if matches!(input, Input::HostSlept { .. }) {
            self.asleep = self.owner.store.clock.asleep();
        }
        for work in starts {
            // The next owner finds that it was not begun.
            self.refuse_if_lost()?;
            self.start(work);
        }
        Ok(!more_to_do && self.reports.is_empty() && !self.machine.has_unsettled_inputs())
    }

    fn env(&self) -> Result<DecisionContext, DriveError> {
        let chance = chance()?;
        let seed = u64::from_le_bytes([
            chance[0], chance[1], chance[2], chance[3], chance[4], chance[5], chance[6], chance[7],
        ]);
        let host = EffectHost { host: self.owner.host.clone(), boot: self.owner.boot.clone() };
        Ok(DecisionContext {
            now: self.owner.store.clock.wall(),
            seed,
            host: Some(host),
            holds_checkout: self.holds_checkout(),
        })
    }

    /// Brings what is in flight to what is desired.
    fn reconcile(&mut self) {
        self.is_untold = false;
        let desired = self.machine.desired();
        self.stuck.retain(|effect, _| desired.contains_key(effect));
        for (effect, wish) in desired {
            match wish {
                // The machine begins what is wanted by itself, with its next look.
                Desired::Start(_) => {}
                _ if self.stuck.get(&effect).is_some_and(|stuck| Instant::now() < stuck.again_at) => {}
                Desired::Hold(attempt) | Desired::Stop(attempt, _)
                    if !self.in_flight.contains_key(&effect) =>
                {
                    self.recover(effect, attempt);
                }
                Desired::Hold(_) => {}
                Desired::Stop(_, reason) => self.stop(&effect, reason),
            }
        }
    }

    /// Takes news. True if there is something to decide about.
    fn hear(&mut self, news: News) -> bool {
        let mut is_news = false;
        let mut next = Some(news);
        while let Some(news) = next {
            match news {
                News::Report(report) => {
                    self.stuck.remove(report.attempt().0);
                    self.reports.push_back(report);
                    is_news = true;
                }
                News::Held { effect, attempt, control } => {
                    if let Some(flight) = self.in_flight.get_mut(&effect)
                        && flight.attempt == attempt
                    {
                        flight.control = Some(control);
                    }
                    is_news = true;
                }
                News::Beat { effect, beat } => self.say_beat(&effect, &beat),
                News::StoreGone { effect, exit } => {
                    self.in_flight.remove(&effect);
                    self.exits.extend(exit);
                    self.is_store_gone = true;
                    is_news = true;
                }
                News::Trouble { effect, attempt, trouble } => {
                    self.stick(effect, attempt, trouble);
                    is_news = true;
                }
            }
            next = self.incoming.try_recv().ok();
        }
        is_news
    }

    /// Takes note that nothing can be told of an attempt for now, and says so in the log.
    pub(super) fn stick(&mut self, effect: EffectId, attempt: Attempt, trouble: Trouble) {
        // What was begun later is not meant.
        if self.in_flight.get(&effect).is_none_or(|flight| flight.attempt != attempt) {
            return;
        }
        self.in_flight.remove(&effect);
        let is_damage = matches!(trouble, Trouble::Damage(_));
        let message = match trouble {
            Trouble::Damage(message) | Trouble::Other(message) => message,
            Trouble::NoRoom(message) => {
                self.no_room = Some(DriveError::NoRoom { effect: effect.clone(), message: message.clone() });
                message
            }
        };
        tracing::debug!(%effect, %message, "work cannot be followed for now");
        let message: String = message.chars().take(MESSAGE_CHARS).collect();
        let pause = self.stuck.get(&effect).map_or(STUCK_AGAIN_FIRST, |last| last.pause * 2);
        let pause = pause.min(STUCK_AGAIN_LONGEST);
        let stuck = Stuck { message: message.clone(), is_damage, again_at: Instant::now() + pause, pause };
        self.stuck.insert(effect.clone(), stuck);
        self.reports.push_back(Report::Stuck { effect, attempt, message });
    }

    /// Lets everything that is stuck be looked for again with the next look.
    pub(super) fn look_again_at_once(&mut self) {
        self.stuck.clear();
    }

    /// Why the run cannot go on here, if nothing works and nothing is waited for but what is stuck.
    fn stands_still(&self) -> Option<DriveError> {
        let (effect, stuck) = self.stuck.first_key_value()?;
        let is_all = self.in_flight.is_empty() && self.machine.next_timer().is_none();
        let (effect, message) = (effect.clone(), stuck.message.clone());
        is_all.then(|| match stuck.is_damage {
            true => DriveError::Damaged { effect, message },
            false => DriveError::Work { effect, message },
        })
    }

    async fn read_what_is_there(&mut self) -> Result<(), DriveError> {
        while let Some(delivery) = self.subscription.try_next().await? {
            self.take(delivery)?;
        }
        Ok(())
    }

    /// Takes what the log says. True if it is not one of the run's own facts, which were folded when they were decided.
    fn take(&mut self, delivery: Delivery) -> Result<bool, DriveError> {
        let Delivery::Event(recorded) = delivery else { return Ok(false) };
        while self.own.front().is_some_and(|(_, last)| *last < recorded.seq) {
            self.own.pop_front();
        }
        let is_own = self.own.front().is_some_and(|(first, last)| (*first..=*last).contains(&recorded.seq));
        if is_own {
            self.machine.acknowledge(recorded.seq);
        } else {
            self.machine.apply(&recorded).map_err(RunError::Decode)?;
            self.check_epoch()?;
        }
        self.feed_sinks(&recorded);
        Ok(!is_own)
    }

    /// A new owner ends this drive at once, not only with the next append: what is in flight is the new owner's.
    fn check_epoch(&self) -> Result<(), DriveError> {
        match self.machine.epoch() {
            current if current > self.epoch => Err(DriveError::Fenced { run: self.run, current }),
            _ => Ok(()),
        }
    }

    fn feed_sinks(&self, recorded: &Recorded) {
        self.owner.sinks.iter().for_each(|sink| sink.give(recorded));
    }

    /// Throws the machine away and folds it anew: what it had decided was not taken.
    pub(super) async fn fold_anew(&mut self) -> Result<(), DriveError> {
        self.machine = self.owner.store.machine(self.run).await?;
        self.own.clear();
        let seen = self.subscription.seq();
        self.subscription = self.owner.store.log.follow(&self.topic, self.machine.head());
        self.check_epoch()?;
        self.feed_sinks_between(seen, self.machine.head()).await
    }

    /// Gives the sinks what stands after `seen` up to `last`, which nobody reads back any more.
    pub(super) async fn feed_sinks_between(&self, mut seen: Seq, last: Seq) -> Result<(), DriveError> {
        while !self.owner.sinks.is_empty() && seen < last {
            let page =
                self.owner.store.log.read(&self.topic, seen, Direction::Forward, PAGE_EVENTS_MAX).await?;
            let Some(read) = page.events.last().map(|recorded| recorded.seq) else { break };
            page.events
                .iter()
                .filter(|recorded| recorded.seq <= last)
                .for_each(|recorded| self.feed_sinks(recorded));
            seen = read;
        }
        Ok(())
    }

    /// Reads the last facts back for the sinks. Inputs of a later moment are not this owner's any more.
    pub(super) async fn read_own_last_words(&self) -> Result<(), DriveError> {
        let seen = self.subscription.seq();
        let last = self.own.back().map_or(seen, |(_, last)| *last);
        self.feed_sinks_between(seen, last).await
    }

    /// Gives the run up if nothing newer was said.
    async fn try_to_leave(&mut self) -> Result<Option<DriveEnd>, DriveError> {
        let end = match self.machine.phase() {
            // The append that ended it gave it up.
            Phase::Ended(_) => return Ok(Some(DriveEnd::Ended(self.machine.status()))),
            Phase::Suspended { .. } => DriveEnd::Suspended,
            _ => DriveEnd::WaitingForPerson,
        };
        if self.release(OwnerReleased { epoch: self.epoch }).await? {
            return Ok(Some(end));
        }
        self.fold_anew().await?;
        Ok(None)
    }

    /// How long nothing needs to be looked at.
    fn patience(&self) -> Duration {
        let now = self.owner.store.clock.wall();
        let longest = if self.is_untold { STOP_AGAIN } else { CLOCK_BACKSTOP };
        let waits = |(effect, _): &(&EffectId, &Stuck)| !self.in_flight.contains_key(effect);
        let again = self.stuck.iter().filter(waits).map(|(_, stuck)| stuck.again_at).min();
        let again = again.map(|again_at| again_at.duration_since(Instant::now()));
        let longest = again.map_or(longest, |again| again.min(longest));
        let longest = match self.checkout_again_at() {
            Some(again_at) => again_at.duration_since(Instant::now()).min(longest),
            None => longest,
        };
        self.machine.next_timer().map_or(longest, |due_at| due_at.since(now)).min(longest)
    }

    fn slept(&self) -> Option<Duration> {
        let asleep = self.owner.store.clock.asleep().saturating_sub(self.asleep);
        (asleep >= SLEPT_AT_LEAST).then_some(asleep)
    }

    fn stop(&mut self, effect: &EffectId, reason: StopReason) {
        let epoch = self.epoch;
        let Some(flight) = self.in_flight.get_mut(effect) else { return };
        if flight.call_off() {
            let (effect, attempt) = (effect.clone(), flight.attempt);
            let evidence = LostEvidence::NotBegun;
            self.reports.push_back(Report::Lost { effect, attempt, evidence, ended_processes: 0 });
        } else {
            self.is_untold |= !flight.stop(epoch, reason);
        }
    }
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
