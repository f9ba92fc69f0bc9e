//! What was said to a topic and has no verdict yet.

use std::collections::VecDeque;

use backstay_model::event::InputEvent;
use backstay_model::{Scope, Seq};

/// An input without a verdict.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ReceivedInput {
    pub(crate) seq: Seq,
    pub(crate) scope: Scope,
    pub(crate) input: InputEvent,
}

/// The inputs without a verdict, in the order of their numbers.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Inbox {
    inputs: VecDeque<ReceivedInput>,
    last: Seq,
}

impl Inbox {
    pub(crate) fn is_empty(&self) -> bool {
        self.inputs.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.inputs.len()
    }

    /// The number of the last input, with a verdict or without.
    pub(crate) fn last(&self) -> Seq {
        self.last
    }

    pub(crate) fn next(&self) -> Option<&ReceivedInput> {
        self.inputs.front()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &ReceivedInput> {
        self.inputs.iter()
    }

    pub(crate) fn receive(&mut self, received: ReceivedInput) {
        self.last = self.last.max(received.seq);
        self.inputs.push_back(received);
    }

    /// Takes out the input that has its verdict.
    pub(crate) fn settle(&mut self, seq: Seq) -> Option<ReceivedInput> {
        let position = self.inputs.iter().position(|received| received.seq == seq)?;
        self.inputs.remove(position)
    }
}
