//! Scripts of bash and of POSIX shells: the place of each `${{ }}`, and the places where the shell evaluates its value again.
//!
//! `parser`, `compound`, `simple`, `redirects` and `words` read a script into the types of `syntax`. `flow` and `mentions` find the
//! variables that may hold a value, `sources` the words that may hold one. `programs` knows the roles of a command's words;
//! `tables`, `interpreters` and `options` know how programs take code. `findings` and `assignments` combine all of this, and
//! `nested` finds the programs inside a script. `reading` has the entry points.

mod assignments;
mod compound;
mod findings;
mod flow;
mod interpreters;
mod mentions;
mod nested;
mod options;
mod parser;
mod programs;
mod reading;
mod redirects;
mod simple;
mod sources;
mod syntax;
mod tables;
mod words;

pub(crate) use findings::{CODE_VARIABLES, Finding, PROGRAM_VARIABLES, Source};
pub(crate) use parser::Obscurity;
pub(crate) use programs::Role;
pub use reading::ValueKind;
pub(crate) use reading::{ArgumentPart, Script, findings_of_command, read};
pub(crate) use syntax::Place;
