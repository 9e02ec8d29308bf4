//! A leader that starts its views with a past that it made up: its own ViewChange, rightly signed, lists a block that nobody
//! prepared or proves a tip that nobody decided.

use aegis_consensus::{Message, NewView, PreparedBlock, ViewChange};
use aegis_types::{BlockKind, CommittedBlock, Epoch, Header, View, VoteContent, VoteKind};

use super::{Actor, Held, Stage};
use crate::sim::scenario::NodeIndex;

/// Keeps a decided block of the newest epoch, to forge from.
#[derive(Debug, Default)]
pub struct ForgedPlans {
    newest: Option<PreparedBlock>,
}

impl ForgedPlans {
    /// Something decided: the ViewChange's own tip, or what was overheard in the epoch.
    fn model(&self, own: &ViewChange) -> Option<PreparedBlock> {
        let overheard = self.newest.clone().filter(|block| block.header.epoch == own.epoch);
        own.tip.clone().or(overheard)
    }

    fn forge(&self, own: &mut ViewChange) {
        let Some(PreparedBlock { header, certificate }) = self.model(own) else { return };
        let next = child(&header);
        let is_prepared = own.view.0.is_multiple_of(2);
        let content = VoteContent {
            kind: if is_prepared { VoteKind::Prepare } else { VoteKind::Commit },
            epoch: own.epoch,
            view: View(own.view.0.saturating_sub(1)),
            height: next.height,
            digest: next.digest(),
        };
        let mut forged = certificate;
        forged.content = content;
        let (height, block) = (next.height, PreparedBlock { header: next, certificate: forged });
        if is_prepared {
            own.prepared = vec![block];
        } else {
            own.tip_height = height;
            own.tip = Some(block);
            own.prepared.clear();
        }
    }
}

fn child(parent: &Header) -> Header {
    Header {
        height: parent.height.next(),
        timestamp_ms: parent.timestamp_ms + 1,
        parent: parent.digest(),
        batches: Vec::new(),
        kind: BlockKind::Normal,
        ..parent.clone()
    }
}

impl Actor for ForgedPlans {
    fn overhear_block(&mut self, block: &CommittedBlock) {
        let epoch = |block: &PreparedBlock| -> Epoch { block.header.epoch };
        if self.newest.as_ref().is_none_or(|known| epoch(known) <= block.header.epoch) {
            let (header, certificate) = (block.header.clone(), block.certificate.clone());
            self.newest = Some(PreparedBlock { header, certificate });
        }
    }

    fn tamper(&mut self, stage: &mut Stage<'_>, _to: NodeIndex, message: Message) -> Vec<Held> {
        let (keypair, domain) = (&stage.key.keypair, &stage.key.domain);
        match message {
            Message::NewView(NewView { epoch, view, mut view_changes, leader, signature })
                if leader == keypair.validator_id() =>
            {
                for own in view_changes.iter_mut().filter(|own| own.validator == leader) {
                    self.forge(own);
                    *own = own.clone().signed(keypair, domain);
                }
                let forged = NewView { epoch, view, view_changes, leader, signature };
                vec![(Message::NewView(forged.signed(keypair, domain)), 0)]
            }
            message => vec![(message, 0)],
        }
    }
}
