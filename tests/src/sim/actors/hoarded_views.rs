//! A leader that keeps the proof of its view to itself until the epoch is over. Then it offers it to everybody, with a tip from the
//! next epoch in its own ViewChange. Who missed the end of the epoch must not fall for it.

use aegis_consensus::{Message, NewView, PreparedBlock};
use aegis_types::CommittedBlock;

use super::{Actor, Deed, Held, Stage};
use crate::sim::packet::Packet;
use crate::sim::scenario::NodeIndex;

/// Keeps the newest proof, and the newest decided block.
#[derive(Debug, Default)]
pub struct HoardedViews {
    proof: Option<NewView>,
    newest: Option<PreparedBlock>,
}

impl Actor for HoardedViews {
    fn overhear_block(&mut self, block: &CommittedBlock) {
        if self.newest.as_ref().is_none_or(|known| known.header.height < block.header.height) {
            let (header, certificate) = (block.header.clone(), block.certificate.clone());
            self.newest = Some(PreparedBlock { header, certificate });
        }
    }

    fn tamper(&mut self, stage: &mut Stage<'_>, _to: NodeIndex, message: Message) -> Vec<Held> {
        match message {
            Message::NewView(proof) if proof.leader == stage.key.keypair.validator_id() => {
                self.proof = Some(proof);
                Vec::new()
            }
            message => vec![(message, 0)],
        }
    }

    /// Who asks it for blocks gets none: it could see that the epoch is over.
    fn lets_out(&mut self, _stage: &mut Stage<'_>, _to: NodeIndex, packet: &Packet) -> bool {
        !matches!(packet, Packet::Blocks(_))
    }

    fn act(&mut self, stage: &mut Stage<'_>) -> Vec<Deed> {
        let (Some(proof), Some(newest)) = (&self.proof, &self.newest) else { return Vec::new() };
        if newest.header.epoch <= proof.epoch {
            return Vec::new();
        }
        let (keypair, domain) = (&stage.key.keypair, &stage.key.domain);
        let mut proof = proof.clone();
        for own in proof.view_changes.iter_mut().filter(|own| own.validator == keypair.validator_id()) {
            own.tip_height = newest.header.height;
            own.tip = Some(newest.clone());
            own.prepared.clear();
            *own = own.clone().signed(keypair, domain);
        }
        let proof = proof.signed(keypair, domain);
        let others = (0..stage.nodes).filter(|node| *node != stage.me);
        others.map(|to| Deed::Send(to, Message::NewView(proof.clone()))).collect()
    }
}
