//! What the tests with the real binary share: a folder to work in, the binary, and a look into the store.
//!
//! Steps and tests meet at FIFOs, so that nothing sleeps: a step that opens a gate for reading waits until the test
//! opens it for writing.

mod fake;
pub mod folder;
mod gate;
pub mod library;
mod repository;
mod seed;
mod terminal;
mod world;

pub use fake::Fake;
pub use gate::Gate;
pub use repository::{git, git_command, isolate};
pub use seed::{Seed, all, soak};
pub use terminal::{SHOW_CURSOR, Terminal};
pub use world::{PATIENCE, Started, World, binary, block_on, faults, send};
