//! A leader that proposes one block to half of the validators and another to the rest, and votes for both.

use aegis_consensus::{Message, PrePrepare};

use super::{Actor, Held, Stage};
use crate::sim::scenario::NodeIndex;

/// Receivers of odd number get a block with another timestamp; now and then somebody gets both.
#[derive(Debug)]
pub struct EquivocatingLeader;

impl Actor for EquivocatingLeader {
    fn tamper(&mut self, stage: &mut Stage<'_>, to: NodeIndex, message: Message) -> Vec<Held> {
        let Message::PrePrepare(PrePrepare { header, vote }) = &message else { return vec![(message, 0)] };
        let mut other = header.clone();
        other.timestamp_ms += 1;
        let other = stage.key.propose(other, vote);
        match (stage.rng.index(10), to % 2) {
            (0, _) => vec![(other, 0), (message, 0)],
            (1, _) => vec![(message, 0), (other, 0)],
            (_, 1) => vec![(other, 0)],
            (_, _) => vec![(message, 0)],
        }
    }
}
