//! `backstay init`: the first workflow of a repository.

mod begin;
mod detect;
mod trial;
mod workflow;

pub(crate) use begin::init;
