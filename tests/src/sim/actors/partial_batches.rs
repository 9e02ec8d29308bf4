//! A validator that sends each of its batches to about half of the others, so that some can vote and some must ask.

use super::{Actor, Stage};
use crate::sim::packet::Packet;
use crate::sim::rng::mix;
use crate::sim::scenario::NodeIndex;

/// Which half depends on the batch.
#[derive(Debug)]
pub struct PartialBatches;

impl Actor for PartialBatches {
    fn lets_out(&mut self, _stage: &mut Stage<'_>, to: NodeIndex, packet: &Packet) -> bool {
        match packet {
            Packet::Batch(_) => mix(packet.fingerprint() ^ to as u64).is_multiple_of(2),
            _ => true,
        }
    }
}
