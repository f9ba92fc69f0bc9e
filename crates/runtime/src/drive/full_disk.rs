//! A full disk: the run stands still until there is room.

use std::io::ErrorKind;

use backstay_log::{AppendError, Authority, Batch, BlobError, Part, StoreError};
use backstay_model::Scope;
use backstay_model::event::{Actor, Event, SuspendReason, SuspendRequested};

use super::run_loop::Drive;
use crate::ballast;
use crate::error::{DriveError, RunError};
use crate::request::new_event;

impl Drive<'_> {
    /// What to do about an error of the loop. If the disk is full and there is ballast, the run is told to stand still, and
    /// the loop goes on with that; else the error stays what it is.
    pub(super) async fn make_room(&mut self, error: DriveError) -> Result<(), DriveError> {
        if !is_full_disk(&error) || !ballast::drop_off(&self.owner.store.folder) {
            return Err(error);
        }
        tracing::warn!(run = %self.run, %error, "the disk is full: the run is suspended");
        let by = Actor { name: "backstay".to_owned(), via: "the disk is full".to_owned() };
        let wish = Event::from(SuspendRequested { by, reason: SuspendReason::DiskFull });
        let event = new_event(self.run, Scope::Run, &wish)?;
        let part = Part::new(self.topic.clone(), Authority::Anybody, vec![event]);
        self.owner.store.log.submit(Batch::of(part)).await.map_err(RunError::Append)?;
        // What was decided and not taken is decided anew; reports wait until they are durable.
        self.fold_anew().await
    }
}

fn is_full_disk(error: &DriveError) -> bool {
    match error {
        DriveError::Run(RunError::Append(AppendError::Store(StoreError::DiskFull { .. }))) => true,
        DriveError::Run(RunError::Blob(BlobError::Io { source, .. })) => {
            matches!(source.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
        }
        _ => false,
    }
}
