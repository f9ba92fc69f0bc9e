//! A full disk: the run stands still until there is room.

use backstay_log::{Authority, Batch, TopicAppend};
use backstay_model::Scope;
use backstay_model::event::{Actor, Event, SuspendReason, SuspendRequested};

use super::run_loop::Drive;
use crate::disk_reserve;
use crate::error::DriveError;
use crate::request::new_event;

impl Drive<'_> {
    /// What to do about an error of the loop. If the disk is full, the disk reserve is given back, the run is told to stand
    /// still, and the loop goes on with that; where even that finds no room, the error stays what it is.
    pub(super) async fn make_room(&mut self, error: DriveError) -> Result<(), DriveError> {
        // Another run may have given the disk reserve back a moment ago; but each asks once.
        if !error.has_no_room() || std::mem::replace(&mut self.has_met_full_disk, true) {
            return Err(error);
        }
        let freed = disk_reserve::drop_off(&self.owner.store.folder);
        // The event says that the run is suspended and why; where it cannot be written the error is what the drive ends with.
        tracing::debug!(run = %self.run, %error, freed, "the disk is full, and the disk reserve is given back");
        let by = Actor { name: "backstay".to_owned(), via: "the disk is full".to_owned() };
        let wish = Event::from(SuspendRequested { by, reason: SuspendReason::DiskFull });
        let event = new_event(self.run, Scope::root(), &wish)?;
        let part = TopicAppend::new(self.topic.clone(), Authority::Input, vec![event]);
        if self.owner.store.log.submit(Batch::of(part)).await.is_err() {
            return Err(error);
        }
        // Work of which nothing could be told finds the room that the disk reserve had.
        self.look_again_at_once();
        // What was decided and not taken is decided anew; reports wait until they are durable.
        self.fold_anew().await
    }
}
