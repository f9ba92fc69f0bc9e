//! What can go wrong with a log, with stable codes.

mod maintenance;
mod operation;
mod store;

pub use maintenance::{ExclusiveError, InspectError, ScrubError};
pub use operation::{
    AppendError, BlobError, ClaimError, DamagedEvent, InvalidBatch, Measure, OpenError, ReadError,
};
pub use store::StoreError;
