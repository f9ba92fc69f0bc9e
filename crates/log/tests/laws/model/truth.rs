//! The model: what a log is, in the fewest words.

use std::collections::{BTreeMap, HashMap};

use super::ask::{Answer, Ask, By, Event, Then};
use super::{TOPICS, Wish};

/// Which process, in which of its lives.
type Who = (usize, usize);

#[derive(Clone, Debug, Default)]
struct Topic {
    /// Those that are not gone.
    events: Vec<Event>,
    floor: u64,
    head: u64,
    epoch: u64,
    owner: Option<Who>,
    closed: bool,
    deleted: bool,
    fold: Option<(u64, String)>,
    /// The epoch that each life of each process was given.
    epochs: HashMap<Who, u64>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Truth {
    topics: BTreeMap<String, Topic>,
    /// In the order of the log: topic and number.
    order: Vec<(String, u64)>,
    /// The present life of each process.
    pub(super) lives: HashMap<usize, usize>,
}

impl Topic {
    fn ends(&self) -> Vec<u64> {
        self.events.iter().filter(|event| !event.2).map(|event| event.0).collect()
    }

    fn admit(&self, by: By, who: Who, trim: Option<u64>) -> Result<(), &'static str> {
        match by {
            By::Owner if self.owner != Some(who) || self.epochs.get(&who) != Some(&self.epoch) => {
                return Err("BKS-L020");
            }
            By::Anybody | By::Reopen | By::Retention if self.deleted => return Err("BKS-L031"),
            By::Reopen | By::Retention if !self.closed => return Err("BKS-L023"),
            By::Anybody | By::Own if self.closed => return Err("BKS-L022"),
            By::Own if self.owner.is_some() => return Err("BKS-L021"),
            _ => {}
        }
        match trim {
            Some(until) if until > self.floor && !self.ends().contains(&until) => Err("BKS-L030"),
            _ => Ok(()),
        }
    }
}

/// What nobody may ask for, whatever the topic is.
fn makes_no_sense(by: By, count: usize, trim: Option<u64>, then: Then) -> bool {
    match (by, then) {
        (By::Anybody | By::Reopen, Then::Stays) => trim.is_some(),
        (By::Anybody | By::Reopen, _) | (By::Owner, Then::Deleted) => true,
        (By::Retention, Then::Released | Then::Closed) => true,
        (By::Own | By::Retention, Then::Deleted) => count > 0,
        (By::Own | By::Owner, _) | (By::Retention, Then::Stays) => false,
    }
}

impl Truth {
    /// What a wish comes to, as things are.
    pub(super) fn ask(&self, wish: &Wish, index: usize) -> Ask {
        let name = |topic: usize| TOPICS[topic].to_owned();
        let end = |topic: usize, nth: usize| {
            let ends = self.topics.get(TOPICS[topic]).map(Topic::ends).unwrap_or_default();
            ends.get(nth % ends.len().max(1)).copied().unwrap_or(0)
        };
        match *wish {
            Wish::Append { topic, by, count, synced, trim, then } => {
                let texts = (0..count).map(|number| format!("{index}.{number}")).collect();
                let trim = trim.map(|nth| end(topic, nth));
                Ask::Append { topic: name(topic), by, texts, synced, trim, then }
            }
            Wish::TrimInside { topic, seq } => Ask::Append {
                topic: name(topic),
                by: By::Own,
                texts: Vec::new(),
                synced: false,
                trim: Some(seq),
                then: Then::Stays,
            },
            Wish::Claim { topic } => Ask::Claim { topic: name(topic) },
            Wish::Read { topic, after, limit, back } => {
                Ask::Read { topic: name(topic), at: after, limit, back }
            }
            Wish::ReadAll => Ask::Everything,
            Wish::SaveFold { topic, end: nth } => {
                Ask::SaveFold { topic: name(topic), seq: end(topic, nth), state: format!("kept at {index}") }
            }
            Wish::FoldSnapshot { topic } => Ask::FoldSnapshot { topic: name(topic) },
            Wish::Topics => Ask::Topics,
        }
    }

    /// What has to be answered; what is asked for is done.
    pub(super) fn answer(&mut self, ask: &Ask, who: Who) -> Answer {
        let topic = |name: &str| self.topics.get(name).cloned().unwrap_or_default();
        match ask {
            Ask::Append { topic: name, by, texts, trim, then, synced: _ } => {
                self.append(name, *by, who, texts, *trim, *then)
            }
            Ask::Claim { topic: name } => self.claim(name, who),
            Ask::Read { topic: name, at, limit, back } => page(&topic(name), *at, *limit, *back),
            Ask::SaveFold { topic: name, seq, state } => {
                if let Some(topic) = self.topics.get_mut(name)
                    && topic.ends().contains(seq)
                    && topic.fold.as_ref().is_none_or(|(kept, _)| kept < seq)
                {
                    topic.fold = Some((*seq, state.clone()));
                }
                Answer::Done
            }
            Ask::FoldSnapshot { topic: name } => Answer::Fold(topic(name).fold),
            Ask::Topics => Answer::Topics(
                self.topics
                    .iter()
                    .filter(|(_, topic)| topic.floor == 0 || topic.floor < topic.head)
                    .map(|(name, topic)| (name.clone(), topic.head, topic.closed))
                    .collect(),
            ),
            Ask::Everything => self.everything(),
        }
    }

    pub(super) fn everything(&self) -> Answer {
        let event = |(name, seq): &(String, u64)| {
            let topic = &self.topics[name];
            let found = topic.events.iter().find(|event| event.0 == *seq)?;
            Some((name.clone(), found.clone()))
        };
        Answer::Everything(self.order.iter().filter_map(event).collect())
    }

    fn append(
        &mut self,
        name: &str,
        by: By,
        who: Who,
        texts: &[String],
        trim: Option<u64>,
        then: Then,
    ) -> Answer {
        if makes_no_sense(by, texts.len(), trim, then) {
            return Answer::Refused("BKS-L029".to_owned());
        }
        let known = self.topics.get(name).cloned().unwrap_or_default();
        if let Err(code) = known.admit(by, who, trim) {
            return Answer::Refused(code.to_owned());
        }
        let topic = self.topics.entry(name.to_owned()).or_default();
        let first = if texts.is_empty() { topic.head } else { topic.head + 1 };
        for (index, text) in texts.iter().enumerate() {
            topic.head += 1;
            topic.events.push((topic.head, text.clone(), index + 1 < texts.len()));
            self.order.push((name.to_owned(), topic.head));
        }
        topic.closed = match (by, then) {
            (_, Then::Closed) => true,
            (By::Reopen, _) | (_, Then::Deleted) => false,
            _ => topic.closed,
        };
        topic.deleted = match then {
            Then::Deleted => topic.head > 0,
            Then::Closed => false,
            Then::Stays | Then::Released => topic.deleted && texts.is_empty(),
        };
        if then != Then::Stays {
            topic.owner = None;
        }
        let gone = if then == Then::Deleted { Some(topic.head) } else { trim };
        topic.floor = gone.map_or(topic.floor, |gone| topic.floor.max(gone));
        let floor = topic.floor;
        topic.events.retain(|event| event.0 > floor);
        topic.fold = topic.fold.take().filter(|(seq, _)| *seq > floor);
        Answer::Appended { first, last: topic.head }
    }

    fn claim(&mut self, name: &str, who: Who) -> Answer {
        let lives = self.lives.clone();
        let topic = self.topics.entry(name.to_owned()).or_default();
        if topic.deleted {
            return Answer::Refused("BKS-L063".to_owned());
        }
        if topic.closed {
            return Answer::Refused("BKS-L061".to_owned());
        }
        // A life that is over has let go of its lock.
        let is_alive = |(process, life): Who| lives.get(&process).copied().unwrap_or(0) == life;
        if topic.owner.is_some_and(is_alive) {
            return Answer::Refused("BKS-L060".to_owned());
        }
        topic.epoch += 1;
        topic.head += 1;
        topic.events.push((topic.head, String::new(), false));
        self.order.push((name.to_owned(), topic.head));
        topic.owner = Some(who);
        topic.epochs.insert(who, topic.epoch);
        Answer::Claimed { epoch: topic.epoch, head: topic.head }
    }
}

fn page(topic: &Topic, at: u64, limit: usize, back: bool) -> Answer {
    let head = topic.head;
    if back {
        let events = topic.events.iter().rev().filter(|event| event.0 < at).take(limit).cloned().collect();
        return Answer::Page { events, head, gap: None };
    }
    let gap = (at < topic.floor).then_some((at, topic.floor + 1, head));
    let after: Vec<Event> = topic.events.iter().filter(|event| event.0 > at).cloned().collect();
    let ends = |events: &[Event]| events.iter().rposition(|event| !event.2).map(|last| last + 1);
    // Whole batches: as many as fit, or the first one.
    let first_end = after.iter().position(|event| !event.2).map_or(0, |last| last + 1);
    let count = ends(&after[..limit.min(after.len())]).unwrap_or(first_end);
    Answer::Page { events: after[..count].to_vec(), head, gap }
}
