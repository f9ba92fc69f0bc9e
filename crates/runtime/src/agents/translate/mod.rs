//! What an agent's stream says, as facts.

mod facts;
mod outcome;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use backstay_agent::{
    AgentEvent, Obstacle, Part, Preset, Progress, Reader, StreamFormat, Symptom, UsageSpan as Span, one_line,
};
use backstay_engine::Trouble;
use backstay_engine::effect::OutputRead;
use backstay_exec::{Redactor, Secrets};
use backstay_model::Timestamp;
use backstay_model::event::{Said, SaidOn, Tokens, Usage, UsageSpan};
use jiff::tz::TimeZone;

use self::facts::{Draft, Waiting};
use super::redact::in_agent_event;

/// Facts of one report; all of one line are in one report, whatever their number.
const BATCH_FACTS: usize = 100;
/// Bytes of texts of one report. Each fact has at most one text that is not cut.
const BATCH_BYTES: usize = 128 * 1024;
/// Characters of a name, a path or a message of trouble.
const WORDS_CHARS_MAX: usize = 500;
/// Bytes of a line beside the stream in which signs of trouble are looked for.
const STDERR_LINE_BYTES_MAX: usize = 8 * 1024;
/// Files that one fact names.
const PATHS_MAX: usize = 50;
/// Calls of tools that are known to be open; agents have a handful.
const OPEN_CALLS_MAX: usize = 10_000;

/// Reads one stream from its beginning, and gives what the log does not know yet.
#[derive(Debug)]
pub(crate) struct Observer {
    preset: Preset,
    secrets: Secrets,
    /// The message whose pieces come: a secret may be cut by them.
    pieces: Redactor,
    /// The same of the thought whose pieces come: agents do not tell where one ends.
    thoughts: Redactor,
    reader: Reader,
    progress: Progress,
    /// How much the log knows.
    known_until: OutputRead,
    /// Bytes of its stream that were read.
    offset: u64,
    stderr: Stderr,
    /// Where the last message in it ends.
    message_end: u64,
    open_calls: BTreeSet<String>,
    /// Where its lines had something else than the rules for them expect: that is told once.
    wrong_values: BTreeSet<String>,
    usage: Option<Usage>,
    /// Where it said what is in its way.
    obstacle_on: SaidOn,
    /// The session and the model that were told last.
    session: Option<(String, Option<String>)>,
    waiting: Vec<Waiting>,
    waiting_bytes: usize,
}

/// What an agent answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Text(String),
    /// It may stand in a line that is longer than [`backstay_agent::LINE_BYTES_MAX`], which was not read.
    Unread,
}

/// What it writes beside its stream.
#[derive(Debug, Default)]
struct Stderr {
    /// The beginning of a line whose end has not come.
    line: Vec<u8>,
    /// Bytes that were read.
    end: u64,
    /// What was told last, and how much the agent had done by then: many say the same again and again.
    told: Option<(u64, AgentEvent)>,
    /// What stands there since the last sign of life.
    since: SinceLife,
}

/// What stands on stderr behind the agent's last sign of life. What stands before it the agent has got over.
#[derive(Debug, Default)]
struct SinceLife {
    life: u64,
    /// The last sign that the session is not as it should be.
    session: Option<Trouble>,
    /// The last line that has something in it.
    line: Option<String>,
}

impl Observer {
    /// Of an agent that works in `folder`; the log knows what it said up to `known_until`.
    pub(crate) fn new(preset: Preset, folder: &str, known_until: OutputRead, secrets: &Secrets) -> Observer {
        let reader = preset.reader(0).in_folder(folder);
        Observer {
            preset,
            secrets: secrets.clone(),
            pieces: secrets.redactor(),
            thoughts: secrets.redactor(),
            reader,
            progress: Progress::default(),
            known_until,
            offset: 0,
            stderr: Stderr::default(),
            message_end: 0,
            open_calls: BTreeSet::new(),
            wrong_values: BTreeSet::new(),
            usage: None,
            obstacle_on: SaidOn::Stdout,
            session: None,
            waiting: Vec::new(),
            waiting_bytes: 0,
        }
    }

    /// Where to read on in its stream.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// Where to read on in what it writes beside its stream.
    pub(crate) fn stderr_offset(&self) -> u64 {
        self.stderr.end
    }

    /// Grows with each sign of life, and with nothing else.
    pub(crate) fn life(&self) -> u64 {
        self.progress.life()
    }

    /// Whether nothing more of it is to come.
    pub(crate) fn is_over(&self) -> bool {
        self.progress.is_over()
    }

    /// What is in its way.
    pub(crate) fn obstacle(&self) -> Option<&Obstacle> {
        self.progress.obstacle()
    }

    /// Where it said what is in its way: on stderr only where its stream does not say so too.
    pub(crate) fn obstacle_is_on(&self) -> SaidOn {
        self.obstacle_on
    }

    /// Whether a tool of its runs.
    pub(crate) fn runs_tools(&self) -> bool {
        self.progress.running_tools().next().is_some()
    }

    /// When the limit that is in its way ends, as far as it says so.
    pub(crate) fn limit_ends(&self, now: Timestamp) -> Option<Timestamp> {
        match self.progress.obstacle() {
            Some(Obstacle::Limit { reset: Some(reset), .. }) => reset.resolve(now, &TimeZone::system()),
            _ => None,
        }
    }

    /// The agent's answer, once its turn has ended: its last message, empty if there is none.
    pub(crate) fn answer(&self) -> Answer {
        // Behind the last message that was read there may be another one.
        match self.reader.overlong_at() > self.message_end {
            true => Answer::Unread,
            false => Answer::Text(self.progress.last_message().unwrap_or_default().to_owned()),
        }
    }

    /// Whether nothing waits to be told.
    pub(crate) fn is_told(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether so much waits that it is to be told at once.
    pub(crate) fn is_full(&self) -> bool {
        self.waiting.len() >= BATCH_FACTS || self.waiting_bytes >= BATCH_BYTES
    }

    /// Takes the next bytes, read at `now`.
    pub(crate) fn feed(&mut self, bytes: &[u8], now: Timestamp) {
        self.offset += bytes.len() as u64;
        let observed = self.reader.feed(bytes);
        observed.into_iter().for_each(|each| self.take_in(each.spool_end, each.event, now));
    }

    /// Takes the next bytes of what it writes beside its stream, read at `now`: signs of trouble are looked for in each line.
    pub(crate) fn feed_stderr(&mut self, bytes: &[u8], now: Timestamp) {
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            let room = STDERR_LINE_BYTES_MAX.saturating_sub(self.stderr.line.len());
            self.stderr.line.extend_from_slice(&piece[..piece.len().min(room)]);
            self.stderr.end += piece.len() as u64;
            if piece.ends_with(b"\n") {
                self.end_line(now);
            }
        }
    }

    fn end_line(&mut self, now: Timestamp) {
        let line = std::mem::take(&mut self.stderr.line);
        let line = self.secrets.redacted(&String::from_utf8_lossy(&line));
        if !line.trim().is_empty() {
            self.take_complaint(line.trim(), now);
        }
    }

    fn take_complaint(&mut self, line: &str, now: Timestamp) {
        if self.preset.stream() == StreamFormat::Text {
            return self.take_text_end(line);
        }
        if self.preset.signs().is_sub_agent(line) {
            self.progress.apply(&AgentEvent::UntoldSubAgent);
            // What was told before that was thought to be all.
            if self.usage.is_some() {
                let usage = self.usage_so_far().map(|usage| Draft::Said(Said::Usage(usage)));
                self.wait_beside(usage.into_iter().collect());
            }
            return;
        }
        let (life, runs_tools) = (self.life(), self.runs_tools());
        let since = &mut self.stderr.since;
        if since.life != life {
            *since = SinceLife { life, ..SinceLife::default() };
        }
        since.line = Some(one_line(line));
        // While a tool runs, what stands there may be about what the tool met.
        if runs_tools {
            return;
        }
        let signs = self.preset.signs();
        match signs.symptom(line) {
            Some(Symptom::SessionUnknown) => since.session = Some(Trouble::SessionUnknown),
            Some(Symptom::SessionInUse) => since.session = Some(Trouble::SessionInUse),
            Some(Symptom::Limit | Symptom::Login | Symptom::Refused | Symptom::Network) | None => {}
        }
        let Some(mut event) = signs.event_of_line(line) else { return };
        in_agent_event(&self.secrets, &mut event);
        self.apply(&event, SaidOn::Stderr);
        let told = Some((self.life(), event.clone()));
        if self.stderr.told == told {
            return;
        }
        self.stderr.told = told;
        let mut drafts = Vec::new();
        self.draft(event, now, &mut drafts);
        self.wait_beside(drafts);
    }

    /// Takes a line of stderr of an agent whose output is text: it may say how the turn ended, as a line of stdout may.
    fn take_text_end(&mut self, line: &str) {
        let Some(ok) = self.preset.signs().end_by_text(line) else { return };
        let failure = (!ok).then(|| line.to_owned());
        self.apply_text_end(&AgentEvent::TurnEnded { ok, last_message: None, failure }, ok);
    }

    /// Of an agent whose output is text a failure counts, wherever it stands. Whether that is news.
    fn apply_text_end(&mut self, event: &AgentEvent, ok: bool) -> bool {
        let before = self.progress.ended();
        if !ok || before != Some(false) {
            self.progress.apply(event);
        }
        self.progress.ended() != before
    }

    fn apply(&mut self, event: &AgentEvent, on: SaidOn) {
        let kind = |obstacle: Option<&Obstacle>| obstacle.map(std::mem::discriminant);
        let before = kind(self.obstacle());
        self.progress.apply(event);
        let says_so = matches!(
            (event, self.obstacle()),
            (AgentEvent::Limit { .. }, Some(Obstacle::Limit { .. }))
                | (AgentEvent::LoginNeeded { .. }, Some(Obstacle::Login { .. }))
                | (AgentEvent::Refused { .. }, Some(Obstacle::Refused { .. }))
                | (AgentEvent::NetworkTrouble { .. }, Some(Obstacle::Network { .. }))
        );
        if says_so && (on == SaidOn::Stdout || kind(self.obstacle()) != before) {
            self.obstacle_on = on;
        }
    }

    /// Both streams have ended.
    pub(crate) fn end(&mut self, now: Timestamp) {
        self.end_line(now);
        let observed = self.reader.end();
        observed.into_iter().for_each(|each| self.take_in(each.spool_end, each.event, now));
        self.end_message(self.offset, now);
        self.end_thought(self.offset, now);
    }

    /// Takes an event without the secrets in it. Of a message or a thought in pieces what may become one waits for the next piece.
    fn take_in(&mut self, spool_end: u64, mut event: AgentEvent, now: Timestamp) {
        match &mut event {
            AgentEvent::Message { text, part: Part::Piece } => {
                *text = cleaned(&mut self.pieces, text);
                self.end_thought(spool_end, now);
            }
            AgentEvent::Reasoning { text } => {
                *text = cleaned(&mut self.thoughts, text);
                self.end_message(spool_end, now);
            }
            event if event.is_between_pieces() && !matches!(event, AgentEvent::Message { .. }) => {
                in_agent_event(&self.secrets, event);
            }
            event => {
                in_agent_event(&self.secrets, event);
                self.end_message(spool_end, now);
                self.end_thought(spool_end, now);
            }
        }
        self.take_clean(spool_end, event, now);
    }

    /// No more pieces of a message come.
    fn end_message(&mut self, spool_end: u64, now: Timestamp) {
        let text = rest(&mut self.pieces);
        if !text.is_empty() {
            self.take_clean(spool_end, AgentEvent::Message { text, part: Part::Piece }, now);
        }
    }

    /// No more pieces of a thought come.
    fn end_thought(&mut self, spool_end: u64, now: Timestamp) {
        let text = rest(&mut self.thoughts);
        if !text.is_empty() {
            self.take_clean(spool_end, AgentEvent::Reasoning { text }, now);
        }
    }

    fn take_clean(&mut self, spool_end: u64, event: AgentEvent, now: Timestamp) {
        if let AgentEvent::Message { .. } | AgentEvent::TurnEnded { last_message: Some(_), .. } = event {
            self.message_end = spool_end;
        }
        match event {
            // Each of many lines may say it.
            AgentEvent::TurnEnded { ok, .. } if self.preset.stream() == StreamFormat::Text => {
                if !self.apply_text_end(&event, ok) {
                    return;
                }
            }
            _ => self.apply(&event, SaidOn::Stdout),
        }
        let mut drafts = Vec::new();
        self.draft(event, now, &mut drafts);
        if spool_end <= self.known_until.stdout {
            return;
        }
        for draft in drafts {
            self.wait(spool_end, draft);
        }
    }

    fn draft(&mut self, event: AgentEvent, now: Timestamp, drafts: &mut Vec<Draft>) {
        let said = match event {
            AgentEvent::SessionStarted { id, model } => match self.session_news(id, model) {
                Some(said) => said,
                None => return,
            },
            AgentEvent::Model { name } => match self.session.clone() {
                Some((id, _)) => match self.session_news(id, Some(name)) {
                    Some(said) => said,
                    None => return,
                },
                None => return,
            },
            AgentEvent::TurnStarted
            | AgentEvent::Working
            | AgentEvent::UntoldSubAgent
            | AgentEvent::Background { .. } => return,
            AgentEvent::Message { text, part } => {
                if !text.is_empty() || part == Part::Whole {
                    drafts.push(Draft::Message { text, is_piece: part == Part::Piece });
                }
                return;
            }
            AgentEvent::Reasoning { text } => Said::Thought { line: last_line(&text) },
            AgentEvent::ToolStarted { call, name, what } => {
                self.opened(&call);
                Said::ToolStarted { call: cut(call), name: cut(name), line: what }
            }
            AgentEvent::ToolFinished { call, name, what, ok, duration_ms, exit_code: _ } => {
                // Some agents tell of a tool only when it has ended.
                if !self.open_calls.remove(&call) {
                    let name = cut(name.unwrap_or_else(|| "tool".to_owned()));
                    let line = what.unwrap_or_else(|| name.clone());
                    drafts.push(Draft::Said(Said::ToolStarted { call: cut(call.clone()), name, line }));
                }
                Said::ToolFinished { call: cut(call), ok, duration_ms }
            }
            AgentEvent::FilesTouched { paths } => {
                Said::FilesTouched { paths: paths.into_iter().take(PATHS_MAX).map(cut).collect() }
            }
            AgentEvent::Usage(_) => match self.usage_so_far() {
                Some(usage) => Said::Usage(usage),
                None => return,
            },
            AgentEvent::Limit { reset, message } => {
                let reset_at = reset.and_then(|reset| reset.resolve(now, &TimeZone::system()));
                Said::Limit { reset_at, message: cut(message) }
            }
            AgentEvent::LoginNeeded { message } => Said::LoginNeeded { message: cut(message) },
            AgentEvent::Refused { message } => Said::Refused { message: cut(message) },
            AgentEvent::WrongValue { path, message } => match self.wrong_values.insert(path) {
                true => Said::Error { message: cut(message) },
                false => return,
            },
            AgentEvent::Error { message } => Said::Error { message: cut(message) },
            AgentEvent::NetworkTrouble { message } => Said::NetworkTrouble { message: cut(message) },
            AgentEvent::TurnEnded { ok, failure, .. } => Said::TurnEnded { ok, failure: failure.map(cut) },
        };
        drafts.push(Draft::Said(said));
    }

    /// The session and its model, where they are others than those that were told: some agents say them again and again.
    fn session_news(&mut self, id: String, model: Option<String>) -> Option<Said> {
        let known = self.session.as_ref();
        let model =
            model.or_else(|| known.filter(|(before, _)| *before == id).and_then(|(_, model)| model.clone()));
        let news = (id, model);
        if known == Some(&news) {
            return None;
        }
        let (id, model) = self.session.insert(news).clone();
        Some(Said::SessionStarted { id: cut(id), model: model.map(cut) })
    }

    fn opened(&mut self, call: &str) {
        if self.open_calls.len() < OPEN_CALLS_MAX {
            self.open_calls.insert(call.to_owned());
        }
    }

    /// All that was used so far; none if it was told already.
    fn usage_so_far(&mut self) -> Option<Usage> {
        let tally = self.progress.usage();
        let (span, all) = match tally.of_session() {
            Some(session) => (UsageSpan::Session, session.clone()),
            None => (UsageSpan::Process, tally.of_process(None)?),
        };
        debug_assert!(!matches!(all.span, Span::Call { .. }), "calls are summed up");
        let is_partial = all.is_partial || self.progress.has_untold_sub_agents();
        let usage = Usage { span, tokens: Tokens { is_partial, ..tokens(&all) } };
        (self.usage.replace(usage.clone()).as_ref() != Some(&usage)).then_some(usage)
    }
}

/// What of the next piece can be told without knowing the one after it.
fn cleaned(redactor: &mut Redactor, piece: &str) -> String {
    let mut clean = Vec::with_capacity(piece.len());
    redactor.push(piece.as_bytes(), &mut clean);
    String::from_utf8_lossy(&clean).into_owned()
}

/// What still waits for the next piece, where none comes.
fn rest(redactor: &mut Redactor) -> String {
    let mut clean = Vec::new();
    redactor.finish(&mut clean);
    String::from_utf8_lossy(&clean).into_owned()
}

fn tokens(usage: &backstay_agent::Usage) -> Tokens {
    // A cost is told in dollars; more than any bill is none.
    let micro = |usd: f64| format!("{:.0}", usd.max(0.0) * 1e6).parse().ok();
    Tokens {
        input: usage.input,
        output: usage.output,
        cache_read: usage.cache_read,
        cache_write: usage.cache_write,
        reasoning: usage.reasoning,
        cost_micro_usd: usage.cost_usd.and_then(micro),
        is_partial: usage.is_partial,
    }
}

fn last_line(text: &str) -> String {
    text.lines().rev().find(|line| !line.trim().is_empty()).map(one_line).unwrap_or_default()
}

fn cut(text: String) -> String {
    if text.chars().count() <= WORDS_CHARS_MAX {
        return text;
    }
    let mut kept: String = text.chars().take(WORDS_CHARS_MAX - 1).collect();
    kept.push('…');
    kept
}
