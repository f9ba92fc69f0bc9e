//! What people want to see of a stream, folded.

use std::collections::{BTreeMap, BTreeSet};

use crate::stream::{AgentEvent, Part, Usage, UsageSpan};
use crate::trouble::Reset;

/// Open tool calls, files and model calls that are remembered, each: more are open, written and repeated by no agent that
/// works. Further files are not told; further model calls add up all the same.
const REMEMBERED_MAX: usize = 10_000;

/// An agent's process as its stream tells it. Feed it every event of the process, in order.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    session: Option<String>,
    model: Option<String>,
    last_message: Option<String>,
    is_message_open: bool,
    sign: Option<String>,
    life: u64,
    tools: u64,
    open_calls: BTreeMap<String, String>,
    files: BTreeSet<String>,
    usage: Tally,
    limit: Option<(String, Option<Reset>)>,
    login_needed: Option<String>,
    network_trouble: Option<String>,
    ended: Option<bool>,
    failure: Option<String>,
}

/// Tokens and cost of one process. What nobody said is `None`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tally {
    calls: BTreeMap<String, Usage>,
    earlier_calls: Option<Usage>,
    process: Option<Usage>,
    session: Option<Usage>,
}

impl Progress {
    /// Folds the next event.
    pub fn apply(&mut self, event: &AgentEvent) {
        if !matches!(event, AgentEvent::Message { .. } | AgentEvent::Usage(_)) {
            self.is_message_open = false;
        }
        match event {
            AgentEvent::SessionStarted { id, model } => {
                self.session = Some(id.clone());
                if model.is_some() {
                    self.model.clone_from(model);
                }
            }
            AgentEvent::Message { text, part } => self.message(text, *part),
            AgentEvent::Reasoning { text: _ } => {
                self.alive();
                self.sign = Some("thinks".to_owned());
            }
            AgentEvent::ToolStarted { call, name: _, what } => {
                self.alive();
                self.tools += 1;
                self.sign = Some(what.clone());
                if self.open_calls.len() < REMEMBERED_MAX {
                    self.open_calls.insert(call.clone(), what.clone());
                }
            }
            AgentEvent::ToolFinished { call, what, .. } => {
                self.alive();
                if self.open_calls.remove(call).is_none() {
                    self.tools += 1;
                    self.sign = what.clone().or_else(|| self.sign.take());
                }
            }
            AgentEvent::FilesTouched { paths } => {
                let room = REMEMBERED_MAX.saturating_sub(self.files.len());
                self.files.extend(paths.iter().take(room).cloned());
            }
            AgentEvent::Usage(usage) => self.usage.apply(usage),
            AgentEvent::Limit { reset, message } => {
                // One refusal may be told twice, and only once with its end.
                let known = self.limit.take().and_then(|(_, reset)| reset);
                self.limit = Some((message.clone(), reset.clone().or(known)));
            }
            AgentEvent::LoginNeeded { message } => self.login_needed = Some(message.clone()),
            AgentEvent::NetworkTrouble { message } => self.network_trouble = Some(message.clone()),
            AgentEvent::TurnEnded { ok, last_message, failure } => {
                self.ended = Some(*ok);
                self.failure.clone_from(failure);
                if last_message.is_some() {
                    self.last_message.clone_from(last_message);
                }
            }
        }
    }

    fn message(&mut self, text: &str, part: Part) {
        let is_new = part == Part::Whole || !self.is_message_open;
        if is_new {
            self.alive();
            self.last_message = Some(text.to_owned());
        } else {
            self.last_message.get_or_insert_default().push_str(text);
        }
        self.is_message_open = part == Part::Piece;
        let line = self
            .last_message
            .as_deref()
            .and_then(|message| message.lines().rev().find(|line| !line.trim().is_empty()));
        self.sign = line.map(crate::stream::one_line).or_else(|| self.sign.take());
    }

    /// The agent did something: whatever was in its way is no more.
    fn alive(&mut self) {
        self.life += 1;
        self.limit = None;
        self.login_needed = None;
        self.network_trouble = None;
    }

    /// The agent's own session.
    #[must_use]
    pub fn session(&self) -> Option<&str> {
        self.session.as_deref()
    }

    /// The model, where the stream says it.
    #[must_use]
    pub fn model(&self) -> Option<&str> {
        self.model.as_deref()
    }

    /// The last message to the user: of a turn that has ended, the agent's output.
    #[must_use]
    pub fn last_message(&self) -> Option<&str> {
        self.last_message.as_deref()
    }

    /// One line about what it does or did last: `edit src/auth/token.rs`, `$ cargo test`.
    #[must_use]
    pub fn sign_of_life(&self) -> Option<&str> {
        self.sign.as_deref()
    }

    /// Grows with each message, thought and start and end of a tool, and with nothing else: an agent that only prints that
    /// it cannot reach its provider prints without end. Where this does not grow, the agent stands still.
    #[must_use]
    pub fn life(&self) -> u64 {
        self.life
    }

    /// Calls of tools so far.
    #[must_use]
    pub fn tools(&self) -> u64 {
        self.tools
    }

    /// The tools that run now, a line for each.
    pub fn running_tools(&self) -> impl Iterator<Item = &str> {
        self.open_calls.values().map(String::as_str)
    }

    /// Files that tools wrote, in order of name, as the agent spells them. Commands in a shell write without saying so.
    pub fn files(&self) -> impl Iterator<Item = &str> {
        self.files.iter().map(String::as_str)
    }

    /// Tokens and cost.
    #[must_use]
    pub fn usage(&self) -> &Tally {
        &self.usage
    }

    /// What the agent said of a limit that it has met and not got over, and when that ends.
    #[must_use]
    pub fn limit(&self) -> Option<(&str, Option<&Reset>)> {
        self.limit.as_ref().map(|(message, reset)| (message.as_str(), reset.as_ref()))
    }

    /// What the agent said of missing or refused credentials.
    #[must_use]
    pub fn login_needed(&self) -> Option<&str> {
        self.login_needed.as_deref()
    }

    /// What the agent said of a provider that cannot be reached or failed, and has not answered since.
    #[must_use]
    pub fn network_trouble(&self) -> Option<&str> {
        self.network_trouble.as_deref()
    }

    /// Whether the turn has ended, and well. A process that ends while this is `None` was cut short.
    #[must_use]
    pub fn ended(&self) -> Option<bool> {
        self.ended
    }

    /// Why the turn did not end well, in the agent's words.
    #[must_use]
    pub fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }
}

impl Tally {
    fn apply(&mut self, usage: &Usage) {
        match &usage.span {
            UsageSpan::Process => self.process = Some(usage.clone()),
            UsageSpan::Session => self.session = Some(usage.clone()),
            UsageSpan::Call { id } => {
                if self.calls.len() >= REMEMBERED_MAX && !self.calls.contains_key(id) {
                    self.earlier_calls = self.of_calls();
                    self.calls.clear();
                }
                self.calls.insert(id.clone(), usage.clone());
            }
        }
    }

    fn of_calls(&self) -> Option<Usage> {
        let all = self.earlier_calls.iter().chain(self.calls.values());
        all.cloned().reduce(|sum, call| plus(&sum, &call)).map(as_process)
    }

    /// What this process used. `before` is what the session's earlier processes had used, for agents that count over the
    /// whole session; `None` where the session began with this process.
    #[must_use]
    pub fn of_process(&self, before: Option<&Usage>) -> Option<Usage> {
        if let Some(session) = &self.session {
            return Some(match before {
                Some(before) => less(session, before),
                None => Usage { span: UsageSpan::Process, ..session.clone() },
            });
        }
        self.process.clone().or_else(|| self.of_calls())
    }

    /// What the session has used so far, of agents that count so: the `before` of its next process.
    #[must_use]
    pub fn of_session(&self) -> Option<&Usage> {
        self.session.as_ref()
    }
}

fn as_process(usage: Usage) -> Usage {
    Usage { span: UsageSpan::Process, ..usage }
}

/// The sum; what one of them does not know, the sum does not know.
fn plus(one: &Usage, other: &Usage) -> Usage {
    let sum = |one: Option<u64>, other: Option<u64>| Some(one?.saturating_add(other?));
    Usage {
        span: UsageSpan::Process,
        input: sum(one.input, other.input),
        output: sum(one.output, other.output),
        cache_read: sum(one.cache_read, other.cache_read),
        cache_write: sum(one.cache_write, other.cache_write),
        reasoning: sum(one.reasoning, other.reasoning),
        cost_usd: one.cost_usd.zip(other.cost_usd).map(|(one, other)| one + other),
    }
}

fn less(all: &Usage, before: &Usage) -> Usage {
    let rest = |all: Option<u64>, before: Option<u64>| Some(all?.saturating_sub(before?));
    Usage {
        span: UsageSpan::Process,
        input: rest(all.input, before.input),
        output: rest(all.output, before.output),
        cache_read: rest(all.cache_read, before.cache_read),
        cache_write: rest(all.cache_write, before.cache_write),
        reasoning: rest(all.reasoning, before.reasoning),
        cost_usd: all.cost_usd.zip(before.cost_usd).map(|(all, before)| (all - before).max(0.0)),
    }
}

#[cfg(test)]
mod tests {
    use super::Progress;
    use crate::stream::{AgentEvent, Part, Usage, UsageSpan};

    fn usage(span: UsageSpan, input: Option<u64>) -> AgentEvent {
        let (output, cache_read, cache_write, reasoning, cost_usd) = (Some(5), None, None, None, None);
        AgentEvent::Usage(Usage { span, input, output, cache_read, cache_write, reasoning, cost_usd })
    }

    fn call(id: &str, input: Option<u64>) -> AgentEvent {
        usage(UsageSpan::Call { id: id.to_owned() }, input)
    }

    fn piece(text: &str) -> AgentEvent {
        AgentEvent::Message { text: text.to_owned(), part: Part::Piece }
    }

    fn folded(events: &[AgentEvent]) -> Progress {
        let mut progress = Progress::default();
        events.iter().for_each(|event| progress.apply(event));
        progress
    }

    #[test]
    fn calls_add_up_a_repeated_one_counts_once_and_unknown_is_not_zero() {
        let sum = |events: &[AgentEvent]| {
            folded(events).usage().of_process(None).map(|usage| (usage.input, usage.output))
        };
        assert_eq!(sum(&[]), None);
        assert_eq!(
            sum(&[call("a", Some(1)), call("b", Some(2)), call("b", Some(3))]),
            Some((Some(4), Some(10)))
        );
        assert_eq!(sum(&[call("a", Some(1)), call("b", None)]), Some((None, Some(10))));
        let process = usage(UsageSpan::Process, Some(9));
        assert_eq!(sum(&[call("a", Some(1)), process, call("b", Some(2))]), Some((Some(9), Some(5))));
    }

    #[test]
    fn more_calls_than_are_remembered_add_up_all_the_same() {
        let count = super::REMEMBERED_MAX as u64 + 5;
        let events: Vec<AgentEvent> = (0..count).map(|number| call(&number.to_string(), Some(2))).collect();
        assert_eq!(folded(&events).usage().of_process(None).unwrap().input, Some(2 * count));
    }

    #[test]
    fn of_counts_over_a_whole_session_the_difference_is_taken() {
        let first = folded(&[usage(UsageSpan::Session, Some(10))]);
        let second = folded(&[usage(UsageSpan::Session, Some(17))]);
        let used = second.usage().of_process(first.usage().of_session()).unwrap();
        assert_eq!((used.input, used.output, used.cost_usd), (Some(7), Some(0), None));
        assert_eq!(second.usage().of_process(None).unwrap().input, Some(17));
    }

    #[test]
    fn pieces_are_one_message_and_one_sign_of_life() {
        let tool = AgentEvent::ToolFinished {
            call: "1".to_owned(),
            name: None,
            what: Some("$ ls".to_owned()),
            ok: Some(true),
            exit_code: None,
            duration_ms: None,
        };
        let progress = folded(&[piece("hel"), piece("lo\nyou\n"), tool, piece("bye")]);
        assert_eq!(progress.last_message(), Some("bye"));
        assert_eq!((progress.life(), progress.tools()), (3, 1));
        assert_eq!(folded(&[piece("hel"), piece("lo\nyou\n")]).sign_of_life(), Some("you"));
    }

    #[test]
    fn trouble_is_no_life_and_ends_with_the_next_sign_of_life() {
        let trouble = AgentEvent::NetworkTrouble { message: "away".to_owned() };
        let progress = folded(&[trouble.clone(), trouble.clone()]);
        assert_eq!((progress.life(), progress.network_trouble()), (0, Some("away")));
        assert_eq!(folded(&[trouble, piece("back")]).network_trouble(), None);
    }
}
