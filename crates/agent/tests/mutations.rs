//! Readers against streams that were damaged on purpose: nothing panics, memory stays bounded, and chunks and restarts make
//! no difference. The seed is fixed; `BACKSTAY_MUTATE_MINUTES=10` goes on for so long from a seed that it prints.

#![expect(clippy::unwrap_used, reason = "every line of this crate is a test")]

use backstay_agent::{AgentEvent, Observed, Preset, Presets, Progress, Tally, WHAT_CHARS_MAX};
use backstay_testkit::{Random, mutate};
use camino::Utf8Path;

const ROUNDS: u64 = 1_500;

/// What breaks parsers: numbers beyond their types, depth, broken escapes, kinds in wrong places.
const MORSELS: [&str; 24] = [
    "\n",
    "\r\n",
    "\0",
    "{",
    "}",
    "[",
    "]",
    "\"",
    "\\",
    "\\ud800",
    "null",
    "true",
    "-1",
    "1e999",
    "18446744073709551616",
    "9223372036854775807",
    "\"type\":\"item.completed\",",
    "\"type\":",
    "{\"type\":\"error\",\"message\":\"try again at 99:99 PM\"}\n",
    "{\"type\":\"error\",\"message\":\"hit your usage limit, resets Feb 30, 4pm (UTC)\"}\n",
    "\u{202e}",
    "\u{feff}",
    "try again in 9d9h",
    "{}\n",
];

struct Subject {
    preset: Preset,
    streams: Vec<Vec<u8>>,
}

fn subject(agent: &str, presets: &Presets) -> Subject {
    let folder = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(agent);
    let mut paths: Vec<_> = folder.read_dir_utf8().unwrap().map(|entry| entry.unwrap().into_path()).collect();
    let written = folder.join("written");
    paths.extend(written.read_dir_utf8().unwrap().map(|entry| entry.unwrap().into_path()));
    paths.retain(|path| path.extension() == Some("jsonl") && !path.as_str().ends_with(".events.jsonl"));
    paths.sort();
    let mut streams: Vec<Vec<u8>> = paths.iter().map(|path| std::fs::read(path).unwrap()).collect();
    streams.retain(|stream| !stream.is_empty());
    Subject { preset: presets.get(agent).unwrap().clone(), streams }
}

fn mutated(dice: &mut Random, streams: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = streams[dice.below(streams.len())].clone();
    for _ in 0..=dice.below(8) {
        let place = dice.below(bytes.len() + 1);
        let end = bytes.len().min(place + dice.below(80));
        match dice.below(7) {
            0 if place < bytes.len() => bytes[place] = u8::try_from(dice.number() >> 56).unwrap(),
            1 => drop(bytes.drain(place..end)),
            2 => {
                let copied = bytes[place..end].to_vec();
                bytes.splice(place..place, copied);
            }
            3 => {
                let other = &streams[dice.below(streams.len())];
                let from = dice.below(other.len());
                let cut = other[from..other.len().min(from + dice.below(600))].to_vec();
                bytes.splice(place..place, cut);
            }
            4 => bytes.truncate(place),
            5 => {
                let depth = "[{\"a\":".repeat(dice.below(200));
                bytes.splice(place..place, depth.into_bytes());
            }
            _ => {
                let morsel = MORSELS[dice.below(MORSELS.len())].bytes();
                bytes.splice(place..place, morsel);
            }
        }
    }
    bytes
}

fn read(subject: &Subject, from: u64, bytes: &[u8], mut chunk: impl FnMut() -> usize) -> Vec<Observed> {
    let mut reader = subject.preset.reader(from).in_folder("/work/project");
    let (mut observed, mut rest) = (Vec::new(), bytes);
    while !rest.is_empty() {
        let (now, later) = rest.split_at(rest.len().min(chunk().max(1)));
        observed.extend(reader.feed(now));
        rest = later;
    }
    observed.extend(reader.end());
    observed
}

fn holds(subject: &Subject, dice: &mut Random) {
    let bytes = mutated(dice, &subject.streams);
    let whole = read(subject, 0, &bytes, || usize::MAX);
    assert_eq!(read(subject, 0, &bytes, || dice.below(97)), whole, "in chunks");

    let mut progress = Progress::default();
    let mut last = 0;
    for observed in &whole {
        let end = usize::try_from(observed.spool_end).unwrap();
        assert!(observed.spool_end >= last && end <= bytes.len(), "the places rise");
        assert!(end == bytes.len() || bytes[end - 1] == b'\n', "a place is behind a line");
        last = observed.spool_end;
        progress.apply(&observed.event);
        is_fit_for_people(&observed.event);
        serde_json::from_str::<Observed>(&serde_json::to_string(observed).unwrap()).unwrap();
    }
    let tally: &Tally = progress.usage();
    let used = tally.of_session().and_then(|session| tally.of_process(Some(session)));
    assert!(used.is_none_or(|used| used.input.is_none_or(|input| input == 0)), "all was used before");
    assert!(progress.sign_of_life().is_none_or(|sign| sign.chars().count() <= WHAT_CHARS_MAX));

    if !whole.is_empty() {
        let from = whole[dice.below(whole.len())].spool_end;
        let rest: Vec<Observed> =
            whole.iter().filter(|observed| observed.spool_end > from).cloned().collect();
        assert_eq!(
            read(subject, from, &bytes[usize::try_from(from).unwrap()..], || usize::MAX),
            rest,
            "from {from}"
        );
    }
}

fn is_fit_for_people(event: &AgentEvent) {
    let what = match event {
        AgentEvent::ToolStarted { what, .. } => what,
        AgentEvent::ToolFinished { what: Some(what), .. } => what,
        AgentEvent::Limit { reset: Some(reset), .. } => {
            let at = reset.resolve("2026-11-21T08:23:00Z".parse().unwrap(), &jiff::tz::TimeZone::UTC);
            assert!(at.is_none_or(|at| at.to_string().len() >= 10), "it may be no time at all: {reset:?}");
            return;
        }
        _ => return,
    };
    assert!(what.chars().count() <= WHAT_CHARS_MAX && !what.contains(char::is_control), "{what:?}");
}

fn drive(agent: &str) {
    drive_with(agent, &Presets::built_in().unwrap(), agent);
}

fn drive_with(agent: &str, presets: &Presets, name: &str) {
    let subject = subject(agent, presets);
    mutate(name, 0x5eed_0000_0000_0001, ROUNDS, |dice| holds(&subject, dice));
}

#[test]
fn codex() {
    drive("codex");
}

#[test]
fn claude() {
    drive("claude");
}

#[test]
fn gemini() {
    drive("gemini");
}

#[test]
fn opencode() {
    drive("opencode");
}

#[test]
fn codex_by_rules() {
    let rules = include_str!("rules/codex.toml");
    drive_with("codex", &Presets::with_configuration("codex.toml", rules).unwrap(), "codex_by_rules");
}
