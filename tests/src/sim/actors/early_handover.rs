//! A leader that ends epochs at the wrong time, and hands over to sets of its own choice.

use aegis_consensus::{Message, PrePrepare};
use aegis_types::{BlockKind, Hash, Header};

use super::{Actor, Held, Stage};
use crate::sim::scenario::NodeIndex;

/// In one epoch of three it turns normal blocks into closing ones or handovers now and then, in one it never closes, in one its
/// handovers name another set; the same for all receivers.
#[derive(Debug)]
pub struct EarlyHandover;

/// Of normal blocks, one in so many becomes a closing one, and one a handover.
const EARLY_EVERY: u8 = 10;

/// The kind that the block gets in the place of its own; none when it stays as it is.
fn wrong_kind(header: &Header) -> Option<BlockKind> {
    let mood = (header.epoch.0 + u64::from(header.proposer.0[0])) % 3;
    match (mood, header.kind, header.digest().0[0] % EARLY_EVERY) {
        (0, BlockKind::Normal, 0) => Some(BlockKind::Closing),
        (0, BlockKind::Normal, 1) => {
            Some(BlockKind::Handover { next_validators_hash: header.validators_hash })
        }
        (1, BlockKind::Closing, _) => Some(BlockKind::Normal),
        (2, BlockKind::Handover { .. }, _) => {
            let made_up = Hash::of("aegis simulator made-up set", &[]);
            Some(BlockKind::Handover { next_validators_hash: made_up })
        }
        _ => None,
    }
}

impl Actor for EarlyHandover {
    fn tamper(&mut self, stage: &mut Stage<'_>, _to: NodeIndex, message: Message) -> Vec<Held> {
        let Message::PrePrepare(PrePrepare { header, vote }) = &message else { return vec![(message, 0)] };
        let Some(kind) = wrong_kind(header) else { return vec![(message, 0)] };
        let mut header = Header { kind, ..header.clone() };
        if matches!(kind, BlockKind::Handover { .. }) {
            header.batches.clear();
        }
        vec![(stage.key.propose(header, vote), 0)]
    }
}
