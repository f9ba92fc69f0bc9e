//! Recordings without what differs from one to the next, so that a difference between two of them is one of the programs.

use regex::{Captures, Regex};

use crate::clis::Workplace;

/// What is different each time and says nothing, and what stands for it.
const FIXED: [(&str, &str); 10] = [
    (r"\brun=[0-9a-f]{8}\b", "run=00000000"),
    (r#""uuid":"[^"]*""#, r#""uuid":"00000000-0000-7000-8000-000000000000""#),
    (r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d-\d+Z", "2026-11-29T00-00-00-000Z"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "2026-11-29T00:00:00.000Z"),
    (r#""(\w*(?:_ms|Ms|_tpm))":\d+(?:\.\d+)?"#, r#""$1":1000"#),
    (r"/tmp/cc-socks/\d+", "/tmp/cc-socks/1"),
    (r"\(node:\d+\)", "(node:1)"),
    (r"\w+, \d\d \w+ \d{4} \d\d:\d\d:\d\d GMT", "Sun, 29 Nov 2026 00:00:00 GMT"),
    (r"/[^\s:]*/node_modules/", "/usr/lib/node_modules/"),
    (r"chunk-[0-9A-Z]{8}\.js:\d+:\d+", "chunk.js:1:1"),
];

/// Names that are made anew each time; each gets a number by where it stands first.
const NAMES: [(&str, &str); 6] = [
    (r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", UUID_BEGIN),
    (r"\bses_[0-9a-f]{12}[0-9A-Za-z]{14}\b", "ses_"),
    (r"\bprt_[0-9a-f]{12}[0-9A-Za-z]{14}\b", "prt_"),
    (r"\bmsg_[0-9a-f]{12}[0-9A-Za-z]{14}\b", "msg_"),
    (r#"(?:"task_id":"|"agent_id":"|\bagentId: )([0-9A-Za-z]{9,})\b"#, "task_"),
    (r#""run_id":"([0-9A-Za-z-]+)""#, "run_"),
];

/// The first digits of the UUIDs here, as long as a UUID without its last group.
const UUID_BEGIN: &str = "00000000-0000-7000-8000-";

/// Milliseconds since 1970 inside of a name, and alone.
const MOMENT_IN_NAME: &str = r"_(1[789]\d{11})_";
const MOMENT: &str = r"\b1[789]\d{11}\b";
const FIRST_MOMENT_MS: u64 = 1_795_900_000_000;

/// `text` of a run in `place` that talked to `url`.
pub(crate) fn of(text: &str, place: &Workplace, url: &str, version: &str) -> String {
    let (folder, home) = (place.folder(), place.home());
    let dashed = |path: &str| path.replace(['/', '.'], "-");
    let mut text = text
        .replace(folder.as_str(), "/work/project")
        .replace(home.as_str(), "/home/user")
        .replace(&dashed(folder.as_str()), "-work-project")
        .replace(url, "http://127.0.0.1:8080")
        .replace(url.trim_start_matches("http://"), "127.0.0.1:8080")
        .replace(version, "0.0.0");
    for (pattern, stands_for_it) in FIXED {
        text = Regex::new(pattern).unwrap().replace_all(&text, stands_for_it).into_owned();
    }
    for (pattern, begin) in NAMES {
        text = numbered(&text, &Regex::new(pattern).unwrap(), begin);
    }
    text = numbered(&text, &Regex::new(MOMENT_IN_NAME).unwrap(), "moment");
    // Two moments may be the same one time and differ the next: so each place has its own.
    let mut count = 0;
    let next = |_: &Captures| {
        count += 1;
        (FIRST_MOMENT_MS + count * 1_000).to_string()
    };
    Regex::new(MOMENT).unwrap().replace_all(&text, next).into_owned()
}

/// Every name that `pattern` finds, in its group or else as a whole, is another one everywhere in `text`.
fn numbered(text: &str, pattern: &Regex, begin: &str) -> String {
    let mut names: Vec<&str> = Vec::new();
    for found in pattern.captures_iter(text) {
        let name = found.iter().flatten().last().unwrap().as_str();
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let width = if begin == UUID_BEGIN { 12 } else { 1 };
    names.iter().zip(1..).fold(text.to_owned(), |stable, (name, number)| {
        stable.replace(name, &format!("{begin}{number:0width$}"))
    })
}

/// Where in its own code a program was when it complained is not for us.
pub(crate) fn without_stack(text: &str) -> String {
    Regex::new(r"(?m)^\s+at .*\n").unwrap().replace_all(text, "").into_owned()
}
