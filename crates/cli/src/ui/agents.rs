//! What agents do and use, as it is shown.

use super::one_line;
use super::time::Times;
use super::words::failure_words;
use backstay_engine::record::{AgentRecord, Figure, LimitWait, RetryWait, Usage};

/// What an agent at work did last, and beside it how long ago and how much.
pub(crate) fn agent_sign(agent: &AgentRecord, times: &Times) -> (String, Vec<String>) {
    let said = agent.trouble.as_deref().or(agent.line.as_deref()).map(one_line).unwrap_or_default();
    let mut beside = Vec::new();
    if let Some(at) = agent.line_at.filter(|_| agent.trouble.is_none()) {
        beside.push(times.ago(at));
    }
    if agent.tools > 0 {
        beside.push(format!("{} {}", agent.tools, if agent.tools == 1 { "tool" } else { "tools" }));
    }
    (said, beside)
}

/// Whose limit is waited for.
pub(crate) fn limit_words(limit: &LimitWait, times: &Times) -> String {
    let LimitWait { agent, until, is_end_known } = limit;
    match is_end_known {
        true => format!("waits for {agent}'s limit until {}", times.minute(*until)),
        false => format!("{agent}'s limit has no known end: asks again {}", times.minute(*until)),
    }
}

/// The same of a run that nobody owns: the end of the limit wakes no one.
pub(crate) fn unowned_limit_words(limit: &LimitWait, times: &Times) -> String {
    let LimitWait { agent, until, is_end_known } = limit;
    match is_end_known {
        true => format!("no owner, and {agent}'s limit ends {}", times.minute(*until)),
        false => format!("no owner, and {agent} can be asked again {}", times.minute(*until)),
    }
}

/// What failed, which try comes next, and when: `fix waits for try 3 at 12:03:10 (no network)`.
pub(crate) fn retry_words(retry: &RetryWait, times: &Times) -> String {
    let RetryWait { step, attempt, failure, until } = retry;
    format!("{step} waits for try {attempt} at {} ({})", times.second(*until), failure_words(*failure))
}

/// What the agents of a run used: `2.41 M tokens (81 % cached) · cost unknown`; `+ ?` where some told nothing of it.
pub(crate) fn usage_words(usage: &Usage) -> String {
    if usage.attempts == usage.untold {
        return "tokens and cost not told yet".to_owned();
    }
    let mut words = vec![tokens_words(usage)];
    words.push(match usage.cost_micro_usd {
        cost if cost.untold == usage.attempts => "cost unknown".to_owned(),
        cost => cost.words(usage.attempts, dollars),
    });
    match usage.untold {
        0 => {}
        1 => words.push("1 attempt told nothing".to_owned()),
        many => words.push(format!("{many} attempts told nothing")),
    }
    match usage.input.partial.max(usage.output.partial) {
        0 => {}
        1 => words.push("1 attempt did not tell all of it".to_owned()),
        many => words.push(format!("{many} attempts did not tell all of it")),
    }
    words.join(" · ")
}

fn tokens_words(usage: &Usage) -> String {
    let attempts = usage.attempts;
    let known = |figure: Figure| Some(figure).filter(|figure| figure.untold < attempts);
    let cached = match (known(usage.cache_read), known(usage.input)) {
        (Some(cached), Some(input)) if input.known > 0 => {
            format!(" ({} % cached)", cached.known.saturating_mul(100) / input.known)
        }
        _ => String::new(),
    };
    match (known(usage.input), known(usage.output)) {
        (Some(input), Some(output)) => {
            let both = Figure {
                known: input.known + output.known,
                untold: input.untold.max(output.untold),
                partial: input.partial.max(output.partial),
            };
            format!("{} tokens{cached}", both.words(attempts, amount))
        }
        (Some(input), None) => format!("{} tokens in{cached}, out unknown", input.words(attempts, amount)),
        (None, Some(output)) => format!("{} tokens out, in unknown", output.words(attempts, amount)),
        (None, None) => "tokens unknown".to_owned(),
    }
}

/// `12.34 USD`.
pub(crate) fn dollars(micros: u64) -> String {
    format!("{}.{:02} USD", micros / 1_000_000, micros / 10_000 % 100)
}

/// `812`, `1.5 k`, `2.41 M`.
pub(crate) fn amount(number: u64) -> String {
    match number {
        0..1_000 => number.to_string(),
        1_000..1_000_000 => format!("{}.{} k", number / 1_000, number / 100 % 10),
        _ => format!("{}.{:02} M", number / 1_000_000, number / 10_000 % 100),
    }
}

#[cfg(test)]
mod tests {
    use backstay_model::event::Tokens;

    use super::*;

    #[test]
    fn a_limit_whose_end_is_not_known_is_not_said_to_have_one() {
        // Noon of the first day of 1970.
        let now = backstay_model::Timestamp::from_micros(43_200_000_000);
        let times = Times::utc(now);
        let limit = |is_end_known| LimitWait { agent: "codex".to_owned(), until: now, is_end_known };
        assert_eq!(limit_words(&limit(true), &times), "waits for codex's limit until 12:00");
        assert_eq!(limit_words(&limit(false), &times), "codex's limit has no known end: asks again 12:00");
        assert_eq!(unowned_limit_words(&limit(true), &times), "no owner, and codex's limit ends 12:00");
        assert_eq!(
            unowned_limit_words(&limit(false), &times),
            "no owner, and codex can be asked again 12:00"
        );
    }

    #[test]
    fn usage_is_told_short_and_unknown_as_unknown() {
        let all = Tokens {
            input: Some(2_000_000),
            output: Some(414_999),
            cache_read: Some(1_620_000),
            cost_micro_usd: Some(12_345_678),
            ..Tokens::default()
        };
        let partly = Tokens { cost_micro_usd: None, ..all };
        let partial = Tokens { is_partial: true, ..all };
        let table: [(&[Option<Tokens>], &str); 8] = [
            (
                &[Some(all), Some(partial)],
                "4.82 M + ? tokens (81 % cached) · 24.69 USD + ? · 1 attempt did not tell all of it",
            ),
            (&[Some(all)], "2.41 M tokens (81 % cached) · 12.34 USD"),
            (&[Some(partly)], "2.41 M tokens (81 % cached) · cost unknown"),
            (&[Some(all), Some(partly)], "4.82 M tokens (81 % cached) · 12.34 USD + ?"),
            (&[Some(all), None], "2.41 M + ? tokens (81 % cached) · 12.34 USD + ? · 1 attempt told nothing"),
            (
                &[Some(Tokens { input: Some(1_234), ..Tokens::default() })],
                "1.2 k tokens in, out unknown · cost unknown",
            ),
            (&[Some(Tokens::default())], "tokens unknown · cost unknown"),
            (&[None, None, None], "tokens and cost not told yet"),
        ];
        for (attempts, expected) in table {
            let mut usage = Usage::default();
            attempts.iter().for_each(|told| usage.add(told.as_ref()));
            assert_eq!(usage_words(&usage), expected);
        }
    }
}
