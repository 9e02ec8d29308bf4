//! A voter that sends, beside each vote, one for another block: to some receivers before the real one, to some after it, to
//! some instead of it.

use aegis_consensus::Message;
use aegis_types::{Hash, VoteContent};

use super::{Actor, Held, Stage};
use crate::sim::scenario::NodeIndex;

/// A receiver gets the real vote, a contradicting one, or both in either order.
#[derive(Debug)]
pub struct EquivocatingVoter;

impl Actor for EquivocatingVoter {
    fn tamper(&mut self, stage: &mut Stage<'_>, _to: NodeIndex, message: Message) -> Vec<Held> {
        let Message::Vote(vote) = &message else { return vec![(message, 0)] };
        let digest = Hash::of("aegis simulator made-up block", &vote.content.digest.0);
        let other = Message::Vote(stage.key.vote(VoteContent { digest, ..vote.content }));
        match stage.rng.index(4) {
            0 => vec![(message, 0)],
            1 => vec![(other, 0)],
            2 => vec![(message, 0), (other, 0)],
            _ => vec![(other, 0), (message, 0)],
        }
    }
}
