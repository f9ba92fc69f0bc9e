//! What can go wrong with a log, with stable codes.

mod care;
mod operation;
mod store;

pub use care::{AloneError, LookError, ScrubError};
pub use operation::{
    AppendError, BlobError, ClaimError, DamagedEvent, InvalidBatch, Measure, OpenError, ReadError,
};
pub use store::StoreError;
