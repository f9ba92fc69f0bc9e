//! `backstay init`: the first workflow of a repository.

mod begin;
mod detect;
mod workflow;

pub(crate) use begin::init;
