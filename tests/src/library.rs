//! The library in this process.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use backstay_agent::Presets;
use backstay_engine::record::LimitWait;
use backstay_exec::{Keepers, socket_folders};
use backstay_log::Direction;
use backstay_model::event::{Actor, ResumeRequested};
use backstay_model::limits::PAGE_EVENTS_MAX;
use backstay_model::{Position, Recorded, RunId, Seq, Timestamp, Topic};
use backstay_runtime::{
    Clock, Owner, OwnerSettings, RunRequest, Store, SystemClock, preset_traits, schema_fault,
};
use backstay_workflow::{CheckInput, check};

use crate::{PATIENCE, World, binary};

/// Who says what tests say.
#[must_use]
pub fn actor() -> Actor {
    Actor { name: "tester".to_owned(), via: "library".to_owned() }
}

/// Opens the store of `world`, and makes it.
pub async fn open(world: &World) -> Store {
    let opening = Store::open(&world.path().join(".backstay"), &world.registry()).create();
    opening.await.expect("the store opens")
}

/// Asks for a run of the workflow `text`.
pub async fn request(store: &Store, world: &World, text: &str) -> RunId {
    let presets = Presets::built_in().expect("the presets of this version are right");
    request_with(store, world, text, presets).await
}

/// The same with other presets.
pub async fn request_with(store: &Store, world: &World, text: &str, presets: Presets) -> RunId {
    let read_file = |name: &str| std::fs::read_to_string(name);
    let input = CheckInput {
        path: "flow.yaml",
        text,
        read_file: &read_file,
        schema_fault: &schema_fault,
        reading_fault: &|_| None,
        agents: BTreeMap::new(),
        presets: preset_traits(&presets),
    };
    let plan = check(&input).expect("the file is right").plan;
    let inputs = plan.bind_inputs(&BTreeMap::new()).expect("nothing is required").to_json().expect("JSON");
    let folder = world.path().to_owned();
    let request = RunRequest {
        plan,
        presets,
        source: text.to_owned(),
        file: "flow.yaml".to_owned(),
        cwd: folder.clone(),
        folder,
        inputs,
        agents: Vec::new(),
        within: None,
        by: actor(),
    };
    store.request(request).await.expect("the request is durable")
}

/// Makes this process an owner.
pub async fn owner(store: &Store) -> Owner {
    owner_with(store, BTreeMap::new()).await
}

/// The same, with more variables for what it starts.
pub async fn owner_with(store: &Store, variables: BTreeMap<String, String>) -> Owner {
    let keepers = Keepers::new(binary(), vec!["keeper".to_owned()], socket_folders(None));
    let env = std::env::vars().chain(variables).collect();
    Owner::register(store, OwnerSettings { keepers, env }).await.expect("this process may own runs")
}

/// All events of `run`.
pub async fn events(store: &Store, run: RunId) -> Vec<Recorded> {
    let mut events: Vec<Recorded> = Vec::new();
    loop {
        let after = events.last().map_or(Seq(0), |last| last.seq);
        let page = store.log().read(&Topic::run(run), after, Direction::Forward, PAGE_EVENTS_MAX).await;
        let page = page.expect("the topic can be read");
        if page.events.is_empty() {
            return events;
        }
        events.extend(page.events);
    }
}

/// A wall clock that a test moves.
#[derive(Debug, Default)]
pub struct MovedClock(Mutex<Duration>);

impl MovedClock {
    /// Puts it so far ahead of the system's.
    pub fn move_ahead(&self, by: Duration) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = by;
    }
}

impl Clock for MovedClock {
    fn wall(&self) -> Timestamp {
        SystemClock.wall().plus(*self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn asleep(&self) -> Duration {
        Duration::ZERO
    }
}

/// The limit that `step` of `run` waits for, once it waits for one.
pub async fn limit_of_step(store: &Store, run: RunId, step: &str) -> LimitWait {
    let step = step.parse().expect("a step has this name");
    let wait = async {
        let mut seen = Position(0);
        loop {
            let record = store.view(run).await.expect("the run can be read").record;
            if let Some(limit) = record.step(&step).and_then(|step| step.limit.clone()) {
                return limit;
            }
            seen = store.log().changed(seen).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("the step waits for a limit")
}

/// Resumes `run` for its owner, and waits for the verdict.
pub async fn resume(store: &Store, run: RunId) {
    let resume = ResumeRequested { by: actor(), now: false };
    let said = store.say(run, resume).await.expect("the run can be resumed");
    store.verdict(run, said).await.expect("the owner gives a verdict");
}
