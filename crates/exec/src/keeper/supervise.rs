//! The keeper's loop: what comes is kept, what is due is done.

use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::address::Address;
use super::capture::{Capture, READ_BYTES, StdinWriter, Taken};
use super::clients::{Clients, Command};
use super::ending::{Ending, living_or_unknown};
use super::finish::Ended;
use super::heartbeat::Heartbeats;
use super::reaper::{Death, Reaper};
use super::setup::Machinery;
use super::signals::{Called, SIGNALS, SignalWatch};
use crate::clock::{after, awake};
use crate::crash_point::CrashPoints;
use crate::human_wait::{Waited, waited_in};
use crate::ignore::ignore_error;
use crate::process::timespec;
use crate::protocol::{FromKeeper, PROTOCOL_VERSION, ToKeeper};
use crate::record::EndedBy;
use crate::spec::ProcessSpec;
use crate::spool::{OrderWriter, Stream};
use crate::tree::{ProcessTree, REAPER_SEES_ALL};

/// After the main process ended, what its children still say is waited for at most so long.
const DRAIN_MAX: Duration = Duration::from_secs(2);
/// The wait is over earlier when nothing came for so long.
const DRAIN_QUIET: Duration = Duration::from_millis(250);
/// After a main process that ended as if it had been told to, the same word to the keeper is waited for so long.
const WORD_PATIENCE: Duration = Duration::from_millis(500);
/// A shell whose command was ended by a signal exits with this and its number.
const SHELL_SIGNAL_CODE: i32 = 128;
/// Time between TERM and KILL for what the main process left behind.
const LEFT_BEHIND_GRACE: Duration = Duration::from_millis(500);
/// Reads of one pipe after the end: more than a pipe holds, and an end if a survivor goes on talking.
const LAST_READS_MAX: usize = 64;

/// How often it is looked whether a person is still waited for.
const LOOK_AT_WAITS: Duration = Duration::from_secs(1);
/// The time between two tries where the system does not let the keeper wait.
const BLIND_PAUSE: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

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
    SignalWatch,
    Called,
    Connection,
    Output(Stream),
    StdinWriter,
    Client { index: usize, flags: PollFlags },
}

/// One running agent.
pub(super) struct Supervisor {
    spec: ProcessSpec,
    tree: ProcessTree,
    pid: u32,
    started: Instant,
    last_output: Instant,
    captures: [Capture; 2],
    order: OrderWriter,
    stdin: StdinWriter,
    clients: Clients,
    reaper: Reaper,
    signals: SignalWatch,
    called: Called,
    address: Address,
    beats: Heartbeats,
    phase: Phase,
    /// When the main process was seen dead.
    main_ended: Option<Instant>,
    /// Whether no child is left.
    childless: bool,
    stall_told: bool,
    /// What waits for people gave back to the budgets.
    waited: Waited,
    /// While somebody is waited for, nothing falls due before this.
    not_before: Option<Instant>,
    buffer: Vec<u8>,
    ended: Ended,
}

impl Supervisor {
    /// Looks after the process `pid` of `tree`.
    pub(super) fn new(
        spec: ProcessSpec,
        tree: ProcessTree,
        pid: u32,
        started: Instant,
        machinery: Machinery,
        address: Address,
    ) -> Supervisor {
        let Machinery { captures, order, stdin, clients, reaper, signals, called, ended } = machinery;
        let beats = Heartbeats::new(&spec, pid, started);
        Supervisor {
            spec,
            tree,
            pid,
            started,
            last_output: started,
            captures,
            order,
            stdin,
            clients,
            reaper,
            signals,
            called,
            address,
            beats,
            phase: Phase::Running,
            main_ended: None,
            childless: false,
            stall_told: false,
            waited: Waited::default(),
            not_before: None,
            buffer: vec![0; READ_BYTES],
            ended,
        }
    }

    /// Runs until nothing of the agent is left. What the system refuses meanwhile is tried again: a keeper that gave up would
    /// leave its agent alone.
    pub(super) fn run(mut self, crash: &CrashPoints) -> Ended {
        loop {
            self.act(awake());
            if matches!(self.phase, Phase::Over) {
                break;
            }
            for ready in self.wait() {
                self.handle(ready, crash);
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
        self.ended
    }

    /// Does what is due.
    fn act(&mut self, now: Instant) {
        let group = self.group();
        match &mut self.phase {
            Phase::Over => {}
            Phase::Running if self.main_ended.is_some() => {
                self.phase = Phase::Draining { since: now };
                self.act(now);
            }
            Phase::Running => self.check_budgets(now),
            Phase::Draining { since } => {
                let since = *since;
                self.drain(since, now);
            }
            Phase::Ending(ending) => {
                let gone = if REAPER_SEES_ALL {
                    self.childless
                } else {
                    group.is_none() && living_or_unknown(&self.tree).is_some_and(|living| living.is_empty())
                };
                if gone {
                    self.phase = Phase::Over;
                } else if let Some(survivors) = ending.act(&self.tree, group, now) {
                    self.ended.survivors = survivors;
                    self.phase = Phase::Over;
                }
            }
        }
        if self.clients.any_attached() && self.beats.is_due(now) {
            let raw_bytes = [self.captures[0].raw_bytes, self.captures[1].raw_bytes];
            let stalled = self.silence_notice().is_some_and(|notice| now >= after(self.last_output, notice));
            let cpu_ms = self.tree.cpu_ms().unwrap_or(None);
            let beat = self.beats.beat(now, raw_bytes, self.main_ended.is_none(), stalled, cpu_ms);
            self.clients.mention(&FromKeeper::Beat { beat });
        }
    }

    /// The agent's process group, as long as its number cannot be another's.
    fn group(&self) -> Option<u32> {
        self.main_ended.is_none().then_some(self.pid)
    }

    fn check_budgets(&mut self, now: Instant) {
        if self.next_budget().is_none_or(|due| now < due) || self.waits_for_people(now) {
            return;
        }
        let grace = Duration::from_millis(self.spec.grace_ms);
        if let Some(timeout_ms) = self.spec.timeout_ms
            && now >= after(self.started, Duration::from_millis(timeout_ms)) + self.waited.total
        {
            return self.begin_end(EndedBy::Timeout, grace, now);
        }
        if !self.stall_told
            && self.silence_notice().is_some_and(|notice| now >= after(self.last_output, notice))
        {
            self.stall_told = true;
            let stalled = self.stalled(now);
            self.clients.tell(&stalled);
        }
        if let Some(idle_ms) = self.spec.idle_timeout_ms
            && now >= after(self.last_output, Duration::from_millis(idle_ms))
        {
            self.begin_end(EndedBy::IdleTimeout, grace, now);
        }
    }

    /// When the next budget is used up, as far as is known.
    fn next_budget(&self) -> Option<Instant> {
        let after_ms = |from, millis: u64| after(from, Duration::from_millis(millis));
        let notice = self.silence_notice().filter(|_| !self.stall_told);
        let due = [
            self.spec.timeout_ms.map(|timeout_ms| after_ms(self.started, timeout_ms) + self.waited.total),
            self.spec.idle_timeout_ms.map(|idle_ms| after_ms(self.last_output, idle_ms)),
            notice.map(|notice| after(self.last_output, notice)),
        ];
        due.into_iter()
            .flatten()
            .min()
            .map(|due| self.not_before.map_or(due, |not_before| due.max(not_before)))
    }

    /// Whether the budgets stand still, because the agent waits for a person or did so until a moment ago. To be asked when
    /// one is used up; it gives them back what the waits took.
    fn waits_for_people(&mut self, now: Instant) -> bool {
        let waited = waited_in(self.ended.folder());
        let more = waited.total.saturating_sub(self.waited.total);
        self.waited = Waited { total: waited.total.max(self.waited.total), now: waited.now };
        if waited.now {
            self.last_output = now;
            self.not_before = Some(now + LOOK_AT_WAITS);
        } else {
            self.last_output = (self.last_output + more).min(now);
        }
        waited.now || more > Duration::ZERO
    }

    /// The main process is dead: ends when its children have said their last, and ends them.
    fn drain(&mut self, since: Instant, now: Instant) {
        if self.waits_for_word() && now < since + WORD_PATIENCE {
            return;
        }
        if self.childless && REAPER_SEES_ALL {
            self.phase = Phase::Over;
            return;
        }
        let silent = self.captures.iter().all(|capture| capture.pipe().is_none())
            || now >= since + DRAIN_MAX
            || now >= since.max(self.last_output) + DRAIN_QUIET;
        if !silent {
            return;
        }
        // Who cannot be counted counts as one: there is a child.
        let left_behind = living_or_unknown(&self.tree).map_or(1, |living| living.len());
        if left_behind == 0 {
            self.phase = Phase::Over;
            return;
        }
        self.ended.left_behind = u32::try_from(left_behind).unwrap_or(u32::MAX);
        let ended_by = self.ended.ended_by.clone();
        self.begin_end(ended_by, LEFT_BEHIND_GRACE, now);
    }

    fn begin_end(&mut self, ended_by: EndedBy, grace: Duration, now: Instant) {
        self.ended.ended_by = ended_by;
        self.phase = Phase::Ending(Ending::begin(&self.tree, self.group(), grace, now));
    }

    /// The keeper itself was told to end: its agent would go on alone.
    fn end_as_told(&mut self, signal: i32, now: Instant) {
        let grace = Duration::from_millis(self.spec.grace_ms);
        match &mut self.phase {
            Phase::Running if self.main_ended.is_none() => {
                self.begin_end(EndedBy::Signalled { signal }, grace, now);
            }
            Phase::Ending(ending) => ending.hurry(after(now, grace)),
            // It was told too, and was faster. What says that it succeeded is believed.
            Phase::Running | Phase::Draining { .. } if self.ended.exit_code != Some(0) => {
                self.ended.ended_by = EndedBy::Signalled { signal };
            }
            // It has ended by itself; what it left behind is being ended anyway.
            Phase::Running | Phase::Draining { .. } | Phase::Over => {}
        }
    }

    /// Whether the main process ended as one does that is told to end, and nobody here had told it: who told it may be
    /// telling the keeper in this moment.
    fn waits_for_word(&self) -> bool {
        let looks_signalled = SIGNALS.iter().any(|&signal| {
            self.ended.signal == Some(signal) || self.ended.exit_code == Some(SHELL_SIGNAL_CODE + signal)
        });
        looks_signalled && self.ended.ended_by == EndedBy::Exit
    }

    /// Waits until something is ready or due.
    fn wait(&self) -> Vec<Ready> {
        let now = awake();
        let mut tokens = vec![Ready::SignalWatch, Ready::Called];
        let mut descriptors = vec![
            PollFd::new(&self.signals.wake, PollFlags::IN),
            PollFd::new(&self.called.wake, PollFlags::IN),
        ];
        // Without children the reaper's pipe is closed and would be ready for ever.
        if !self.childless {
            tokens.push(Ready::Reaper);
            descriptors.push(PollFd::new(&self.reaper.wake, PollFlags::IN));
        }
        if let Some(listener) = self.clients.listener(now) {
            tokens.push(Ready::Connection);
            descriptors.push(PollFd::new(listener, PollFlags::IN));
        }
        for stream in Stream::BOTH {
            if let Some(pipe) = self.captures[stream.index()].pipe() {
                tokens.push(Ready::Output(stream));
                descriptors.push(PollFd::new(pipe, PollFlags::IN));
            }
        }
        if let Some(pipe) = self.stdin.pipe() {
            tokens.push(Ready::StdinWriter);
            descriptors.push(PollFd::new(pipe, PollFlags::OUT));
        }
        for (index, (stream, waiting)) in self.clients.streams().enumerate() {
            tokens.push(Ready::Client { index, flags: PollFlags::empty() });
            let interest = if waiting { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN };
            descriptors.push(PollFd::new(stream, interest));
        }
        let limit = self.next_due(now).map(|due| timespec(due.saturating_duration_since(now)));
        match poll(&mut descriptors, limit.as_ref()) {
            Ok(_) => {}
            Err(Errno::INTR) => return Vec::new(),
            // No memory, or fewer descriptors allowed than are open. None of them ever waits, so all can be tried.
            Err(_refused) => {
                let pause = limit.unwrap_or(BLIND_PAUSE).min(BLIND_PAUSE);
                ignore_error(poll(&mut [], Some(&pause)), "without the pause it is only tried more often");
                let all = |token| match token {
                    Ready::Client { index, .. } => Ready::Client { index, flags: PollFlags::all() },
                    other => other,
                };
                return tokens.into_iter().map(all).collect();
            }
        }
        let ready = tokens.into_iter().zip(&descriptors).filter(|(_, polled)| !polled.revents().is_empty());
        ready
            .map(|(token, polled)| match token {
                Ready::Client { index, .. } => Ready::Client { index, flags: polled.revents() },
                other => other,
            })
            .collect()
    }

    /// When something is due next, whatever comes.
    fn next_due(&self, now: Instant) -> Option<Instant> {
        let in_phase = match &self.phase {
            Phase::Running => self.next_budget(),
            Phase::Draining { since } if self.waits_for_word() && now < *since + WORD_PATIENCE => {
                Some(*since + WORD_PATIENCE)
            }
            Phase::Draining { since } => {
                Some((*since + DRAIN_MAX).min((*since).max(self.last_output) + DRAIN_QUIET))
            }
            Phase::Ending(ending) => Some(ending.due()),
            Phase::Over => None,
        };
        let beat = self.clients.any_attached().then(|| self.beats.due());
        [in_phase, beat, self.clients.deaf_until(now)].into_iter().flatten().min()
    }

    fn handle(&mut self, ready: Ready, crash: &CrashPoints) {
        match ready {
            Ready::Reaper => {
                for death in self.reaper.take() {
                    self.note(death, crash);
                }
            }
            Ready::SignalWatch => {
                if let Some(signal) = self.signals.take() {
                    self.end_as_told(signal, awake());
                }
            }
            Ready::Called => {
                if self.called.take() {
                    ignore_error(self.listen_anew(), "who finds nobody there calls again");
                }
            }
            Ready::Connection => self.clients.accept(awake()),
            Ready::Output(stream) => {
                if self.captures[stream.index()].take(&mut self.buffer, &mut self.order) == Taken::Bytes {
                    self.last_output = awake();
                    self.stall_told = false;
                }
            }
            Ready::StdinWriter => self.stdin.give(),
            Ready::Client { index, flags } => {
                if flags.contains(PollFlags::OUT) {
                    self.clients.flush(index);
                }
                if flags.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) {
                    for command in self.clients.read(index) {
                        self.obey(command);
                    }
                }
            }
        }
    }

    /// Makes its socket again, if it was removed.
    fn listen_anew(&mut self) -> std::io::Result<()> {
        let Some(listener) = self.address.renew()? else { return Ok(()) };
        self.ended.socket = self.address.file.socket.clone();
        self.clients.listen_at(listener)
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

    fn obey(&mut self, command: Command) {
        let Command { client, says } = command;
        match says {
            ToKeeper::Attach { version: PROTOCOL_VERSION, epoch } => {
                if self.clients.admit(client, epoch) {
                    let mut messages = vec![FromKeeper::Running {
                        version: PROTOCOL_VERSION,
                        effect: self.spec.effect.clone(),
                        attempt: self.spec.attempt,
                        pid: self.pid,
                        keeper_pid: self.tree.keeper_pid,
                    }];
                    if self.stall_told {
                        messages.push(self.stalled(awake()));
                    }
                    self.clients.attach(client, epoch, &messages);
                }
            }
            ToKeeper::Attach { version, .. } => {
                let reason = format!("this keeper speaks version {PROTOCOL_VERSION}, not {version}");
                self.clients.answer(client, &FromKeeper::Refused { reason, no_room: false });
            }
            ToKeeper::Stop { epoch, reason, grace_ms } => {
                if self.clients.admit(client, epoch) {
                    let (now, grace) = (awake(), Duration::from_millis(grace_ms));
                    match &mut self.phase {
                        Phase::Running if self.main_ended.is_none() => {
                            self.begin_end(EndedBy::Stop { reason }, grace, now);
                        }
                        Phase::Ending(ending) => ending.hurry(after(now, grace)),
                        // It has ended by itself; what it left behind is being ended anyway.
                        Phase::Running | Phase::Draining { .. } | Phase::Over => {}
                    }
                }
            }
        }
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
