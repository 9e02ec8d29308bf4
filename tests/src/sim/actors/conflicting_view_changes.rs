//! A validator that asks different receivers for one view with different pasts: with all that it prepared, with nothing,
//! with a part, or with a lower tip.

use aegis_consensus::{Message, ViewChange};

use super::{Actor, Held, Stage};
use crate::sim::scenario::NodeIndex;

/// Signs a new version of its ViewChange for each receiver. What it leads it starts with whatever it has.
#[derive(Debug)]
pub struct ConflictingViewChanges;

impl Actor for ConflictingViewChanges {
    fn tamper(&mut self, stage: &mut Stage<'_>, _to: NodeIndex, message: Message) -> Vec<Held> {
        let Message::ViewChange(original) = &message else { return vec![(message, 0)] };
        let mut other: ViewChange = original.clone();
        match stage.rng.index(4) {
            0 => return vec![(message, 0)],
            1 => other.prepared.clear(),
            2 => {
                let kept = stage.rng.index(other.prepared.len() + 1);
                other.prepared.truncate(kept);
            }
            _ => {
                other.prepared.reverse();
                let _ = other.prepared.pop();
            }
        }
        let other = Message::ViewChange(other.signed(&stage.key.keypair, &stage.key.domain));
        if stage.rng.chance(300) { vec![(other, 0), (message, 0)] } else { vec![(other, 0)] }
    }
}
