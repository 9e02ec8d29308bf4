//! Sealing: admitted proposals into batches, and those on their way to all validators.

use std::sync::Arc;
use std::time::Duration;

use aegis_p2p::Lane;
use aegis_types::{Batch, Limits};
use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::debug;

use super::Admitted;
use crate::node::batches::{HeldBatch, Offer, Taken};
use crate::node::clock::unix_ms;
use crate::node::context::NodeContext;
use crate::node::wire::PayloadFrame;

/// How often the batches of this node that still wait are announced again.
const ANNOUNCE_INTERVAL: Duration = Duration::from_secs(1);
/// Batches announced at once.
const ANNOUNCED_MAX: usize = 256;
/// After this time a proposal in a batch of this node is handed on otherwise, if the node is no validator any more.
const SEALED_PATIENCE: Duration = Duration::from_secs(5);
/// When proposals whose batch found no room are batched again.
const NO_ROOM_PAUSE: Duration = Duration::from_secs(1);

/// When a batch is sealed.
#[derive(Debug, Clone, Copy)]
pub struct SealRule {
    /// After the first proposal, at the latest; later while earlier batches wait to be ordered.
    pub delay: Duration,
    /// When it has so many proposals.
    pub proposals: usize,
    /// When it has so many bytes.
    pub bytes: usize,
}

/// While earlier batches of this node wait to be ordered, a batch is sealed after so many times the delay: it would wait behind them,
/// and fewer, larger ones cost everybody less.
const BUSY_DELAYS: u32 = 5;

impl SealRule {
    fn delay_now(&self, node: &NodeContext) -> Duration {
        let is_busy = !node.pool.digests_of(&node.node_key.validator_id(), 1).is_empty();
        if is_busy { self.delay.saturating_mul(BUSY_DELAYS) } else { self.delay }
    }
}

/// Seals admitted proposals into batches and spreads them, until the node stops.
pub async fn seal_batches(node: Arc<NodeContext>, mut admitted: mpsc::Receiver<Admitted>, rule: SealRule) {
    let author = node.node_key.validator_id();
    // Restarts must not repeat a sequence number: equal numbers could make equal batches.
    let mut sequence = unix_ms().saturating_mul(1_000);
    while let Some(first) = admitted.recv().await {
        let deadline = Instant::now() + rule.delay_now(&node);
        let mut bytes = first.bytes;
        let mut proposals = vec![first];
        while proposals.len() < rule.proposals && bytes < rule.bytes {
            match tokio::time::timeout_at(deadline, admitted.recv()).await {
                Ok(Some(next)) => {
                    bytes += next.bytes;
                    proposals.push(next);
                }
                Ok(None) | Err(_) => break,
            }
        }
        for proposals in split(proposals) {
            sequence += 1;
            let copies = proposals.iter().map(|admitted| (*admitted.proposal).clone()).collect();
            let batch = Arc::new(HeldBatch::new(Batch { author, sequence, proposals: copies }));
            let is_taken = spread(&node, batch).await;
            for Admitted { proposal, .. } in &proposals {
                if is_taken {
                    node.mempool.sealed(proposal, SEALED_PATIENCE);
                } else {
                    node.mempool.handed_on(proposal, NO_ROOM_PAUSE);
                }
            }
        }
    }
}

/// Cuts a list so that each part fits a batch. One proposal is at most an eighth of a batch, so each part has some.
fn split(admitted: Vec<Admitted>) -> Vec<Vec<Admitted>> {
    /// What the batch's own fields and the proposals' frames may add.
    const OVERHEAD: usize = 4_096;
    let mut parts = Vec::new();
    let mut part = Vec::new();
    let mut bytes = OVERHEAD;
    for next in admitted {
        let size = next.bytes + 8;
        if !part.is_empty() && (bytes + size > Limits::BATCH_BYTES || part.len() >= Limits::BATCH_PROPOSALS) {
            parts.push(std::mem::take(&mut part));
            bytes = OVERHEAD;
        }
        bytes += size;
        part.push(next);
    }
    if !part.is_empty() {
        parts.push(part);
    }
    parts
}

/// Whether the pool had room for the batch.
async fn spread(node: &NodeContext, batch: Arc<HeldBatch>) -> bool {
    let frame = PayloadFrame::Batch(batch.encoding.clone()).encode();
    // Own batches are bounded by the mempool, so they need no share of the pool.
    let taken = node.take_batch(batch, Offer::Named).await;
    if taken != Taken::New {
        debug!("an own batch found no room");
        return false;
    }
    send_to_validators(node, &frame);
    true
}

fn send_to_validators(node: &NodeContext, frame: &Bytes) {
    let me = node.node_key.validator_id();
    let members: Vec<_> =
        node.agreement.borrow().validators.members().iter().map(|member| member.validator).collect();
    for validator in members.into_iter().filter(|validator| *validator != me) {
        if node.network.send(&validator, Lane::Payload, frame.clone()).is_err() {
            node.telemetry.messages_not_sent.inc();
        }
    }
}

/// Announces this node's waiting batches again and again: a validator that missed one asks for it.
pub async fn announce_batches(node: Arc<NodeContext>) {
    let mut interval = tokio::time::interval(ANNOUNCE_INTERVAL);
    let mut announced_before = std::collections::BTreeSet::new();
    loop {
        interval.tick().await;
        let waiting = node.pool.digests_of(&node.node_key.validator_id(), ANNOUNCED_MAX);
        // What came within the last interval is still on its way.
        let old: Vec<_> =
            waiting.iter().filter(|digest| announced_before.contains(*digest)).copied().collect();
        if !old.is_empty() && node.is_validator() {
            send_to_validators(&node, &PayloadFrame::Announce(old).encode());
        }
        announced_before = waiting.into_iter().collect();
    }
}
