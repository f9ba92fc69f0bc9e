//! YAML with the place of everything in it.

mod comment;
mod repair;
mod traps;
mod tree;

pub(crate) use comment::{Comment, comment};
pub(crate) use repair::{Edit, Intent, judge};
pub(crate) use traps::mend;
pub(crate) use tree::{Entry, Kind, Node, Plain, Style};
