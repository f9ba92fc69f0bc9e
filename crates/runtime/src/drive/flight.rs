//! Work in flight: starting, finding again, stopping.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use backstay_agent::Preset;
use backstay_engine::run::EffectSpec;
use backstay_engine::{EndedBy, ProcessEnded, Report, StopReason};
use backstay_exec::{
    KeeperControl, KeeperEvent, KeeperEvents, KeeperHandle, Keepers, RecoverError, Recovered, Secrets,
    StartError,
};
use backstay_log::crash::crash_point;
use backstay_log::{ClaimMode, OwnerGuard, is_out_of_space};
use backstay_model::event::{Heartbeat, LostEvidence, TreeOutcome};
use backstay_model::{Attempt, EffectCall, EffectId, Epoch, StorePath};
use camino::Utf8PathBuf;
use tokio::sync::mpsc::UnboundedSender;

use super::checkout::CHECKOUT_RUN;
use super::damage::is_damage;
use super::ended::collect;
use super::gone::KeptExit;
use super::prepare::Unready;
use super::redact;
use super::run_loop::Drive;
use crate::agents::{AgentCase, Attendant, Attended, Versions};
use crate::store::Store;
use crate::trees::TreeMoment;

/// The variable by which an owner is told not to keep checkouts: `off`.
const TREES: &str = "BACKSTAY_TREES";
/// How long work that is told to stop has before it is killed.
pub(super) const GRACE: Duration = Duration::from_secs(5);

/// One attempt that this process looks after.
#[derive(Debug)]
pub(super) struct Flight {
    pub(super) attempt: Attempt,
    /// The way to its keeper, once there is one.
    pub(super) control: Option<KeeperControl>,
    stopping: Option<StopReason>,
    gate: Gate,
}

/// What decides between a start and a stop that come at the same time.
#[derive(Clone, Debug)]
struct Gate(Arc<Mutex<Stage>>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Its thread prepares it, which may take long.
    Preparing,
    /// It may begin at any moment, or has begun.
    Passed,
    /// It will not begin.
    CalledOff,
}

impl Gate {
    fn at(stage: Stage) -> Gate {
        Gate(Arc::new(Mutex::new(stage)))
    }

    /// Goes from preparing to `stage`, or says that somebody was first.
    fn go(&self, stage: Stage) -> bool {
        let mut now = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_first = *now == Stage::Preparing;
        if is_first {
            *now = stage;
        }
        is_first
    }
}

/// What the threads that look after work tell the loop.
#[derive(Debug)]
pub(super) enum News {
    /// Something to decide about.
    Report(Report),
    /// A keeper holds the work.
    Held { effect: EffectId, attempt: Attempt, control: KeeperControl },
    /// A sign of life.
    Beat { effect: EffectId, beat: Heartbeat },
    /// The store is not where it was: nothing more can be decided.
    StoreGone { effect: EffectId, exit: Option<KeptExit> },
    /// Nobody can say what became of it, for now.
    Trouble { effect: EffectId, attempt: Attempt, trouble: Trouble },
}

/// Why nobody can say what became of work, for now.
#[derive(Debug)]
pub(super) enum Trouble {
    /// There is no room for what has to be written before it starts, or for what it left.
    NoRoom(String),
    /// Something of the store is damaged: only a person can mend it.
    Damage(String),
    /// Something else, in words.
    Other(String),
}

impl Trouble {
    pub(super) fn of(error: &(dyn std::error::Error + 'static)) -> Trouble {
        let message = chain(error);
        if is_out_of_space(error) {
            Trouble::NoRoom(message)
        } else if is_damage(error) {
            Trouble::Damage(message)
        } else {
            Trouble::Other(message)
        }
    }
}

/// What a thread that looks after one attempt needs.
#[derive(Clone)]
pub(super) struct Watch {
    pub(super) store: Store,
    keepers: Keepers,
    pub(super) effect: EffectId,
    pub(super) attempt: Attempt,
    pub(super) epoch: Epoch,
    /// Relative to the store.
    pub(super) folder: Utf8PathBuf,
    /// Where the work works.
    pub(super) workplace: String,
    /// Where the work works; none if its checkout is not to be kept.
    pub(super) cwd: Option<Utf8PathBuf>,
    gate: Gate,
    /// The agent, where the work is one's that is known by a preset.
    pub(super) agent: Option<AgentCase>,
    /// The JSON Schema of its output.
    schema: Option<String>,
    versions: Versions,
    /// How the run was claimed.
    mode: ClaimMode,
    /// The proof of the owner, which is not kept alive by its work.
    guard: Weak<dyn OwnerGuard>,
    /// What must not reach the log: the secrets of the owner, of the workflow and, once it is read, of the agent's preset.
    pub(super) secrets: Secrets,
    news: UnboundedSender<News>,
}

impl Flight {
    /// Calls off work that was not begun: what prepares it is not waited for. False if it may begin, or is called off.
    pub(super) fn call_off(&self) -> bool {
        self.gate.go(Stage::CalledOff)
    }

    /// Tells the keeper to stop, once for each reason. False if it has to be told again.
    pub(super) fn stop(&mut self, epoch: Epoch, reason: StopReason) -> bool {
        // Without a way to it yet, its news wake the loop.
        let Some(control) = &self.control else { return true };
        if self.stopping == Some(reason) {
            return true;
        }
        let said = match reason {
            StopReason::Suspend => backstay_exec::StopReason::Suspend,
            StopReason::Cancel | StopReason::Skip => backstay_exec::StopReason::Cancel,
        };
        match control.stop(epoch, said, GRACE) {
            Ok(()) => {
                self.stopping = Some(reason);
                true
            }
            // Its end is on the way if the keeper is gone because it is done.
            Err(error) => {
                tracing::debug!(%error, "a keeper could not be told to stop");
                false
            }
        }
    }
}

impl Drive<'_> {
    /// Starts work whose start is durable.
    pub(super) fn start(&mut self, work: EffectSpec) {
        let gate = self.take_off(&work.effect, work.attempt, Stage::Preparing);
        let agent = self.case_of_work(&work);
        let watch = self.watch(&work.effect, work.attempt, gate, agent, work.env.clone());
        let env = self.env_of(&work);
        tokio::task::spawn_blocking(move || watch.start(work, env));
    }

    /// The owner's variables, as far as they are true for `work`.
    fn env_of(&self, work: &EffectSpec) -> BTreeMap<String, String> {
        let mut env = self.owner.settings.env.clone();
        // Those of a hook of git name the run's checkout: in a worktree git would write into the user's index.
        if self.machine.request().is_some_and(|request| request.cwd != work.cwd) {
            crate::trees::REPOSITORY_VARIABLES.iter().for_each(|name| drop(env.remove(*name)));
        }
        // Of whoever owns the run now it says nothing about this run.
        env.remove(CHECKOUT_RUN);
        env.extend(self.checkout_holder().map(|run| (CHECKOUT_RUN.to_owned(), run.to_string())));
        env
    }

    /// Finds out what became of work that an earlier owner had begun.
    pub(super) fn recover(&mut self, effect: EffectId, attempt: Attempt) {
        let gate = self.take_off(&effect, attempt, Stage::Passed);
        let agent = self.case_of_effect(&effect, attempt);
        let watch = match self.machine.env_of(&effect) {
            Ok(env) => self.watch(&effect, attempt, gate, agent, env),
            // What it said cannot be read without knowing what of it is secret.
            Err(error) => return self.stick(effect, attempt, Trouble::Other(error.to_string())),
        };
        let same_boot = self.machine.effect_host(&effect).is_none_or(|place| place.boot == self.owner.boot);
        tokio::task::spawn_blocking(move || watch.recover(same_boot, true));
    }

    fn take_off(&mut self, effect: &EffectId, attempt: Attempt, stage: Stage) -> Gate {
        let gate = Gate::at(stage);
        let flight = Flight { attempt, control: None, stopping: None, gate: gate.clone() };
        self.in_flight.insert(effect.clone(), flight);
        gate
    }

    /// `env` is what the workflow gives to the work: it may be secret as well as what the owner has.
    fn watch(
        &self,
        effect: &EffectId,
        attempt: Attempt,
        gate: Gate,
        agent: Option<AgentCase>,
        env: Vec<(String, String)>,
    ) -> Watch {
        let cwd = self.machine.folder_of(effect);
        let keeps = self.owner.settings.env.get(TREES).is_none_or(|wish| wish != "off");
        let keeps = keeps && !self.machine.makes_worktree(effect);
        Watch {
            store: self.owner.store.clone(),
            keepers: self.owner.settings.keepers.clone(),
            effect: effect.clone(),
            attempt,
            epoch: self.epoch,
            folder: attempt_folder(effect, attempt),
            workplace: cwd.clone().unwrap_or_default(),
            cwd: cwd.map(Utf8PathBuf::from).filter(|_| keeps),
            gate,
            agent,
            schema: self
                .machine
                .schema(effect)
                .filter(|_| effect.call == EffectCall::Main)
                .map(str::to_owned),
            versions: self.owner.versions.clone(),
            mode: self.mode,
            guard: Arc::downgrade(&self.owner.guard),
            secrets: self.owner.secrets.with_env(env),
            news: self.news.clone(),
        }
    }
}

/// The folder of an attempt, relative to the store.
pub(crate) fn attempt_folder(effect: &EffectId, attempt: Attempt) -> Utf8PathBuf {
    Utf8PathBuf::from(String::from(StorePath::of_attempt(effect, attempt)))
}

/// A thread that dies without news would leave the loop waiting for ever.
impl Drop for Watch {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.trouble(Trouble::Other("the thread that looks after it died".to_owned()));
        }
    }
}

impl Watch {
    pub(super) fn say(&self, mut news: News) {
        redact::in_news(&self.secrets, &mut news);
        // The loop is gone when the drive is over; its successor recovers from the folder.
        if self.news.send(news).is_err() {
            tracing::debug!(effect = %self.effect, "nobody listens for news any more");
        }
    }

    fn start(mut self, work: EffectSpec, env: std::collections::BTreeMap<String, String>) {
        if self.is_displaced(None) {
            return;
        }
        let folder = self.store.folder.join(&self.folder);
        let preset = match self.preset_to_start() {
            Ok(preset) => preset,
            // It did not begin; what is in the way may be mended.
            Err(error) => {
                return self.trouble(Trouble::of(&error));
            }
        };
        let version = preset.as_ref().and_then(|preset| {
            let mut env = env.clone();
            env.extend(work.env.iter().cloned());
            self.versions.of(&preset.version_command()?, &env)
        });
        crash_point("runtime.spawn.before");
        let prepared = match self.prepare(&folder, work, env, preset.as_ref()) {
            Ok(spec) => Ok(spec),
            Err(Unready::Start(error)) => Err(error),
            Err(Unready::Command(error)) => return self.refuse(&error),
        };
        let before = match prepared.is_ok().then(|| self.keep_tree(&folder, TreeMoment::Before)).transpose() {
            Ok(before) => before.flatten(),
            Err(error) => return self.trouble(Trouble::of(&error)),
        };
        // Preparing took its time. At its new place the next owner begins this work.
        if self.is_displaced(None) {
            return;
        }
        if self.guard.upgrade().is_none_or(|guard| guard.is_lost()) {
            // The news wakes the loop, which ends with its own error.
            return self.trouble(Trouble::Other("this process is not the owner any more".to_owned()));
        }
        // Who called it off has said so.
        if !self.gate.go(Stage::Passed) {
            return;
        }
        let started = prepared.and_then(|spec| self.keepers.start(&folder, &spec));
        crash_point("runtime.spawn.after");
        match started {
            Ok(handle) => self.hold(handle, before, preset.as_ref(), version),
            Err(error @ StartError::Unclear) => {
                tracing::warn!(%error, "it is not clear whether the work began");
                self.recover(true, false);
            }
            Err(error @ (StartError::Spec { .. } | StartError::Spawn { .. })) => self.refuse(&error),
            Err(StartError::NotBegun) => self.lost(LostEvidence::NotBegun, 0),
            // The work did not begin, for a reason that lies with this machine: the next owner finds that out and begins it.
            Err(error) => self.trouble(Trouble::of(&error)),
        }
    }

    fn hold(
        self,
        handle: KeeperHandle,
        before: Option<TreeOutcome>,
        preset: Option<&Preset>,
        version: Option<String>,
    ) {
        let (control, events) = handle.into_parts();
        let attended = self.attended(preset);
        self.say(News::Report(Report::Running {
            effect: self.effect.clone(),
            attempt: self.attempt,
            pid: control.pid(),
            keeper_pid: control.keeper_pid(),
            folder: StorePath::of_attempt(&self.effect, self.attempt),
            before,
            agent: self.running(preset, version),
        }));
        let attendant = self.attend(attended.as_ref(), control.clone());
        self.say(News::Held { effect: self.effect.clone(), attempt: self.attempt, control });
        let name = format!("work-{}", self.effect.scope);
        let (effect, attempt) = (self.effect.clone(), self.attempt);
        let news = self.news.clone();
        let listen = move || self.listen(events, attended.as_ref(), attendant);
        if let Err(error) = std::thread::Builder::new().name(name).spawn(listen) {
            let trouble = News::Trouble { effect, attempt, trouble: Trouble::of(&error) };
            if news.send(trouble).is_err() {
                tracing::debug!("nobody listens for news any more");
            }
        }
    }

    /// Passes on what the keeper says, until its last event.
    fn listen(self, events: KeeperEvents, attended: Option<&Attended>, mut attendant: Option<Attendant>) {
        for event in events {
            let (effect, attempt) = (self.effect.clone(), self.attempt);
            match event {
                KeeperEvent::Running { .. } => {}
                KeeperEvent::Beat(beat) => self.say(News::Beat { effect, beat }),
                KeeperEvent::Stalled { silent_ms, stop_in_ms } => {
                    self.say(News::Report(Report::Stalled { effect, attempt, silent_ms, stop_in_ms }));
                }
                KeeperEvent::Exited(record) => return self.ended(&record, attended, attendant.take()),
                KeeperEvent::Fenced { highest } => {
                    leave(attendant.take());
                    // Of a store that was moved, the log here says nothing of the newer owner.
                    if !self.is_displaced(None) {
                        self.trouble(Trouble::Other(format!(
                            "a newer owner, epoch {highest}, holds the work"
                        )));
                    }
                    return;
                }
                KeeperEvent::KeeperGone => {
                    leave(attendant.take());
                    return self.recover(true, false);
                }
            }
        }
    }

    fn recover(mut self, same_boot: bool, tell: bool) {
        if self.is_displaced(None) {
            return;
        }
        let (effect, attempt) = (self.effect.clone(), self.attempt);
        let attached = |had_ended| Report::Attached { effect: effect.clone(), attempt, had_ended };
        crash_point("runtime.recover.before");
        let preset = match self.preset() {
            Ok(preset) => preset,
            Err(error) => return self.trouble(Trouble::of(&error)),
        };
        let recovered =
            backstay_exec::recover(&self.store.folder, &self.folder, &effect, attempt, self.epoch);
        crash_point("runtime.recover.after");
        match recovered {
            Ok(Recovered::Attached(handle)) => {
                if tell {
                    self.say(News::Report(attached(false)));
                }
                // If the log does not know the tree from before, whoever began the work has it under its name.
                let before = self.kept_before();
                self.hold(handle, before, preset.as_ref(), None);
            }
            Ok(Recovered::Ended(record)) => {
                if tell {
                    self.say(News::Report(attached(true)));
                }
                self.ended(&record, self.attended(preset.as_ref()).as_ref(), None);
            }
            Ok(Recovered::Lost { evidence, ended_processes }) => {
                let evidence = match evidence {
                    LostEvidence::NotBegun if !same_boot => LostEvidence::Rebooted,
                    evidence => evidence,
                };
                self.lost(evidence, ended_processes);
            }
            // A person said that the other container is gone.
            Err(RecoverError::OtherNamespace { .. }) if self.mode == ClaimMode::TakeOver => {
                self.lost(LostEvidence::KeeperDead, 0);
            }
            // What a power loss left of the keeper's files says nothing; that the boot is another one says enough.
            Err(error) if !same_boot => {
                tracing::warn!(%effect, error = %chain(&error), "what is left of an attempt cannot be read");
                self.lost(LostEvidence::Rebooted, 0);
            }
            Err(error) => self.trouble(Trouble::of(&error)),
        }
    }

    pub(super) fn trouble(&self, trouble: Trouble) {
        self.say(News::Trouble { effect: self.effect.clone(), attempt: self.attempt, trouble });
    }

    fn lost(&self, evidence: LostEvidence, ended_processes: u32) {
        let (effect, attempt) = (self.effect.clone(), self.attempt);
        self.say(News::Report(Report::Lost { effect, attempt, evidence, ended_processes }));
    }

    fn ended(
        &self,
        record: &backstay_exec::ExitRecord,
        attended: Option<&Attended>,
        attendant: Option<Attendant>,
    ) {
        if self.is_displaced(Some(record)) {
            return leave(attendant);
        }
        let folder = self.store.folder.join(&self.folder);
        let finding = match attended.map(|attended| self.finding(attended, attendant, record)).transpose() {
            Ok(finding) => finding,
            Err(error) => {
                return self.trouble(Trouble::of(&error));
            }
        };
        match collect(
            &self.store,
            &folder,
            &self.folder,
            record,
            &self.secrets,
            finding.as_ref(),
            self.schema.as_deref(),
        ) {
            Ok(mut process) => {
                process.agent = finding.map(|finding| finding.ended);
                process.after = match self.keep_tree(&folder, TreeMoment::After) {
                    Ok(after) => after,
                    Err(error) => return self.trouble(Trouble::of(&error)),
                };
                process.folder = self.folder_digest(process.after.as_ref());
                self.say(News::Report(Report::Ended {
                    effect: self.effect.clone(),
                    attempt: self.attempt,
                    process: Box::new(process),
                }));
            }
            Err(error) => self.trouble(Trouble::of(&error)),
        }
    }

    /// The work certainly did not begin.
    fn refuse(&self, error: &dyn std::error::Error) {
        let process = ProcessEnded {
            by: EndedBy::SpawnFailed,
            exit_code: None,
            signal: None,
            message: Some(chain(error)),
            duration_ms: 0,
            stdout: None,
            stderr: None,
            output: None,
            output_problem: None,
            shape_problem: None,
            log: None,
            artifacts: Vec::new(),
            artifacts_omitted: 0,
            after: None,
            folder: None,
            left_behind: 0,
            agent: None,
        };
        self.say(News::Report(Report::Ended {
            effect: self.effect.clone(),
            attempt: self.attempt,
            process: Box::new(process),
        }));
    }
}

/// Nobody here reads on what an agent says.
fn leave(attendant: Option<Attendant>) {
    if let Some(Err(error)) = attendant.map(Attendant::stop) {
        tracing::debug!(error = %chain(&error), "an agent was not read to its end");
    }
}

/// An error and its causes, for people.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
