//! Asking for a run.

use std::sync::Arc;

use backstay_agent::Presets;
use backstay_log::{Authority, Batch, IndexState, NewEvent, TopicAppend, TopicIndex, TopicKind};
use backstay_model::event::{Actor, Event, InputEvent, PlanRef, RunRequested};
use backstay_model::{Digest, Payload, RunId, Scope, Seq, Text, Topic};
use backstay_workflow::plan::Plan;
use camino::Utf8PathBuf;

use crate::agents::{Pinned, pin};
use crate::error::RunError;
use crate::host::host_name;
use crate::store::Store;

/// What a run is to do.
#[derive(Clone, Debug)]
pub struct RunRequest {
    /// The checked plan.
    pub plan: Plan,
    /// The presets that there are: those that the plan names are kept with the run.
    pub presets: Presets,
    /// The text of the file that it came from.
    pub source: String,
    /// That file, as given.
    pub file: String,
    /// The absolute path of the folder that the file is in.
    pub folder: Utf8PathBuf,
    /// The bound inputs: the text of a JSON object.
    pub inputs: String,
    /// The agents that take the place of the file's, as they were given (`NAME=OTHER`).
    pub agents: Vec<String>,
    /// The absolute path of the folder to work in.
    pub cwd: Utf8PathBuf,
    /// The run that holds the checkout for the step that asks: the value of [`CHECKOUT_RUN`](crate::CHECKOUT_RUN) there.
    pub within: Option<RunId>,
    /// Who asks.
    pub by: Actor,
}

impl Store {
    /// Asks for a run. Once this returns the request is durable; somebody who owns runs will take it.
    ///
    /// # Errors
    /// [`RunError`] if the blobs or the request cannot be written.
    pub async fn request(&self, request: RunRequest) -> Result<RunId, RunError> {
        let run = RunId::new(self.clock.wall(), u128::from_le_bytes(chance()?));
        let (cwd, by, within) = (request.cwd.clone(), request.by.clone(), request.within);
        let PlanRef { workflow, file, folder, source, plan, inputs, presets, agents } =
            self.keep_plan(run, request).await?;
        let requested = InputEvent::from(RunRequested {
            run,
            workflow,
            file,
            folder,
            source,
            plan,
            inputs,
            cwd: cwd.into_string(),
            host: host_name(),
            by,
            trace: format!("{:032x}", u128::from_le_bytes(chance()?)),
            presets,
            agents,
            parent_run: within,
        });
        let mut machine = backstay_engine::topic::TopicMachine::new(run);
        machine.receive(Seq(1), &Scope::root(), requested.clone());
        let mut part = TopicAppend::new(
            Topic::run(run),
            Authority::Input,
            vec![new_event(run, Scope::root(), &requested.into())?],
        );
        part.index = Some(index_row(run, &machine, self.clock.wall())?);
        self.log.submit(Batch::of(part)).await?;
        Ok(run)
    }

    /// Keeps the plan of `request`, and all that a run by it needs, for an event that names it.
    ///
    /// # Errors
    /// [`RunError`] if the blobs cannot be written.
    pub async fn keep_plan(&self, run: RunId, request: RunRequest) -> Result<PlanRef, RunError> {
        let plan: Arc<str> = Arc::from(encode(run, &request.plan)?);
        let source: Arc<str> = Arc::from(request.source);
        let inputs: Arc<str> = Arc::from(request.inputs);
        let kept_inputs = Text::of(&inputs);
        let Pinned { presets, texts: mut blobs } = pin(&request.plan, &request.presets)?;
        blobs.extend([Arc::clone(&plan), Arc::clone(&source)]);
        blobs.extend(kept_inputs.blob().map(|_| inputs));
        self.keep_texts(blobs).await?;
        let (store, digests) = (self.clone(), presets.values().copied().collect::<Vec<_>>());
        let note = move || digests.into_iter().try_for_each(|digest| store.note_preset(digest));
        tokio::task::spawn_blocking(note).await??;
        Ok(PlanRef {
            workflow: request.plan.name,
            file: request.file,
            folder: request.folder.into_string(),
            source: Digest::of(source.as_bytes()),
            plan: Digest::of(plan.as_bytes()),
            inputs: kept_inputs,
            presets,
            agents: request.agents,
        })
    }

    /// The digest that a plan is kept under.
    ///
    /// # Errors
    /// [`RunError`] if it has no JSON form.
    pub fn plan_digest(run: RunId, plan: &Plan) -> Result<Digest, RunError> {
        Ok(Digest::of(encode(run, plan)?.as_bytes()))
    }

    /// Keeps texts as blobs.
    pub(crate) async fn keep_texts(&self, texts: Vec<Arc<str>>) -> Result<(), RunError> {
        if texts.is_empty() {
            return Ok(());
        }
        let blobs = self.blobs.clone();
        tokio::task::spawn_blocking(move || {
            texts.iter().try_for_each(|text| blobs.put(text.as_bytes()).map(|_digest| ()))
        })
        .await??;
        Ok(())
    }
}

/// 16 random bytes.
pub(crate) fn chance() -> Result<[u8; 16], RunError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(RunError::Chance)?;
    Ok(bytes)
}

pub(crate) fn new_event(run: RunId, scope: Scope, event: &Event) -> Result<NewEvent, RunError> {
    let payload =
        event.encode().map_err(|error| RunError::Definition { run, what: "event", source: error.source })?;
    Ok(NewEvent { kind: event.kind(), scope, payload, trace: None })
}

/// The index row that belongs to the machine's state.
pub(crate) fn index_row(
    run: RunId,
    machine: &backstay_engine::topic::TopicMachine,
    now: backstay_model::Timestamp,
) -> Result<TopicIndex, RunError> {
    let summary = machine.summary();
    Ok(TopicIndex {
        kind: TopicKind::RUN,
        state: IndexState::new(summary.status.as_str()),
        labels: vec![("workflow".to_owned(), summary.workflow.clone())],
        wake_at: machine.wake_at(now),
        summary: Payload::encode(&summary).map_err(|error| RunError::Definition {
            run,
            what: "summary",
            source: error.source,
        })?,
    })
}

fn encode(run: RunId, plan: &Plan) -> Result<String, RunError> {
    serde_json::to_string(plan).map_err(|source| RunError::Definition { run, what: "plan", source })
}
