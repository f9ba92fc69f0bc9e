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
    obstacle: Option<Obstacle>,
    ended: Option<bool>,
    background: usize,
    has_untold_sub_agents: bool,
    failure: Option<String>,
    /// What went wrong and did not end the turn.
    error: Option<String>,
}

/// What is in an agent's way: it goes with the next sign of life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// The provider refuses until later.
    Limit {
        /// In the agent's words.
        message: String,
        /// When that ends, as far as the agent said it.
        reset: Option<Reset>,
    },
    /// There are no credentials, or they are not accepted.
    Login {
        /// In the agent's words.
        message: String,
    },
    /// The account or the request is refused, and waiting does not help.
    Refused {
        /// In the provider's words, as far as the agent tells them.
        message: String,
    },
    /// The provider cannot be reached or failed, and has not answered since.
    Network {
        /// In the agent's words.
        message: String,
    },
}

/// Tokens and cost of one process. What nobody said is `None`; what some of its turns and calls said adds up, and is marked
/// as partial where others did not say it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tally {
    calls: BTreeMap<String, Usage>,
    earlier_calls: Option<Usage>,
    turns: Option<Usage>,
    process: Option<Usage>,
    session: Option<Usage>,
}

impl Progress {
    /// Folds the next event.
    pub fn apply(&mut self, event: &AgentEvent) {
        if !event.is_between_pieces() {
            self.is_message_open = false;
        }
        match event {
            AgentEvent::SessionStarted { id, model } => {
                self.session = Some(id.clone());
                if model.is_some() {
                    self.model.clone_from(model);
                }
            }
            // It is no sign of life: an agent that cannot reach its provider begins again and again.
            AgentEvent::TurnStarted => (self.ended, self.failure) = (None, None),
            AgentEvent::Message { text, part } => self.message(text, *part),
            // It says nothing of what was in the way: that may still be so.
            AgentEvent::WrongValue { .. } => {}
            AgentEvent::Working => self.life += 1,
            AgentEvent::UntoldSubAgent => self.has_untold_sub_agents = true,
            AgentEvent::Background { tasks } => {
                self.life += 1;
                self.background = *tasks;
            }
            AgentEvent::Model { name } => self.model = Some(name.clone()),
            AgentEvent::Reasoning { text: _ } => {
                self.alive();
                self.sign = Some("thinks".to_owned());
            }
            AgentEvent::ToolStarted { call, name: _, what } => {
                self.alive();
                self.ended = None;
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
                let known = match self.obstacle.take() {
                    Some(Obstacle::Limit { reset, .. }) => reset,
                    _ => None,
                };
                let (message, reset) = (message.clone(), reset.clone().or(known));
                self.obstacle = Some(Obstacle::Limit { message, reset });
            }
            AgentEvent::LoginNeeded { message } => {
                self.obstacle = Some(Obstacle::Login { message: message.clone() });
            }
            AgentEvent::Refused { message } => {
                self.obstacle = Some(Obstacle::Refused { message: message.clone() });
            }
            // The vaguest of all signs takes the place of no other.
            AgentEvent::NetworkTrouble { message } => {
                if matches!(self.obstacle, None | Some(Obstacle::Network { .. })) {
                    self.obstacle = Some(Obstacle::Network { message: message.clone() });
                }
            }
            AgentEvent::Error { message } => self.error = Some(message.clone()),
            AgentEvent::TurnEnded { ok, last_message, failure } => {
                self.ended = Some(*ok);
                self.failure = failure.clone().or_else(|| self.error.take()).filter(|_| !ok);
                if last_message.is_some() {
                    self.last_message.clone_from(last_message);
                }
            }
        }
    }

    fn message(&mut self, text: &str, part: Part) {
        let is_new = part == Part::Whole || !self.is_message_open;
        if is_new || !text.is_empty() {
            self.alive();
        }
        // Work in the background that ended begins another turn.
        self.ended = None;
        if is_new {
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
        (self.obstacle, self.error) = (None, None);
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

    /// Grows with each message or piece of one, thought, start and end of a tool, and word of progress, and with nothing else:
    /// an agent that only prints that it cannot reach its provider prints without end. Where this does not grow, the agent stands still.
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

    /// Whether sub-agents worked whose tokens and cost are not in [`Progress::usage`]; its own figures may be partial besides.
    #[must_use]
    pub fn has_untold_sub_agents(&self) -> bool {
        self.has_untold_sub_agents
    }

    /// What the agent said of what is in its way and that it has not got over.
    #[must_use]
    pub fn obstacle(&self) -> Option<&Obstacle> {
        self.obstacle.as_ref()
    }

    /// Whether the turn has ended, and well. A process that ends while this is `None` was cut short.
    #[must_use]
    pub fn ended(&self) -> Option<bool> {
        self.ended
    }

    /// Whether nothing more is to come: the turn has ended, and nothing is at work in the background.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.ended.is_some() && self.background == 0
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
            UsageSpan::Turn => {
                let turn = as_process(usage.clone());
                self.turns = Some(self.turns.as_ref().map_or(turn.clone(), |before| before.plus(&turn)));
                (self.calls, self.earlier_calls) = (BTreeMap::new(), None);
            }
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
        all.cloned().reduce(|sum, call| sum.plus(&call)).map(as_process)
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
        if self.process.is_some() {
            return self.process.clone();
        }
        match (&self.turns, self.of_calls()) {
            (Some(turns), Some(calls)) => Some(turns.plus(&calls)),
            (turns, calls) => calls.or_else(|| turns.clone()),
        }
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
        // The earlier processes were told before: what is over them lacks what this one lacks.
        is_partial: all.is_partial,
    }
}

#[cfg(test)]
mod tests {
    use super::{Obstacle, Progress};
    use crate::stream::{AgentEvent, Part, Usage, UsageSpan};

    fn usage(span: UsageSpan, input: Option<u64>) -> AgentEvent {
        AgentEvent::Usage(figures(span, input, Some(5), None))
    }

    fn figures(span: UsageSpan, input: Option<u64>, output: Option<u64>, cost_usd: Option<f64>) -> Usage {
        let (cache_read, cache_write, reasoning) = (None, None, None);
        Usage { span, input, output, cache_read, cache_write, reasoning, cost_usd, is_partial: false }
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
    fn calls_add_up_a_repeated_one_counts_once_and_an_unknown_one_makes_the_sum_partial() {
        let sum = |events: &[AgentEvent]| {
            let usage = folded(events).usage().of_process(None)?;
            Some((usage.input, usage.output, usage.is_partial))
        };
        assert_eq!(sum(&[]), None);
        assert_eq!(
            sum(&[call("a", Some(1)), call("b", Some(2)), call("b", Some(3))]),
            Some((Some(4), Some(10), false))
        );
        assert_eq!(sum(&[call("a", Some(1)), call("b", None)]), Some((Some(1), Some(10), true)));
        assert_eq!(sum(&[call("a", None), call("b", None)]), Some((None, Some(10), false)));
        let process = usage(UsageSpan::Process, Some(9));
        assert_eq!(sum(&[call("a", Some(1)), process, call("b", Some(2))]), Some((Some(9), Some(5), false)));
    }

    #[test]
    fn turns_add_up_replace_the_calls_before_them_and_calls_behind_them_take_nothing_away() {
        let turn = |input, output, cost| {
            AgentEvent::Usage(figures(UsageSpan::Turn, Some(input), Some(output), Some(cost)))
        };
        // As Claude Code tells them: what a call wrote and cost is known at the end of its turn.
        let call = |id: &str, input| {
            let span = UsageSpan::Call { id: id.to_owned() };
            AgentEvent::Usage(figures(span, Some(input), None, None))
        };
        let told = |events: &[AgentEvent]| {
            let usage = folded(events).usage().of_process(None).unwrap();
            (usage.input, usage.output, usage.cost_usd, usage.is_partial)
        };
        let first = [call("a", 1), turn(7, 40, 0.5)];
        assert_eq!(told(&first[..1]), (Some(1), None, None, false));
        assert_eq!(told(&first), (Some(7), Some(40), Some(0.5), false));
        let second = [first.as_slice(), &[call("b", 2)]].concat();
        assert_eq!(told(&second), (Some(9), Some(40), Some(0.5), true), "in the second turn");
        let both = [second.as_slice(), &[turn(3, 10, 0.25)]].concat();
        assert_eq!(told(&both), (Some(10), Some(50), Some(0.75), false), "at the end of the second turn");
    }

    #[test]
    fn a_word_of_progress_is_life_and_takes_nothing_out_of_the_way() {
        let trouble = AgentEvent::NetworkTrouble { message: "away".to_owned() };
        let progress = folded(&[trouble, AgentEvent::Working]);
        assert_eq!((progress.life(), progress.obstacle().is_some()), (1, true));
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
    fn pieces_are_one_message_and_each_is_a_sign_of_life() {
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
        assert_eq!((progress.life(), progress.tools()), (4, 1));
        assert_eq!(folded(&[piece("hel"), piece("lo\nyou\n")]).sign_of_life(), Some("you"));
    }

    #[test]
    fn a_turn_that_begins_takes_back_the_end_of_the_one_before_and_is_no_life() {
        let failed =
            AgentEvent::TurnEnded { ok: false, last_message: None, failure: Some("broke".to_owned()) };
        let trouble = AgentEvent::NetworkTrouble { message: "away".to_owned() };
        let progress = folded(&[piece("first"), failed, trouble, AgentEvent::TurnStarted]);
        assert_eq!((progress.ended(), progress.failure(), progress.is_over()), (None, None, false));
        assert_eq!((progress.life(), progress.obstacle().is_some()), (1, true));
    }

    #[test]
    fn what_is_told_between_the_pieces_of_a_message_does_not_cut_it() {
        let model = AgentEvent::Model { name: "m".to_owned() };
        for between in [AgentEvent::Working, AgentEvent::Background { tasks: 1 }, model, call("a", Some(1))] {
            let progress = folded(&[piece("hel"), between.clone(), piece("lo")]);
            assert_eq!(progress.last_message(), Some("hello"), "{between:?}");
        }
    }

    #[test]
    fn trouble_is_no_life_and_ends_with_the_next_sign_of_life() {
        let trouble = AgentEvent::NetworkTrouble { message: "away".to_owned() };
        let progress = folded(&[trouble.clone(), trouble.clone()]);
        let away = Obstacle::Network { message: "away".to_owned() };
        assert_eq!((progress.life(), progress.obstacle()), (0, Some(&away)));
        assert_eq!(folded(&[trouble.clone(), piece("back")]).obstacle(), None);
        let refused = AgentEvent::Refused { message: "no credit".to_owned() };
        let refusal = Obstacle::Refused { message: "no credit".to_owned() };
        assert_eq!(folded(&[refused, trouble]).obstacle(), Some(&refusal), "the vaguest sign hides no other");
    }
}
