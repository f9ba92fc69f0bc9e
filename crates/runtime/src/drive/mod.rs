//! Working on one run: the loop that compares what is wanted with what is in flight.

mod append;
mod ended;
mod flight;
mod run_loop;
mod switch;

pub use run_loop::DriveEnd;
pub use switch::StopSwitch;
