//! Backstay's shared data: ids, time, topics, events and their stored forms. No IO, no clock, no chance.
//!
//! Everything that two crates name the same way lives here, and nothing that does something.

mod code;
mod digest;
mod effect;
pub mod event;
mod id;
pub mod limits;
mod object_id;
mod payload;
mod recorded;
mod room;
mod scope;
mod sequence;
mod step_id;
mod store_path;
mod text;
mod time;
mod topic;

pub use code::{Code, Coded};
pub use digest::{Digest, InvalidDigest};
pub use effect::{EffectCall, EffectId, EffectIdProblem, InvalidEffectId, Root};
pub use id::{InvalidId, LogId, OwnerId, QuestionId, RunId, SessionId, WorkerId};
pub use object_id::{InvalidObjectId, ObjectId};
pub use payload::{InvalidPayload, Payload};
pub use recorded::{Delivery, Gap, Kind, LiveEvent, Recorded};
pub use room::is_no_room;
pub use scope::{Frame, InvalidScope, Scope, ScopeProblem};
pub use sequence::{Attempt, Epoch, Position, Seq};
pub use step_id::{InvalidStepId, StepId};
pub use store_path::{InvalidStorePath, StorePath};
pub use text::Text;
pub use time::{InvalidTimestamp, Timestamp};
pub use topic::{InvalidTopic, Topic};
