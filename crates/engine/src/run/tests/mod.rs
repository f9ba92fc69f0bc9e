//! The machine by its inputs and facts: what is said and reported goes in, whole lists of facts come out.

mod agents;
mod answers;
mod asks;
mod bench;
mod budget;
mod checkouts;
mod crash;
mod fallback;
mod loops;
mod order;
mod outages;
mod outputs;
mod plan_change;
mod plans;
mod random;
mod records;
mod reopen;
mod retry;
mod skip;
mod stop;
mod worktrees;

use bench::{Bench, say};
