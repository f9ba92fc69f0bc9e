//! A person in an agent's session: the agent's own screen, while the run stands still.

use std::process::{Command, ExitStatus};
use std::time::Duration;

use backstay_agent::{CommandError, ScreenCommand, ScreenRequest};
use backstay_engine::record::{AttemptRecord, RunRecord};
use backstay_engine::run::Phase;
use backstay_exec::{EndScreenError, ScreenHold, ScreenSession};
use backstay_model::event::{Actor, CheckoutBusy, ManualIntervention, TreeOutcome};
use backstay_model::{Code, Coded, EffectCall, EffectId, RunId, StepId};
use backstay_workflow::expression::EvalError;
use camino::Utf8PathBuf;

use crate::agents::StrangePreset;
use crate::checkout::{
    Checkout, Lease, LeaseHolder, Leased, RunRefs, TreeError, TreeMoment, TreeName, outcome,
};
use crate::error::RunError;
use crate::screen::ScreenIsOpen;
use crate::store::Store;

/// The bound on waiting for the last owner of the run to let the checkout go: far longer than that takes.
const LEASE_TRIES: u32 = 200;
const LEASE_AGAIN: Duration = Duration::from_millis(50);

/// Why nobody can work in the session of a step's agent.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// No agent with a session worked on it yet.
    #[error("no agent's session of `{0}` is known")]
    NoSession(StepId),
    /// The agent's preset has no screen.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// The agent's preset came with the store.
    #[error(transparent)]
    Strange(StrangePreset),
    /// Another run works in the checkout.
    #[error("{}", backstay_engine::record::busy_words(.0))]
    Busy(CheckoutBusy),
    /// The folder that the step works in is not there.
    #[error("the folder {0}, in which the step worked, is not there")]
    NoFolder(Utf8PathBuf),
    /// The agent's program cannot be started.
    #[error("`{program}` cannot be started")]
    Start {
        /// The program.
        program: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// The run cannot be read.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The checkout cannot be taken.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// Somebody is on an agent's screen already.
    #[error(transparent)]
    ScreenIsOpen(ScreenIsOpen),
    /// An agent's screen cannot be ended.
    #[error(transparent)]
    EndScreen(#[from] EndScreenError),
    /// Somebody let the run go on.
    #[error("{0} goes on: somebody resumed it meanwhile")]
    GoesOn(RunId),
    /// What its agent was started with cannot be made again.
    #[error("what the agent of `{step}` was started with cannot be told")]
    Values {
        /// The step.
        step: StepId,
        /// Which value.
        source: EvalError,
    },
    /// A worker thread died.
    #[error("a thread that looks at the checkout died")]
    Thread(#[from] tokio::task::JoinError),
}

impl Coded for AttachError {
    fn code(&self) -> Code {
        match self {
            AttachError::NoSession(_) => Code("BKS-R050"),
            AttachError::Command(error) => error.code(),
            AttachError::Strange(_) => Code("BKS-R085"),
            AttachError::Busy(_) => Code("BKS-R051"),
            AttachError::NoFolder(_) => Code("BKS-R052"),
            AttachError::Start { .. } => Code("BKS-R053"),
            AttachError::Run(error) => error.code(),
            AttachError::Tree(error) => error.code(),
            AttachError::Values { .. } => Code("BKS-R088"),
            AttachError::ScreenIsOpen(error) => error.code(),
            AttachError::EndScreen(_) => Code("BKS-R090"),
            AttachError::GoesOn(_) => Code("BKS-R091"),
            AttachError::Thread(_) => Code("BKS-R001"),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            AttachError::NoSession(_) => {
                Some("name a step whose agent has begun and is known by a preset".to_owned())
            }
            AttachError::Command(error) => error.hint(),
            AttachError::Busy(_) => Some("wait for it, or suspend it".to_owned()),
            AttachError::ScreenIsOpen(error) => error.hint(),
            AttachError::EndScreen(EndScreenError::Survives { pid }) => {
                Some(format!("end it:  kill -9 {pid}"))
            }
            AttachError::EndScreen(_) => Some("leave that screen where it is open".to_owned()),
            AttachError::GoesOn(run) => Some(format!("`backstay watch {run}` shows it at work")),
            AttachError::NoFolder(_) | AttachError::Strange(_) | AttachError::Values { .. } => None,
            AttachError::Start { .. } => {
                Some("put it on PATH; `backstay doctor` says what is found".to_owned())
            }
            AttachError::Run(error) => error.hint(),
            AttachError::Tree(error) => error.hint(),
            AttachError::Thread(_) => None,
        }
    }
}

/// The session of a step's agent, ready to be worked in.
#[derive(Debug)]
pub struct Takeover {
    store: Store,
    run: RunId,
    step: StepId,
    agent: String,
    session: String,
    screen: ScreenCommand,
    /// The variables that the workflow gives to the step.
    env: Vec<(String, String)>,
    folder: Utf8PathBuf,
    /// Which work of a person it is in the run: its trees are kept under it.
    nth: usize,
    scratch: Utf8PathBuf,
    /// The run that this one works for.
    within: Option<RunId>,
}

impl Takeover {
    /// The agent's preset.
    #[must_use]
    pub fn agent(&self) -> &str {
        &self.agent
    }

    /// Its session.
    #[must_use]
    pub fn session(&self) -> &str {
        &self.session
    }

    /// Takes the right to be on a screen of the run, which has to stand still. It does not go on until this is dropped.
    ///
    /// # Errors
    /// [`AttachError`] if somebody has it, or the run goes on.
    pub async fn take_screen(&self) -> Result<ScreenHold, AttachError> {
        let (run, folder) = (self.run, self.store.run_folder(self.run));
        let on = ScreenSession { agent: self.agent.clone(), session: self.session.clone() };
        let taken = tokio::task::spawn_blocking(move || {
            let mut tries = LEASE_TRIES;
            loop {
                match ScreenHold::take(&folder, on.clone()) {
                    // Somebody lets the run go on at this moment, or is about to say who has the screen.
                    Ok(Err(None)) if tries > 0 => {
                        tries -= 1;
                        std::thread::park_timeout(LEASE_AGAIN);
                    }
                    Ok(taken) => return Ok(taken),
                    Err(source) => return Err(RunError::Folder { path: folder, source }),
                }
            }
        });
        let hold = taken.await??.map_err(|screen| AttachError::ScreenIsOpen(ScreenIsOpen { run, screen }))?;
        // Who resumed it before this was taken is found here; who does so later finds it taken.
        let machine = self.store.machine(run).await?;
        let stands_still = matches!(machine.phase(), Phase::Suspended { .. } | Phase::Ended(_));
        if stands_still && !machine.has_unsettled_inputs() { Ok(hold) } else { Err(AttachError::GoesOn(run)) }
    }

    /// Opens the agent's screen on this terminal, and waits until it is left. No other run begins to work in the checkout
    /// meanwhile. Blocks.
    ///
    /// # Errors
    /// [`AttachError`] if it cannot be opened; nothing was changed then.
    pub fn open(&self, by: Actor, hold: &mut ScreenHold) -> Result<ManualIntervention, AttachError> {
        if !self.folder.is_dir() {
            return Err(AttachError::NoFolder(self.folder.clone()));
        }
        // As with attempts, a checkout that cannot be used stops no work.
        let checkout = Checkout::around(&self.folder);
        let _lease = match &checkout {
            Ok(Some(checkout)) => self.lease(checkout)?,
            Ok(None) => None,
            Err(error) => {
                tracing::warn!(run = %self.run, %error, "the checkout is worked in unlocked");
                None
            }
        };
        let before = self.keep(TreeMoment::Before);
        let from = self.store.clock.wall();
        let status = self.run_screen(hold)?;
        let until = self.store.clock.wall();
        let after = self.keep(TreeMoment::After);
        Ok(ManualIntervention {
            by,
            agent: self.agent.clone(),
            session: self.session.clone(),
            from,
            until,
            exit_code: status.code(),
            before,
            after,
        })
    }

    fn lease(&self, checkout: &Checkout) -> Result<Option<Lease>, AttachError> {
        let holder =
            LeaseHolder { run: self.run, store: self.store.folder.clone(), within: self.within, epoch: None };
        let mut tries = LEASE_TRIES;
        loop {
            match checkout.lease(&holder)? {
                Leased::Held(lease) => return Ok(Some(lease)),
                Leased::Shared | Leased::Inherited => return Ok(None),
                // Who owned this run a moment ago is about to let it go.
                Leased::Busy(CheckoutBusy { held_by: None, .. }) if tries > 0 => {
                    tries -= 1;
                    std::thread::park_timeout(LEASE_AGAIN);
                }
                Leased::Busy(busy) => return Err(AttachError::Busy(busy)),
            }
        }
    }

    fn run_screen(&self, hold: &mut ScreenHold) -> Result<ExitStatus, AttachError> {
        let (program, arguments) =
            self.screen.argv.split_first().ok_or_else(|| AttachError::NoSession(self.step.clone()))?;
        let failed = |source| AttachError::Start { program: program.clone(), source };
        let mut command = Command::new(program);
        command
            .args(arguments)
            .current_dir(&self.folder)
            .envs(&self.screen.env)
            // What the workflow says of a variable beats the preset, as with attempts.
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .env("PWD", self.folder.as_str());
        hold.run(&mut command).map_err(failed)
    }

    /// As with attempts, that the checkout cannot be kept stops no work.
    fn keep(&self, moment: TreeMoment) -> Option<TreeOutcome> {
        let name = TreeName::taken_over(&RunRefs::new(self.store.log.id(), self.run), self.nth, moment);
        let kept = Checkout::around(&self.folder)
            .and_then(|checkout| checkout.map(|checkout| checkout.keep(&name, &self.scratch)).transpose());
        outcome(kept, &self.step)
    }
}

impl Store {
    /// Finds the session of the agent that worked on `step` last, and how its screen is opened.
    ///
    /// # Errors
    /// [`AttachError`] if there is none, or its agent has no screen.
    pub async fn takeover(&self, record: &RunRecord, step: &StepId) -> Result<Takeover, AttachError> {
        let run = record.run;
        let of_step = || record.steps.iter().filter(|known| known.step == *step);
        let session = |attempt: &AttemptRecord| {
            let agent = attempt.agent.as_ref()?;
            Some((attempt.attempt, agent.clone(), agent.session.clone()?))
        };
        let last = of_step().rev().find_map(|known| {
            let (attempt, agent, session) = known.attempts.iter().rev().find_map(session)?;
            Some((known.scope.clone(), attempt, agent, session))
        });
        let (scope, attempt, worked, session) = last.ok_or_else(|| AttachError::NoSession(step.clone()))?;
        let agent = worked.preset;
        let spoken = self.spoken(run).await?;
        let preset = spoken.preset(&agent).ok_or_else(|| AttachError::NoSession(step.clone()))?;
        let (store, pinned) = (self.clone(), spoken.pinned(&agent));
        let may_start = move || pinned.map_or(Ok(false), |digest| store.may_start(digest));
        if !tokio::task::spawn_blocking(may_start).await?.map_err(RunError::Registry)? {
            return Err(AttachError::Strange(StrangePreset::of(preset)));
        }
        let effect = EffectId { root: run.into(), scope, call: EffectCall::Main };
        let machine = self.machine(run).await?;
        let folder = machine.folder_of(&effect).unwrap_or_default();
        let values = |source| AttachError::Values { step: step.clone(), source };
        let work = machine.agent_work_of(&effect, attempt, &agent).map_err(values)?;
        let (model, args) = work.map_or((None, Vec::new()), |work| (work.model, work.args));
        let wanted = ScreenRequest { session: session.clone(), access: worked.access, model, args };
        let screen = preset.screen(wanted)?;
        let env = machine.env_of(&effect).map_err(values)?;
        Ok(Takeover {
            store: self.clone(),
            run,
            step: step.clone(),
            agent,
            session,
            screen,
            env,
            folder: Utf8PathBuf::from(folder),
            within: machine.request().and_then(|request| request.parent_run),
            nth: record.interventions.len() + 1,
            scratch: self.run_folder(run),
        })
    }
}
