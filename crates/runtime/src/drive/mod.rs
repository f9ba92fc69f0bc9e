//! Working on one run: the loop that compares what is wanted with what is in flight.

mod agent;
mod append;
mod artifacts;
mod checkout;
mod damage;
mod full_disk;
mod gone;
mod in_flight;
mod ownership;
mod prepare;
mod redact;
mod results;
mod run_loop;
mod shutdown;
#[cfg(test)]
mod tests;

pub(crate) use append::question_entry;
pub use checkout::CHECKOUT_RUN;
pub use gone::{KeptExit, StoreGone};
pub(crate) use in_flight::attempt_folder;
pub use ownership::DriveEnd;
pub use shutdown::ShutdownHandle;
