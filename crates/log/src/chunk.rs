//! Chunks: deliveries that are handed out together and shared by all subscribers.

use std::ops::Deref;
use std::sync::Arc;

use backstay_model::{Position, Seq};

use crate::subscribe::SharedDelivery;

/// About the bytes of an event without its payload.
const EVENT_BYTES: usize = 256;

/// Deliveries of one topic that came together: those of one commit or of one page. It reads like a slice, and its clones share it.
#[derive(Clone, Debug)]
pub struct Chunk {
    shared: Arc<SharedItems>,
    /// Items before this index are not part of the chunk.
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

    /// Returns the position of its last item.
    pub(crate) fn last_g(&self) -> Position {
        self.last().map_or(Position(0), SharedDelivery::g)
    }

    /// Returns its items after `position`.
    pub(crate) fn after(&self, position: Position) -> Chunk {
        let skipped = self.partition_point(|item| item.g() <= position);
        Chunk { shared: Arc::clone(&self.shared), from: self.from + skipped }
    }

    /// Returns the numbers of its first and last event, if it has any.
    pub(crate) fn numbers(&self) -> Option<(Seq, Seq)> {
        Some((self.iter().find_map(number)?, self.iter().rev().find_map(number)?))
    }

    /// Removes and returns its first item.
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
