//! What the readers skip of what was recorded: lines of kinds that they do not know, and fields that make no difference to
//! what they read. It is written down beside the recordings (`skipped.txt`), so that a new version of a CLI shows what it
//! has that the readers had not met. `cargo xtask record-agents` writes it anew.

#![expect(clippy::unwrap_used, reason = "every line of this crate is a test")]

use std::collections::{BTreeMap, BTreeSet};

use backstay_agent::{AgentEvent, Counts, Preset, Presets, Reader};
use camino::{Utf8Path, Utf8PathBuf};
use serde_json::{Value, json};

/// One step from a document to a value in it.
#[derive(Clone, PartialEq)]
enum Step {
    Key(String),
    Index(usize),
}

/// For each kind of line: the paths in it, and whether a reader looks at what is there.
type Survey = BTreeMap<String, BTreeMap<Vec<String>, bool>>;

/// What a reader makes of one line.
fn reading(preset: &Preset, line: &Value) -> (Vec<AgentEvent>, Counts) {
    let mut reader = Reader::new(preset.stream(), preset.signs().clone(), 0);
    let observed = reader.feed(format!("{line}\n").as_bytes());
    (observed.into_iter().map(|each| each.event).collect(), reader.counts())
}

/// `type` with what divides lines of that type further.
fn kind(line: &Value) -> String {
    let word = |value: &Value| value.as_str().map(str::to_owned);
    let parts = [&line["type"], &line["subtype"], &line["role"], &line["item"]["type"]];
    parts.into_iter().filter_map(word).collect::<Vec<_>>().join(" ")
}

/// All places in `value` below `path`, from the outside to the inside.
fn places(value: &Value, path: &[Step], found: &mut Vec<Vec<Step>>) {
    let below: Vec<(Step, &Value)> = match value {
        Value::Object(fields) => fields.iter().map(|(key, value)| (Step::Key(key.clone()), value)).collect(),
        Value::Array(items) => {
            items.iter().enumerate().map(|(index, value)| (Step::Index(index), value)).collect()
        }
        _ => Vec::new(),
    };
    for (step, value) in below {
        let path: Vec<Step> = path.iter().cloned().chain([step]).collect();
        found.push(path.clone());
        places(value, &path, found);
    }
}

fn at<'a>(line: &'a mut Value, path: &[Step]) -> &'a mut Value {
    path.iter().fold(line, |value, step| match step {
        Step::Key(key) => &mut value[key.as_str()],
        Step::Index(index) => &mut value[*index],
    })
}

/// The line without what is at `path`, and with other values there.
fn changed(line: &Value, path: &[Step]) -> Vec<Value> {
    let mut lines = Vec::new();
    if let Some((Step::Key(key), before)) = path.split_last() {
        let mut without = line.clone();
        at(&mut without, before).as_object_mut().unwrap().remove(key);
        lines.push(without);
    }
    for value in [
        json!(null),
        json!("another"),
        json!("error"),
        json!(7),
        json!(true),
        json!(false),
        json!([]),
        json!({}),
    ] {
        let mut other = line.clone();
        *at(&mut other, path) = value;
        lines.push(other);
    }
    lines
}

fn survey(preset: &Preset, folder: &Utf8Path) -> (Survey, BTreeSet<String>) {
    let (mut survey, mut unknown) = (Survey::new(), BTreeSet::new());
    let mut seen = BTreeSet::new();
    for path in streams(folder) {
        for text in std::fs::read_to_string(path).unwrap().lines() {
            if !seen.insert(text.to_owned()) {
                continue;
            }
            let Ok(line) = serde_json::from_str::<Value>(text) else {
                unknown.insert(format!("no JSON: {text}"));
                continue;
            };
            let read = reading(preset, &line);
            let kind = kind(&line);
            if read.1.unknown + read.1.malformed > 0 {
                unknown.insert(kind.clone());
            }
            let mut found = Vec::new();
            places(&line, &[], &mut found);
            let fields = survey.entry(kind).or_default();
            // What may be replaced as a whole is not looked into.
            let mut skipped: Option<Vec<Step>> = None;
            for path in found {
                if skipped.as_ref().is_some_and(|outer| path.starts_with(outer)) {
                    continue;
                }
                let name = path.iter().map(|step| match step {
                    Step::Key(key) => key.clone(),
                    Step::Index(_) => "[]".to_owned(),
                });
                let is_read_here = changed(&line, &path).iter().any(|other| reading(preset, other) != read);
                *fields.entry(name.collect()).or_default() |= is_read_here;
                if !is_read_here {
                    skipped = Some(path);
                }
            }
        }
    }
    (survey, unknown)
}

fn streams(folder: &Utf8Path) -> Vec<Utf8PathBuf> {
    let entries = folder.read_dir_utf8().unwrap().map(|entry| entry.unwrap().into_path());
    let mut streams: Vec<_> = entries
        .filter(|path| path.extension() == Some("jsonl") && !path.as_str().ends_with(".events.jsonl"))
        .collect();
    streams.sort();
    streams
}

/// A line for each kind that is not known, and for each place in which nothing is looked at: the outermost one.
fn skipped((survey, unknown): &(Survey, BTreeSet<String>)) -> Vec<String> {
    let mut lines: Vec<String> =
        unknown.iter().map(|kind| format!("{kind}: the line is not known")).collect();
    for (kind, fields) in survey.iter().filter(|(kind, _)| !unknown.contains(*kind)) {
        let is_read = |path: &[String]| {
            path.is_empty() || fields.iter().any(|(other, is_read)| *is_read && other.starts_with(path))
        };
        let outermost = fields.keys().filter(|path| !is_read(path) && is_read(&path[..path.len() - 1]));
        lines.extend(outermost.map(|path| format!("{kind}: {}", path.join(".").replace(".[]", "[]"))));
    }
    lines
}

#[test]
fn what_the_readers_skip_is_written_down() {
    let presets = Presets::built_in().unwrap();
    let is_recording = std::env::var_os("BACKSTAY_RECORD").is_some();
    for agent in ["codex", "claude", "gemini", "opencode"] {
        let folder = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(agent);
        let lines = skipped(&survey(presets.get(agent).unwrap(), &folder));
        let path = folder.join("skipped.txt");
        let written = std::fs::read_to_string(&path).unwrap_or_default();
        if is_recording {
            let before: BTreeSet<&str> = written.lines().collect();
            let new: Vec<&String> = lines.iter().filter(|line| !before.contains(line.as_str())).collect();
            println!("{agent}: the readers skip {} kinds and fields, {} of them new", lines.len(), new.len());
            new.iter().for_each(|line| println!("  {line}"));
            std::fs::write(&path, lines.iter().map(|line| format!("{line}\n")).collect::<String>()).unwrap();
        } else {
            assert_eq!(lines, written.lines().collect::<Vec<_>>(), "{agent}");
        }
    }
}

#[test]
fn a_field_that_is_read_in_one_line_only_is_not_skipped_and_a_whole_object_is_one_place() {
    let presets = Presets::built_in().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let folder = Utf8Path::from_path(folder.path()).unwrap();
    std::fs::write(
        folder.join("a.jsonl"),
        "{\"type\":\"error\",\"message\":\"away\",\"more\":{\"a\":1,\"b\":[2]}}\n{\"type\":\"new\"}\nno document\n",
    )
    .unwrap();
    let survey = survey(presets.get("codex").unwrap(), folder);
    assert_eq!(
        skipped(&survey),
        ["new: the line is not known", "no JSON: no document: the line is not known", "error: more"]
    );
}
