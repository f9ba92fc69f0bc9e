//! The real agent CLIs in a workflow, against the scripted endpoint: no account, no network, no cost. A third of them runs in the
//! full mode, all run with `cargo xtask soak`.

#![expect(clippy::unwrap_used, reason = "every line of this crate is a test")]

mod access;
mod ask;
mod attach;
#[path = "../../../crates/agent/tests/real/cells.rs"]
mod cells;
#[expect(dead_code, reason = "the tests of the presets use more of it")]
#[path = "../../../crates/agent/tests/real/cli.rs"]
mod cli;
#[path = "../../../crates/agent/tests/real/install.rs"]
mod install;
mod night;
mod place;
mod secrets;
mod sessions;
mod silence;
mod troubles;

use access::commits_with_writing_access;
use ask::{asks_a_person, asks_from_a_sandbox_that_has_to_be_widened};
use attach::works_on_its_own_screen_and_goes_on;
use secrets::tells_no_secret_that_comes_in_pieces;
use sessions::{goes_on_in_its_own_session, keeps_takes_over_and_copies_sessions};
use silence::stalls_when_nothing_comes;
use troubles::{
    gets_over_a_provider_that_fails, goes_on_after_a_new_login, goes_on_when_the_network_is_back,
    hands_over_when_refused_in_mid_task, waits_for_a_limit_in_mid_task,
};

// What is missing from a list cannot be had from that CLI here; docs/agents.md says why.
cells::table! {
    goes_on_in_its_own_session: [codex, claude, gemini, opencode];
    keeps_takes_over_and_copies_sessions: [codex, claude, gemini, opencode];
    waits_for_a_limit_in_mid_task: [codex, claude, gemini, opencode];
    hands_over_when_refused_in_mid_task: [codex, claude, gemini, opencode];
    goes_on_after_a_new_login: [codex, claude, gemini, opencode];
    goes_on_when_the_network_is_back: [codex, claude, gemini, opencode];
    gets_over_a_provider_that_fails: [codex, claude, gemini, opencode];
    stalls_when_nothing_comes: [codex, claude, gemini, opencode];
    tells_no_secret_that_comes_in_pieces: [claude, gemini];
    asks_a_person: [codex, claude, gemini, opencode];
    asks_from_a_sandbox_that_has_to_be_widened: [codex];
    works_on_its_own_screen_and_goes_on: [codex, claude, gemini, opencode];
    commits_with_writing_access: [codex, claude, gemini, opencode];
}
