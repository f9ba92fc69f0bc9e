//! What a process is asked, what it answers, and the process itself.

use std::collections::HashMap;

use backstay_log::prelude::*;
use backstay_log::ticket::block_on;
use backstay_log::{
    AppendError, Authority, Batch, ClaimMode, Direction, Durability, FoldSnapshot, HostId, OwnerIdentity,
    SqliteLog, TopicAppend, TopicFilter, TopicTransition,
};
use backstay_model::{Coded, Epoch, OwnerId, Position, Recorded};
use serde::{Deserialize, Serialize};

use super::seq;
use crate::support::{events, topic};

/// By which right; whoever is the owner knows the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum By {
    Own,
    Owner,
    Anybody,
    Reopen,
    Retention,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Then {
    Stays,
    Released,
    Closed,
    Deleted,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Ask {
    Append { topic: String, by: By, texts: Vec<String>, synced: bool, trim: Option<u64>, then: Then },
    Claim { topic: String },
    Read { topic: String, at: u64, limit: usize, back: bool },
    SaveFold { topic: String, seq: u64, state: String },
    FoldSnapshot { topic: String },
    Topics,
    Everything,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Answer {
    Appended {
        first: u64,
        last: u64,
    },
    Refused(String),
    Claimed {
        epoch: u64,
        head: u64,
    },
    Page {
        events: Vec<Event>,
        head: u64,
        gap: Option<(u64, u64, u64)>,
    },
    Fold(Option<(u64, String)>),
    /// Name, head, ended.
    Topics(Vec<(String, u64, bool)>),
    Everything(Vec<(String, Event)>),
    Done,
}

/// Number, text (empty for claims), and whether more of the batch follow.
pub(super) type Event = (u64, String, bool);

/// The id of a process's owner in one of its lives.
pub(super) fn owner_id(number: usize, life: usize) -> OwnerId {
    format!("own_01JDX7Q2ZK8VQ5T3W9M4{number}{life:05}").parse().unwrap()
}

fn said(event: &Recorded) -> Event {
    let text = if event.kind.as_str() == "noted" { event.payload.decode().unwrap() } else { String::new() };
    (event.seq.0, text, event.more)
}

/// A role: does what it is asked until its input ends.
pub(crate) fn obey(log: &SqliteLog, name: &str) {
    let owner: OwnerId = name.parse().unwrap();
    let host_id = HostId::new("h1".to_owned());
    let identity = OwnerIdentity { owner, host: "here".to_owned(), host_id, pid: std::process::id() };
    let guard = block_on(log.register_owner(identity)).unwrap();
    let mut epochs: HashMap<String, Epoch> = HashMap::new();
    for line in std::io::stdin().lines() {
        let ask = serde_json::from_str(&line.unwrap()).unwrap();
        let answer = match ask {
            Ask::Claim { topic: name } => {
                match block_on(log.claim(&topic(&name), guard.as_ref(), ClaimMode::IfFree)) {
                    Ok(claimed) => {
                        epochs.insert(name, claimed.epoch);
                        Answer::Claimed { epoch: claimed.epoch.0, head: claimed.head.0 }
                    }
                    Err(error) => Answer::Refused(error.code().to_string()),
                }
            }
            Ask::Append { topic: name, by, texts, synced, trim, then } => {
                let authority = match by {
                    By::Own => Authority::Exclusive,
                    By::Owner => Authority::Owner(owner, epochs.get(&name).copied().unwrap_or(Epoch(0))),
                    By::Anybody => Authority::Input,
                    By::Reopen => Authority::Reopen,
                    By::Retention => Authority::Retention,
                };
                let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
                let mut one = TopicAppend::new(topic(&name), authority, events(&texts));
                one.trim = trim.map(seq);
                one.transition = match then {
                    Then::Stays => TopicTransition::Unchanged,
                    Then::Released => TopicTransition::Released,
                    Then::Closed => TopicTransition::Closed,
                    Then::Deleted => TopicTransition::Deleted,
                };
                let durability = if synced { Durability::Synced } else { Durability::Buffered };
                append(log, Batch { appends: vec![one], key: None, durability })
            }
            other => look(log, other),
        };
        println!("answer {}", serde_json::to_string(&answer).unwrap());
    }
    drop(guard);
}

fn append(log: &SqliteLog, batch: Batch) -> Answer {
    match log.submit(batch).wait() {
        Ok(done) => Answer::Appended { first: done.topics[0].first.0, last: done.topics[0].last.0 },
        Err(AppendError::Store(error)) => panic!("{error}"),
        Err(refused) => Answer::Refused(refused.code().to_string()),
    }
}

fn look(log: &SqliteLog, ask: Ask) -> Answer {
    match ask {
        Ask::Append { .. } | Ask::Claim { .. } => unreachable!("these change something"),
        Ask::Read { topic: name, at, limit, back } => {
            let direction = if back { Direction::Backward } else { Direction::Forward };
            let page = block_on(log.read(&topic(&name), seq(at), direction, limit)).unwrap();
            let gap = page.gap.map(|gap| (gap.requested.0, gap.first.0, gap.head.0));
            Answer::Page { events: page.events.iter().map(said).collect(), head: page.head.0, gap }
        }
        Ask::SaveFold { topic: name, seq: number, state } => {
            let kept =
                FoldSnapshot { fold: "f".into(), version: 1, seq: seq(number), state: state.into_bytes() };
            log.save_fold(&topic(&name), kept);
            // An append of nothing is written after it.
            let mut after = TopicAppend::new(topic("z"), Authority::Exclusive, Vec::new());
            after.trim = Some(seq(0));
            assert!(matches!(append(log, Batch::of(after)), Answer::Appended { .. }));
            Answer::Done
        }
        Ask::FoldSnapshot { topic: name } => {
            let kept = block_on(log.load_fold(&topic(&name), "f", 1)).unwrap();
            Answer::Fold(kept.map(|kept| (kept.seq.0, String::from_utf8(kept.state).unwrap())))
        }
        Ask::Topics => {
            let rows = block_on(log.topics(TopicFilter::default())).unwrap();
            let mut found: Vec<_> =
                rows.into_iter().map(|row| (row.topic.to_string(), row.head.0, row.closed)).collect();
            found.retain(|(name, ..)| name != "z");
            found.sort();
            Answer::Topics(found)
        }
        Ask::Everything => {
            let mut all: Vec<Recorded> = Vec::new();
            loop {
                let after = all.last().map_or(Position(0), |last| last.g);
                let page = block_on(log.read_all(after, 3)).unwrap();
                if page.is_empty() {
                    break;
                }
                all.extend(page);
            }
            Answer::Everything(all.iter().map(|event| (event.topic.to_string(), said(event))).collect())
        }
    }
}
