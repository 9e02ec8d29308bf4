//! A validator whose signatures are for another chain or another purpose, or whose messages bear the names of others.

use aegis_consensus::{Message, ViewChange};
use aegis_types::{Domain, Hash, Keypair, Signature, View, Vote, VoteContent};

use super::{Actor, Deed, Stage};

/// Sends a few such messages now and then; its node's own messages leave unchanged.
#[derive(Debug)]
pub struct StrangeSignatures;

impl Actor for StrangeSignatures {
    fn act(&mut self, stage: &mut Stage<'_>) -> Vec<Deed> {
        let content: VoteContent = stage.nearby();
        let other_chain = Domain::new("elsewhere".parse().expect("a plain name"), Hash::ZERO);
        let members = stage.engine.validators().members();
        let other = members[stage.rng.index(members.len())].validator;
        let message = match stage.rng.index(5) {
            0 => Message::Vote(Vote::sign(content, &stage.key.keypair, &other_chain)),
            // Another's name over an own signature: only the name's owner may deliver it.
            1 => Message::Vote(Vote { validator: other, ..stage.key.vote(content) }),
            2 => Message::Vote(Vote { signature: Signature([0; 64]), ..stage.key.vote(content) }),
            // The identity element as key and commitment: some checks accept that for any message.
            3 => {
                let mut signature = [0; 64];
                signature[0] = 1;
                Message::Vote(Vote { signature: Signature(signature), ..stage.key.vote(content) })
            }
            _ => {
                let stranger = Keypair::from_seed(&stage.rng.bytes32());
                let message = ViewChange {
                    epoch: content.epoch,
                    view: View(content.view.0 + 1),
                    tip_height: content.height,
                    tip: None,
                    prepared: Vec::new(),
                    validator: stranger.validator_id(),
                    signature: Signature([0; 64]),
                };
                let mut message = message.signed(&stranger, &stage.key.domain);
                if stage.rng.chance(500) {
                    message.validator = stage.key.keypair.validator_id();
                }
                Message::ViewChange(message)
            }
        };
        vec![Deed::Send(stage.somebody(), message)]
    }
}
