//! Maintenance of a store: its size, its integrity, copies of it, and removal of a secret from it.

mod adopt;
mod backup;
mod check;
mod compact;
mod events;
mod exclusive;
mod findings;
mod identify;
mod index;
mod info;
mod json;
mod mask;
mod quick_check;
mod read_only;
mod scan;
mod scrub;
mod skip_positions;

pub use super::packed::DamagedBlock;
pub use adopt::{RebuiltIndex, assign_new_log_id, rebuild_index};
pub use backup::{DatabaseCopy, copy_database};
pub use check::{check, check_exclusive};
pub use compact::{Compacted, compact};
pub use exclusive::{ExclusiveStore, holders};
pub use findings::{CheckReport, Finding, Inspect, InspectedTopic};
pub use identify::{StoreIdentity, identify, refuse_damage};
pub use info::{LiveOwner, StoreInfo, TopicSize, info};
pub use json::{JsonText, Structural};
pub use mask::Secret;
pub use quick_check::quick_check;
pub use scan::{floors, scan};
pub use scrub::{DatabaseScrubbed, scrub_database};
pub use skip_positions::{SkippedPositions, skip_positions};
