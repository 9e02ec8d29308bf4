//! A validator that sends certificates which prove nothing: with signatures missing, altered, doubled, or made for something
//! else.

use aegis_consensus::{Message, PreparedBlock};
use aegis_types::{Certificate, CommittedBlock, Hash, VoteKind};

use super::{Actor, Deed, Held, Stage};
use crate::sim::rng::Rng;
use crate::sim::scenario::NodeIndex;

/// Keeps the newest block that it saw decided, to forge from.
#[derive(Debug, Default)]
pub struct ForgedCertificates {
    newest: Option<Box<CommittedBlock>>,
}

fn forge(certificate: &mut Certificate, rng: &mut Rng) {
    let count = certificate.signatures.len().max(1);
    match rng.index(6) {
        0 => certificate.signatures.truncate(rng.index(count)),
        1 => {
            if let Some((_, signature)) = certificate.signatures.get_mut(rng.index(count)) {
                signature.0[rng.index(64)] ^= 1;
            }
        }
        2 => {
            if let Some((position, _)) = certificate.signatures.last_mut() {
                *position += 1;
            }
        }
        3 => certificate.content.view.0 += 1,
        4 => certificate.content.epoch.0 += 1,
        _ => {
            certificate.content.kind = match certificate.content.kind {
                VoteKind::Prepare => VoteKind::Commit,
                VoteKind::Commit => VoteKind::Prepare,
            };
        }
    }
}

/// Another header under the real certificate's signatures.
fn forge_block(block: &mut CommittedBlock, rng: &mut Rng) {
    if rng.chance(500) {
        return forge(&mut block.certificate, rng);
    }
    block.header.timestamp_ms += 1;
    if rng.chance(500) {
        block.certificate.content.digest = block.header.digest();
    }
}

impl Actor for ForgedCertificates {
    fn overhear_block(&mut self, block: &CommittedBlock) {
        self.newest = Some(Box::new(block.clone()));
    }

    fn tamper(&mut self, stage: &mut Stage<'_>, _to: NodeIndex, message: Message) -> Vec<Held> {
        let (keypair, domain) = (&stage.key.keypair, &stage.key.domain);
        match message {
            Message::ViewChange(mut message) if stage.rng.chance(600) => {
                if let Some(PreparedBlock { header, certificate }) = message.prepared.last_mut() {
                    match stage.rng.index(2) {
                        0 => forge(certificate, stage.rng),
                        _ => {
                            // The header of a block that nobody prepared, under the certificate of one that was.
                            header.parent = Hash::of("aegis simulator made-up block", &header.parent.0);
                            certificate.content.digest = header.digest();
                        }
                    }
                } else if let Some(tip) = &mut message.tip {
                    forge(&mut tip.certificate, stage.rng);
                }
                vec![(Message::ViewChange(message.signed(keypair, domain)), 0)]
            }
            Message::NewView(mut message) if stage.rng.chance(600) => {
                let count = message.view_changes.len().max(1);
                match stage.rng.index(3) {
                    0 => message.view_changes.truncate(stage.rng.index(count)),
                    1 => {
                        if let Some(first) = message.view_changes.first().cloned() {
                            message.view_changes.push(first);
                        }
                    }
                    _ => {
                        if let Some(other) = message.view_changes.get_mut(stage.rng.index(count)) {
                            other.prepared.clear();
                        }
                    }
                }
                vec![(Message::NewView(message.signed(keypair, domain)), 0)]
            }
            message => vec![(message, 0)],
        }
    }

    fn act(&mut self, stage: &mut Stage<'_>) -> Vec<Deed> {
        let Some(newest) = &self.newest else { return Vec::new() };
        let mut block = newest.clone();
        // At times the height that the receiver waits for, so that the forgery is looked at.
        if stage.rng.chance(500) {
            block.header.parent = block.header.digest();
            block.header.height = block.header.height.next();
            block.certificate.content.height = block.header.height;
            block.certificate.content.digest = block.header.digest();
        } else {
            forge_block(&mut block, stage.rng);
        }
        vec![Deed::SendBlock(stage.somebody(), block)]
    }
}
