//! Scripts of bash and of POSIX shells: where each `${{ }}` stands, and what the shell would evaluate again.
//!
//! `parser`, `compound`, `simple`, `redirects` and `words` read a script into the types of `syntax`. `flow` says which variables
//! may hold a value, `sources` which words do, `programs` what commands do with their words, `tables`, `interpreters` and
//! `options` how programs are given code. `findings` and `assignments` put these together; `nested` finds the programs in a script. `reading` is the way in.

mod assignments;
mod compound;
mod findings;
mod flow;
mod interpreters;
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
