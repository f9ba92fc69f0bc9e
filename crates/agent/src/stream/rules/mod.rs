//! Lines of JSON that are read by rules out of a configuration.

mod form;
mod path;
mod read;

pub use form::LineRules;
pub(super) use read::parse;
