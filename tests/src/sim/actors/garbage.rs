//! A validator that sends bytes which are no message: noise, and real messages cut short or with a bit flipped.

use aegis_consensus::Message;

use super::{Actor, Deed, Held, Stage};
use crate::sim::scenario::NodeIndex;

/// Of a thousand messages, how many are followed by a damaged copy.
const COPIES_PER_MILLE: u64 = 50;

/// Sends noise now and then, and damaged copies of what it says that still decode.
#[derive(Debug)]
pub struct Garbage;

impl Actor for Garbage {
    fn tamper(&mut self, stage: &mut Stage<'_>, _to: NodeIndex, message: Message) -> Vec<Held> {
        if !stage.rng.chance(COPIES_PER_MILLE) {
            return vec![(message, 0)];
        }
        let mut bytes = message.encode();
        let index = stage.rng.index(bytes.len());
        bytes[index] ^= 1 << stage.rng.index(8);
        let damaged = Message::decode(&bytes).ok().map(|damaged| (damaged, 0));
        std::iter::once((message, 0)).chain(damaged).collect()
    }

    fn act(&mut self, stage: &mut Stage<'_>) -> Vec<Deed> {
        let content = stage.nearby();
        let mut bytes = Message::Vote(stage.key.vote(content)).encode();
        match stage.rng.index(3) {
            0 => bytes.truncate(stage.rng.index(bytes.len())),
            1 => {
                let index = stage.rng.index(bytes.len());
                bytes[index] ^= 1 << stage.rng.index(8);
            }
            _ => bytes = (0..stage.rng.index(200)).map(|_| stage.rng.draw() as u8).collect(),
        }
        vec![Deed::SendBytes(stage.somebody(), bytes)]
    }
}
