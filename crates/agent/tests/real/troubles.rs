//! What each CLI makes of a provider that refuses, fails or breaks off: the class, and the provider's words.

use backstay_agent::Obstacle;
use backstay_testkit::{Answer, Refusal};

use crate::always;
use crate::cli::Cli;
use crate::clis::{Login, Workplace};

/// The class of what is in an agent's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Limit,
    Login,
    Refused,
    Network,
}

/// Every third cell of the matrix runs in the full mode, the whole matrix with `BACKSTAY_TEST_SOAK=1`.
const SAMPLE: usize = 3;

const TROUBLES: [(Answer, Class); 7] = [
    (Answer::Refused(Refusal::CreditTooLow), Class::Refused),
    (Answer::Refused(Refusal::SpendLimit), Class::Refused),
    (Answer::Refused(Refusal::Forbidden), Class::Refused),
    (Answer::Refused(Refusal::Suspended), Class::Refused),
    (Answer::Refused(Refusal::ContentFilter), Class::Refused),
    (Answer::Overloaded, Class::Network),
    (Answer::Cut, Class::Network),
];

/// The class that can be known by what this CLI tells.
fn as_told_by(cli: Cli, answer: &Answer, expected: Class) -> Class {
    match (cli, answer) {
        // Of a 429 Codex tells the status alone, and of a provider with too much to do that the model is at capacity.
        (Cli::Codex, Answer::Refused(Refusal::SpendLimit) | Answer::Overloaded) => Class::Limit,
        _ => expected,
    }
}

pub(crate) fn tells_each_trouble_of_the_provider(cli: Cli) {
    let is_whole = std::env::var_os("BACKSTAY_TEST_SOAK").is_some_and(|value| value == "1");
    let column = [Cli::Codex, Cli::Claude, Cli::Gemini, Cli::Opencode].iter().position(|each| *each == cli);
    let mut wrong = Vec::new();
    for (row, (answer, expected)) in TROUBLES.into_iter().enumerate() {
        if !is_whole && !(row + column.unwrap()).is_multiple_of(SAMPLE) {
            continue;
        }
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
        if class != Some(as_told_by(cli, &answer, expected)) || message.trim().is_empty() {
            wrong.push(format!("{answer:?}: {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}: {wrong:#?}", cli.name());
}
