//! Times and durations for people.

use std::time::Duration;

use backstay_model::Timestamp;
use jiff::tz::TimeZone;

use crate::error::CliError;

/// Columns of [`Times::stamp`].
const STAMP_COLUMNS: usize = 19;

/// How moments are shown: in a time zone, as seen from now.
#[derive(Clone, Debug)]
pub(crate) struct Times {
    zone: TimeZone,
    /// Now.
    pub(crate) now: Timestamp,
}

impl Times {
    /// In the zone of this machine.
    pub(crate) fn local(now: Timestamp) -> Times {
        Times { zone: TimeZone::system(), now }
    }

    /// Whether the zone of this machine, as the environment names it, is one that is known. Else times are in UTC.
    pub(crate) fn knows_zone() -> bool {
        TimeZone::try_system().is_ok()
    }

    /// In UTC.
    #[cfg(test)]
    pub(crate) fn utc(now: Timestamp) -> Times {
        Times { zone: TimeZone::UTC, now }
    }

    /// `09:14`, or `21 Nov 09:14` on another day.
    pub(crate) fn minute(&self, at: Timestamp) -> String {
        self.format(at, "%H:%M", "%-d %b %H:%M")
    }

    /// `09:14:07`, or `21 Nov 09:14:07` on another day.
    pub(crate) fn second(&self, at: Timestamp) -> String {
        self.format(at, "%H:%M:%S", "%-d %b %H:%M:%S")
    }

    /// `2026-11-21`.
    pub(crate) fn day(&self, at: Timestamp) -> String {
        self.format(at, "%Y-%m-%d", "%Y-%m-%d")
    }

    /// `2026-11-21 09:14:07`, or as many blanks if the moment is not known.
    pub(crate) fn stamp(&self, at: Option<Timestamp>) -> String {
        const FORM: &str = "%Y-%m-%d %H:%M:%S";
        let known = at.map(|at| self.format(at, FORM, FORM)).filter(|text| text.len() == STAMP_COLUMNS);
        known.unwrap_or_else(|| " ".repeat(STAMP_COLUMNS))
    }

    /// How long ago `at` was.
    pub(crate) fn ago(&self, at: Timestamp) -> String {
        format!("{} ago", duration(self.now.since(at)))
    }

    fn format(&self, at: Timestamp, today: &str, else_: &str) -> String {
        let zoned = |at: Timestamp| {
            jiff::Timestamp::from_microsecond(at.as_micros()).map(|at| at.to_zoned(self.zone.clone()))
        };
        match (zoned(at), zoned(self.now)) {
            (Ok(at), Ok(now)) if at.date() == now.date() => at.strftime(today).to_string(),
            (Ok(at), _) => at.strftime(else_).to_string(),
            (Err(_outside_of_the_calendar), _) => at.to_string(),
        }
    }
}

/// `0.4s`, `52s`, `14m08s`, `2h05m`, `3d4h`.
pub(crate) fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..10 if time.subsec_millis() >= 100 => format!("{seconds}.{}s", time.subsec_millis() / 100),
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{}h{:02}m", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{}d{}h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

/// `0:52`, `13:27`, `1:02:03`: for columns.
pub(crate) fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    if seconds < 3_600 {
        format!("{}:{:02}", seconds / 60, seconds % 60)
    } else {
        format!("{}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60)
    }
}

/// Reads `90s`, `20m` or `2h30m`.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, CliError> {
    let wrong = || CliError::DurationForm { text: text.to_owned() };
    let (mut total, mut number) = (Duration::ZERO, String::new());
    for character in text.chars() {
        if character.is_ascii_digit() {
            number.push(character);
            continue;
        }
        let unit_s = match character {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            _ => return Err(wrong()),
        };
        let Ok(count) = number.parse::<u64>() else { return Err(wrong()) };
        number.clear();
        let part = count.checked_mul(unit_s).map(Duration::from_secs).ok_or_else(wrong)?;
        total = total.checked_add(part).ok_or_else(wrong)?;
    }
    if number.is_empty() && !text.is_empty() { Ok(total) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_short_and_keep_two_units() {
        let cases = [
            (0, "0s"),
            (400, "0.4s"),
            (9_950, "9.9s"),
            (52_000, "52s"),
            (848_000, "14m08s"),
            (7_530_000, "2h05m"),
            (273_600_000, "3d4h"),
        ];
        for (millis, shown) in cases {
            assert_eq!(duration(Duration::from_millis(millis)), shown);
        }
    }

    #[test]
    fn durations_of_columns_are_clocks() {
        for (seconds, shown) in [(0, "0:00"), (52, "0:52"), (807, "13:27"), (3_723, "1:02:03")] {
            assert_eq!(clock(Duration::from_secs(seconds)), shown);
        }
    }

    #[test]
    fn a_duration_is_read_with_its_units_only() {
        for (text, seconds) in [("90s", 90), ("20m", 1_200), ("2h30m", 9_000), ("1d", 86_400)] {
            assert_eq!(parse_duration(text).unwrap(), Duration::from_secs(seconds));
        }
        for text in ["", "10", "m", "1x", "5m3", "-1s", "99999999999999999999s", "999999999999999999d"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_moment_of_another_day_names_it() {
        let times = Times::utc("2026-11-21T10:30:00Z".parse().unwrap());
        assert_eq!(times.minute("2026-11-21T09:14:07Z".parse().unwrap()), "09:14");
        assert_eq!(times.second("2026-11-20T09:14:07Z".parse().unwrap()), "20 Nov 09:14:07");
        assert_eq!(times.stamp(Some("2026-11-20T09:14:07.9Z".parse().unwrap())), "2026-11-20 09:14:07");
        for unknown in [None, Some(i64::MAX), Some(i64::MIN), Some(-99_999_999_999_999_999)] {
            assert_eq!(
                times.stamp(unknown.map(Timestamp::from_micros)),
                " ".repeat(STAMP_COLUMNS),
                "{unknown:?}"
            );
        }
        assert_eq!(times.ago("2026-11-21T10:15:52Z".parse().unwrap()), "14m08s ago");
    }
}
