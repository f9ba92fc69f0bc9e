//! The keeper's loop: what comes is kept, what is due is done.

use std::io;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use super::beat::Beats;
use super::capture::{Capture, Feed, READ_BYTES, Taken};
use super::clients::{Clients, Command};
use super::ending::Ending;
use super::finish::Ended;
use super::reaper::{Death, Reaper};
use crate::clock::awake;
use crate::crash_point::CrashPoints;
use crate::process::timespec;
use crate::protocol::{FromKeeper, PROTOCOL_VERSION, ToKeeper};
use crate::record::EndedBy;
use crate::spec::ProcessSpec;
use crate::spool::{OrderWriter, Stream};
use crate::tree::{Kin, REAPER_SEES_ALL};

/// After the main process ended, what its children still say is waited for at most so long.
const DRAIN_MAX: Duration = Duration::from_secs(2);
/// The wait is over earlier when nothing came for so long.
const DRAIN_QUIET: Duration = Duration::from_millis(250);
/// Time between TERM and KILL for what the main process left behind.
const LEFT_BEHIND_GRACE: Duration = Duration::from_millis(500);
/// Reads of one pipe after the end: more than a pipe holds, and an end if a survivor goes on talking.
const LAST_READS_MAX: usize = 64;

/// Where the attempt stands.
enum Phase {
    /// The main process runs.
    Running,
    /// It ended; its children may still say something.
    Draining { since: Instant },
    /// The whole tree is being ended.
    Ending(Ending),
    /// Nothing is left.
    Over,
}

/// A descriptor that became ready.
#[derive(Clone, Copy)]
enum Ready {
    Reaper,
    Connection,
    Output(Stream),
    Feed,
    Client { index: usize, flags: PollFlags },
}

/// One running agent.
pub(super) struct Supervisor {
    spec: ProcessSpec,
    kin: Kin,
    pid: u32,
    started: Instant,
    last_output: Instant,
    captures: [Capture; 2],
    order: OrderWriter,
    feed: Feed,
    clients: Clients,
    reaper: Reaper,
    beats: Beats,
    phase: Phase,
    /// When the main process was seen dead.
    main_ended: Option<Instant>,
    /// Whether no child is left.
    childless: bool,
    stall_told: bool,
    buffer: Vec<u8>,
    ended: Ended,
}

impl Supervisor {
    #[expect(
        clippy::too_many_arguments,
        reason = "the parts are made one by one before the start and meet only here"
    )]
    pub(super) fn new(
        spec: ProcessSpec,
        kin: Kin,
        pid: u32,
        started: Instant,
        captures: [Capture; 2],
        order: OrderWriter,
        feed: Feed,
        clients: Clients,
        reaper: Reaper,
        ended: Ended,
    ) -> Supervisor {
        let beats = Beats::new(&spec, pid, started);
        Supervisor {
            spec,
            kin,
            pid,
            started,
            last_output: started,
            captures,
            order,
            feed,
            clients,
            reaper,
            beats,
            phase: Phase::Running,
            main_ended: None,
            childless: false,
            stall_told: false,
            buffer: vec![0; READ_BYTES],
            ended,
        }
    }

    /// Runs until nothing of the agent is left.
    pub(super) fn run(mut self, crash: &CrashPoints) -> io::Result<Ended> {
        loop {
            self.act(awake())?;
            if matches!(self.phase, Phase::Over) {
                break;
            }
            for ready in self.wait()? {
                self.handle(ready, crash)?;
            }
            self.clients.sweep();
        }
        for index in [0, 1] {
            for _read in 0..LAST_READS_MAX {
                if self.captures[index].take(&mut self.buffer, &mut self.order) != Taken::Bytes {
                    break;
                }
            }
        }
        let end = self.main_ended.unwrap_or_else(awake);
        self.ended.duration_ms = millis(end.saturating_duration_since(self.started));
        self.ended.take_streams(self.captures, self.order, self.clients);
        Ok(self.ended)
    }

    /// Does what is due.
    fn act(&mut self, now: Instant) -> io::Result<()> {
        match &mut self.phase {
            Phase::Over => {}
            Phase::Running if self.main_ended.is_some() => {
                self.phase = Phase::Draining { since: now };
                self.act(now)?;
            }
            Phase::Running => self.check_budgets(now)?,
            Phase::Draining { since } => {
                let since = *since;
                self.drain(since, now)?;
            }
            Phase::Ending(ending) => {
                let gone = if REAPER_SEES_ALL {
                    self.childless
                } else {
                    self.main_ended.is_some() && self.kin.living()?.is_empty()
                };
                if gone {
                    self.phase = Phase::Over;
                } else if let Some(survivors) = ending.act(&self.kin, now)? {
                    self.ended.survivors = survivors;
                    self.phase = Phase::Over;
                }
            }
        }
        if self.clients.any_attached() && self.beats.is_due(now) {
            let raw_bytes = [self.captures[0].raw_bytes, self.captures[1].raw_bytes];
            let stalled = self.silence_notice().is_some_and(|notice| now >= self.last_output + notice);
            let cpu_ms = self.kin.cpu_ms().unwrap_or(None);
            let beat = self.beats.beat(now, raw_bytes, self.main_ended.is_none(), stalled, cpu_ms);
            self.clients.mention(&FromKeeper::Beat { beat });
        }
        Ok(())
    }

    fn check_budgets(&mut self, now: Instant) -> io::Result<()> {
        let grace = Duration::from_millis(self.spec.grace_ms);
        if let Some(timeout_ms) = self.spec.timeout_ms
            && now >= self.started + Duration::from_millis(timeout_ms)
        {
            return self.begin_end(EndedBy::Timeout, grace, now);
        }
        if !self.stall_told && self.silence_notice().is_some_and(|notice| now >= self.last_output + notice) {
            self.stall_told = true;
            let stalled = self.stalled(now);
            self.clients.tell(&stalled);
        }
        match self.spec.idle_timeout_ms {
            Some(idle_ms) if now >= self.last_output + Duration::from_millis(idle_ms) => {
                self.begin_end(EndedBy::IdleTimeout, grace, now)
            }
            _ => Ok(()),
        }
    }

    /// The main process is dead: ends when its children have said their last, and ends them.
    fn drain(&mut self, since: Instant, now: Instant) -> io::Result<()> {
        if self.childless && REAPER_SEES_ALL {
            self.phase = Phase::Over;
            return Ok(());
        }
        let silent = self.captures.iter().all(|capture| capture.pipe().is_none())
            || now >= since + DRAIN_MAX
            || now >= since.max(self.last_output) + DRAIN_QUIET;
        if !silent {
            return Ok(());
        }
        let living = self.kin.living()?;
        if living.is_empty() {
            self.phase = Phase::Over;
            return Ok(());
        }
        self.ended.left_behind = u32::try_from(living.len()).unwrap_or(u32::MAX);
        self.begin_end(EndedBy::Exit, LEFT_BEHIND_GRACE, now)
    }

    fn begin_end(&mut self, ended_by: EndedBy, grace: Duration, now: Instant) -> io::Result<()> {
        self.ended.ended_by = ended_by;
        let group = if self.main_ended.is_none() { Some(self.pid) } else { None };
        self.phase = Phase::Ending(Ending::begin(&self.kin, group, grace, now)?);
        Ok(())
    }

    /// Waits until something is ready or due.
    fn wait(&self) -> io::Result<Vec<Ready>> {
        let mut tokens = vec![Ready::Reaper, Ready::Connection];
        let mut descriptors = vec![
            PollFd::new(&self.reaper.wake, PollFlags::IN),
            PollFd::new(self.clients.listener(), PollFlags::IN),
        ];
        if self.childless {
            // The reaper's pipe is closed and would be ready for ever.
            tokens.remove(0);
            descriptors.remove(0);
        }
        for stream in Stream::BOTH {
            if let Some(pipe) = self.captures[stream.index()].pipe() {
                tokens.push(Ready::Output(stream));
                descriptors.push(PollFd::new(pipe, PollFlags::IN));
            }
        }
        if let Some(pipe) = self.feed.pipe() {
            tokens.push(Ready::Feed);
            descriptors.push(PollFd::new(pipe, PollFlags::OUT));
        }
        for (index, (stream, waiting)) in self.clients.streams().enumerate() {
            tokens.push(Ready::Client { index, flags: PollFlags::empty() });
            let interest = if waiting { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN };
            descriptors.push(PollFd::new(stream, interest));
        }
        let limit = self.next_due().map(|due| timespec(due.saturating_duration_since(awake())));
        match poll(&mut descriptors, limit.as_ref()) {
            Ok(_) => {}
            Err(Errno::INTR) => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        }
        let ready = tokens.into_iter().zip(&descriptors).filter(|(_, polled)| !polled.revents().is_empty());
        Ok(ready
            .map(|(token, polled)| match token {
                Ready::Client { index, .. } => Ready::Client { index, flags: polled.revents() },
                other => other,
            })
            .collect())
    }

    /// When something is due next, whatever comes.
    fn next_due(&self) -> Option<Instant> {
        let after =
            |from: Instant, millis: Option<u64>| millis.map(|millis| from + Duration::from_millis(millis));
        let in_phase = match &self.phase {
            Phase::Running => {
                let notice = self
                    .silence_notice()
                    .filter(|_| !self.stall_told)
                    .map(|notice| self.last_output + notice);
                [
                    after(self.started, self.spec.timeout_ms),
                    after(self.last_output, self.spec.idle_timeout_ms),
                    notice,
                ]
                .into_iter()
                .flatten()
                .min()
            }
            Phase::Draining { since } => {
                Some((*since + DRAIN_MAX).min((*since).max(self.last_output) + DRAIN_QUIET))
            }
            Phase::Ending(ending) => Some(ending.due()),
            Phase::Over => None,
        };
        let beat = self.clients.any_attached().then(|| self.beats.due());
        [in_phase, beat].into_iter().flatten().min()
    }

    fn handle(&mut self, ready: Ready, crash: &CrashPoints) -> io::Result<()> {
        match ready {
            Ready::Reaper => {
                for death in self.reaper.take()? {
                    self.note(death, crash);
                }
            }
            Ready::Connection => self.clients.accept(),
            Ready::Output(stream) => {
                if self.captures[stream.index()].take(&mut self.buffer, &mut self.order) == Taken::Bytes {
                    self.last_output = awake();
                    self.stall_told = false;
                }
            }
            Ready::Feed => self.feed.give(),
            Ready::Client { index, flags } => {
                if flags.contains(PollFlags::OUT) {
                    self.clients.flush(index);
                }
                if flags.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) {
                    for command in self.clients.read(index) {
                        self.obey(command)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn note(&mut self, death: Death, crash: &CrashPoints) {
        match death {
            Death::Child { pid, exit_code, signal } if pid == self.pid && self.main_ended.is_none() => {
                self.main_ended = Some(awake());
                self.ended.exit_code = exit_code;
                self.ended.signal = signal;
                crash.pass("keeper.after_main_exit");
            }
            Death::Child { .. } => {}
            Death::NoneLeft => self.childless = true,
        }
        if let Phase::Ending(ending) = &mut self.phase {
            ending.somebody_died();
        }
    }

    fn obey(&mut self, command: Command) -> io::Result<()> {
        let Command { client, says } = command;
        match says {
            ToKeeper::Attach { version: PROTOCOL_VERSION, epoch } => {
                if self.clients.admit(client, epoch) {
                    let mut messages = vec![FromKeeper::Running {
                        version: PROTOCOL_VERSION,
                        effect: self.spec.effect.clone(),
                        attempt: self.spec.attempt,
                        pid: self.pid,
                        keeper_pid: self.kin.keeper_pid,
                    }];
                    if self.stall_told {
                        messages.push(self.stalled(awake()));
                    }
                    self.clients.attach(client, epoch, &messages);
                }
            }
            ToKeeper::Attach { version, .. } => {
                let reason = format!("this keeper speaks version {PROTOCOL_VERSION}, not {version}");
                self.clients.answer(client, &FromKeeper::Refused { reason });
            }
            ToKeeper::Stop { epoch, reason, grace_ms } => {
                if self.clients.admit(client, epoch) {
                    let (now, grace) = (awake(), Duration::from_millis(grace_ms));
                    match &mut self.phase {
                        Phase::Running if self.main_ended.is_none() => {
                            self.begin_end(EndedBy::Stop { reason }, grace, now)?;
                        }
                        Phase::Ending(ending) => ending.hurry(now + grace),
                        // It has ended by itself; what it left behind is being ended anyway.
                        Phase::Running | Phase::Draining { .. } | Phase::Over => {}
                    }
                }
            }
        }
        Ok(())
    }

    /// Silence after which a stall is announced: always before the idle budget is used up.
    fn silence_notice(&self) -> Option<Duration> {
        let latest_ms = self.spec.idle_timeout_ms.map(|idle_ms| idle_ms / 5 * 4);
        [self.spec.idle_notice_ms, latest_ms].into_iter().flatten().min().map(Duration::from_millis)
    }

    fn stalled(&self, now: Instant) -> FromKeeper {
        let silent_ms = millis(now.saturating_duration_since(self.last_output));
        let stop_in_ms = self.spec.idle_timeout_ms.map(|idle_ms| idle_ms.saturating_sub(silent_ms));
        FromKeeper::Stalled { silent_ms, stop_in_ms }
    }
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
