//! When a limit ends, as agents and their providers say it: `3h2m`, `10:26 PM`, `Mon 12:00am (UTC)`, `2026-12-01 00:00 UTC`.
//!
//! [docs/agents.md](../../../../docs/agents.md) lists the forms. Words behind a time are no part of it; a zone that is not
//! known makes the whole unknown, for a wrong zone would be a wrong wait.

use std::time::Duration;

use backstay_model::Timestamp;
use jiff::civil::{Date, DateTime, Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{ToSpan, Zoned};
use serde::{Deserialize, Serialize};

use super::tokens::{Token, tokens};
use super::zone::{AMBIGUOUS, goes_on_behind_time, is_long_name, is_short_name, zone};

/// No limit lasts longer than this; what says so is misread.
const WAIT_MAX: Duration = Duration::from_secs(366 * 86_400);
/// A time of day that passed this long ago is the one that is meant, not tomorrow's: agents round down to the minute and
/// tell it late.
const PASSED_MAX: Duration = Duration::from_secs(10 * 60);
/// Numbers from here on are moments since 1970 in seconds, then in milliseconds, then in microseconds.
const EPOCH_S: i64 = 1_000_000_000;

/// When a limit ends, as far as the agent says it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reset {
    /// At this moment.
    At(Timestamp),
    /// At a time that stands at the beginning of a text, where it names no zone in the agent's own.
    Said(String),
}

/// A time as it is written, before anybody knows the day and the zone.
enum Phrase {
    Wait(Duration),
    Epoch(Timestamp),
    Moment(Moment),
}

/// The parts of a moment, in whatever order they were written.
#[derive(Default)]
struct Moment {
    day: Option<Day>,
    time: Option<Time>,
    zone: Option<TimeZone>,
}

#[derive(Clone, Copy)]
enum Day {
    Of(Date),
    /// Of the year in which it is nearest.
    OfYear {
        month: i8,
        day: i8,
    },
    Next(Weekday),
    Today,
    Tomorrow,
}

impl Reset {
    /// The moment that is meant, for one who reads it at `now` on a machine in `zone`. A time of day without a day is the
    /// next such time, a day without a time its beginning; `None` for what is no time in a form that is known. It may lie
    /// in the past, where the text was read late.
    #[must_use]
    pub fn resolve(&self, now: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let text = match self {
            Reset::At(at) => return Some(*at),
            Reset::Said(text) => text.as_str(),
        };
        let at = match phrase(text)? {
            Phrase::Wait(wait) => now.plus(wait),
            Phrase::Epoch(at) => at,
            Phrase::Moment(moment) => moment.resolve(now, zone)?,
        };
        (at.since(now) <= WAIT_MAX).then_some(at)
    }

    /// Whether `text` begins with a time.
    pub(crate) fn is_said_by(text: &str) -> bool {
        phrase(text).is_some()
    }
}

fn phrase(text: &str) -> Option<Phrase> {
    let text = text.to_lowercase();
    let tokens = tokens(&text);
    let mut rest = tokens.as_slice();
    while let [
        Token::Word("at" | "on" | "in" | "after" | "about" | "approximately" | "the" | "is"),
        tail @ ..,
    ]
    | [Token::Sign('~' | ':' | '"' | '='), tail @ ..] = rest
    {
        rest = tail;
    }
    if let Some(wait) = wait(rest) {
        return Some(Phrase::Wait(wait));
    }
    if let Some(at) = epoch(rest) {
        return Some(Phrase::Epoch(at));
    }
    Moment::read(rest)?.map(Phrase::Moment)
}

/// `3h2m10s`, `1.898s`, `3 hours and 2 minutes`, `an hour`: numbers with units, as many as follow each other.
fn wait(tokens: &[Token<'_>]) -> Option<Duration> {
    let mut sum = Duration::ZERO;
    let mut rest = tokens;
    let mut is_said = false;
    loop {
        let (count, unit, tail) = match rest {
            [Token::Number(number), Token::Word(word), tail @ ..] => (number.value()?, *word, tail),
            [Token::Word("a" | "an" | "one"), Token::Word(word), tail @ ..] => (1.0, *word, tail),
            _ => break,
        };
        let Some(unit) = unit_seconds(unit) else { break };
        sum = sum.checked_add(Duration::try_from_secs_f64(count * unit).ok()?)?;
        is_said = true;
        rest = tail;
        while let [Token::Sign(','), tail @ ..] | [Token::Word("and"), tail @ ..] = rest {
            rest = tail;
        }
    }
    (is_said && sum > Duration::ZERO).then_some(sum)
}

fn unit_seconds(word: &str) -> Option<f64> {
    Some(match word {
        "ms" | "msec" | "msecs" | "millis" | "millisecond" | "milliseconds" => 0.001,
        "s" | "sec" | "secs" | "second" | "seconds" => 1.0,
        "m" | "min" | "mins" | "minute" | "minutes" => 60.0,
        "h" | "hr" | "hrs" | "hour" | "hours" => 3_600.0,
        "d" | "day" | "days" => 86_400.0,
        "w" | "wk" | "week" | "weeks" => 604_800.0,
        _ => return None,
    })
}

/// `1764547200`, in milliseconds or microseconds too; the number stands alone.
fn epoch(tokens: &[Token<'_>]) -> Option<Timestamp> {
    let [Token::Number(number), tail @ ..] = tokens else { return None };
    if matches!(tail, [Token::Word(_) | Token::Sign(':' | '-' | '/'), ..]) && number.digits.len() < 10 {
        return None;
    }
    let count: i64 = number.digits.parse().ok()?;
    let micros = match count {
        ..EPOCH_S => return None,
        _ if count < EPOCH_S * 100 => count.checked_mul(1_000_000)?,
        _ if count < EPOCH_S * 100_000 => count.checked_mul(1_000)?,
        _ => count,
    };
    Some(Timestamp::from_micros(micros))
}

impl Moment {
    /// The parts that follow each other at the beginning. `None` inside where they are no time, outside where the zone is
    /// not known.
    fn read(tokens: &[Token<'_>]) -> Option<Option<Moment>> {
        let mut moment = Moment::default();
        let mut rest = tokens;
        let mut is_behind_time = false;
        while !rest.is_empty() {
            if let Some(tail) = moment.take_day(rest) {
                (rest, is_behind_time) = (tail, false);
                continue;
            }
            if let Some(tail) = moment.take_time(rest) {
                (rest, is_behind_time) = (tail, true);
                continue;
            }
            let is_behind_time = std::mem::take(&mut is_behind_time);
            match moment.take_zone(rest, is_behind_time) {
                Zone::Taken(tail) => rest = tail,
                Zone::Unknown => return None,
                Zone::Absent => match rest {
                    [Token::Word("at" | "on" | "of" | "the" | "next" | "this" | "t"), tail @ ..]
                    | [Token::Sign(',' | '·'), tail @ ..] => rest = tail,
                    _ => break,
                },
            }
        }
        let is_time = moment.day.is_some() || moment.time.is_some();
        Some(is_time.then_some(moment))
    }

    fn take_day<'a, 'b>(&mut self, tokens: &'a [Token<'b>]) -> Option<&'a [Token<'b>]> {
        // A weekday beside a date says nothing more.
        if let [Token::Word(word), tail @ ..] = tokens {
            let day = match *word {
                "today" | "tonight" => Some(Day::Today),
                "tomorrow" => Some(Day::Tomorrow),
                word => weekday(word).map(Day::Next),
            };
            if let Some(day) = day {
                self.day.get_or_insert(day);
                return Some(tail);
            }
        }
        if matches!(self.day, Some(Day::Of(_) | Day::OfYear { .. })) {
            return None;
        }
        let (day, tail) = date(tokens)?;
        self.day = Some(day);
        Some(tail)
    }

    fn take_time<'a, 'b>(&mut self, tokens: &'a [Token<'b>]) -> Option<&'a [Token<'b>]> {
        if self.time.is_some() {
            return None;
        }
        let (time, tail) = time(tokens)?;
        self.time = Some(time);
        Some(tail)
    }

    fn take_zone<'a, 'b>(&mut self, tokens: &'a [Token<'b>], is_behind_time: bool) -> Zone<'a, 'b> {
        if self.zone.is_some() || self.time.is_none() && self.day.is_none() {
            return Zone::Absent;
        }
        let (inner, is_enclosed) = match tokens {
            [Token::Sign('('), inner @ ..] => (inner, true),
            inner => (inner, false),
        };
        let Some((zone, tail)) = zone(inner) else {
            let is_zone = match inner {
                [Token::Word(_), Token::Sign(')'), ..] => is_enclosed,
                [Token::Word(word), ..] if goes_on_behind_time(word) => false,
                [Token::Word(word), tail @ ..] => {
                    word.contains('/')
                        || AMBIGUOUS.contains(word)
                        || is_behind_time && (is_enclosed || is_short_name(word) || is_long_name(word, tail))
                }
                _ => false,
            };
            return if is_zone { Zone::Unknown } else { Zone::Absent };
        };
        // `Central European Time`, `UTC+25`, `Etc/GMT+5`: what was read is the beginning of another zone.
        let goes_on = match tail {
            [Token::Word(word), tail @ ..] => is_long_name(word, tail),
            [Token::Sign('+' | '-'), Token::Number(_), ..] => true,
            _ => false,
        };
        if goes_on {
            return Zone::Unknown;
        }
        self.zone = Some(zone);
        match tail {
            [Token::Sign(')'), tail @ ..] if is_enclosed => Zone::Taken(tail),
            tail => Zone::Taken(tail),
        }
    }

    fn resolve(self, now: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let zone = self.zone.unwrap_or_else(|| zone.clone());
        let here = jiff::Timestamp::from_microsecond(now.as_micros()).ok()?.to_zoned(zone.clone());
        let time = self.time.unwrap_or(Time::midnight());
        let moment = |date: Date| zoned(date.to_datetime(time), &zone);
        let passed = i64::try_from(PASSED_MAX.as_secs()).ok()?.seconds();
        let is_passed = |at: &Zoned| at.checked_add(passed).is_ok_and(|until| until < here);
        let today = here.date();
        let at = match self.day {
            None => {
                let at = moment(today)?;
                if is_passed(&at) { moment(today.tomorrow().ok()?)? } else { at }
            }
            Some(Day::Today) => moment(today)?,
            Some(Day::Tomorrow) => moment(today.tomorrow().ok()?)?,
            Some(Day::Of(date)) => moment(date)?,
            Some(Day::OfYear { month, day }) => {
                let years = [today.year() - 1, today.year(), today.year() + 1];
                let dates = years.into_iter().filter_map(|year| Date::new(year, month, day).ok());
                moment(dates.min_by_key(|date| (*date - today).get_days().abs())?)?
            }
            Some(Day::Next(weekday)) => {
                let ahead = today.weekday().until(weekday);
                let at = moment(today.checked_add(i64::from(ahead).days()).ok()?)?;
                let is_over = if self.time.is_some() { is_passed(&at) } else { at <= here };
                if is_over { moment(at.date().checked_add(7.days()).ok()?)? } else { at }
            }
        };
        Some(Timestamp::from_micros(at.timestamp().as_microsecond()))
    }
}

fn zoned(at: DateTime, zone: &TimeZone) -> Option<Zoned> {
    at.to_zoned(zone.clone()).ok()
}

/// What stands where a zone may stand.
enum Zone<'a, 'b> {
    Taken(&'a [Token<'b>]),
    Unknown,
    Absent,
}

/// `2026-12-01`, `12/1/2026`, `Nov 28th, 2026`, `28 Nov 2026`, `Nov 28`.
fn date<'a, 'b>(tokens: &'a [Token<'b>]) -> Option<(Day, &'a [Token<'b>])> {
    use Token::{Number, Sign, Word};
    let of = |year: i16, month, day| Date::new(year, month, day).ok().map(Day::Of);
    match tokens {
        [Number(year), Sign(one @ ('-' | '/')), Number(month), Sign(two), Number(day), tail @ ..]
            if one == two && year.digits.len() == 4 =>
        {
            Some((of(year.whole()?, month.whole()?, day.whole()?)?, tail))
        }
        [Number(month), Sign('/'), Number(day), Sign('/'), Number(year), tail @ ..]
            if year.digits.len() == 4 =>
        {
            Some((of(year.whole()?, month.whole()?, day.whole()?)?, tail))
        }
        [Word(word), Number(day), tail @ ..] if month(word).is_some() => {
            with_year(month(word)?, day.whole()?, ordinal(tail))
        }
        [Number(day), tail @ ..] => match ordinal(tail) {
            [Word("of"), Word(word), tail @ ..] | [Word(word), tail @ ..] => {
                with_year(month(word)?, day.whole()?, tail)
            }
            _ => None,
        },
        _ => None,
    }
}

fn with_year<'a, 'b>(month: i8, day: i8, tail: &'a [Token<'b>]) -> Option<(Day, &'a [Token<'b>])> {
    let (year, behind) = match tail {
        [Token::Sign(','), Token::Number(year), behind @ ..] | [Token::Number(year), behind @ ..]
            if year.digits.len() == 4 =>
        {
            (year, behind)
        }
        // February 29 is a day of some years.
        _ => return Date::new(2024, month, day).ok().map(|_| (Day::OfYear { month, day }, tail)),
    };
    Some((Day::Of(Date::new(year.whole()?, month, day).ok()?), behind))
}

fn ordinal<'a, 'b>(tail: &'a [Token<'b>]) -> &'a [Token<'b>] {
    match tail {
        [Token::Word("st" | "nd" | "rd" | "th"), tail @ ..] => tail,
        tail => tail,
    }
}

/// `22:26`, `22:26:05`, `10:26 PM`, `4pm`, `4 p.m.`, `noon`, `midnight`.
fn time<'a, 'b>(tokens: &'a [Token<'b>]) -> Option<(Time, &'a [Token<'b>])> {
    use Token::{Number, Sign, Word};
    let (hour, minute, second, tail) = match tokens {
        [Word("noon"), tail @ ..] => return Some((Time::constant(12, 0, 0, 0), tail)),
        [Word("midnight"), tail @ ..] => return Some((Time::midnight(), tail)),
        [Number(hour), Sign(':'), Number(minute), Sign(':'), Number(second), tail @ ..] => {
            (hour.whole()?, minute.whole()?, second.digits.parse().ok()?, tail)
        }
        [Number(hour), Sign(':'), Number(minute), tail @ ..] => (hour.whole()?, minute.whole()?, 0, tail),
        [Number(hour), tail @ ..] => {
            meridiem(tail)?;
            // `10.30 pm` is half past ten, and `10.5 pm` is no time.
            let minute = match hour.fraction {
                Some(minute) if minute.len() == 2 => minute.parse().ok()?,
                Some(_) => return None,
                None => 0,
            };
            (hour.digits.parse().ok()?, minute, 0, tail)
        }
        _ => return None,
    };
    let (hour, tail) = match meridiem(tail) {
        None => (hour, tail),
        Some(_) if !(1..=12).contains(&hour) => return None,
        Some((is_afternoon, tail)) => (hour % 12 + if is_afternoon { 12 } else { 0 }, tail),
    };
    Some((Time::new(hour, minute, second, 0).ok()?, tail))
}

fn meridiem<'a, 'b>(tokens: &'a [Token<'b>]) -> Option<(bool, &'a [Token<'b>])> {
    use Token::{Sign, Word};
    match tokens {
        [Word("am"), tail @ ..] => Some((false, tail)),
        [Word("pm"), tail @ ..] => Some((true, tail)),
        [Word(half @ ("a" | "p")), Sign('.'), Word("m"), tail @ ..] => {
            let tail = if let [Sign('.'), tail @ ..] = tail { tail } else { tail };
            Some((*half == "p", tail))
        }
        _ => None,
    }
}

fn weekday(word: &str) -> Option<Weekday> {
    Some(match word {
        "mon" | "monday" => Weekday::Monday,
        "tue" | "tues" | "tuesday" => Weekday::Tuesday,
        "wed" | "wednesday" => Weekday::Wednesday,
        "thu" | "thur" | "thurs" | "thursday" => Weekday::Thursday,
        "fri" | "friday" => Weekday::Friday,
        "sat" | "saturday" => Weekday::Saturday,
        "sun" | "sunday" => Weekday::Sunday,
        _ => return None,
    })
}

fn month(word: &str) -> Option<i8> {
    const MONTHS: [&str; 12] = [
        "january",
        "february",
        "march",
        "april",
        "may",
        "june",
        "july",
        "august",
        "september",
        "october",
        "november",
        "december",
    ];
    let is = |name: &str| name == word || (word.len() >= 3 && word.len() <= 4 && name.starts_with(word));
    (1..).zip(MONTHS).find_map(|(number, name)| is(name).then_some(number))
}
