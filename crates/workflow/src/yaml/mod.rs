//! YAML with the place of everything in it.

mod traps;
mod tree;

pub(crate) use traps::mend;
pub(crate) use tree::{Entry, Kind, Node, Plain, Style};
