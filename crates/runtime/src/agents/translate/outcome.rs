//! How an agent's process ended, by what it said.

use backstay_agent::{LINE_BYTES_MAX, Obstacle, Reset, StreamFormat, Symptom, one_line};
use backstay_engine::{AgentEnded, Trouble, TurnEnd};
use backstay_model::Timestamp;
use jiff::tz::TimeZone;

use super::{Observer, cut};

impl Observer {
    /// What the stream came to, of a process that ended with `exit_code`. Where its output is text, nobody knows when it got
    /// over what it wrote beside it: there `text_stderr`, the last part, is looked through for what was in its way.
    pub(crate) fn judge(&self, exit_code: Option<i32>, text_stderr: &str, now: Timestamp) -> AgentEnded {
        let progress = &self.progress;
        let turn = match (self.preset.stream(), progress.ended()) {
            (StreamFormat::Text, told) => self.turn_by_text(told),
            (_, Some(true)) => TurnEnd::Succeeded,
            (_, Some(false)) => TurnEnd::Failed { failure: progress.failure().map(str::to_owned) },
            (StreamFormat::JsonLines, None) if !self.preset.tells_turn_end() => self.turn_by_obstacle(),
            (_, None) => TurnEnd::Truncated,
        };
        let trouble =
            if turn == TurnEnd::Succeeded { None } else { self.trouble(exit_code, text_stderr, now) };
        AgentEnded { turn, trouble }
    }

    /// How the turn ended of an agent whose lines do not say it: not well, if something is in its way still.
    fn turn_by_obstacle(&self) -> TurnEnd {
        match self.progress.obstacle() {
            Some(
                Obstacle::Limit { message, .. }
                | Obstacle::Login { message }
                | Obstacle::Refused { message }
                | Obstacle::Network { message },
            ) => TurnEnd::Failed { failure: Some(cut(one_line(message))) },
            None => TurnEnd::Unknown,
        }
    }

    /// How the turn ended of an agent whose output is text, by what a line of its output or its stderr `told`.
    fn turn_by_text(&self, told: Option<bool>) -> TurnEnd {
        match told {
            Some(false) => {
                let failure = self.progress.failure().map(|line| cut(one_line(line)));
                TurnEnd::Failed { failure }
            }
            Some(true) => TurnEnd::Succeeded,
            None if self.preset.signs().success.is_empty() => TurnEnd::Unknown,
            None => TurnEnd::Truncated,
        }
    }

    fn trouble(&self, exit_code: Option<i32>, text_stderr: &str, now: Timestamp) -> Option<Trouble> {
        let (progress, signs) = (&self.progress, self.preset.signs());
        let resolve = |reset: Reset| reset.resolve(now, &TimeZone::system());
        // What the stream says in its own words comes first, then what stands in texts of errors.
        let network = match progress.obstacle() {
            Some(Obstacle::Limit { message, reset }) => {
                let reset_at = reset.clone().and_then(resolve);
                return Some(Trouble::Limit { reset_at, message: cut(message.clone()) });
            }
            Some(Obstacle::Login { message }) => {
                return Some(Trouble::Login { message: cut(message.clone()) });
            }
            Some(Obstacle::Refused { message }) => {
                return Some(Trouble::Refused { message: cut(message.clone()) });
            }
            Some(Obstacle::Network { message }) => Some(message),
            None => None,
        };
        let lines = progress.failure().into_iter().chain(text_stderr.lines().rev());
        let told = lines.filter_map(|line| Some((signs.symptom(line)?, line))).next();
        let message = |line: &str| cut(one_line(line));
        match told {
            Some((Symptom::SessionUnknown, _)) => Some(Trouble::SessionUnknown),
            Some((Symptom::SessionInUse, _)) => Some(Trouble::SessionInUse),
            Some((Symptom::Limit, line)) => {
                Some(Trouble::Limit { reset_at: signs.reset(line).and_then(resolve), message: message(line) })
            }
            Some((Symptom::Login, line)) => Some(Trouble::Login { message: message(line) }),
            Some((Symptom::Refused, line)) => Some(Trouble::Refused { message: message(line) }),
            Some((Symptom::Network, line)) => Some(Trouble::Network { message: message(line) }),
            None => self.trouble_beside(network, exit_code, text_stderr),
        }
    }

    /// What was in its way by what stands beside its stream: behind its last sign of life only.
    fn trouble_beside(
        &self,
        network: Option<&String>,
        exit_code: Option<i32>,
        text_stderr: &str,
    ) -> Option<Trouble> {
        let since = Some(&self.stderr.since).filter(|since| since.life == self.life());
        if let Some(session) = since.and_then(|since| since.session.clone()) {
            return Some(session);
        }
        if let Some(said) = network {
            return Some(Trouble::Network { message: cut(said.clone()) });
        }
        let text_line = || text_stderr.lines().rev().find(|line| !line.trim().is_empty()).map(one_line);
        let line = since.and_then(|since| since.line.clone()).or_else(text_line).map(cut);
        if exit_code.is_some_and(|code| self.preset.is_login_exit(code)) {
            return Some(Trouble::Login {
                message: line.unwrap_or_else(|| "it is not logged in".to_owned()),
            });
        }
        let lines = self.reader.counts().overlong;
        if lines > 0 && self.progress.ended().is_none() {
            return Some(Trouble::LongLines { lines, limit_bytes: LINE_BYTES_MAX as u64 });
        }
        line.map(|message| Trouble::Unexplained { message })
    }
}
