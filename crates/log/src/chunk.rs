//! Chunks: what is handed out together, shared by all who get it.

use std::ops::Deref;
use std::sync::Arc;

use backstay_model::{Position, Seq};

use crate::subscribe::SharedDelivery;

/// What an event costs beside its payload, about.
const EVENT_BYTES: usize = 256;

/// Deliveries of one topic that came together: events of one commit, or of one page. It can be read like a slice, and a copy
/// of it is cheap: all who get it share it.
#[derive(Clone, Debug)]
pub struct Chunk {
    shared: Arc<SharedItems>,
    /// Those before are not of this chunk.
    from: usize,
}

#[derive(Debug)]
struct SharedItems {
    items: Box<[SharedDelivery]>,
    bytes: usize,
}

impl Chunk {
    pub(crate) fn new(items: Vec<SharedDelivery>) -> Chunk {
        let bytes = items.iter().map(cost).sum();
        Chunk { shared: Arc::new(SharedItems { items: items.into(), bytes }), from: 0 }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.shared.bytes
    }

    /// The position of its last item.
    pub(crate) fn last_g(&self) -> Position {
        self.last().map_or(Position(0), SharedDelivery::g)
    }

    /// What of it is behind `looked`.
    pub(crate) fn after(&self, position: Position) -> Chunk {
        let skipped = self.partition_point(|item| item.g() <= position);
        Chunk { shared: Arc::clone(&self.shared), from: self.from + skipped }
    }

    /// The numbers of its first and last event, if it has any.
    pub(crate) fn numbers(&self) -> Option<(Seq, Seq)> {
        Some((self.iter().find_map(number)?, self.iter().rev().find_map(number)?))
    }

    /// Its first item, which is not of it any more then.
    pub(crate) fn take_first(&mut self) -> Option<SharedDelivery> {
        let first = self.first().cloned()?;
        self.from += 1;
        Some(first)
    }
}

impl Deref for Chunk {
    type Target = [SharedDelivery];

    fn deref(&self) -> &[SharedDelivery] {
        &self.shared.items[self.from..]
    }
}

fn number(item: &SharedDelivery) -> Option<Seq> {
    match item {
        SharedDelivery::Event(event) => Some(event.seq),
        SharedDelivery::Live(_) | SharedDelivery::Gap(_) => None,
    }
}

fn cost(item: &SharedDelivery) -> usize {
    EVENT_BYTES
        + match item {
            SharedDelivery::Event(event) => event.payload.as_str().len(),
            SharedDelivery::Live(live) => live.payload.as_str().len(),
            SharedDelivery::Gap(_) => 0,
        }
}
