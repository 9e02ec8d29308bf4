//! The network's events: decodes what peers send and hands it on.
//!
//! One task takes the events in order and never waits for a peer. Signature checks and answers run in tasks of their own,
//! bounded by semaphores; beyond the bound, what comes in is dropped, and its sender sends it again.

use std::sync::Arc;

use aegis_consensus::Message;
use aegis_p2p::{EventReceiver, GossipId, Lane, MESH_PEERS, NetworkEvent, Offence, Topic, Verdict};
use aegis_types::{Canonical, CommittedBlock, Hash, ValidatorId, VoteKind};
use bytes::Bytes;
use tokio::sync::{Mutex, Semaphore};
use tracing::{debug, info, warn};

use super::batches::{HeldBatch, Offer, Taken};
use super::context::NodeContext;
use super::driver::{DriverInput, gauge_value};
use super::metrics::hearsay;
use super::metrics::receipt::Receipt;
use super::wire::{Answer, DIGESTS_MAX, PayloadFrame, Question};
use super::{read_index, serve, state};

/// Batches whose signatures are checked at once or wait for it: some 10 MB of proposals.
const BATCH_CHECKS_MAX: usize = 64;
/// Gossiped blocks whose certificates are checked at once or wait for it.
const BLOCK_CHECKS_MAX: usize = 16;
/// Gossiped reports whose signatures are checked at once or wait for it. Others come again in a few seconds.
const REPORT_CHECKS_MAX: usize = 64;
/// Questions that are answered at once.
const ANSWERS_MAX: usize = 64;
/// Announced batches are fetched from so many peers at once. What is not fetched is announced again.
const FETCHES_MAX: usize = 32;
/// A gossiped block so far below the tip is not worth a check, and is passed on to nobody: whoever lacks it asks for it.
const OLD_BLOCKS: u64 = 64;

/// Answers questions, and nothing else, until the network stops: for a node that cannot write.
pub async fn only_answer(node: Arc<NodeContext>, events: Arc<Mutex<EventReceiver>>) {
    let answers = Arc::new(Semaphore::new(ANSWERS_MAX));
    let mut events = events.lock().await;
    while let Some(event) = events.recv().await {
        match event {
            NetworkEvent::Request { from, request, reply } => {
                let Ok(permit) = answers.clone().try_acquire_owned() else { continue };
                let node = node.clone();
                tokio::spawn(async move {
                    if let Some(answer) = serve::answer(&node, from, request).await {
                        node.observation.count_answer(answer.len());
                        // Who asked may have gone away.
                        let _ = reply.send(answer);
                    }
                    drop(permit);
                });
            }
            NetworkEvent::Gossip { id, .. } => node.network.judge(id, Verdict::Ignore),
            NetworkEvent::Message { .. }
            | NetworkEvent::PeerConnected { .. }
            | NetworkEvent::PeerDisconnected { .. }
            | NetworkEvent::DirectReady { .. }
            | NetworkEvent::Listening { .. } => {}
        }
    }
}

struct Desk {
    node: Arc<NodeContext>,
    batch_checks: Arc<Semaphore>,
    block_checks: Arc<Semaphore>,
    report_checks: Arc<Semaphore>,
    answers: Arc<Semaphore>,
    fetches: Arc<Semaphore>,
}

/// Handles events until the network stops.
pub async fn handle_events(node: Arc<NodeContext>, events: Arc<Mutex<EventReceiver>>) {
    // Held by one life of the parts at a time.
    let mut events = events.lock().await;
    let desk = Desk {
        node,
        batch_checks: Arc::new(Semaphore::new(BATCH_CHECKS_MAX)),
        block_checks: Arc::new(Semaphore::new(BLOCK_CHECKS_MAX)),
        report_checks: Arc::new(Semaphore::new(REPORT_CHECKS_MAX)),
        answers: Arc::new(Semaphore::new(ANSWERS_MAX)),
        fetches: Arc::new(Semaphore::new(FETCHES_MAX)),
    };
    while let Some(event) = events.recv().await {
        match event {
            NetworkEvent::Message { from, lane: Lane::Consensus, frame } => {
                desk.on_consensus(from, &frame).await;
            }
            NetworkEvent::Message { from, lane: Lane::Payload, frame } => desk.on_payload(from, frame),
            NetworkEvent::Gossip { id, topic: Topic::Blocks, from, message } => {
                desk.on_block(id, from, message)
            }
            NetworkEvent::Gossip { id, topic: Topic::Reports, message, .. } => desk.on_report(id, message),
            NetworkEvent::Request { request, reply, .. } if read_index::is_question(&request) => {
                // At once: it must not wait behind those who ask for blocks. Without a reply it is refused.
                if let Some(height) = *desk.node.committing.borrow() {
                    // Who asked may have gone away.
                    let _ = reply.send(Answer::ReadIndex(height).encode());
                }
            }
            NetworkEvent::Request { from, request, reply } => {
                let Ok(permit) = desk.answers.clone().try_acquire_owned() else { continue };
                let node = desk.node.clone();
                tokio::spawn(async move {
                    if let Some(answer) = serve::answer(&node, from, request).await {
                        node.observation.count_answer(answer.len());
                        // Who asked may have gone away.
                        let _ = reply.send(answer);
                    }
                    drop(permit);
                });
            }
            NetworkEvent::PeerConnected { peer } => {
                info!(%peer, "peer connected");
                desk.count_peers();
            }
            NetworkEvent::PeerDisconnected { peer } => {
                info!(%peer, "peer disconnected");
                desk.node.sync.forget(&peer);
                desk.count_peers();
            }
            NetworkEvent::DirectReady { peer } => debug!(%peer, "direct streams ready"),
            NetworkEvent::Listening { address } => info!(%address, "listening"),
        }
    }
}

impl Desk {
    fn count_peers(&self) {
        let peers = u64::try_from(self.node.network.connected()).unwrap_or(u64::MAX);
        self.node.telemetry.peers.set(gauge_value(peers));
    }

    /// Hands a message to the driver. Waiting for room here leaves the rest in the network's queues, which are fair to all
    /// peers; dropping it instead would let one peer's flood push out the others' votes.
    async fn on_consensus(&self, from: ValidatorId, frame: &[u8]) {
        if let Some(receipt) = Receipt::decode(frame) {
            self.node.observation.receipt(&from, receipt);
            return;
        }
        match Message::decode(frame) {
            Ok(message) => {
                let input = DriverInput::Message { from, message: Box::new(message) };
                if self.node.inputs.send(input).await.is_err() {
                    debug!("the driver has stopped");
                }
            }
            Err(error) => {
                warn!(peer = %from, %error, "a peer sent a malformed consensus message");
                self.node.network.report(&from, Offence::Malformed);
            }
        }
    }

    fn on_payload(&self, from: ValidatorId, frame: Bytes) {
        match PayloadFrame::decode(frame) {
            Ok(PayloadFrame::Batch(encoding)) => self.on_batch(from, encoding),
            Ok(PayloadFrame::Announce(digests)) => self.on_announcement(from, &digests),
            Err(error) => {
                warn!(peer = %from, %error, "a peer sent a malformed payload frame");
                self.node.network.report(&from, Offence::Malformed);
            }
        }
    }

    fn on_announcement(&self, from: ValidatorId, digests: &[Hash]) {
        let Some(offer) = spread_offer(&self.node, &from) else { return };
        let missing = self.node.pool.missing(digests);
        if missing.is_empty() {
            return;
        }
        let Ok(permit) = self.fetches.clone().try_acquire_owned() else {
            self.node.telemetry.messages_not_handled.inc();
            return;
        };
        let node = self.node.clone();
        tokio::spawn(async move {
            fetch_batches(node, missing, from, offer).await;
            drop(permit);
        });
    }

    fn on_batch(&self, from: ValidatorId, encoding: Bytes) {
        let Some(offer) = spread_offer(&self.node, &from) else { return };
        let Ok(permit) = self.batch_checks.clone().try_acquire_owned() else {
            // It is announced again.
            self.node.telemetry.messages_not_handled.inc();
            return;
        };
        let node = self.node.clone();
        tokio::spawn(async move {
            accept_batch(&node, from, encoding, offer).await;
            drop(permit);
        });
    }

    /// Whether a gossiped block is known here, nobody is connected who learns of blocks by gossip alone, and the validators are so
    /// few that its proposer has sent it to each of them: then passing it on helps nobody, and a check would cost as much as
    /// deciding the block did.
    fn is_old_news(&self, encoding: &[u8]) -> bool {
        let (tip, validators) = {
            let agreement = self.node.agreement.borrow();
            (agreement.tip.0, agreement.validators.len())
        };
        validators <= MESH_PEERS + 1
            && CommittedBlock::height_of_encoding(encoding).is_some_and(|height| height <= tip)
            && !self.node.network.has_listeners()
    }

    fn on_report(&self, id: GossipId, message: Bytes) {
        let Ok(permit) = self.report_checks.clone().try_acquire_owned() else {
            self.node.network.judge(id, Verdict::Ignore);
            return;
        };
        let node = self.node.clone();
        tokio::spawn(async move {
            let verdict = hearsay::judge_report(&node, message).await;
            node.network.judge(id, verdict);
            drop(permit);
        });
    }

    fn on_block(&self, id: GossipId, from: ValidatorId, message: Bytes) {
        if self.is_old_news(&message) {
            self.node.network.judge(id, Verdict::Ignore);
            return;
        }
        let Ok(permit) = self.block_checks.clone().try_acquire_owned() else {
            self.node.network.judge(id, Verdict::Ignore);
            return;
        };
        let node = self.node.clone();
        tokio::spawn(async move {
            let verdict = judge_block(&node, from, message).await;
            node.network.judge(id, verdict);
            drop(permit);
        });
    }
}

/// Checks a gossiped block, and executes it if it is the next one and this node learns blocks by gossip.
async fn judge_block(node: &Arc<NodeContext>, from: ValidatorId, message: Bytes) -> Verdict {
    let checking = node.clone();
    let checked = tokio::task::spawn_blocking(move || {
        let block = CommittedBlock::decode(&message).ok()?;
        if block.certificate.content.kind != VoteKind::Commit {
            return None;
        }
        let (tip, validators) = {
            let agreement = checking.agreement.borrow();
            (agreement.tip.0, agreement.validators.clone())
        };
        if tip.distance_above(block.header.height) > OLD_BLOCKS {
            return Some((block, false));
        }
        if block.header.epoch != validators.epoch() {
            return Some((block, false));
        }
        block.certificate.verify(&validators, &checking.domain).ok().map(|()| (block, true))
    })
    .await;
    let Ok(Some((block, is_verified))) = checked else { return Verdict::Reject };
    let (tip, is_member) = {
        let agreement = node.agreement.borrow();
        (agreement.tip.0, agreement.is_member)
    };
    let height = block.header.height;
    if !is_member {
        if is_verified && height == tip.next() {
            let input = DriverInput::Synced(Box::new(block));
            if node.inputs.try_send(input).is_err() {
                node.telemetry.messages_not_handled.inc();
            }
        } else if height > tip {
            node.sync.want(height, from);
        }
    }
    if is_verified {
        node.sync.prove(height);
    }
    // A block of another epoch may be right; whoever is there can tell.
    if is_verified { Verdict::Accept } else { Verdict::Ignore }
}

/// How a peer's own batches are offered: not at all unless it is a validator, now or from the next epoch on.
fn spread_offer(node: &NodeContext, from: &ValidatorId) -> Option<Offer> {
    let standing = node.standing.borrow();
    let agreement = node.agreement.borrow();
    let next = standing.next_epoch.as_ref().map(|next| &next.validators);
    let is_validator =
        agreement.validators.contains(from) || next.is_some_and(|validators| validators.contains(from));
    let validators = agreement.validators.len().max(next.map_or(0, |validators| validators.len()));
    is_validator.then_some(Offer::Spread { validators })
}

/// Checks a batch and takes it into the pool.
async fn accept_batch(node: &Arc<NodeContext>, from: ValidatorId, encoding: Bytes, offer: Offer) {
    let checking = node.clone();
    let checked = tokio::task::spawn_blocking(move || check_batch(&checking, from, encoding, offer)).await;
    match checked {
        Ok(Ok(Some(batch))) => {
            let digest = batch.reference.digest;
            if node.take_batch(batch, offer).await == Taken::NoRoom {
                debug!(peer = %from, %digest, "a batch was refused: there is no room for more of its author");
            }
        }
        Ok(Ok(None)) => {}
        Ok(Err(reason)) => {
            warn!(peer = %from, reason, "a peer sent an invalid batch");
            node.network.report(&from, Offence::Invalid);
        }
        Err(error) => warn!(%error, "a batch could not be checked"),
    }
}

/// A batch that is worth offering to the pool; none for one that is known or has no room.
fn check_batch(
    node: &NodeContext,
    from: ValidatorId,
    encoding: Bytes,
    offer: Offer,
) -> Result<Option<Arc<HeldBatch>>, String> {
    let batch = HeldBatch::decode(encoding).map_err(|error| error.to_string())?;
    let is_spread = matches!(offer, Offer::Spread { .. });
    if is_spread && batch.batch.author != from {
        return Err("it is not the sender's own".to_owned());
    }
    if node.pool.judge(&batch.reference, offer) != Taken::New {
        return Ok(None);
    }
    // The pool remembers what was decided lately, the index all of it.
    if is_spread {
        match state::is_batch_executed(node.kv.as_ref(), &batch.reference.digest) {
            Ok(false) => {}
            Ok(true) => return Ok(None),
            Err(error) => {
                warn!(%error, "the index of executed batches cannot be read");
                return Ok(None);
            }
        }
    }
    let seed: [u8; 32] = rand::random();
    batch.batch.verify(&node.domain, seed).map_err(|error| error.to_string())?;
    Ok(Some(Arc::new(batch)))
}

/// Obtains batches by digest from a peer.
pub async fn fetch_batches(node: Arc<NodeContext>, digests: Vec<Hash>, from: ValidatorId, offer: Offer) {
    for part in digests.chunks(DIGESTS_MAX) {
        let wanted: std::collections::BTreeSet<Hash> = part.iter().copied().collect();
        let answer = match node.network.request(&from, Question::Batches(part.to_vec()).encode()).await {
            Ok(answer) => Answer::decode(answer),
            Err(error) => {
                debug!(peer = %from, %error, "batches could not be fetched");
                return;
            }
        };
        let Ok(Answer::Batches(encodings)) = answer else {
            node.network.report(&from, Offence::Malformed);
            return;
        };
        for encoding in encodings.into_iter().take(part.len()) {
            if !wanted.contains(&aegis_types::Batch::digest_of_encoding(&encoding)) {
                node.network.report(&from, Offence::Invalid);
                return;
            }
            accept_batch(&node, from, encoding, offer).await;
        }
    }
}
