//! A validator that sends again what it heard and said: in later views and epochs, to others, as if it were its own.

use std::collections::VecDeque;

use aegis_consensus::Message;

use super::{Actor, Deed, Held, Stage};
use crate::sim::scenario::NodeIndex;

/// Messages kept.
const KEPT: usize = 400;
/// One message in so many is kept, so that the memory reaches back over views.
const SAMPLE_PER_MILLE: u64 = 150;
/// Messages sent again at a time.
const SENT: usize = 4;

/// A memory of messages, the oldest forgotten first.
#[derive(Debug, Default)]
pub struct Replays {
    kept: VecDeque<Message>,
    seen: u64,
}

impl Replays {
    fn keep(&mut self, message: &Message) {
        self.seen = self.seen.wrapping_add(1);
        let is_rare = matches!(message, Message::ViewChange(_) | Message::NewView(_));
        if !is_rare && crate::sim::rng::mix(self.seen) % 1_000 >= SAMPLE_PER_MILLE {
            return;
        }
        if self.kept.len() >= KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back(message.clone());
    }
}

impl Actor for Replays {
    fn tamper(&mut self, _stage: &mut Stage<'_>, _to: NodeIndex, message: Message) -> Vec<Held> {
        self.keep(&message);
        vec![(message, 0)]
    }

    fn overhear(&mut self, message: &Message) {
        self.keep(message);
    }

    fn act(&mut self, stage: &mut Stage<'_>) -> Vec<Deed> {
        let count = SENT.min(self.kept.len());
        (0..count)
            .filter_map(|_| {
                let message = self.kept.get(stage.rng.index(self.kept.len()))?.clone();
                Some(Deed::Send(stage.somebody(), message))
            })
            .collect()
    }
}
