//! Signs of trouble in text: what agents say when there is no better sign, and when a limit ends.

use std::time::Duration;

use backstay_model::Timestamp;
use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::stream::AgentEvent;

/// No allowance is given anew later than this, in seconds: what says so is misread.
const WAIT_S_MAX: u64 = 366 * 86_400;

/// Pieces of text by which trouble is known, whatever their case. They are held against what an agent says of errors, in
/// its stream and on its stderr, and never against what its model says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Patterns {
    /// The allowance is used up, or too much was asked at once.
    pub limit: Vec<String>,
    /// What stands before the time at which a limit ends.
    pub reset_after: Vec<String>,
    /// There are no credentials, or they are not accepted.
    pub login: Vec<String>,
    /// The provider cannot be reached, or failed.
    pub network: Vec<String>,
    /// The session that was to be resumed is not there.
    pub session_unknown: Vec<String>,
    /// The session that was to be started is there already: it wants to be resumed.
    pub session_in_use: Vec<String>,
}

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Symptom {
    /// The provider refuses until later.
    Limit,
    /// A person has to log in.
    Login,
    /// The provider cannot be reached, or failed.
    Network,
    /// The session that was to be resumed is not there.
    SessionUnknown,
    /// The session that was to be started is there already.
    SessionInUse,
}

/// When a limit ends, as far as the agent says it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reset {
    /// At this moment.
    At(Timestamp),
    /// At a time that stands in a text, in the agent's own time zone: `10:26 PM`, `Nov 28, 4:06pm (America/New_York)`, `3h2m`.
    Said(String),
}

impl Patterns {
    /// What `text`, something that an agent said about an error, is a sign of.
    #[must_use]
    pub fn symptom(&self, text: &str) -> Option<Symptom> {
        let text = text.to_lowercase();
        let has = |patterns: &[String]| patterns.iter().any(|pattern| text.contains(&pattern.to_lowercase()));
        [
            (&self.session_in_use, Symptom::SessionInUse),
            (&self.session_unknown, Symptom::SessionUnknown),
            (&self.limit, Symptom::Limit),
            (&self.login, Symptom::Login),
            (&self.network, Symptom::Network),
        ]
        .into_iter()
        .find_map(|(patterns, symptom)| has(patterns).then_some(symptom))
    }

    /// The time that `text` names as the end of a limit.
    #[must_use]
    pub fn reset(&self, text: &str) -> Option<Reset> {
        let lower = text.to_ascii_lowercase();
        let found = self.reset_after.iter().find_map(|before| {
            let start = lower.find(&before.to_ascii_lowercase())? + before.len();
            text.get(start..)
        })?;
        let said: String = found.chars().take_while(|&character| character != '\n').take(60).collect();
        let said = said.trim().trim_end_matches('.').to_owned();
        (!said.is_empty()).then_some(Reset::Said(said))
    }

    /// `message` as an event, where it is a sign of something that a stream tells.
    pub(crate) fn event(&self, message: &str) -> Option<AgentEvent> {
        let text = message.to_owned();
        match self.symptom(message)? {
            Symptom::Limit => Some(AgentEvent::Limit { reset: self.reset(message), message: text }),
            Symptom::Login => Some(AgentEvent::LoginNeeded { message: text }),
            Symptom::Network => Some(AgentEvent::NetworkTrouble { message: text }),
            Symptom::SessionUnknown | Symptom::SessionInUse => None,
        }
    }
}

impl Reset {
    /// The moment that is meant, for one who reads it at `now` on a machine in `zone`. A time without a day is the next
    /// such time; `None` for what is no time in a form that is known.
    #[must_use]
    pub fn resolve(&self, now: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let text = match self {
            Reset::At(at) => return Some(*at),
            Reset::Said(text) => text.as_str(),
        };
        if let Some(wait) = wait(text) {
            return Some(now.plus(wait));
        }
        let (text, zone) = match text.split_once('(') {
            Some((text, named)) => (text, named_zone(named.trim_end_matches([')', '.', ' ']))?),
            None => (text, zone.clone()),
        };
        let here = jiff::Timestamp::from_microsecond(now.as_micros()).ok()?.to_zoned(zone.clone());
        let (day, time) = day_and_time(text, here.date())?;
        let date = day.unwrap_or_else(|| here.date());
        let at = date.to_datetime(time).to_zoned(zone.clone()).ok()?;
        let at = if day.is_none() && at <= here {
            date.tomorrow().ok()?.to_datetime(time).to_zoned(zone).ok()?
        } else {
            at
        };
        Some(Timestamp::from_micros(at.timestamp().as_microsecond()))
    }
}

/// A zone by its name; machines without a database of zones know one.
fn named_zone(name: &str) -> Option<TimeZone> {
    if matches!(name, "UTC" | "GMT" | "Etc/UTC") { Some(TimeZone::UTC) } else { TimeZone::get(name).ok() }
}

/// `3h2m10s`, `3 hours 2 minutes`, `in 5 days`: at least one number with a unit and nothing else.
fn wait(text: &str) -> Option<Duration> {
    let mut seconds: u64 = 0;
    let mut rest = text.trim().strip_prefix("in ").unwrap_or(text.trim());
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|character: char| character.is_ascii_digit()).len();
        let number: u64 = rest[..digits].parse().ok()?;
        let after = rest[digits..].trim_start();
        let letters =
            after.len() - after.trim_start_matches(|character: char| character.is_ascii_alphabetic()).len();
        let unit = match &after[..letters] {
            "s" | "sec" | "second" | "seconds" => 1,
            "m" | "min" | "minute" | "minutes" => 60,
            "h" | "hour" | "hours" => 3_600,
            "d" | "day" | "days" => 86_400,
            _ => return None,
        };
        seconds = seconds.checked_add(number.checked_mul(unit)?)?;
        rest = after[letters..].trim_start_matches([',', ' ']);
        rest = rest.strip_prefix("and ").unwrap_or(rest);
    }
    (1..=WAIT_S_MAX).contains(&seconds).then(|| Duration::from_secs(seconds))
}

/// `10:26 PM`, `4pm`, `Nov 28th, 2026 9:06 PM`, `Nov 28, 4:06pm`; a year that is not said is the one in which the day
/// comes next.
fn day_and_time(text: &str, today: Date) -> Option<(Option<Date>, Time)> {
    let lower = text.to_ascii_lowercase().replace(" pm", "pm").replace(" am", "am").replace(',', " ");
    let words: Vec<&str> = lower.split_whitespace().filter(|word| !matches!(*word, "at" | "on")).collect();
    let (last, before) = words.split_last()?;
    let time = time(last)?;
    match before {
        [] => Some((None, time)),
        [month, day] => {
            let (month, day) = (self::month(month)?, ordinal(day)?);
            let date = Date::new(today.year(), month, day).ok()?;
            let date = if date < today { Date::new(today.year() + 1, month, day).ok()? } else { date };
            Some((Some(date), time))
        }
        [month, day, year] => {
            Some((Some(Date::new(year.parse().ok()?, self::month(month)?, ordinal(day)?).ok()?), time))
        }
        _ => None,
    }
}

fn time(word: &str) -> Option<Time> {
    let (clock, is_afternoon) = match (word.strip_suffix("pm"), word.strip_suffix("am")) {
        (Some(clock), _) => (clock, Some(true)),
        (None, Some(clock)) => (clock, Some(false)),
        (None, None) => (word, None),
    };
    let (hour, minute) = match clock.split_once(':') {
        Some((hour, minute)) => (hour.parse::<i8>().ok()?, minute.parse::<i8>().ok()?),
        None if is_afternoon.is_some() => (clock.parse::<i8>().ok()?, 0),
        None => return None,
    };
    let hour = match is_afternoon {
        None => hour,
        Some(_) if !(1..=12).contains(&hour) => return None,
        Some(is_afternoon) => hour % 12 + if is_afternoon { 12 } else { 0 },
    };
    Time::new(hour, minute, 0, 0).ok()
}

fn month(word: &str) -> Option<i8> {
    const MONTHS: [&str; 12] =
        ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    let start = word.get(..3)?;
    (1..).zip(MONTHS).find_map(|(number, month)| (month == start).then_some(number))
}

fn ordinal(word: &str) -> Option<i8> {
    word.trim_end_matches(|character: char| character.is_ascii_alphabetic()).parse().ok()
}

#[cfg(test)]
mod tests {
    use backstay_model::Timestamp;
    use jiff::tz::TimeZone;

    use super::{Patterns, Reset, Symptom};

    /// Read in a zone of its own, as not every machine has a database of zones.
    fn resolved(text: &str, zone: &str) -> String {
        let now: Timestamp = "2026-11-21T08:23:00Z".parse().unwrap();
        let said = Reset::Said(text.to_owned());
        let zone = TimeZone::posix(zone).unwrap();
        said.resolve(now, &zone).map_or_else(|| "none".to_owned(), |at| at.to_string())
    }

    #[test]
    fn a_reset_is_understood_as_agents_say_it() {
        const UTC: &str = "UTC0";
        const NEW_YORK: &str = "EST5EDT,M3.2.0,M11.1.0";
        for (text, zone, expected) in [
            ("10:26 PM", UTC, "2026-11-21T22:26:00Z"),
            ("7:01 AM", UTC, "2026-11-22T07:01:00Z"),
            ("7:01 AM", NEW_YORK, "2026-11-21T12:01:00Z"),
            ("12:01 AM", UTC, "2026-11-22T00:01:00Z"),
            ("12:30 pm", UTC, "2026-11-21T12:30:00Z"),
            ("Nov 28th, 2026 9:06 PM", UTC, "2026-11-28T21:06:00Z"),
            ("10:26pm (UTC)", NEW_YORK, "2026-11-21T22:26:00Z"),
            ("Nov 28, 4:06pm", NEW_YORK, "2026-11-28T21:06:00Z"),
            ("Jan 2 at 3pm", UTC, "2027-01-02T15:00:00Z"),
            ("3h2m10s", UTC, "2026-11-21T11:25:10Z"),
            ("in 5 days 3 hours", UTC, "2026-11-26T11:23:00Z"),
            ("soon", UTC, "none"),
            ("25:00", UTC, "none"),
            ("13pm", UTC, "none"),
            ("Nov 31, 4pm", UTC, "none"),
            ("4pm (Nowhere/Land)", UTC, "none"),
            ("99999999999999999999h", UTC, "none"),
            ("400 days", UTC, "none"),
            ("", UTC, "none"),
        ] {
            assert_eq!(resolved(text, zone), expected, "{text} in {zone}");
        }
    }

    #[test]
    fn text_is_a_sign_whatever_its_case_and_the_reset_is_cut_out_of_it() {
        let patterns = Patterns {
            limit: vec!["hit your usage limit".to_owned()],
            reset_after: vec!["try again at ".to_owned()],
            login: vec!["Not logged in".to_owned()],
            ..Patterns::default()
        };
        assert_eq!(patterns.symptom("You have HIT your usage limit"), Some(Symptom::Limit));
        assert_eq!(patterns.symptom("not logged in · Please run /login"), Some(Symptom::Login));
        assert_eq!(patterns.symptom("all is well"), None);
        let text = "purchase more credits or try again at 10:26 PM.\nmore";
        assert_eq!(patterns.reset(text), Some(Reset::Said("10:26 PM".to_owned())));
        assert_eq!(patterns.reset("try again at ."), None);
        assert_eq!(patterns.reset("ö try again at"), None);
    }
}
