//! An open store, as an embedder sees it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use backstay_agent::Presets;
use backstay_engine::record::{Usage, counted};
use backstay_exec::{KEEPER_COMMAND, Keepers, socket_folders};
use backstay_log::TopicFilter;
use backstay_model::event::{Actor, Verdict};
use backstay_model::{QuestionId, RunId, Topic};
use backstay_runtime::{
    DriveError, OpenQuestion, Owner, OwnerSettings, RunError, RunRequest, RunRow, RunSelection,
    ShutdownHandle, Sink, Store, preset_traits,
};
use backstay_workflow::Diagnostic;
use camino::{Utf8Path, Utf8PathBuf};
use tokio::sync::Mutex as AsyncMutex;

use crate::error::Error;
use crate::init::is_keeper_program;
use crate::open::utf8;
use crate::run::Run;
use crate::workflow::Workflow;

/// An open store. Cheap to clone; the clones share one owner of runs.
///
/// Dropping the last clone, and the last [`Run`] of it, is like dying: what it worked on can be claimed at once, and agents in
/// flight go on under their keepers.
#[derive(Clone)]
pub struct Backstay {
    shared: Arc<Shared>,
}

/// How this process works on runs.
pub(crate) struct Settings {
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) agents: Presets,
    pub(crate) actor: Actor,
    pub(crate) keeper_program: Option<Utf8PathBuf>,
}

struct Shared {
    store: Store,
    settings: Settings,
    /// This process as an owner, once it works on something.
    owner: AsyncMutex<Option<Arc<Owner>>>,
    /// The sinks that the owner is going to have.
    sinks: Mutex<Vec<Box<dyn Sink>>>,
}

impl fmt::Debug for Backstay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The environment may hold secrets.
        f.debug_struct("Backstay").field("folder", &self.folder()).finish_non_exhaustive()
    }
}

impl Backstay {
    pub(crate) fn new(store: Store, settings: Settings, sinks: Vec<Box<dyn Sink>>) -> Backstay {
        let shared = Shared { store, settings, owner: AsyncMutex::new(None), sinks: Mutex::new(sinks) };
        Backstay { shared: Arc::new(shared) }
    }

    /// The store's folder.
    #[must_use]
    pub fn folder(&self) -> &Utf8Path {
        self.store().folder()
    }

    /// Whether the store can only be read.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        self.store().read_only().is_some()
    }

    /// Checks a workflow without starting it; returns the warnings.
    ///
    /// # Errors
    /// [`Error::Workflow`] with everything that is wrong, or [`Error::Inputs`].
    pub fn check(&self, workflow: &Workflow) -> Result<Vec<Diagnostic>, Error> {
        let read = workflow.read(&working_folder()?)?;
        let checked = workflow.check(&read, &preset_traits(&self.settings().agents))?;
        workflow.bind(&checked.plan)?;
        Ok(checked.warnings)
    }

    /// Starts a run: once this returns, the request is durable. Somebody has to work on it: this process, by
    /// [`Run::drive`] or [`keep`](Backstay::keep), or another one that keeps the store, such as `backstay up`.
    ///
    /// # Errors
    /// [`Error::Workflow`], [`Error::Inputs`] or [`Error::ReadFile`] if the workflow is not valid, [`Error::Run`] if it
    /// cannot be written.
    pub async fn start(&self, workflow: Workflow) -> Result<Run, Error> {
        let working_folder = working_folder()?;
        let read = workflow.read(&working_folder)?;
        let plan = workflow.check(&read, &preset_traits(&self.settings().agents))?.plan;
        let inputs = workflow.bind(&plan)?.to_json()?;
        let request = RunRequest {
            inputs,
            agents: workflow.agents(),
            plan,
            presets: self.settings().agents.clone(),
            source: read.text,
            file: read.file,
            folder: read.folder,
            cwd: workflow.folder(&working_folder),
            within: None,
            by: self.settings().actor.clone(),
        };
        let id = self.store().request(request).await?;
        Ok(Run::new(self.clone(), id))
    }

    /// The run with this id.
    ///
    /// # Errors
    /// [`Error::Run`] if there is none.
    pub async fn run(&self, id: RunId) -> Result<Run, Error> {
        let row = self.store().log().topic(&Topic::run(id)).await.map_err(RunError::from)?;
        row.ok_or(RunError::Unknown(id))?;
        Ok(Run::new(self.clone(), id))
    }

    /// The runs of this store, the newest first.
    ///
    /// # Errors
    /// [`Error::Run`] if the log cannot be read.
    pub async fn runs(&self) -> Result<Vec<RunRow>, Error> {
        Ok(self.store().runs(TopicFilter::default()).await?)
    }

    /// The runs that have not ended, the newest first.
    ///
    /// # Errors
    /// As [`runs`](Backstay::runs).
    pub async fn open_runs(&self) -> Result<Vec<RunRow>, Error> {
        Ok(self.store().runs(TopicFilter { open_only: true, ..TopicFilter::default() }).await?)
    }

    /// The questions that wait for an answer, by time.
    ///
    /// # Errors
    /// [`Error::Run`] if a run that asks cannot be read.
    pub async fn inbox(&self) -> Result<Vec<OpenQuestion>, Error> {
        Ok(self.store().inbox().await?)
    }

    /// Answers a question that waits, with one of its options, or with any text where it has none.
    ///
    /// # Errors
    /// [`Error::UnknownQuestion`] if no question with this id waits; else as any input.
    pub async fn answer(
        &self,
        question: QuestionId,
        choice: impl Into<String> + Send,
    ) -> Result<Verdict, Error> {
        let asked = self.inbox().await?.into_iter().find(|asked| asked.question.question == question);
        let run = asked.ok_or(Error::UnknownQuestion(question))?.run;
        Run::new(self.clone(), run).answer(question, choice).await
    }

    /// What the agents of all runs used, summed up.
    ///
    /// # Errors
    /// [`Error::Run`] if a run cannot be read.
    pub async fn usage(&self) -> Result<Usage, Error> {
        let mut usage = Usage::default();
        for row in self.runs().await? {
            let record = self.store().record(row.run).await?;
            let attempts = record.steps.iter().flat_map(|step| &step.attempts);
            attempts.filter_map(counted).for_each(|agent| usage.add(agent.usage.as_ref()));
        }
        Ok(usage)
    }

    /// Works on every run of the store that is due, side by side, until none is open or `switch` is used. Returns the runs
    /// that are left, and why: another process has to work on them, or they are damaged.
    ///
    /// # Errors
    /// [`Error::Drive`] if the store is gone or cannot be read; [`Error::NotInitialized`].
    pub async fn keep(&self, switch: &ShutdownHandle) -> Result<BTreeMap<RunId, DriveError>, Error> {
        Ok(self.owner().await?.keep(RunSelection::All, switch).await?)
    }

    pub(crate) fn store(&self) -> &Store {
        &self.shared.store
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.shared.settings
    }

    /// This process as an owner of runs. One that is lost is followed by another one.
    pub(crate) async fn owner(&self) -> Result<Arc<Owner>, Error> {
        let mut owner = self.shared.owner.lock().await;
        let current = match owner.as_ref() {
            Some(current) if !current.is_lost() => return Ok(Arc::clone(current)),
            Some(lost) => lost.successor().await?,
            None => self.register().await?,
        };
        Ok(Arc::clone(owner.insert(Arc::new(current))))
    }

    async fn register(&self) -> Result<Owner, Error> {
        let Settings { environment, keeper_program, .. } = self.settings();
        let program = match keeper_program {
            Some(program) => program.clone(),
            None if is_keeper_program() => std::env::current_exe().and_then(utf8).map_err(Error::Program)?,
            None => return Err(Error::NotInitialized),
        };
        let sockets = socket_folders(environment.get("XDG_RUNTIME_DIR").map(Utf8Path::new));
        let keepers = Keepers::new(program, vec![KEEPER_COMMAND.to_owned()], sockets);
        let settings = OwnerSettings { keepers, env: environment.clone() };
        let mut owner = Owner::register(self.store(), settings).await?;
        let sinks = std::mem::take(&mut *self.shared.sinks.lock().unwrap_or_else(PoisonError::into_inner));
        for sink in sinks {
            owner.add_sink(sink)?;
        }
        Ok(owner)
    }
}

fn working_folder() -> Result<Utf8PathBuf, Error> {
    std::env::current_dir().and_then(utf8).map_err(Error::WorkingFolder)
}
