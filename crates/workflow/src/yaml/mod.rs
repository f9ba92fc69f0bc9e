//! YAML trees with the bytes of every value, and the recovery from text that is not YAML.

mod comment;
mod repair;
mod traps;
mod tree;

pub(crate) use comment::{Comment, comment};
pub(crate) use repair::{Edit, Intent, verify};
pub(crate) use traps::recover;
pub(crate) use tree::{Entry, Kind, Node, Plain, Style};
