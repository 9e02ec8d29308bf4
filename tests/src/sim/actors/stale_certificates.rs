//! A validator that goes back in time: its ViewChanges prove the first tip of the epoch that it has a certificate for, and hide
//! everything that it prepared since.

use aegis_consensus::{Message, NewView, PreparedBlock};
use aegis_types::{CommittedBlock, Epoch};

use super::{Actor, Held, Stage};
use crate::sim::scenario::NodeIndex;

/// Keeps the oldest certified block of the epoch.
#[derive(Debug, Default)]
pub struct StaleCertificates {
    oldest: Option<(Epoch, PreparedBlock)>,
}

impl Actor for StaleCertificates {
    fn overhear_block(&mut self, block: &CommittedBlock) {
        let epoch = block.header.epoch;
        if self.oldest.as_ref().is_none_or(|(known, _)| *known < epoch) {
            let (header, certificate) = (block.header.clone(), block.certificate.clone());
            self.oldest = Some((epoch, PreparedBlock { header, certificate }));
        }
    }

    fn tamper(&mut self, stage: &mut Stage<'_>, _to: NodeIndex, message: Message) -> Vec<Held> {
        let (keypair, domain) = (&stage.key.keypair, &stage.key.domain);
        match (message, &self.oldest) {
            (Message::ViewChange(mut message), Some((epoch, block))) if *epoch == message.epoch => {
                message.tip_height = block.header.height;
                message.tip = Some(block.clone());
                message.prepared.clear();
                vec![(Message::ViewChange(message.signed(keypair, domain)), 0)]
            }
            // As a leader it starts the view with as little as a quorum, its own stale message among it.
            (Message::NewView(message), Some((epoch, block))) if *epoch == message.epoch => {
                let mut view_changes = message.view_changes.clone();
                for own in view_changes.iter_mut().filter(|own| own.validator == keypair.validator_id()) {
                    own.tip_height = block.header.height;
                    own.tip = Some(block.clone());
                    own.prepared.clear();
                    *own = own.clone().signed(keypair, domain);
                }
                let message = NewView { view_changes, ..message };
                vec![(Message::NewView(message.signed(keypair, domain)), 0)]
            }
            (message, _) => vec![(message, 0)],
        }
    }
}
