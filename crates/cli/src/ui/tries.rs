//! What went wrong in a run and was got over: its failed tries and its interruptions, in a line or two however many there are.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use backstay_engine::record::{Interruption, RunRecord};
use backstay_model::StepId;
use backstay_model::event::AttemptEnd;

use super::line::cut_with_mark;
use super::one_line;
use super::time::{Times, duration};

/// Columns of the reason of a failed try.
const MESSAGE_COLUMNS_MAX: usize = 100;
/// So many interruptions have a line each; more are summed up.
const INTERRUPTIONS_MAX: usize = 3;

/// The tries that failed with one class.
#[derive(Default)]
struct FailedTries<'a> {
    count: usize,
    agents: BTreeSet<&'a str>,
    /// Why the last of them did, where that is known.
    message: Option<&'a str>,
}

/// The tries that failed and were followed by another, by the class of the failure, with the agents and the last reason:
/// `2 network (codex): connection refused · 1 refused (claude): no credit`.
pub(super) fn failed_tries(record: &RunRecord) -> Option<String> {
    let mut by_class: BTreeMap<&str, FailedTries<'_>> = BTreeMap::new();
    for step in &record.steps {
        let followed = step.attempts.split_last().map(|(_last, before)| before);
        for attempt in followed.into_iter().flatten() {
            let class = match attempt.end {
                Some(AttemptEnd::Failed { failure }) => failure.as_str(),
                // Nobody knows how it ended: its keeper died.
                _ if attempt.lost.is_some() => "lost",
                _ => continue,
            };
            let tries = by_class.entry(class).or_default();
            tries.count += 1;
            tries.agents.extend(attempt.agent.as_ref().map(|agent| agent.preset.as_str()));
            tries.message = attempt.message.as_deref().or(tries.message);
        }
    }
    let words = by_class.into_iter().map(|(class, FailedTries { count, agents, message })| {
        let agents: Vec<&str> = agents.into_iter().collect();
        let agents = if agents.is_empty() { String::new() } else { format!(" ({})", agents.join(", ")) };
        let message = message.map_or_else(String::new, |message| {
            format!(": {}", cut_with_mark(&one_line(message), MESSAGE_COLUMNS_MAX))
        });
        format!("{count} {class}{agents}{message}")
    });
    let words: Vec<String> = words.collect();
    (!words.is_empty()).then(|| words.join(" · "))
}

/// When nobody owned the run, and what became of what was at work then.
pub(super) fn interruptions(record: &RunRecord, times: &Times) -> Vec<String> {
    let all = record.interruptions.as_slice();
    match all {
        [.., last] if all.len() > INTERRUPTIONS_MAX => vec![summed(all, last, times)],
        few => few.iter().map(|one| told(one, times)).collect(),
    }
}

fn told(interruption: &Interruption, times: &Times) -> String {
    let text = format!(
        "for at most {} from {} (pid {} was gone)",
        duration(interruption.until.since(interruption.from)),
        times.second(interruption.from),
        interruption.pid,
    );
    text + &found("found again", &interruption.reattached) + &found("lost", &interruption.lost)
}

fn found(what: &str, steps: &[StepId]) -> String {
    let names: Vec<&str> = steps.iter().map(StepId::as_str).collect();
    if names.is_empty() { String::new() } else { format!("; {what}: {}", names.join(", ")) }
}

fn summed(all: &[Interruption], last: &Interruption, times: &Times) -> String {
    let length: Duration = all.iter().map(|one| one.until.since(one.from)).sum();
    let steps = |of: fn(&Interruption) -> &[StepId]| {
        let names: BTreeSet<&StepId> = all.iter().flat_map(of).collect();
        names.into_iter().cloned().collect::<Vec<_>>()
    };
    let text = format!(
        "{} times, for at most {} in all, the last time from {} (pid {} was gone)",
        all.len(),
        duration(length),
        times.second(last.from),
        last.pid,
    );
    text + &found("found again", &steps(|one| &one.reattached)) + &found("lost", &steps(|one| &one.lost))
}

#[cfg(test)]
mod tests {
    use backstay_model::event::{AttemptEnd, FailureClass};

    use super::*;
    use crate::ui::pages::{at, attempt, id, running, times};

    #[test]
    fn tries_that_were_followed_by_another_are_counted_and_the_last_one_of_a_step_is_not() {
        let mut record = running();
        assert_eq!(failed_tries(&record), None);
        let failed = |number: u32, failure| {
            let mut attempt = attempt(number, at("10:14:00"));
            attempt.end = Some(AttemptEnd::Failed { failure });
            attempt
        };
        record.steps[0].attempts = vec![
            failed(1, FailureClass::RateLimit),
            failed(2, FailureClass::Network),
            failed(3, FailureClass::Network),
            failed(4, FailureClass::Exit),
        ];
        assert_eq!(failed_tries(&record).as_deref(), Some("2 network · 1 rate_limit"));
        let told = [(0, "limit reached"), (1, "connection refused"), (3, "exit 7")];
        for (index, message) in told {
            record.steps[0].attempts[index].message = Some(message.to_owned());
        }
        let expected = "2 network: connection refused · 1 rate_limit: limit reached";
        assert_eq!(failed_tries(&record).as_deref(), Some(expected), "and who took over is not to guess");
    }

    #[test]
    fn a_few_interruptions_are_told_one_by_one_and_many_in_one_line() {
        let mut record = running();
        let one = record.interruptions[0].clone();
        let told = interruptions(&record, &times());
        assert_eq!(
            told,
            ["for at most 12s from 10:20:01 (pid 4121 was gone); found again: a_rather_long_name_of_a_step"]
        );
        record.interruptions = vec![one.clone(); INTERRUPTIONS_MAX];
        assert_eq!(interruptions(&record, &times()).len(), INTERRUPTIONS_MAX);
        let last = Interruption {
            from: at("10:25:00"),
            until: at("10:25:04"),
            pid: 7,
            reattached: Vec::new(),
            lost: vec![id("quick")],
        };
        record.interruptions.push(last);
        assert_eq!(
            interruptions(&record, &times()),
            [
                "4 times, for at most 40s in all, the last time from 10:25:00 (pid 7 was gone); found again: a_rather_long_name_of_a_step; lost: quick"
            ]
        );
    }
}
