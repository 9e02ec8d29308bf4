//! What reaches a process from other nodes.

use std::rc::Rc;

use aegis_consensus::{Input, Message};
use aegis_types::{Canonical, CommittedBlock, Height};

use super::{BLOCKS_PER_ANSWER, Moment, Process};
use crate::sim::held_batch::HeldBatch;
use crate::sim::invariants::{Engaged, Observation};
use crate::sim::packet::Packet;
use crate::sim::pool::Source;
use crate::sim::scenario::NodeIndex;

impl Process {
    pub(super) fn on_packet(&mut self, from: NodeIndex, packet: Packet, moment: Moment) {
        match packet {
            Packet::Consensus(encoded) => match encoded.message() {
                Ok(message) => self.on_message(from, message, moment),
                Err(_) => {
                    let peer = self.scenario.validator(from);
                    let reason = "a message that cannot be decoded";
                    self.observations.push(Observation::Accused { node: self.node, peer, reason });
                }
            },
            Packet::Batch(batch) => self.on_batch(batch, moment),
            Packet::FetchBatches(digests) => {
                let held: Vec<Rc<HeldBatch>> =
                    digests.iter().filter_map(|digest| self.pool.get(digest).cloned()).collect();
                self.outbox.extend(held.into_iter().map(|batch| (from, Packet::Batch(batch))));
            }
            Packet::FetchBlocks { first, last } => self.answer(from, first, last),
            Packet::Blocks(blocks) => {
                for block in blocks.iter() {
                    self.on_block(block, moment);
                }
            }
        }
    }

    fn on_message(&mut self, from: NodeIndex, message: &Message, moment: Moment) {
        let is_watched = !self.scenario.is_correct(from);
        if is_watched && let Message::Vote(vote) = message {
            let engaged = Engaged::of(&self.engine);
            let vote = Box::new(vote.clone());
            self.observations.push(Observation::Heard { node: self.node, from, vote, engaged });
        }
        let from = self.scenario.validator(from);
        self.input(Input::Message { from, message: Box::new(message.clone()) }, moment);
    }

    fn on_batch(&mut self, batch: Rc<HeldBatch>, moment: Moment) {
        let digest = batch.reference.digest;
        if self.pool.wants(&batch.reference) && batch.is_valid(&self.domain) {
            self.pool.insert(batch, Source::Spread);
        }
        self.offer(digest, moment);
    }

    fn answer(&mut self, to: NodeIndex, first: Height, last: Height) {
        let mut blocks = Vec::new();
        let end = last.0.min(first.0.saturating_add(BLOCKS_PER_ANSWER - 1));
        for height in first.0.max(1)..=end {
            // What cannot be read is not served; the node notices damage at its next start.
            let Ok(Some(bytes)) = self.disk.reader.read(Height(height)) else { break };
            let Ok(block) = CommittedBlock::decode(&bytes) else { break };
            blocks.push(Rc::new(block));
        }
        if !blocks.is_empty() {
            self.outbox.push((to, Packet::Blocks(blocks.into())));
        }
    }

    fn on_block(&mut self, block: &Rc<CommittedBlock>, moment: Moment) {
        let height = block.header.height;
        if height <= self.engine.height() || block.check_consistency().is_err() {
            return;
        }
        let mut added = Vec::new();
        for batch in &block.batches {
            let batch = HeldBatch::new(batch.clone());
            let digest = batch.reference.digest;
            if self.pool.insert(Rc::new(batch), Source::Block) {
                added.push(digest);
            }
        }
        let (header, certificate) = (Box::new(block.header.clone()), Box::new(block.certificate.clone()));
        self.input(Input::Synced { header, certificate }, moment);
        if self.engine.height() < height {
            self.pool.withdraw(&added);
        }
    }
}
