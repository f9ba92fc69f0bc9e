//! What can go wrong with a log, with stable codes. No error names a backend: what one has to say is a [`Cause`].

mod cause;
mod location;
mod maintenance;
mod operation;
mod store;

pub use cause::Cause;
pub use location::Location;
pub use maintenance::{ExclusiveError, InspectError, ScrubError};
pub use operation::{
    AppendError, BlobError, ClaimError, DamagedEvent, InvalidBatch, Measure, OpenError, ReadError,
};
pub use store::StoreError;
