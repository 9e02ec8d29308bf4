//! Catching up: fetches decided blocks from peers and feeds them to the driver.
//!
//! A block is worth what its certificate is worth, which the engine checks; who delivered it does not matter. A peer whose
//! blocks do not advance this node is reported, and another is asked.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use aegis_consensus::limits::EXECUTION_LAG_WINDOWS;
use aegis_p2p::Offence;
use aegis_types::{
    BlockKind, Canonical, Certificate, CommittedBlock, Domain, Header, Height, Parameter, TypesError,
    ValidatorId, ValidatorSet, VoteKind, Weight,
};
use tokio::sync::watch;
use tracing::{debug, info, warn};

use super::context::NodeContext;
use super::driver::DriverInput;
use super::shortcut::give_head_start;
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
/// Why nothing was fetched, when a peer has answered with no blocks.
const NOT_HELD: &str = "the peer does not hold the blocks that it claims";
/// Peers whose claims are remembered.
const CLAIMS_MAX: usize = 1_024;

/// Peers claim to be ahead, but none has the next block.
#[derive(Debug, Clone, Copy)]
struct Starving {
    tip: Height,
    since: Instant,
    empty_answers: u32,
}

#[derive(Debug, Default)]
struct Known {
    /// What connected peers said they hold. Good enough to ask them; worth nothing as a fact.
    claims: BTreeMap<ValidatorId, Height>,
    /// The highest block whose certificate was seen.
    proven: Height,
    starving: Option<Starving>,
}

#[derive(Debug, Default)]
struct Shared {
    known: Mutex<Known>,
    /// Changes with each claim.
    wanted: watch::Sender<()>,
    /// Attempts to take over a snapshot that have ended.
    attempts: watch::Sender<u64>,
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
        self.shared.wanted.send_replace(());
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

    /// The height up to which blocks are worth looking for. Above what [`Self::target`] believes, that is what more than a
    /// third of all peers claim, but at least two of them: a newcomer may not know any of today's validators. Believing too
    /// much costs some questions about snapshots, and nothing else.
    pub fn believed(&self, tip: Height, validators: &ValidatorSet) -> Height {
        let certain = self.target(tip, validators).map_or(tip, |(height, _)| height);
        let mut claims: Vec<Height> = self.known().claims.values().copied().collect();
        claims.sort_unstable_by_key(|claim| std::cmp::Reverse(*claim));
        // With one peer there is nobody else to ask.
        let above = match claims.len() {
            0 | 1 => 0,
            many => ((many - 1) / 3).max(1),
        };
        claims.get(above).copied().unwrap_or(tip).max(certain)
    }

    /// Tells of every claim from now on, and once at the beginning.
    pub fn wanted(&self) -> watch::Receiver<()> {
        let mut wanted = self.shared.wanted.subscribe();
        wanted.mark_changed();
        wanted
    }

    /// An attempt to take over a snapshot has ended.
    pub fn note_attempt(&self) {
        self.shared.attempts.send_modify(|attempts| *attempts = attempts.saturating_add(1));
    }

    /// Completes when the first attempt to take over a snapshot has ended.
    pub async fn first_attempt(&self) {
        let mut attempts = self.shared.attempts.subscribe();
        // The sender is kept as long as this handle.
        let _ = attempts.wait_for(|attempts| *attempts > 0).await;
    }

    /// Whether the block after `tip` counts as gone: nobody has it of those who claim newer ones.
    pub fn is_starved(&self, tip: Height) -> bool {
        self.known().starving.is_some_and(|starving| {
            starving.tip == tip
                && starving.empty_answers >= STARVED_ANSWERS
                && starving.since.elapsed() >= STARVED_AFTER
        })
    }

    /// A peer that claims newer blocks than `tip` does not have the next one.
    fn note_empty_answer(&self, tip: Height) {
        let mut known = self.known();
        let begun = known.starving.filter(|starving| starving.tip == tip);
        let mut starving = begun.unwrap_or(Starving { tip, since: Instant::now(), empty_answers: 0 });
        starving.empty_answers = starving.empty_answers.saturating_add(1);
        known.starving = Some(starving);
    }

    /// A peer had the next blocks.
    fn note_fed(&self) {
        self.known().starving = None;
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
    let mut wanted = node.sync.wanted();
    let mut had_head_start = false;
    while wanted.changed().await.is_ok() {
        loop {
            if !had_head_start {
                had_head_start = give_head_start(&node).await;
            }
            node.state_sync.until_built().await;
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
                Ok(()) => node.sync.note_fed(),
                Err(reason) => {
                    debug!(%peer, reason, "blocks could not be fetched");
                    if reason == NOT_HELD {
                        node.sync.note_empty_answer(tip);
                    }
                    node.sync.forget(&peer);
                }
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
        node.state_sync.until_built().await;
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
    let (header, certificate) = (block.header.clone(), block.certificate.clone());
    if node.inputs.send(DriverInput::Synced(Box::new(block))).await.is_err() {
        return Err("the driver has stopped");
    }
    let mut agreement = node.agreement.clone();
    let is_taken = agreement.wait_for(|status| status.tip.0 >= height);
    match tokio::time::timeout(BLOCK_PATIENCE, is_taken).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(_)) => Err("the driver has stopped"),
        Err(_) => {
            let status = node.agreement.borrow().clone();
            if let Err(error) =
                check_next(&header, &certificate, status.tip.0, &status.validators, &node.domain)
            {
                warn!(%peer, %height, %error, "a peer's block was not accepted: its certificate does not hold");
                node.network.report(&peer, Offence::Invalid);
            }
            Err("the block was not accepted")
        }
    }
}

/// Checks a block as the engine does that has its tip at `tip` and the validators in office. That the engine has not taken
/// it in time may also be due to this node; only what is refused here is the sender's fault.
///
/// # Errors
/// What proves that no quorum decided this block, where that can be said.
fn check_next(
    header: &Header,
    certificate: &Certificate,
    tip: Height,
    validators: &ValidatorSet,
    domain: &Domain,
) -> Result<(), TypesError> {
    if header.height != tip.next() {
        // The tip has moved, so it is not known whose turn it was.
        return Ok(());
    }
    let content = &certificate.content;
    let is_of_header = content.kind == VoteKind::Commit
        && content.height == header.height
        && content.digest == header.digest()
        && header.epoch == validators.epoch();
    if !is_of_header {
        return Err(TypesError::invalid("commit certificate", "it is of another block or epoch"));
    }
    certificate.verify(validators, domain)
}

#[cfg(test)]
mod tests {
    use aegis_types::{Epoch, Member};

    use super::*;
    use crate::node::testing::Chain;

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
    fn hunger_is_counted_at_one_height() {
        let (sync, tip, near) = (SyncHandle::default(), Height(10), Height(110));
        let answers = || sync.known().starving.map(|starving| starving.empty_answers);
        (0..3).for_each(|_| sync.note_empty_answer(tip));
        assert_eq!(answers(), Some(3));
        sync.note_empty_answer(near);
        assert_eq!(answers(), Some(1), "it has moved on");
        (0..2 * STARVED_ANSWERS).for_each(|_| sync.note_empty_answer(near));
        assert!(!sync.is_starved(near), "a hiccup is no famine");
        sync.note_fed();
        assert_eq!(answers(), None);
    }

    #[test]
    fn a_height_that_few_peers_claim_sends_nobody_looking_for_a_snapshot() {
        let (sync, validators, tip) = (SyncHandle::default(), validators(), Height(10));
        let believed = || sync.believed(tip, &validators);
        assert_eq!(believed(), tip);
        sync.want(Height(50), peer(50));
        assert_eq!(believed(), Height(50), "there is nobody else");
        sync.want(Height(u64::MAX), peer(51));
        assert_eq!(believed(), Height(50));
        sync.want(Height(40), peer(52));
        assert_eq!(believed(), Height(50), "two claim it");
        (53..=56).for_each(|stranger| sync.want(Height(60), peer(stranger)));
        sync.want(Height(u64::MAX), peer(57));
        assert_eq!(believed(), Height(60), "two of eight are no third");
        sync.prove(Height(70));
        assert_eq!(believed(), Height(70));
    }

    #[test]
    fn a_block_that_this_node_is_too_busy_for_is_not_held_against_its_sender() {
        let mut chain = Chain::new();
        let mut execution = chain.execution();
        let block = chain.decide(&mut execution, Vec::new());
        let (validators, domain) = (&chain.genesis.validators, chain.genesis.domain());
        let check = |block: &CommittedBlock, tip| {
            check_next(&block.header, &block.certificate, tip, validators, &domain)
        };
        check(&block, Height::ZERO).unwrap();
        let mut unsigned = block.clone();
        unsigned.certificate.signatures.clear();
        let mut of_another = block.clone();
        of_another.header.timestamp_ms += 1;
        let mut of_later = block.clone();
        of_later.header.epoch = Epoch(1);
        for bad in [unsigned, of_another, of_later] {
            assert!(check(&bad, Height::ZERO).is_err());
            check(&bad, Height(7)).expect("where this node stands elsewhere, nothing is proved");
        }
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
