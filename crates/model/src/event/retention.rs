//! Events of freeing what a run takes.

use serde::{Deserialize, Serialize};

use super::Actor;
use crate::Digest;

/// The events before this one are gone; the record of the run is kept instead. The last event of a run that has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trimmed {
    /// The blob with the run's record as JSON, as it was before this event.
    pub record: Digest,
    /// How many events are gone.
    pub events: u64,
    /// Who freed them.
    pub by: Actor,
}
