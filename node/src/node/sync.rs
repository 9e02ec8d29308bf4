//! Catching up: fetches decided blocks from peers and feeds them to the driver.
//!
//! A block is worth what its certificate is worth, which the engine checks; who delivered it does not matter. A peer whose
//! blocks do not advance this node is reported, and another is asked.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aegis_p2p::Offence;
use aegis_types::{BlockKind, Canonical, CommittedBlock, Height, ValidatorId};
use tokio::sync::Notify;
use tracing::{debug, info, warn};

use super::context::NodeContext;
use super::driver::DriverInput;
use super::wire::{Answer, Question};

/// How often peers are asked where they stand.
const ASK_INTERVAL: Duration = Duration::from_secs(1);
/// Peers asked each time.
const ASKED_PEERS: usize = 2;
/// Blocks asked for at once.
const BLOCKS: u64 = 128;
/// How long the engine may take for one block, execution included.
const BLOCK_PATIENCE: Duration = Duration::from_secs(10);
/// Blocks handed to the engine ahead of execution.
const AHEAD: u64 = 8;
/// Peers whose claims are remembered.
const CLAIMS_MAX: usize = 1_024;

#[derive(Debug, Default)]
struct Shared {
    claims: Mutex<BTreeMap<ValidatorId, Height>>,
    wanted: Notify,
}

/// The way to tell the sync task about newer blocks.
#[derive(Debug, Clone, Default)]
pub struct SyncHandle {
    shared: Arc<Shared>,
}

impl SyncHandle {
    /// `peer` claims to hold blocks up to `height`.
    pub fn want(&self, height: Height, peer: ValidatorId) {
        let mut claims = self.shared.claims.lock().unwrap_or_else(PoisonError::into_inner);
        if claims.len() < CLAIMS_MAX || claims.contains_key(&peer) {
            claims.insert(peer, height);
        }
        drop(claims);
        self.shared.wanted.notify_one();
    }

    /// The highest claim, and how many peers made one above `height`.
    pub fn target(&self, height: Height) -> Option<(Height, usize)> {
        let claims = self.shared.claims.lock().unwrap_or_else(PoisonError::into_inner);
        let above = claims.values().filter(|claim| **claim > height);
        let highest = above.clone().max().copied()?;
        Some((highest, above.count()))
    }

    /// What a peer claimed last.
    pub fn claim(&self, peer: &ValidatorId) -> Option<Height> {
        self.shared.claims.lock().unwrap_or_else(PoisonError::into_inner).get(peer).copied()
    }

    fn candidates(&self, height: Height) -> Vec<(ValidatorId, Height)> {
        let claims = self.shared.claims.lock().unwrap_or_else(PoisonError::into_inner);
        claims.iter().filter(|(_, claim)| **claim > height).map(|(peer, claim)| (*peer, *claim)).collect()
    }

    fn forget(&self, peer: &ValidatorId) {
        self.shared.claims.lock().unwrap_or_else(PoisonError::into_inner).remove(peer);
    }
}

/// Asks peers where they stand, for as long as the node runs.
pub async fn ask_for_tips(node: Arc<NodeContext>) {
    let mut interval = tokio::time::interval(ASK_INTERVAL);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        let mut peers: Vec<ValidatorId> =
            node.network.peers().await.into_iter().map(|peer| peer.id).collect();
        for _ in 0..ASKED_PEERS {
            if peers.is_empty() {
                break;
            }
            let peer = peers.swap_remove(rand::random_range(0..peers.len()));
            let node = node.clone();
            tokio::spawn(async move {
                let Ok(answer) = node.network.request(&peer, Question::Tip.encode()).await else { return };
                if let Ok(Answer::Tip { height, .. }) = Answer::decode(answer) {
                    node.sync.want(height, peer);
                }
            });
        }
    }
}

/// Fetches what peers have and this node lacks, for as long as the node runs.
pub async fn fetch_blocks(node: Arc<NodeContext>) {
    loop {
        node.sync.shared.wanted.notified().await;
        loop {
            let tip = node.agreement.borrow().tip.0;
            let is_member = node.agreement.borrow().is_member;
            // A validator gets the newest blocks by voting; asking for each of them would double its work.
            let slack = if is_member { 1 } else { 0 };
            let candidates: Vec<_> = node
                .sync
                .candidates(tip)
                .into_iter()
                .filter(|(_, claim)| claim.distance_above(tip) > slack || is_stalled(&node))
                .collect();
            if candidates.is_empty() {
                break;
            }
            let (peer, claim) = candidates[rand::random_range(0..candidates.len())];
            if !node.network.is_connected(&peer) {
                node.sync.forget(&peer);
                continue;
            }
            let last = claim.min(tip.plus(BLOCKS));
            if let Err(reason) = fetch_from(&node, peer, tip.next(), last).await {
                debug!(%peer, reason, "blocks could not be fetched");
                node.sync.forget(&peer);
            }
        }
    }
}

/// Whether the tip is older than a few idle intervals: then nothing comes by itself.
fn is_stalled(node: &NodeContext) -> bool {
    const STALLED_MS: u64 = 2_000;
    super::clock::unix_ms().saturating_sub(node.agreement.borrow().tip.2) > STALLED_MS
}

async fn fetch_from(
    node: &Arc<NodeContext>,
    peer: ValidatorId,
    first: Height,
    last: Height,
) -> Result<(), &'static str> {
    let question = Question::Blocks { first, last }.encode();
    let answer = node.network.request(&peer, question).await.map_err(|_| "the peer did not answer")?;
    let Ok(Answer::Blocks(encodings)) = Answer::decode(answer) else {
        node.network.report(&peer, Offence::Malformed);
        return Err("the peer answered with something else");
    };
    if encodings.is_empty() {
        return Err("the peer does not hold the blocks that it claims");
    }
    let count = encodings.len();
    let mut next = first;
    for encoding in encodings {
        let decoded = tokio::task::spawn_blocking(move || CommittedBlock::decode(&encoding)).await;
        let block = match decoded {
            Ok(Ok(block)) if block.header.height == next => block,
            Ok(Ok(_) | Err(_)) | Err(_) => {
                warn!(%peer, height = %next, "a peer sent a block that is malformed or was not asked for");
                node.network.report(&peer, Offence::Invalid);
                return Err("the peer sent a bad block");
            }
        };
        next = next.next();
        hand_over(node, peer, block).await?;
    }
    let tip = node.agreement.borrow().tip.0;
    if count > 1 && last.distance_above(tip) > AHEAD {
        info!(height = %tip, target = %last, "catching up");
    }
    Ok(())
}

/// Gives one block to the engine when it can take it, and waits until it has.
async fn hand_over(node: &NodeContext, peer: ValidatorId, block: CommittedBlock) -> Result<(), &'static str> {
    let height = block.header.height;
    if node.agreement.borrow().tip.0 >= height {
        return Ok(());
    }
    // A handover, and the first block of an epoch, need everything below to be executed.
    let is_boundary = matches!(block.header.kind, BlockKind::Handover { .. })
        || block.header.epoch > node.standing.borrow().epoch.validators.epoch();
    let needed = Height(height.0.saturating_sub(if is_boundary { 1 } else { AHEAD }));
    let mut standing = node.standing.clone();
    let is_ready = standing.wait_for(|standing| standing.executed.height >= needed);
    match tokio::time::timeout(BLOCK_PATIENCE, is_ready).await {
        Ok(Ok(_)) => {}
        Ok(Err(_)) | Err(_) => return Err("execution did not keep up"),
    }
    if node.inputs.send(DriverInput::Synced(Box::new(block))).await.is_err() {
        return Err("the driver has stopped");
    }
    let mut agreement = node.agreement.clone();
    let is_taken = agreement.wait_for(|status| status.tip.0 >= height);
    match tokio::time::timeout(BLOCK_PATIENCE, is_taken).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(_)) => Err("the driver has stopped"),
        Err(_) => {
            warn!(%peer, %height, "a peer's block was not accepted: its certificate does not hold");
            node.network.report(&peer, Offence::Invalid);
            Err("the block was not accepted")
        }
    }
}
