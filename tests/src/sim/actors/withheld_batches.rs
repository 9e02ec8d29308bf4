//! A validator that keeps its batches to itself: its blocks name batches that nobody else can get.

use super::{Actor, Stage};
use crate::sim::packet::Packet;
use crate::sim::scenario::NodeIndex;

/// Neither sends batches nor answers who asks for some.
#[derive(Debug)]
pub struct WithheldBatches;

impl Actor for WithheldBatches {
    fn lets_out(&mut self, _stage: &mut Stage<'_>, _to: NodeIndex, packet: &Packet) -> bool {
        !matches!(packet, Packet::Batch(_))
    }
}
