//! What each CLI makes of a provider that refuses, fails or breaks off: the class, and the provider's words.

use backstay_agent::Obstacle;
use backstay_testkit::{Answer, Refusal};

use crate::always;
use crate::cli::{Cli, Login};
use crate::clis::Workplace;

/// The class of what is in an agent's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Limit,
    Login,
    Refused,
    Network,
}

/// The class that can be known by what this CLI tells.
fn as_told_by(cli: Cli, answer: &Answer, expected: Class) -> Class {
    match (cli, answer) {
        // Of a 429 Codex tells the status alone, and of a provider with too much to do that the model is at capacity.
        (Cli::Codex, Answer::Refused(Refusal::SpendLimit) | Answer::Overloaded) => Class::Limit,
        _ => expected,
    }
}

/// The first that is told of a provider that always answers so is its class, with words.
fn tells(cli: Cli, answer: Answer, expected: Class) {
    let Some(place) = Workplace::new(cli, Login::Chosen) else { return };
    let (found, requests) = place.first_obstacle(always(answer.clone()));
    let (class, message) = match &found {
        Some(Obstacle::Refused { message }) => (Some(Class::Refused), message.as_str()),
        Some(Obstacle::Network { message }) => (Some(Class::Network), message.as_str()),
        Some(Obstacle::Limit { message, .. }) => (Some(Class::Limit), message.as_str()),
        Some(Obstacle::Login { message }) => (Some(Class::Login), message.as_str()),
        None => (None, ""),
    };
    println!("{} {answer:?}: {found:?} after {requests} requests", cli.name());
    assert_eq!(class, Some(as_told_by(cli, &answer, expected)), "{found:?}");
    assert!(!message.trim().is_empty(), "{found:?}");
}

pub(crate) fn tells_no_credit(cli: Cli) {
    tells(cli, Answer::Refused(Refusal::CreditTooLow), Class::Refused);
}

pub(crate) fn tells_a_spending_limit(cli: Cli) {
    tells(cli, Answer::Refused(Refusal::SpendLimit), Class::Refused);
}

pub(crate) fn tells_a_missing_right(cli: Cli) {
    tells(cli, Answer::Refused(Refusal::Forbidden), Class::Refused);
}

pub(crate) fn tells_a_suspended_account(cli: Cli) {
    tells(cli, Answer::Refused(Refusal::Suspended), Class::Refused);
}

pub(crate) fn tells_an_expired_login(cli: Cli) {
    tells(cli, Answer::Expired, Class::Login);
}

pub(crate) fn tells_a_filter_of_contents(cli: Cli) {
    tells(cli, Answer::Refused(Refusal::ContentFilter), Class::Refused);
}

pub(crate) fn tells_an_overloaded_provider(cli: Cli) {
    tells(cli, Answer::Overloaded, Class::Network);
}

pub(crate) fn tells_a_cut_stream(cli: Cli) {
    tells(cli, Answer::Cut, Class::Network);
}
