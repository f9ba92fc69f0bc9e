//! `store scrub` of words that a store is made of: each is taken out, and all is understood as before, or it is refused, and
//! nothing has changed.

#![expect(clippy::unwrap_used, reason = "every line of this crate is a test")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use backstay_log::maintenance::{JsonText, Secret};
use backstay_log::{ScrubError, TopicFilter};
use backstay_model::{Coded, Digest, Timestamp};
use backstay_runtime::care::{self, StoreScrubError};
use backstay_runtime::{ReadSource, Registry, Store};
use backstay_tests::folder::{contents, copy_folder, said};
use backstay_tests::{Seed, World, all, block_on};
use camino::{Utf8Path, Utf8PathBuf};
use serde_json::Value;

/// Words that are tried without `BACKSTAY_TEST_ALL`, besides those that were faults once.
const WORDS: usize = 40;

const DONE: &str = r#"
backstay: 1
name: many-words
inputs:
  greeting: {type: string, default: good-morning}
agents:
  reader: {command: "cat", via: file}
steps:
  - {id: answer_json, run: 'echo "{\"pin\": 48291377, \"colour\": \"blue-green\", \"in\": \"{\\\"deep\\\": 48291377}\"}"'}
  - {id: long_output, run: "seq 100000 102000; echo ${{ inputs.greeting }}"}
  - {id: reader_step, agent: reader, prompt: "Say ${{ inputs.greeting }} to 48291377."}
"#;
/// Its first step kills its keeper, so a person is asked what became of it.
const ASKS: &str = r#"
backstay: 1
name: asks-somebody
steps:
  - {id: confirm, after_crash: ask, run: "echo blue-green; kill -9 $PPID; sleep 9"}
  - {id: afterwards, run: "echo afterwards"}
"#;
const FAILS: &str = r#"
backstay: 1
name: fails-early
steps:
  - {id: breaking, run: "echo something-broke >&2; exit 3"}
  - {id: never_run, run: "echo never"}
finally:
  - {id: tidy_up, run: "echo tidied"}
"#;

/// A store with a run that is done, one that was freed, one that failed, and one that asks.
fn world() -> World {
    let world = World::new();
    let flows =
        [("done.yaml", DONE, 0), ("fails.yaml", FAILS, 1), ("done.yaml", DONE, 0), ("asks.yaml", ASKS, 3)];
    for (number, (name, text, code)) in flows.into_iter().enumerate() {
        world.write(name, text);
        let output = world.run(&["run", name]);
        assert_eq!(output.status.code(), Some(code), "{name}: {}", said(&output));
        if number == 0 {
            let freed = world.run(&["prune", "--older", "0s"]);
            assert!(freed.status.success(), "{}", said(&freed));
        }
    }
    world
}

/// Every text and number of the database, of blobs, and of what keepers wrote.
fn texts(store: &Utf8Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let database = rusqlite::Connection::open(store.join("log.db")).unwrap();
    for (table, columns) in [
        ("event", "kind, scope, payload, at"),
        ("topic", "name, kind, state, labels, summary"),
        ("entry", "kind, id, state, summary"),
        ("owner", "id, host, pid"),
    ] {
        let mut statement = database.prepare(&format!("SELECT {columns} FROM {table}")).unwrap();
        let count = statement.column_count();
        let mut rows = statement.query(()).unwrap();
        while let Some(row) = rows.next().unwrap() {
            for column in 0..count {
                match row.get_ref(column).unwrap() {
                    rusqlite::types::ValueRef::Text(text) => add(&String::from_utf8_lossy(text), &mut found),
                    rusqlite::types::ValueRef::Integer(number) => add(&number.to_string(), &mut found),
                    _ => {}
                }
            }
        }
    }
    for path in contents(store)
        .into_keys()
        .filter(|path| path.as_str().contains("/blobs/") || path.extension() == Some("json"))
    {
        add(&String::from_utf8_lossy(&fs::read(&path).unwrap()), &mut found);
        add(path.file_name().unwrap(), &mut found);
    }
    found
}

/// A text, its words, and all that is in it if it is JSON.
fn add(text: &str, found: &mut BTreeSet<String>) {
    if let Ok(value) = serde_json::from_str::<Value>(text) {
        let mut waiting = vec![value];
        while let Some(value) = waiting.pop() {
            match value {
                Value::Object(fields) => {
                    for (name, value) in fields {
                        add(&name, found);
                        waiting.push(value);
                    }
                }
                Value::Array(values) => waiting.extend(values),
                Value::String(text) if text != text.trim() || !text.is_empty() => add(&text, found),
                Value::Number(number) => {
                    found.insert(number.to_string());
                }
                _ => {}
            }
        }
    }
    if text.len() < 200 {
        found.insert(text.to_owned());
        found.extend(text.split(|c: char| !c.is_alphanumeric() && c != '_').map(ToOwned::to_owned));
        found.extend(text.get(1..text.len().min(12)).map(ToOwned::to_owned));
    }
}

fn events(store: &Utf8Path) -> Vec<(i64, String, String)> {
    let database = rusqlite::Connection::open(store.join("log.db")).unwrap();
    let mut statement = database.prepare("SELECT g, scope, payload FROM event ORDER BY g").unwrap();
    let rows = statement.query_map((), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
    rows.map(|row| row.unwrap()).collect()
}

fn beside(store: &Utf8Path) -> BTreeMap<Utf8PathBuf, Digest> {
    ["blobs", "runs"].iter().flat_map(|below| contents(&store.join(below))).collect()
}

/// Whether the value was taken out; if it was refused, why.
fn tried(store: &Utf8Path, secret: &Secret, word: &str) -> Result<(), String> {
    let (events_before, files_before) = (events(store), beside(store));
    match care::scrub(store, secret, Timestamp::from_micros(1_700_000_000_000_000)) {
        Ok(scrubbed) => {
            // With an escape in it, the bytes may be there as the form of something else.
            let is_fine = |path: &str| path.contains(word) || (path == "log.db" && word.contains('\\'));
            let left: Vec<_> = scrubbed.left.iter().filter(|path| !is_fine(path)).collect();
            assert!(left.is_empty(), "`{word}` is still in {left:?}");
            for (g, _, payload) in events(store) {
                let is_clean =
                    secret.mask_json(&mut payload.clone().into_bytes(), JsonText::Internal) == Ok(0);
                assert!(is_clean, "`{word}` is still in the event at {g}: {payload}");
            }
            Ok(())
        }
        Err(error @ StoreScrubError::Log(ScrubError::Structure { .. })) => {
            assert_eq!(error.code().0, "BKS-L093");
            assert_eq!(events(store), events_before, "`{word}`: {error}");
            assert_eq!(beside(store), files_before, "`{word}`: {error}");
            Err(error.to_string())
        }
        Err(error) => panic!("`{word}`: {error}"),
    }
}

/// Everything is understood.
fn assert_whole(store: &Utf8Path, word: &str) {
    let checked = care::check(&ReadSource::in_place(store.to_owned())).unwrap();
    assert!(checked.log.findings.is_empty(), "`{word}`: {:#?}", checked.log.findings);
    block_on(async {
        let registry = Registry::in_folder(&store.join("../registry"));
        let opened = Store::open(store, &registry).or_read_only().await.unwrap();
        let rows = opened.runs(TopicFilter::default()).await.unwrap();
        assert_eq!(rows.len(), 4, "`{word}`");
        for row in rows {
            if let Err(error) = opened.record(row.run).await {
                panic!("`{word}`: {}: {error:?}", row.run);
            }
        }
    });
}

#[test]
fn whatever_is_scrubbed_the_store_is_understood_or_nothing_has_changed() {
    let world = world();
    let store = world.path().join(".backstay");
    let mut words: Vec<String> = texts(&store)
        .into_iter()
        .map(|word| word.trim().to_owned())
        .filter(|word| Secret::new(word).is_ok())
        .collect();
    words.dedup();
    assert!(words.len() > 300, "{}", words.len());
    let mut seed = Seed::drawn();
    let mut chosen: Vec<String> =
        ["completed", "confirm", "answer_json", "breaking", "48291377", "message", "status", "blue-green"]
            .map(ToOwned::to_owned)
            .to_vec();
    if all() {
        chosen.append(&mut words);
    } else {
        chosen.extend((0..WORDS).map(|_| words.swap_remove(seed.below(words.len() as u64) as usize)));
    }
    let (mut taken, mut refused) = (Vec::new(), Vec::new());
    for (number, word) in chosen.iter().enumerate() {
        let copy = world.path().join(format!("copy{number}"));
        copy_folder(&store, &copy);
        match tried(&copy, &Secret::new(word).unwrap(), word) {
            Ok(()) => taken.push(word.as_str()),
            Err(why) => refused.push((word.as_str(), why)),
        }
        assert_whole(&copy, word);
        fs::remove_dir_all(&copy).unwrap();
    }
    assert!(taken.contains(&"blue-green") && taken.contains(&"48291377"), "{taken:?}");
    for (word, place) in [("completed", "run."), ("answer_json", "run."), ("status", "run.")] {
        let why = refused.iter().find(|(refused, _)| *refused == word).map(|(_, why)| why);
        assert!(why.is_some_and(|why| why.contains(place)), "{word}: {why:?}");
    }
}
