//! Stored forms are frozen: each kind's golden file of each version is read for good, and written byte for byte.
//!
//! A new kind needs a file `tests/golden/KIND.v1.json`; a change of meaning needs a new version and a new file.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use backstay_model::event::{DecodeError, Event, Heartbeat};
use backstay_model::{Kind, LiveEvent, Payload, Position, Recorded, RunId, Scope, Seq, Timestamp, Topic};
use proptest::prelude::*;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn golden(kind: &str) -> String {
    let path = folder().join(format!("{kind}.v1.json"));
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.trim_end().to_owned()
}

fn recorded(kind: &str, payload: &str) -> Recorded {
    Recorded {
        topic: Topic::run("run_01JDX7Q2ZK8VQ5T3W9M4N6P7R8".parse::<RunId>().expect("an id")),
        seq: Seq(7),
        g: Position(70),
        at: Timestamp::from_micros(1),
        kind: Kind::from_name(kind.to_owned()),
        scope: Scope::root(),
        payload: Payload::from_text(payload.to_owned()).expect("JSON"),
        trace: None,
        more: false,
    }
}

#[test]
fn every_kind_has_a_golden_file_and_is_written_as_it_was_read() {
    for kind in Event::kinds() {
        let text = golden(kind);
        let event = Event::decode(&recorded(kind, &text)).unwrap_or_else(|error| panic!("{kind}: {error:?}"));
        assert_eq!(event.kind().as_str(), kind);
        assert_eq!(event.encode().unwrap().as_str(), text, "{kind}");
    }
}

/// Files are named `KIND.v1.json`, or `KIND.VARIANT.v1.json` for the other forms that a kind can take.
#[test]
fn every_golden_file_is_still_read_and_written_the_same() {
    let heartbeat = Heartbeat::KIND;
    let known: BTreeSet<&str> = Event::kinds().collect();
    for entry in fs::read_dir(folder()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let kind = name.split('.').next().unwrap();
        if kind == heartbeat.as_str() {
            continue;
        }
        assert!(known.contains(kind), "{name} is of no known kind");
        let text = golden(name.trim_end_matches(".v1.json"));
        let event = Event::decode(&recorded(kind, &text)).unwrap_or_else(|error| panic!("{name}: {error:?}"));
        assert_eq!(event.encode().unwrap().as_str(), text, "{name}");
    }
}

#[test]
fn a_newer_version_of_a_kind_is_told_from_a_damaged_one() {
    for kind in Event::kinds() {
        let newer = golden(kind).replacen("\"v\":1", "\"v\":2", 1);
        let error = Event::decode(&recorded(kind, &newer)).unwrap_err();
        assert!(matches!(error, DecodeError::NewerVersion { found: 2, known: 1, .. }), "{kind}: {error:?}");
        // Also where the newer form has nothing in common with ours.
        let error = Event::decode(&recorded(kind, "{\"v\":9,\"other\":true}")).unwrap_err();
        assert!(matches!(error, DecodeError::NewerVersion { found: 9, known: 1, .. }), "{kind}: {error:?}");
    }
}

#[test]
fn l4_a_damaged_payload_is_an_error_that_names_topic_and_number() {
    for kind in Event::kinds() {
        for damaged in ["{}", "[]", "null", "{\"v\":\"one\"}", "{\"v\":-1}"] {
            let error = Event::decode(&recorded(kind, damaged)).unwrap_err();
            assert!(matches!(error, DecodeError::Payload { .. }), "{kind} {damaged}: {error:?}");
            let text = error.to_string();
            assert!(text.contains("event 7 of run.01jdx7q2zk8vq5t3w9m4n6p7r8"), "{text}");
        }
    }
}

#[test]
fn an_event_of_another_kind_is_an_error_of_its_own() {
    let error = Event::decode(&recorded("step_teleported", "{\"v\":1}")).unwrap_err();
    assert!(matches!(&error, DecodeError::UnknownKind { kind, .. } if kind.as_str() == "step_teleported"));
}

#[test]
fn keys_that_a_later_version_added_without_a_change_of_meaning_are_read_over() {
    let text = golden("step_started").replacen('{', "{\"shade\":\"blue\",", 1);
    assert!(Event::decode(&recorded("step_started", &text)).is_ok());
}

fn beat(payload: &str, kind: Kind) -> LiveEvent {
    let event = recorded("x", payload);
    LiveEvent {
        topic: event.topic,
        g: event.g,
        after_seq: event.seq,
        at: event.at,
        kind,
        scope: event.scope,
        payload: event.payload,
    }
}

#[test]
fn heartbeats_have_a_golden_file_and_the_same_errors() {
    let text = golden(Heartbeat::KIND.as_str());
    let read = Heartbeat::decode(&beat(&text, Heartbeat::KIND)).unwrap();
    assert_eq!(read.encode().unwrap().as_str(), text);
    let newer = Heartbeat::decode(&beat(&text.replace("\"v\":1", "\"v\":2"), Heartbeat::KIND)).unwrap_err();
    assert!(matches!(newer, DecodeError::NewerVersion { found: 2, .. }));
    let damaged = Heartbeat::decode(&beat("{\"v\":1}", Heartbeat::KIND)).unwrap_err();
    assert!(matches!(damaged, DecodeError::Payload { .. }));
    let other = Heartbeat::decode(&beat(&text, Kind::new("token"))).unwrap_err();
    assert!(matches!(other, DecodeError::UnknownKind { .. }));
}

proptest! {
    /// Whatever stands in an event's texts and numbers comes back.
    #[test]
    fn every_event_survives_its_stored_form(
        kind in prop::sample::select(Event::kinds().collect::<Vec<_>>()),
        text in any::<String>(),
        number in any::<u32>(),
    ) {
        // The golden files mark what may be anything with these two values.
        let spelled = serde_json::to_string(&text).unwrap();
        let payload = golden(kind).replace("\"any text\"", &spelled).replace("4711", &number.to_string());
        let event = Event::decode(&recorded(kind, &payload)).unwrap();
        let stored = event.encode().unwrap();
        prop_assert_eq!(stored.as_str(), payload);
        prop_assert_eq!(Event::decode(&recorded(kind, stored.as_str())).unwrap(), event);
    }
}
