//! Looking after a store: what takes its room, whether it is whole, copies of it, and taking a secret out of it.

mod adopt;
mod alone;
mod backup;
mod blanks;
mod check;
mod compact;
mod events;
mod glance;
mod index;
mod info;
mod json;
mod look;
mod peek;
mod restore;
mod scrub;
mod visit;

pub use super::packed::DamagedBlock;
pub use adopt::{FreshIndex, renew_index, renew_log_id};
pub use alone::{Alone, holders};
pub use backup::{DatabaseCopy, copy_database};
pub use blanks::Secret;
pub use check::{CheckReport, Finding, Inspect, InspectedTopic, check, check_alone};
pub use compact::{Compacted, compact};
pub use glance::glance;
pub use info::{LivingOwner, StoreInfo, TopicRoom, info};
pub use json::{Names, Structural};
pub use peek::{Peeked, peek, refuse_damage};
pub use restore::{Raised, raise_positions};
pub use scrub::{DatabaseScrubbed, scrub_database};
pub use visit::{floors, visit};
