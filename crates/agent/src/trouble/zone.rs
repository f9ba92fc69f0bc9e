//! Zones as agents and their providers write them behind a time.

use jiff::tz::{Offset, TimeZone};

use super::tokens::Token;

/// `UTC`, `UTC+2`, `+02:00`, `PST`, `Pacific time`, `America/New_York`.
pub(super) fn zone<'a, 'b>(tokens: &'a [Token<'b>]) -> Option<(TimeZone, &'a [Token<'b>])> {
    use Token::{Sign, Word};
    match tokens {
        [Word("utc" | "gmt" | "z"), tail @ ..] => Some(offset(tail).unwrap_or((TimeZone::UTC, tail))),
        [Sign('+' | '-'), ..] => offset(tokens),
        [Word(name), tail @ ..] => {
            let region = match *name {
                "pacific" | "pt" => Some("America/Los_Angeles"),
                "mountain" | "mt" => Some("America/Denver"),
                "central" | "ct" => Some("America/Chicago"),
                "eastern" | "et" => Some("America/New_York"),
                name => Some(name).filter(|name| name.contains('/')),
            };
            let zone = match region {
                Some(region) => TimeZone::get(region).ok()?,
                None => abbreviated(name)?,
            };
            let mut tail = tail;
            while let [Word("standard" | "daylight" | "time"), behind @ ..] = tail {
                tail = behind;
            }
            Some((zone, tail))
        }
        _ => None,
    }
}

/// Letters of a word that may be the short name of a zone.
const ZONE_LETTERS: std::ops::RangeInclusive<usize> = 2..=5;

/// Short words that go on with the sentence behind a time, or say that it is meant in the agent's own zone.
const BEHIND_TIME: [&str; 70] = [
    "about", "add", "after", "again", "an", "and", "are", "as", "ask", "at", "be", "but", "buy", "by", "can",
    "check", "daily", "do", "due", "each", "every", "for", "from", "get", "go", "has", "here", "hours",
    "hrs", "if", "in", "is", "it", "its", "local", "may", "more", "next", "not", "now", "of", "on", "once",
    "or", "per", "run", "see", "sharp", "since", "so", "that", "the", "then", "this", "time", "to", "today",
    "try", "until", "use", "via", "wait", "was", "we", "when", "while", "will", "with", "you", "your",
];

/// Whether `word`, behind a time, is none of a zone's name.
pub(super) fn goes_on_behind_time(word: &str) -> bool {
    BEHIND_TIME.contains(&word)
}

/// Whether `word`, behind a time, may be the short name of a zone.
pub(super) fn is_short_name(word: &str) -> bool {
    ZONE_LETTERS.contains(&word.chars().count())
}

/// Whether `word` begins the long name of a zone: `Singapore time`, `European Summer Time`.
pub(super) fn is_long_name(word: &str, tail: &[Token<'_>]) -> bool {
    let mut words = tail.iter().map_while(|token| match token {
        Token::Word(word) => Some(*word),
        Token::Number(_) | Token::Sign(_) => None,
    });
    !goes_on_behind_time(word)
        && words.by_ref().take(2).any(|word| matches!(word, "time" | "standard" | "daylight"))
}

/// No zone is further from UTC.
const OFFSET_HOURS_MAX: i32 = 14;

fn offset<'a, 'b>(tokens: &'a [Token<'b>]) -> Option<(TimeZone, &'a [Token<'b>])> {
    let [Token::Sign(sign @ ('+' | '-')), Token::Number(hours), tail @ ..] = tokens else { return None };
    let (hours, minutes, tail): (i32, i32, _) = match (hours.digits.len(), tail) {
        (4, tail) if hours.fraction.is_none() => {
            (hours.digits[..2].parse().ok()?, hours.digits[2..].parse().ok()?, tail)
        }
        (1 | 2, [Token::Sign(':'), Token::Number(minutes), tail @ ..]) => {
            (hours.whole()?, minutes.whole()?, tail)
        }
        (1 | 2, tail) => (hours.whole()?, 0, tail),
        _ => return None,
    };
    if !(0..=OFFSET_HOURS_MAX).contains(&hours) || !(0..60).contains(&minutes) {
        return None;
    }
    let seconds = hours * 3_600 + minutes * 60;
    let seconds = if *sign == '-' { -seconds } else { seconds };
    Some((Offset::from_seconds(seconds).ok()?.to_time_zone(), tail))
}

/// Abbreviations that mean several zones: guessed wrong, a wait would be hours too long.
pub(super) const AMBIGUOUS: [&str; 3] = ["ist", "ast", "gst"];

/// Abbreviations that mean one zone where agents say them, in hours from UTC.
fn abbreviated(name: &str) -> Option<TimeZone> {
    let hours = match name {
        "hst" => -10,
        "akst" => -9,
        "pst" | "akdt" => -8,
        "pdt" | "mst" => -7,
        "mdt" | "cst" => -6,
        "cdt" | "est" => -5,
        "edt" => -4,
        "brt" => -3,
        "bst" | "cet" => 1,
        "cest" | "eet" | "sast" => 2,
        "eest" | "msk" => 3,
        "pkt" => 5,
        "ict" | "wib" => 7,
        "sgt" | "hkt" | "pht" | "awst" => 8,
        "jst" | "kst" => 9,
        "aest" => 10,
        "aedt" => 11,
        "nzst" => 12,
        "nzdt" => 13,
        _ => return None,
    };
    Some(Offset::from_hours(hours).ok()?.to_time_zone())
}
