//! Catching up: fetches decided blocks from peers and feeds them to the driver.
//!
//! A block is worth what its certificate is worth, which the engine checks; who delivered it does not matter. A peer whose
//! blocks do not advance this node is reported, and another is asked.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use aegis_config::{SyncMode, SyncSection};
use aegis_consensus::limits::EXECUTION_LAG_WINDOWS;
use aegis_p2p::Offence;
use aegis_types::{
    BlockKind, Canonical, CommittedBlock, Height, Parameter, ValidatorId, ValidatorSet, Weight,
};
use tokio::sync::Notify;
use tracing::{debug, info, warn};

use super::context::NodeContext;
use super::driver::DriverInput;
use super::state_sync::SyncFailure;
use super::wire::{Answer, Question};

/// How often peers are asked where they stand.
const ASK_INTERVAL: Duration = Duration::from_secs(1);
/// Peers asked each time.
const ASKED_PEERS: usize = 2;
/// Blocks asked for at once.
const BLOCKS: u64 = 128;
/// How long the engine may take for one block, execution included.
const BLOCK_PATIENCE: Duration = Duration::from_secs(10);
/// Blocks handed to the engine ahead of execution, or fewer where it takes fewer.
const AHEAD: u64 = 8;
/// After so many answers in a row without the next block, from peers that claim newer ones, and for so long, it is taken for
/// gone. With less, a hiccup or a few liars could make a node give up its history; with more, a node that needs a snapshot waits
/// longer for it.
const STARVED_ANSWERS: u32 = 8;
const STARVED_AFTER: Duration = Duration::from_secs(20);
/// Between two looks for a snapshot.
const SHORTCUT_PAUSE: Duration = Duration::from_secs(10);
/// Why nothing was fetched, when a peer has answered with no blocks.
const NOT_HELD: &str = "the peer does not hold the blocks that it claims";
/// Peers whose claims are remembered.
const CLAIMS_MAX: usize = 1_024;

#[derive(Debug, Default)]
struct Known {
    /// What connected peers said they hold. Good enough to ask them; worth nothing as a fact.
    claims: BTreeMap<ValidatorId, Height>,
    /// The highest block whose certificate was seen.
    proven: Height,
}

#[derive(Debug, Default)]
struct Shared {
    known: Mutex<Known>,
    wanted: Notify,
}

/// What is known of newer blocks, and the way to tell the sync task about them.
#[derive(Debug, Clone, Default)]
pub struct SyncHandle {
    shared: Arc<Shared>,
}

impl SyncHandle {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.shared.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `peer` claims to hold blocks up to `height`.
    pub fn want(&self, height: Height, peer: ValidatorId) {
        let mut known = self.known();
        if known.claims.len() >= CLAIMS_MAX && !known.claims.contains_key(&peer) {
            let lowest = known.claims.iter().min_by_key(|(_, claim)| **claim).map(|(peer, _)| *peer);
            if let Some(lowest) = lowest {
                known.claims.remove(&lowest);
            }
        }
        known.claims.insert(peer, height);
        drop(known);
        self.shared.wanted.notify_one();
    }

    /// A block of this height is committed: its certificate was verified.
    pub fn prove(&self, height: Height) {
        let mut known = self.known();
        known.proven = known.proven.max(height);
    }

    /// The highest block above `tip` that must exist, and how many peers claim to hold newer blocks than the tip.
    ///
    /// One peer can claim anything. A height is believed when it is proven, or when so much of the validators' weight
    /// claims it or more that a correct one is among them.
    pub fn target(&self, tip: Height, validators: &ValidatorSet) -> Option<(Height, usize)> {
        let known = self.known();
        let mut claims: Vec<(Height, Weight)> = known
            .claims
            .iter()
            .map(|(peer, claim)| (*claim, validators.weight_of(peer)))
            .filter(|(claim, weight)| *claim > tip && *weight > Weight::ZERO)
            .collect();
        claims.sort_unstable_by_key(|(claim, _)| std::cmp::Reverse(*claim));
        let mut weight = Weight::ZERO;
        let believed = claims.into_iter().find_map(|(claim, of_claimant)| {
            weight = weight.plus(of_claimant);
            (weight >= validators.weak_quorum()).then_some(claim)
        });
        let target = known.proven.max(believed.unwrap_or(tip));
        let holders = known.claims.values().filter(|claim| **claim > tip).count();
        (target > tip).then_some((target, holders))
    }

    /// What a peer claimed last.
    pub fn claim(&self, peer: &ValidatorId) -> Option<Height> {
        self.known().claims.get(peer).copied()
    }

    /// Drops what a peer claimed: it is gone, or does not hold what it claimed.
    pub fn forget(&self, peer: &ValidatorId) {
        self.known().claims.remove(peer);
    }

    /// The highest block that anybody claims to hold, or that is proven.
    fn highest(&self) -> Option<Height> {
        let known = self.known();
        known.claims.values().copied().chain([known.proven]).max()
    }

    fn candidates(&self, height: Height) -> Vec<(ValidatorId, Height)> {
        let known = self.known();
        let above = known.claims.iter().filter(|(_, claim)| **claim > height);
        above.map(|(peer, claim)| (*peer, *claim)).collect()
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
                if let Ok(Answer::Tip { height, .. }) = Answer::decode(answer)
                    && node.network.is_connected(&peer)
                {
                    node.sync.want(height, peer);
                }
            });
        }
    }
}

/// Fetches what peers have and this node lacks, for as long as the node runs.
pub async fn fetch_blocks(node: Arc<NodeContext>) {
    let mut shortcut = Shortcut::default();
    loop {
        node.sync.shared.wanted.notified().await;
        loop {
            shortcut.take_if_worthwhile(&node).await;
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
            match fetch_from(&node, peer, tip.next(), last).await {
                Ok(()) => shortcut.starving = None,
                Err(reason) => {
                    debug!(%peer, reason, "blocks could not be fetched");
                    if reason == NOT_HELD {
                        shortcut.note_empty_answer(tip);
                    }
                    node.sync.forget(&peer);
                }
            }
        }
    }
}

/// The way past blocks: a snapshot, when so many are missing that it is worthwhile, or when nobody has them any more.
#[derive(Debug, Default)]
struct Shortcut {
    starving: Option<Starving>,
    /// When it was looked for last.
    tried: Option<Instant>,
}

/// Peers claim to be ahead, but none has the next block.
#[derive(Debug, Clone, Copy)]
struct Starving {
    tip: Height,
    since: Instant,
    empty_answers: u32,
}

impl Shortcut {
    fn note_empty_answer(&mut self, tip: Height) {
        let begun = self.starving.filter(|starving| starving.tip == tip);
        let mut starving = begun.unwrap_or(Starving { tip, since: Instant::now(), empty_answers: 0 });
        starving.empty_answers += 1;
        self.starving = Some(starving);
    }

    async fn take_if_worthwhile(&mut self, node: &NodeContext) {
        let tip = node.agreement.borrow().tip.0;
        let is_starved = self.starving.is_some_and(|starving| {
            starving.tip == tip
                && starving.empty_answers >= STARVED_ANSWERS
                && starving.since.elapsed() >= STARVED_AFTER
        });
        let highest = node.sync.highest().unwrap_or(tip);
        let worthwhile = least_snapshot(&node.sync_rule, tip, highest);
        let Some(least) = worthwhile.or(is_starved.then(|| tip.next())) else { return };
        if self.tried.is_some_and(|tried| tried.elapsed() < SHORTCUT_PAUSE) {
            return;
        }
        self.tried = Some(Instant::now());
        if node.sync_rule.mode == SyncMode::Blocks {
            warn!(
                next = %tip.next(),
                "no peer has the next block any more, and this node syncs by blocks only; join by an archive node, or set \
                 sync.mode to \"snapshot\""
            );
            return;
        }
        match node.state_sync.run(least).await {
            Ok(height) if node.agreement.borrow().tip.0 >= height => node.state_sync.discard(),
            Ok(height) => {
                info!(%height, "the state of a snapshot is ready; the node goes on from there");
                node.restart.request();
                std::future::pending::<()>().await;
            }
            Err(SyncFailure::NoOffer) => debug!("no peer offers a snapshot that would help"),
            Err(error) => warn!(%error, "no snapshot was taken over; trying again"),
        }
        self.tried = Some(Instant::now());
    }
}

/// The lowest height of a snapshot that would help a node at `tip`, which was told of blocks up to `highest`; none when
/// blocks are the better way.
fn least_snapshot(rule: &SyncSection, tip: Height, highest: Height) -> Option<Height> {
    let distance = u64::try_from(rule.snapshot_distance).unwrap_or(u64::MAX);
    let is_far = rule.mode == SyncMode::Snapshot && highest.distance_above(tip) > distance;
    is_far.then(|| tip.plus((distance / 2).max(1)))
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
        return Err(NOT_HELD);
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
    let window = node.standing.borrow().epoch.parameters.get(Parameter::Window);
    let ahead = AHEAD.min(window.saturating_mul(EXECUTION_LAG_WINDOWS));
    let needed = Height(height.0.saturating_sub(if is_boundary { 1 } else { ahead }));
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

#[cfg(test)]
mod tests {
    use aegis_types::{Epoch, Member};

    use super::*;

    fn peer(number: u8) -> ValidatorId {
        ValidatorId([number; 32])
    }

    fn validators() -> ValidatorSet {
        let members = (1..=4).map(|number| Member { validator: peer(number), weight: Weight(1) });
        ValidatorSet::new(Epoch(0), members.collect()).unwrap()
    }

    #[test]
    fn one_claimant_alone_is_not_believed_whatever_it_claims() {
        let (sync, validators) = (SyncHandle::default(), validators());
        sync.want(Height(u64::MAX), peer(1));
        (50..=60).for_each(|observer| sync.want(Height(900), peer(observer)));
        assert_eq!(sync.target(Height(10), &validators), None);
        sync.want(Height(40), peer(2));
        assert_eq!(sync.target(Height(10), &validators), Some((Height(40), 13)));
        assert_eq!(sync.target(Height(40), &validators), None);
        sync.forget(&peer(2));
        assert_eq!(sync.target(Height(10), &validators), None);
        assert_eq!(sync.claim(&peer(2)), None);
    }

    #[test]
    fn a_verified_block_proves_its_height() {
        let (sync, validators) = (SyncHandle::default(), validators());
        sync.prove(Height(25));
        sync.prove(Height(20));
        assert_eq!(sync.target(Height(10), &validators), Some((Height(25), 0)));
        assert_eq!(sync.target(Height(25), &validators), None);
    }

    #[test]
    fn a_snapshot_is_looked_for_when_many_blocks_are_missing_and_hunger_is_counted_at_one_height() {
        let rule = |mode| SyncSection { mode, snapshot_distance: 100 };
        let (tip, near, far) = (Height(10), Height(110), Height(111));
        let snapshot = rule(SyncMode::Snapshot);
        assert_eq!(least_snapshot(&snapshot, tip, near), None);
        assert_eq!(least_snapshot(&snapshot, tip, far), Some(Height(60)));
        assert_eq!(least_snapshot(&rule(SyncMode::Blocks), tip, far), None);
        let mut shortcut = Shortcut::default();
        (0..3).for_each(|_| shortcut.note_empty_answer(tip));
        assert_eq!(shortcut.starving.map(|starving| starving.empty_answers), Some(3));
        shortcut.note_empty_answer(near);
        assert_eq!(shortcut.starving.map(|starving| starving.empty_answers), Some(1), "it has moved on");
    }

    #[test]
    fn low_claims_make_room_for_higher_ones() {
        let sync = SyncHandle::default();
        let stranger = |number: usize| {
            let mut id = [0; 32];
            id[..8].copy_from_slice(&number.to_be_bytes());
            ValidatorId(id)
        };
        (0..CLAIMS_MAX).for_each(|number| sync.want(Height(1), stranger(number)));
        sync.want(Height(9), peer(200));
        assert_eq!(sync.candidates(Height(1)), [(peer(200), Height(9))]);
        assert_eq!(sync.known().claims.len(), CLAIMS_MAX);
    }
}
