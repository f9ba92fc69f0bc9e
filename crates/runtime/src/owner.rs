//! A process that may own runs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use backstay_exec::{Keepers, Secrets};
use backstay_log::{OwnerGuard, OwnerIdentity};
use backstay_model::event::{Actor, Heartbeat};
use backstay_model::{OwnerId, RunId, Scope, Topic};

use crate::agents::Versions;
use crate::disk_reserve;
use crate::error::{DriveError, RunError};
use crate::host::{host_id, host_name};
use crate::request::chance;
use crate::retention::Retention;
use crate::sink::{Sink, SinkFeed, SinkHeartbeat};
use crate::store::Store;

/// How an owner works.
#[derive(Clone, Debug)]
pub struct OwnerSettings {
    /// How keepers are started.
    pub keepers: Keepers,
    /// The environment that steps start from.
    pub env: BTreeMap<String, String>,
}

/// A process that may own runs. Dropping it is like dying: others can claim what it owned at once, and agents in
/// flight go on under their keepers.
#[derive(Debug)]
pub struct Owner {
    pub(crate) store: Store,
    pub(crate) guard: Arc<dyn OwnerGuard>,
    pub(crate) settings: OwnerSettings,
    /// What must not reach the log.
    pub(crate) secrets: Secrets,
    pub(crate) host: String,
    pub(crate) boot: String,
    pub(crate) sinks: Vec<Arc<SinkFeed>>,
    driven: Mutex<BTreeSet<RunId>>,
    pub(crate) versions: Versions,
    pub(crate) retention: Option<(Retention, Actor)>,
}

/// As long as it lives, its run is driven by this owner and by nobody else of this process.
#[derive(Debug)]
pub(crate) struct DrivePass<'a> {
    owner: &'a Owner,
    run: RunId,
}

impl Drop for DrivePass<'_> {
    fn drop(&mut self) {
        self.owner.driven().remove(&self.run);
    }
}

impl Owner {
    /// Registers this process as an owner.
    ///
    /// # Errors
    /// [`DriveError`] if its lock or row cannot be written.
    pub async fn register(store: &Store, settings: OwnerSettings) -> Result<Owner, DriveError> {
        let owner = OwnerId::new(store.clock().wall(), u128::from_le_bytes(chance()?));
        let identity =
            OwnerIdentity { owner, host: host_name(), host_id: host_id(), pid: std::process::id() };
        disk_reserve::take_in(&store.folder);
        let registered = store.log().register_owner(identity).await;
        let guard = registered.map_err(|error| store.or_gone(None, DriveError::Register(error)))?;
        Ok(Owner {
            store: store.clone(),
            guard: Arc::from(guard),
            secrets: Secrets::of_env(&settings.env),
            settings,
            host: host_name(),
            boot: backstay_exec::boot_id().map_err(DriveError::Boot)?,
            sinks: Vec::new(),
            driven: Mutex::new(BTreeSet::new()),
            versions: Versions::default(),
            retention: None,
        })
    }

    /// Whether this process has lost its proof that it lives: this owner owns nothing any more, and never will again.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.guard.is_lost()
    }

    /// Registers this process again, with the settings and the sinks of this owner, which is lost.
    ///
    /// # Errors
    /// As [`register`](Owner::register).
    pub async fn successor(&self) -> Result<Owner, DriveError> {
        let mut successor = Owner::register(&self.store, self.settings.clone()).await?;
        successor.sinks.clone_from(&self.sinks);
        successor.retention.clone_from(&self.retention);
        Ok(successor)
    }

    /// Lets `sink` take every event of the runs that this owner works on.
    ///
    /// # Errors
    /// [`RunError::SinkThread`] if the system gives no thread for it.
    pub fn add_sink(&mut self, sink: impl Sink) -> Result<(), RunError> {
        let feed = SinkFeed::start(sink, self.store.log.clone()).map_err(RunError::SinkThread)?;
        self.sinks.push(Arc::new(feed));
        Ok(())
    }

    /// Gives a heartbeat to the sinks.
    pub(crate) fn give_heartbeat(&self, topic: &Topic, scope: &Scope, heartbeat: &Heartbeat) {
        for sink in &self.sinks {
            let (topic, scope, heartbeat) = (topic.clone(), scope.clone(), heartbeat.clone());
            sink.give_heartbeat(SinkHeartbeat { topic, scope, heartbeat });
        }
    }

    /// Lets one drive of `run` begin; none if one is under way. Both would have the same epoch, and nothing else would tell
    /// them apart.
    pub(crate) fn admit(&self, run: RunId) -> Option<DrivePass<'_>> {
        let is_first = self.driven().insert(run);
        // A pass that is dropped takes the run out: none may be made for who was refused.
        is_first.then(|| DrivePass { owner: self, run })
    }

    fn driven(&self) -> MutexGuard<'_, BTreeSet<RunId>> {
        self.driven.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets [`keep`](Owner::keep) free what `retention` does not keep, in the name of `by`: when it begins, and every hour.
    pub fn retain(&mut self, retention: Retention, by: Actor) {
        self.retention = Some((retention, by));
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Who this process is, towards the others.
    #[must_use]
    pub fn identity(&self) -> &OwnerIdentity {
        self.guard.identity()
    }
}
