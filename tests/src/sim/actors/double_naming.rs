//! A leader whose blocks name a batch twice: within one block, or one that an open block below names already.

use std::collections::BTreeMap;

use aegis_consensus::{Message, PrePrepare};
use aegis_types::{BatchRef, BlockKind, Height};

use super::{Actor, Held, Stage};
use crate::sim::scenario::NodeIndex;

/// One height in so many is tampered with, so that its parent is what the others accepted.
const EVERY: u64 = 3;

/// Remembers what the newest proposals named.
#[derive(Debug, Default)]
pub struct DoubleNaming {
    named: BTreeMap<Height, Vec<BatchRef>>,
}

impl Actor for DoubleNaming {
    fn tamper(&mut self, stage: &mut Stage<'_>, _to: NodeIndex, message: Message) -> Vec<Held> {
        let Message::PrePrepare(PrePrepare { header, vote }) = &message else { return vec![(message, 0)] };
        self.named = self.named.split_off(&stage.engine.height());
        self.named.entry(header.height).or_insert_with(|| header.batches.clone());
        let is_handover = matches!(header.kind, BlockKind::Handover { .. });
        if is_handover || !header.height.0.is_multiple_of(EVERY) {
            return vec![(message, 0)];
        }
        let below = header.height.0.checked_sub(1).and_then(|below| self.named.get(&Height(below)));
        let is_within = header.height.0.is_multiple_of(2);
        let of_below = below.and_then(|batches| batches.first()).filter(|_| !is_within);
        let again = of_below.or(header.batches.first());
        let Some(again) = again else { return vec![(message, 0)] };
        let mut header = header.clone();
        header.batches.push(*again);
        vec![(stage.key.propose(header, vote), 0)]
    }
}
