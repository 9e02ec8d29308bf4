//! A leader whose blocks name a state root that nobody computed.

use aegis_consensus::{Message, PrePrepare};
use aegis_types::Hash;

use super::{Actor, Held, Stage};
use crate::sim::scenario::NodeIndex;

/// In every other view all proposals carry a false root, in the rest one proposal to each receiver in four does.
#[derive(Debug)]
pub struct FalseRoots;

impl Actor for FalseRoots {
    fn tamper(&mut self, stage: &mut Stage<'_>, _to: NodeIndex, message: Message) -> Vec<Held> {
        let Message::PrePrepare(PrePrepare { header, vote }) = &message else { return vec![(message, 0)] };
        if !vote.content.view.0.is_multiple_of(2) && !stage.rng.chance(250) {
            return vec![(message, 0)];
        }
        let mut header = header.clone();
        header.executed.state_root = Hash::of("aegis simulator false root", &header.executed.state_root.0);
        vec![(stage.key.propose(header, vote), 0)]
    }
}
