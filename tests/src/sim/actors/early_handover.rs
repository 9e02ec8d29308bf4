//! A leader that ends epochs at the wrong time, and hands over to sets of its own choice.

use aegis_consensus::{Message, PrePrepare};
use aegis_types::{BlockKind, Hash};

use super::{Actor, Held, Stage};
use crate::sim::scenario::NodeIndex;

/// Turns normal blocks into closing ones or handovers, closing blocks into normal ones, and lets handovers name other sets.
#[derive(Debug)]
pub struct EarlyHandover;

impl Actor for EarlyHandover {
    fn tamper(&mut self, stage: &mut Stage<'_>, _to: NodeIndex, message: Message) -> Vec<Held> {
        let Message::PrePrepare(PrePrepare { header, vote }) = &message else { return vec![(message, 0)] };
        let mut header = header.clone();
        let made_up = Hash::of("aegis simulator made-up set", &[]);
        header.kind = match header.kind {
            BlockKind::Normal if stage.rng.chance(100) => BlockKind::Closing,
            BlockKind::Normal if stage.rng.chance(100) => {
                header.batches.clear();
                BlockKind::Handover { next_validators_hash: header.validators_hash }
            }
            BlockKind::Closing if stage.rng.chance(500) => BlockKind::Normal,
            BlockKind::Handover { .. } if stage.rng.chance(500) => {
                BlockKind::Handover { next_validators_hash: made_up }
            }
            _ => return vec![(message, 0)],
        };
        vec![(stage.key.propose(header, vote), 0)]
    }
}
