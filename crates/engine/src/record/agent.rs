//! What an agent did in an attempt, as its stream told it.

use std::collections::BTreeSet;

use backstay_model::Timestamp;
use backstay_model::event::{
    Access, AgentRunning, AgentSaid, AgentStarting, Said, SaidOn, SessionMode, Tokens, UsageSpan,
};
use serde::{Deserialize, Serialize};

/// Files of one attempt that are named.
const FILES_MAX: usize = 1_000;

/// A session among those of all agents: each preset names its own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SessionKey {
    preset: String,
    session: String,
}

impl SessionKey {
    pub(crate) fn new(preset: &str, session: &str) -> SessionKey {
        SessionKey { preset: preset.to_owned(), session: session.to_owned() }
    }
}

/// What an agent that is known by a preset did in an attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentRecord {
    /// Its preset.
    pub preset: String,
    /// What it might do.
    pub access: Access,
    /// What the program said of its version.
    pub version: Option<String>,
    /// Its model: as its stream told it, else the one that was asked for.
    pub model: Option<String>,
    /// Its session.
    pub session: Option<String>,
    /// The session that its own began as a copy of, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copy_of: Option<String>,
    /// What it did or said last, in a line.
    pub line: Option<String>,
    /// When that was said.
    pub line_at: Option<Timestamp>,
    /// Calls of tools.
    pub tools: u64,
    /// Files that its tools wrote, as it spells them.
    pub files: BTreeSet<String>,
    /// What this attempt used. Unknown where nothing was told: a process that was killed has told nothing.
    pub usage: Option<Tokens>,
    /// What its session had used by then, of agents that count so.
    pub session_usage: Option<Tokens>,
    /// What is or was in its way, in its words, without a sign of life since.
    pub trouble: Option<String>,
    /// When the limit that is in its way ends, as it told that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit_ends_at: Option<Timestamp>,
    /// Whether its turn ended well, once it ended.
    pub turn_ok: Option<bool>,
    /// The offset behind the last line of its output that is in this record.
    pub spool_end: u64,
}

impl AgentRecord {
    pub(super) fn starting(starting: AgentStarting) -> AgentRecord {
        let copy_of = match starting.session {
            SessionMode::Fork { from, .. } => Some(from),
            SessionMode::Fresh { .. } | SessionMode::Continue { .. } => None,
        };
        AgentRecord {
            copy_of,
            preset: starting.preset,
            access: starting.access,
            version: None,
            model: starting.model,
            session: None,
            line: None,
            line_at: None,
            tools: 0,
            files: BTreeSet::new(),
            usage: None,
            session_usage: None,
            trouble: None,
            limit_ends_at: None,
            turn_ok: None,
            spool_end: 0,
        }
    }

    pub(super) fn running(&mut self, running: AgentRunning) {
        self.version = running.version;
        self.session = running.session.or(self.session.take());
    }

    /// Folds what its stream said. `before` is what its session had used in earlier attempts.
    pub(super) fn fold(&mut self, at: Timestamp, said: AgentSaid, before: Option<Tokens>) {
        if said.on == SaidOn::Stdout {
            self.spool_end = said.spool_end;
        }
        match said.what {
            Said::SessionStarted { id, model } => {
                self.session = Some(id);
                self.model = model.or(self.model.take());
            }
            Said::Message { line, .. } => self.does(at, line),
            Said::Thought { line } => {
                self.does(at, if line.is_empty() { "thinks".to_owned() } else { line });
            }
            Said::ToolStarted { line, .. } => {
                self.tools += 1;
                self.does(at, line);
            }
            Said::ToolFinished { .. } => {
                (self.line_at, self.trouble, self.limit_ends_at) = (Some(at), None, None);
            }
            Said::FilesTouched { paths } => {
                let room = FILES_MAX.saturating_sub(self.files.len());
                self.files.extend(paths.into_iter().take(room));
            }
            Said::Usage(usage) => match usage.span {
                UsageSpan::Process => self.usage = Some(at_least(usage.tokens, self.usage)),
                UsageSpan::Session => {
                    let used = at_least(usage.tokens, self.session_usage);
                    self.session_usage = Some(used);
                    self.usage = Some(before.map_or(used, |before| used.minus(&before)));
                }
            },
            Said::Limit { reset_at, message } => {
                (self.trouble, self.limit_ends_at) = (Some(message), reset_at.or(self.limit_ends_at));
            }
            Said::LoginNeeded { message }
            | Said::Refused { message }
            | Said::NetworkTrouble { message }
            | Said::Error { message } => self.trouble = Some(message),
            Said::TurnEnded { ok, .. } => self.turn_ok = Some(ok),
        }
    }

    /// Its session, by the name under which what that used is remembered.
    pub(super) fn session_key(&self) -> Option<SessionKey> {
        self.session.as_deref().map(|session| SessionKey::new(&self.preset, session))
    }

    /// The session that its own began as a copy of.
    pub(super) fn original_key(&self) -> Option<SessionKey> {
        self.copy_of.as_deref().map(|session| SessionKey::new(&self.preset, session))
    }

    fn does(&mut self, at: Timestamp, line: String) {
        (self.line, self.line_at, self.trouble, self.limit_ends_at) = (Some(line), Some(at), None, None);
    }
}

fn at_least(told: Tokens, earlier: Option<Tokens>) -> Tokens {
    earlier.map_or(told, |earlier| told.at_least(&earlier))
}
