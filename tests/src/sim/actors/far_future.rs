//! A validator that speaks of views, heights and epochs that are far away, up to the largest numbers there are.

use aegis_consensus::{Message, Status, ViewChange};
use aegis_types::{Epoch, Height, Signature, View};

use super::{Actor, Deed, Stage};

/// Sends a few such messages now and then.
#[derive(Debug)]
pub struct FarFuture;

impl Actor for FarFuture {
    fn act(&mut self, stage: &mut Stage<'_>) -> Vec<Deed> {
        let far = [u64::MAX, u64::MAX - 1, 1 << 32, 1_000][stage.rng.index(4)];
        let mut content = stage.nearby();
        let message = match stage.rng.index(5) {
            0 => {
                content.height = Height(far);
                Message::Vote(stage.key.vote(content))
            }
            1 => {
                content.view = View(far);
                Message::Vote(stage.key.vote(content))
            }
            2 => {
                let near = content.epoch.0 + stage.rng.within(1..=2);
                content.epoch = Epoch([far, near][stage.rng.index(2)]);
                Message::Vote(stage.key.vote(content))
            }
            3 => Message::Status(Status { epoch: content.epoch, view: View(far), height: Height(far) }),
            _ => {
                let message = ViewChange {
                    epoch: content.epoch,
                    view: View(far),
                    tip_height: stage.engine.height(),
                    tip: None,
                    prepared: Vec::new(),
                    validator: stage.key.keypair.validator_id(),
                    signature: Signature([0; 64]),
                };
                Message::ViewChange(message.signed(&stage.key.keypair, &stage.key.domain))
            }
        };
        vec![Deed::Send(stage.somebody(), message)]
    }
}
