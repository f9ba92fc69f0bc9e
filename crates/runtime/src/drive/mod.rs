//! Working on one run: the loop that compares what is wanted with what is in flight.

mod agent;
mod append;
mod artifacts;
mod checkout;
mod damage;
mod ended;
mod flight;
mod full_disk;
mod gone;
mod prepare;
mod redact;
mod run_loop;
mod switch;
mod tenure;
#[cfg(test)]
mod tests;

pub(crate) use append::question_entry;
pub use checkout::CHECKOUT_RUN;
pub(crate) use flight::attempt_folder;
pub use gone::{KeptExit, StoreGone};
pub use switch::StopSwitch;
pub use tenure::DriveEnd;
