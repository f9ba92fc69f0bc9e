//! `backstay doctor`: whether everything that runs need is there, and what stands in the way.

mod checkout;
mod findings;
mod look;
mod report;
mod store;

pub(crate) use look::doctor;
