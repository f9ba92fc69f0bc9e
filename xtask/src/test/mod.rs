//! `cargo xtask test`: the whole suite, counted.

mod libtest;
mod nextest;
mod suite;
mod tally;
mod tools;
mod watchdog;

pub(crate) use suite::{ALL_VARIABLE, Options, run};
