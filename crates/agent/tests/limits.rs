//! The ends of limits as agents and their providers say them, each read under a fixed clock, and damaged on
//! purpose. The seed is fixed; `BACKSTAY_MUTATE_MINUTES=10` goes on for so long from a seed that it prints.

#![expect(clippy::unwrap_used, reason = "every line of this crate is a test")]

use std::time::Duration;

use backstay_agent::Patterns;
use backstay_model::Timestamp;
use backstay_testkit::{Random, mutate};
use jiff::tz::TimeZone;

/// A Saturday.
const NOW: &str = "2026-11-28T14:05:30Z";

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

/// The end of the limit that `text` tells, on a machine in `zone`.
fn end_of_limit(text: &str, zone: &TimeZone) -> Option<Timestamp> {
    Patterns::default().reset(text)?.resolve(now(), zone)
}

/// For how long `text` tells to wait, on a machine in any zone.
fn wait(text: &str, random: &mut Random) -> Option<Duration> {
    let zone = random.of(&["UTC", "America/New_York", "Asia/Tokyo", "Pacific/Kiritimati"]);
    Some(end_of_limit(text, &TimeZone::get(zone).unwrap())?.since(now()))
}

/// What is said, on a machine in which zone, and the moment that is meant.
const SAID: &[(&str, &str, &str)] = &[
    // Codex.
    ("You've hit your usage limit. Upgrade to Pro or try again at 10:26 PM.", "UTC", "2026-11-28T22:26:00Z"),
    ("You've hit your usage limit. Try again at 10:26 PM.", "America/New_York", "2026-11-29T03:26:00Z"),
    ("or try again at Dec 3rd, 2026 9:06 PM.", "UTC", "2026-12-03T21:06:00Z"),
    ("or try again at Nov 29th, 2026 12:01 AM.", "Asia/Tokyo", "2026-11-28T15:01:00Z"),
    ("Try again in 3 days 5 hours 12 minutes.", "UTC", "2026-12-01T19:17:30Z"),
    ("try again in 1 day 22 hours 46 minutes and send a request", "UTC", "2026-11-30T12:51:30Z"),
    (
        "Rate limit reached for gpt-5 on tokens per min (TPM): Limit 30000, Used 29000. Please try again in 1.898s. Visit https://example.org/limits",
        "UTC",
        "2026-11-28T14:05:31.898Z",
    ),
    ("Please try again in 28ms. Visit the page", "UTC", "2026-11-28T14:05:30.028Z"),
    ("Please try again in 6m0s. Need more?", "UTC", "2026-11-28T14:11:30Z"),
    ("Please try again in 20.5 seconds", "UTC", "2026-11-28T14:05:50.5Z"),
    ("try again in less than a minute", "UTC", "none"),
    ("try again in a minute", "UTC", "2026-11-28T14:06:30Z"),
    ("try again in an hour or two", "UTC", "2026-11-28T15:05:30Z"),
    // Claude Code.
    ("5-hour limit reached ∙ resets 3pm", "UTC", "2026-11-28T15:00:00Z"),
    ("5-hour limit reached ∙ resets 3am", "UTC", "2026-11-29T03:00:00Z"),
    ("You've hit your limit · resets 10:26pm (UTC)", "America/New_York", "2026-11-28T22:26:00Z"),
    ("You've hit your session limit · resets 3:45pm (America/Los_Angeles)", "UTC", "2026-11-28T23:45:00Z"),
    ("You've hit your weekly limit · resets Mon 12:00am", "UTC", "2026-11-30T00:00:00Z"),
    ("You've hit your weekly limit · resets Mon 12:00am (Europe/Berlin)", "UTC", "2026-11-29T23:00:00Z"),
    ("Weekly limit reached ∙ resets Dec 3 at 5pm", "UTC", "2026-12-03T17:00:00Z"),
    ("Opus weekly limit reached ∙ resets Dec 6, 1pm", "Asia/Tokyo", "2026-12-06T04:00:00Z"),
    ("Your limit will reset at 3pm (America/Santiago).", "UTC", "2026-11-28T18:00:00Z"),
    ("Claude AI usage limit reached|1795950000", "UTC", "2026-11-29T11:00:00Z"),
    ("Claude AI usage limit reached|1795950000000", "UTC", "2026-11-29T11:00:00Z"),
    ("You're out of extra usage · resets Feb 26, 4pm (Asia/Tokyo)", "UTC", "2027-02-26T07:00:00Z"),
    ("Session limit reached · resets at 2:30 p.m. · /upgrade for more", "UTC", "2026-11-28T14:30:00Z"),
    ("Session limit reached, resets 2:05pm", "UTC", "2026-11-28T14:05:00Z"),
    ("Weekly limit reached, resets Thursday at 9:00 AM", "UTC", "2026-12-03T09:00:00Z"),
    ("weekly limit resets on Saturday at 1pm", "UTC", "2026-12-05T13:00:00Z"),
    ("weekly limit resets on Saturday at 3pm", "UTC", "2026-11-28T15:00:00Z"),
    ("weekly limit resets Saturday", "UTC", "2026-12-05T00:00:00Z"),
    ("limit resets tomorrow at 9am", "UTC", "2026-11-29T09:00:00Z"),
    ("limit resets tomorrow", "Europe/Berlin", "2026-11-28T23:00:00Z"),
    ("limit resets today at 17:00 CET", "UTC", "2026-11-28T16:00:00Z"),
    ("resets 5pm tomorrow (UTC)", "Asia/Tokyo", "2026-11-29T17:00:00Z"),
    (
        "You have reached your specified API usage limits. You will regain access on 2026-12-01 at 00:00 UTC.",
        "Asia/Tokyo",
        "2026-12-01T00:00:00Z",
    ),
    // Gemini CLI and its provider.
    ("Your quota will reset after 2h13m5s.", "UTC", "2026-11-28T16:18:35Z"),
    ("Your quota will reset after 13h54m40s. Learn more", "UTC", "2026-11-29T04:00:10Z"),
    ("Please retry in 34.074824224s.", "UTC", "2026-11-28T14:06:04.074824Z"),
    ("Attempt 1 failed with status 429. Retrying after 41393468ms...", "UTC", "2026-11-29T01:35:23.468Z"),
    ("Retrying with backoff... retry in 19h32m12.5s", "UTC", "2026-11-29T09:37:42.5Z"),
    ("{\"@type\":\"RetryInfo\",\"retryDelay\":\"34s\"}", "UTC", "2026-11-28T14:06:04Z"),
    ("Usage limit reached for gemini-2.5-pro. Access resets at 11:23 AM PDT.", "UTC", "2026-11-28T18:23:00Z"),
    ("Access resets at 11:23 AM PST. Switch to flash?", "UTC", "2026-11-28T19:23:00Z"),
    ("Access resets at 9:53 PM GMT+5:30.", "UTC", "2026-11-28T16:23:00Z"),
    ("The daily quota resets at midnight Pacific Time", "UTC", "2026-11-29T08:00:00Z"),
    ("resets at noon", "America/Chicago", "2026-11-28T18:00:00Z"),
    // Zones of one region, and words behind a time that are none.
    ("resets 5pm PT", "Asia/Tokyo", "2026-11-29T01:00:00Z"),
    ("resets 5pm MT", "Asia/Tokyo", "2026-11-29T00:00:00Z"),
    ("resets 5:00 PM CT.", "Asia/Tokyo", "2026-11-28T23:00:00Z"),
    ("resets at 5pm (ET)", "Asia/Tokyo", "2026-11-28T22:00:00Z"),
    ("resets 5pm Eastern Standard Time", "Asia/Tokyo", "2026-11-28T22:00:00Z"),
    ("resets 5pm Pacific and not before", "Asia/Tokyo", "2026-11-29T01:00:00Z"),
    ("resets 5pm CET on weekdays", "Asia/Tokyo", "2026-11-28T16:00:00Z"),
    ("resets 5pm UTC Mon", "America/New_York", "2026-11-30T17:00:00Z"),
    ("resets 5pm PST which is soon", "UTC", "2026-11-29T01:00:00Z"),
    ("resets 5pm local time", "America/New_York", "2026-11-28T22:00:00Z"),
    ("resets 5pm your time", "America/New_York", "2026-11-28T22:00:00Z"),
    ("resets 5pm (your local time)", "America/New_York", "2026-11-28T22:00:00Z"),
    ("try again at 5pm and then go on", "America/New_York", "2026-11-28T22:00:00Z"),
    ("try again at 5pm or upgrade", "America/New_York", "2026-11-28T22:00:00Z"),
    ("try again at 5pm to go on", "America/New_York", "2026-11-28T22:00:00Z"),
    ("try again at 5pm for more", "America/New_York", "2026-11-28T22:00:00Z"),
    ("try again at 17:00 hours", "America/New_York", "2026-11-28T22:00:00Z"),
    ("try again at 5pm Monday", "America/New_York", "2026-11-30T22:00:00Z"),
    ("try again at 10.30 pm", "UTC", "2026-11-28T22:30:00Z"),
    // opencode and the providers behind it.
    ("responseHeaders={\"retry-after\":\"3600\"}", "UTC", "2026-11-28T15:05:30Z"),
    ("HTTP 429, Retry-After: 120", "UTC", "2026-11-28T14:07:30Z"),
    ("Retry-After: Sat, 28 Nov 2026 21:06:05 GMT", "Asia/Tokyo", "2026-11-28T21:06:05Z"),
    ("x-ratelimit-reset: 1795950000000", "UTC", "2026-11-29T11:00:00Z"),
    ("anthropic-ratelimit-requests-reset: 2026-11-28T15:00:00Z", "UTC", "2026-11-28T15:00:00Z"),
    ("ratelimit-reset: 2026-11-28T16:00:00.250+01:00", "UTC", "2026-11-28T15:00:00Z"),
    ("Your limit will reset at 2026-11-29 05:00:12", "Asia/Singapore", "2026-11-28T21:00:12Z"),
    ("Usage resets on 1 December 2026", "UTC", "2026-12-01T00:00:00Z"),
    ("Usage resets on December 1st", "UTC", "2026-12-01T00:00:00Z"),
    ("Usage resets 12/1/2026 9:06 PM", "UTC", "2026-12-01T21:06:00Z"),
    ("available again at 9:06 PM on Dec 2", "UTC", "2026-12-02T21:06:00Z"),
    ("will be available in 5 hours.", "UTC", "2026-11-28T19:05:30Z"),
    ("Please wait 2 weeks", "UTC", "2026-12-12T14:05:30Z"),
    ("Please wait about 90 min, then retry", "UTC", "2026-11-28T15:35:30Z"),
    ("resets Jan 2 at 3pm", "UTC", "2027-01-02T15:00:00Z"),
    // What passed: a minute ago is now; a day without a year is the nearest one, never next year's.
    ("try again at 2:00 PM", "UTC", "2026-11-28T14:00:00Z"),
    ("try again at 1:50 PM", "UTC", "2026-11-29T13:50:00Z"),
    ("resets Nov 27, 4pm", "UTC", "2026-11-27T16:00:00Z"),
    // No time, or none that can be trusted.
    ("You've hit your limit. Try again later.", "UTC", "none"),
    ("try again soon", "UTC", "none"),
    ("resets 25:00", "UTC", "none"),
    ("resets 13pm", "UTC", "none"),
    ("resets Nov 31, 4pm", "UTC", "none"),
    ("resets 4pm (Nowhere/Land)", "UTC", "none"),
    ("resets 4pm IST", "UTC", "none"),
    ("resets 4pm (XYZT)", "UTC", "none"),
    ("resets 5pm XYZT.", "UTC", "none"),
    ("resets 5pm MEZ", "UTC", "none"),
    ("resets 5pm Central European Time", "UTC", "none"),
    ("resets 5pm Eastern European Summer Time", "UTC", "none"),
    ("resets 5pm Singapore time", "UTC", "none"),
    ("resets 5pm (New York)", "UTC", "none"),
    ("resets 5pm server time", "UTC", "none"),
    ("resets 5pm UTC+25", "UTC", "none"),
    ("resets 5pm UTC+5.5", "UTC", "none"),
    ("resets 5pm Etc/GMT+5", "UTC", "none"),
    ("resets 10.5 pm", "UTC", "none"),
    ("resets 10.60 pm", "UTC", "none"),
    ("resets Dec 3.5 at 4pm", "UTC", "none"),
    ("try again in 99999999999999999999h", "UTC", "none"),
    ("try again in 400 days", "UTC", "none"),
    ("try again in 0s", "UTC", "none"),
    ("try again at .", "UTC", "none"),
    ("resets 3", "UTC", "none"),
    ("", "UTC", "none"),
];

#[test]
fn the_end_of_a_limit_is_read_as_it_is_said() {
    let wrong: Vec<String> = SAID
        .iter()
        .filter_map(|(text, zone, expected)| {
            let at = end_of_limit(text, &TimeZone::get(zone).unwrap());
            let found = at.map_or_else(|| "none".to_owned(), |at| at.to_string());
            (found != *expected)
                .then(|| format!("{text} ({zone})\n  expected {expected}\n  found    {found}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What is put into texts: times that are none, numbers beyond their types, zones, and pieces of other forms.
const MORSELS: [&str; 30] = [
    " in ",
    " at ",
    " after ",
    ":",
    ".",
    "-",
    "/",
    "(",
    ")",
    "999999999999",
    "0",
    "00",
    "1e9",
    "99:99",
    "am",
    "pm",
    "UTC+25",
    "UTC",
    "Feb 30",
    "Mon",
    "tomorrow",
    "ms",
    "days",
    "weeks",
    "2026-13-45",
    "İ",
    "ſ",
    "\u{202e}",
    "∙",
    "\n",
];

fn mutated(random: &mut Random) -> String {
    let mut text: Vec<char> = SAID[random.below(SAID.len())].0.chars().collect();
    for _ in 0..=random.below(4) {
        let at = random.below(text.len() + 1);
        let end = text.len().min(at + random.below(6));
        match random.below(4) {
            0 => drop(text.drain(at..end)),
            1 => {
                let copy = text[at..end].to_vec();
                drop(text.splice(at..at, copy));
            }
            2 => {
                let other: Vec<char> = SAID[random.below(SAID.len())].0.chars().collect();
                drop(text.splice(at..end, other));
            }
            _ => drop(text.splice(at..end, random.of(&MORSELS).chars())),
        }
    }
    text.into_iter().collect()
}

#[test]
fn texts_that_were_damaged_panic_nowhere_and_mean_no_longer_wait_than_a_year() {
    mutate("limits, damaged", 0x5eed_0000_0000_0011, 10_000, |random| {
        let text = mutated(random);
        let wait = wait(&text, random);
        assert!(wait.is_none_or(|wait| wait <= Duration::from_secs(YEAR_S)), "{text:?}: {wait:?}");
    });
}

const DAY_S: u64 = 86_400;
const YEAR_S: u64 = 366 * DAY_S;

/// A piece of a text, and how long a wait it can say at most.
struct Piece {
    text: String,
    longest_ms: u64,
}

/// Words that announce a time, and words, signs and zones around it: they say no wait.
const AROUND: [&str; 36] = [
    "resets",
    "try again",
    "retry",
    "retry-after",
    "available",
    "wait",
    "usage limit reached|",
    "in",
    "at",
    "on",
    "after",
    "about",
    "the",
    "of",
    "and",
    "or",
    ",",
    ":",
    ".",
    "-",
    "/",
    "(",
    ")",
    "|",
    "~",
    "·",
    "\"",
    "=",
    "UTC",
    "PT",
    "GMT+5:30",
    "America/New_York",
    "weekly",
    "İ",
    "\u{202e}",
    "\n",
];
/// The units of waits in milliseconds.
const UNITS: [(&str, u64); 14] = [
    ("ms", 1),
    ("milliseconds", 1),
    ("s", 1_000),
    ("sec", 1_000),
    ("seconds", 1_000),
    ("m", 60_000),
    ("min", 60_000),
    ("minutes", 60_000),
    ("h", 3_600_000),
    ("hours", 3_600_000),
    ("d", 86_400_000),
    ("days", 86_400_000),
    ("w", 604_800_000),
    ("weeks", 604_800_000),
];

/// Days from [`NOW`], in the zone that is furthest behind: a date begins and ends in other zones up to a day earlier or later.
fn date(random: &mut Random) -> Piece {
    let ahead = random.below(364);
    let day = jiff::civil::date(2026, 11, 28)
        .checked_add(jiff::Span::new().days(i64::try_from(ahead).unwrap()))
        .unwrap();
    let form = random.of(&["%Y-%m-%d", "%m/%d/%Y", "%d %b %Y", "%B %d, %Y", "%b %dth, %Y"]);
    let ahead = u64::try_from(ahead).unwrap();
    Piece { text: day.strftime(form).to_string(), longest_ms: (ahead + 3) * DAY_S * 1_000 }
}

fn epoch(random: &mut Random) -> Piece {
    let ahead_s = random.below(300 * 86_400);
    let at_s = NOW.parse::<jiff::Timestamp>().unwrap().as_second() + i64::try_from(ahead_s).unwrap();
    let zeros = random.of(&["", "000", "000000"]);
    Piece { text: format!("{at_s}{zeros}"), longest_ms: (u64::try_from(ahead_s).unwrap() + 1) * 1_000 }
}

fn piece(random: &mut Random) -> Piece {
    let days = |text: &str, days: u64| Piece { text: text.to_owned(), longest_ms: days * DAY_S * 1_000 };
    match random.below(9) {
        0 | 1 => {
            let (unit, unit_ms) = UNITS[random.below(UNITS.len())];
            let (whole, tenths) = (random.below(900), random.below(10));
            let number = if tenths == 0 { whole.to_string() } else { format!("{whole}.{tenths}") };
            let longest_ms = (u64::try_from(whole).unwrap() + 1) * unit_ms;
            Piece { text: format!("{number}{}{unit}", random.of(&["", " "])), longest_ms }
        }
        2 => {
            let (hour, minute) = (random.below(26), random.below(62));
            let half = random.of(&["", " am", "pm", " p.m."]);
            // It may stand a day ahead, in a zone that is a day ahead.
            days(&format!("{hour}:{minute:02}{half}"), 2)
        }
        3 => days(&format!("{}{}", random.below(14), random.of(&["am", " pm"])), 2),
        4 => days(random.of(&["noon", "midnight", "today", "tonight", "tomorrow"]), 3),
        5 => days(random.of(&["Mon", "Tuesday", "Sat", "Sunday"]), 9),
        6 => date(random),
        7 => epoch(random),
        _ => days(random.of(&AROUND), 0),
    }
}

#[test]
fn texts_of_known_pieces_mean_no_longer_wait_than_their_pieces_say() {
    let (mut read, mut rounds) = (0_u64, 0_u64);
    mutate("limits, pieces", 0x5eed_0000_0000_0012, 20_000, |random| {
        let mut text = random.of(&["resets ", "try again in ", "Retry-After: ", "wait "]).to_owned();
        let mut longest_ms = 0;
        for _ in 0..=random.below(7) {
            let piece = piece(random);
            text.push_str(&piece.text);
            text.push(' ');
            longest_ms += piece.longest_ms;
        }
        rounds += 1;
        let Some(wait) = wait(&text, random) else { return };
        read += 1;
        assert!(wait <= Duration::from_millis(longest_ms), "{text:?}: {wait:?}, at most {longest_ms} ms");
    });
    assert!(read > rounds / 3, "only {read} of {rounds} texts said a time");
}
