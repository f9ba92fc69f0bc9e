//! What agents do and use, as it is shown.

use backstay_engine::record::{AgentRecord, RunUsage};
use backstay_model::Timestamp;
use backstay_model::event::Tokens;

use super::one_line;
use super::time::Times;

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
pub(crate) fn limit_words(agent: &str, until: Timestamp, times: &Times) -> String {
    format!("waits for {agent}'s limit until {}", times.minute(until))
}

/// The same of a run that nobody owns: the end of the limit wakes no one.
pub(crate) fn unowned_limit_words(agent: &str, until: Timestamp, times: &Times) -> String {
    format!("no owner, and {agent}'s limit ends {}", times.minute(until))
}

/// What the agents of a run used: `2.41 M tokens (81 % cached) · cost unknown`.
pub(crate) fn usage_words(usage: &RunUsage) -> String {
    if usage.told == 0 {
        return "tokens and cost not told yet".to_owned();
    }
    let mut words = vec![tokens_words(&usage.tokens)];
    words.push(match usage.tokens.cost_micro_usd {
        Some(cost) => format!("{}.{:02} USD", cost / 1_000_000, cost / 10_000 % 100),
        None => "cost unknown".to_owned(),
    });
    match usage.untold {
        0 => {}
        1 => words.push("1 attempt told nothing".to_owned()),
        many => words.push(format!("{many} attempts told nothing")),
    }
    words.join(" · ")
}

fn tokens_words(tokens: &Tokens) -> String {
    let cached = match (tokens.cache_read, tokens.input) {
        (Some(cached), Some(input)) if input > 0 => format!(" ({} % cached)", cached * 100 / input),
        _ => String::new(),
    };
    match (tokens.input, tokens.output) {
        (Some(input), Some(output)) => format!("{} tokens{cached}", amount(input + output)),
        (Some(input), None) => format!("{} tokens in{cached}, out unknown", amount(input)),
        (None, Some(output)) => format!("{} tokens out, in unknown", amount(output)),
        (None, None) => "tokens unknown".to_owned(),
    }
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
    use super::*;

    #[test]
    fn usage_is_told_short_and_unknown_as_unknown() {
        let all = Tokens {
            input: Some(2_000_000),
            output: Some(414_999),
            cache_read: Some(1_620_000),
            cost_micro_usd: Some(12_345_678),
            ..Tokens::default()
        };
        for (tokens, told, untold, expected) in [
            (all, 2, 0, "2.41 M tokens (81 % cached) · 12.34 USD"),
            (
                Tokens { cost_micro_usd: None, ..all },
                2,
                1,
                "2.41 M tokens (81 % cached) · cost unknown · 1 attempt told nothing",
            ),
            (
                Tokens { input: Some(1_234), ..Tokens::default() },
                1,
                0,
                "1.2 k tokens in, out unknown · cost unknown",
            ),
            (
                Tokens { input: Some(0), output: Some(7), ..Tokens::default() },
                1,
                2,
                "7 tokens · cost unknown · 2 attempts told nothing",
            ),
            (Tokens::default(), 1, 0, "tokens unknown · cost unknown"),
            (Tokens::ZERO, 0, 3, "tokens and cost not told yet"),
        ] {
            assert_eq!(usage_words(&RunUsage { tokens, told, untold }), expected);
        }
    }
}
