//! A leader that ends epochs at the wrong time, and hands over to sets of its own choice.

use aegis_consensus::{Message, PrePrepare};
use aegis_types::{BlockKind, Hash, Header};

use super::{Actor, Held, Stage};
use crate::sim::scenario::NodeIndex;

/// Turns one normal block in ten into a closing one and one into a handover, half of the closing blocks into normal ones, and lets half of the
/// handovers name other sets; the same for all receivers.
#[derive(Debug)]
pub struct EarlyHandover;

/// One of ten, by what is proposed.
fn choice(header: &Header) -> u8 {
    header.digest().0[0] % 10
}

impl Actor for EarlyHandover {
    fn tamper(&mut self, stage: &mut Stage<'_>, _to: NodeIndex, message: Message) -> Vec<Held> {
        let Message::PrePrepare(PrePrepare { header, vote }) = &message else { return vec![(message, 0)] };
        let mut header = header.clone();
        let made_up = Hash::of("aegis simulator made-up set", &[]);
        let choice = choice(&header);
        header.kind = match header.kind {
            BlockKind::Normal if choice == 0 => BlockKind::Closing,
            BlockKind::Normal if choice == 1 => {
                header.batches.clear();
                BlockKind::Handover { next_validators_hash: header.validators_hash }
            }
            BlockKind::Closing if choice < 5 => BlockKind::Normal,
            BlockKind::Handover { .. } if choice < 5 => BlockKind::Handover { next_validators_hash: made_up },
            _ => return vec![(message, 0)],
        };
        vec![(stage.key.propose(header, vote), 0)]
    }
}
