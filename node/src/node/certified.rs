//! The newest state that a quorum vouches for, and reads and proofs of it.
//!
//! A decided header names a block that was executed before, and the state root after it. So its commit certificate certifies
//! the state after that block, the *certified point*, which lies a few blocks below the newest executed one. An undo log
//! leads back to it.
//!
//! # Invariants
//! - While a point is published, the undo log covers it: what reads it is the state that its root is of. A point that is not
//!   covered any more, which takes a block that overwrites hundreds of megabytes, is withdrawn.
//! - After a start there is no point before a decided block names a state that this process has executed: the next
//!   block as a rule.
//! - Whoever needs a point for longer pins it; the undo log grows meanwhile, up to its bound.
//!
//! Locks are taken in the order pins, undo log, ledger, covered states.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, Weak};

use aegis_ledger::{Applied, EarlierState, Ledger, StateReader, UndoLog};
use aegis_store::KvStore;
use aegis_types::{CertifiedHeader, CommittedBlock, Executed, Hash, Height, StateProof, Subtree};
use anyhow::anyhow;
use tokio::sync::watch;

use super::snapshot::pinned::Pinned;
use super::state::StateView;

/// Bytes of overwritten values that are remembered. An ordinary window of blocks overwrites a few megabytes; with more
/// room, clients who overwrite large values could make a node run out of memory, with less, large writes would interrupt
/// certified reads for a moment.
const UNDO_BYTES_MAX: usize = 256 << 20;

/// A state that a quorum has certified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertifiedPoint {
    /// The block and the root of the state after it.
    pub executed: Executed,
    /// Agreed time of that block, in milliseconds of the Unix epoch.
    pub timestamp_ms: u64,
    /// The decided header that names them. The headers between the two are in the committed log.
    pub by: CertifiedHeader,
}

/// Why a certified state cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum NotCertified {
    /// No decided block has named a state that this process has executed.
    #[error(
        "no state is certified since this node has started; the next block certifies one: try again in a moment"
    )]
    NothingYet,
    /// The state has moved on.
    #[error("the state after block {0} is not held any more; try again to read the newest certified one")]
    Gone(Height),
    /// The node cannot read.
    #[error(transparent)]
    Failed(#[from] anyhow::Error),
}

/// A state that can be read, as this node computed it.
struct Covered {
    state_root: Hash,
    /// Agreed time of its block.
    timestamp_ms: u64,
}

/// Certified points as they come and go.
pub struct CertifiedState {
    kv: Arc<dyn KvStore>,
    ledger: Arc<RwLock<Ledger>>,
    undo: RwLock<UndoLog>,
    /// The states that the undo log covers, its base included.
    covered: Mutex<BTreeMap<Height, Covered>>,
    /// Heights that somebody needs, and how many do.
    pins: Mutex<BTreeMap<Height, usize>>,
    newest: watch::Sender<Option<Arc<CertifiedPoint>>>,
    /// What a long reader follows, as long as it does.
    followed: Mutex<Weak<Pinned>>,
}

/// A certified state for a reader that takes long and must not keep blocks from being executed.
pub struct Followed {
    /// The point.
    pub point: Arc<CertifiedPoint>,
    /// The hashes of all buckets of its state.
    pub buckets: Vec<Hash>,
    /// What later blocks replace in the store.
    pub pinned: Arc<Pinned>,
}

impl CertifiedState {
    /// Begins at the newest executed state, which nothing has certified to this process yet.
    ///
    /// # Errors
    /// When a panic left the ledger half changed.
    pub fn new(kv: Arc<dyn KvStore>, ledger: Arc<RwLock<Ledger>>) -> anyhow::Result<Self> {
        Self::bounded(kv, ledger, UNDO_BYTES_MAX)
    }

    fn bounded(kv: Arc<dyn KvStore>, ledger: Arc<RwLock<Ledger>>, bytes_max: usize) -> anyhow::Result<Self> {
        let (height, first) = {
            let ledger = ledger.read().map_err(|_| poisoned())?;
            let first = Covered { state_root: ledger.root(), timestamp_ms: ledger.timestamp_ms() };
            (ledger.height(), first)
        };
        Ok(Self {
            kv,
            ledger,
            undo: RwLock::new(UndoLog::new(height, bytes_max)),
            covered: Mutex::new(BTreeMap::from([(height, first)])),
            pins: Mutex::default(),
            newest: watch::Sender::new(None),
            followed: Mutex::default(),
        })
    }

    /// Applies a block to the ledger and remembers what it changes. The caller writes the changes afterwards.
    ///
    /// # Errors
    /// When the store fails or the block does not follow.
    pub fn apply(&self, block: &CommittedBlock) -> anyhow::Result<Applied> {
        let state = StateView(self.kv.as_ref());
        let mut undo = self.undo.write().map_err(|_| poisoned())?;
        // The ledger is free again before the undo log is: admission need not wait for what was overwritten to be read.
        let applied = self.ledger.write().map_err(|_| poisoned())?.apply(&state, block)?;
        undo.record(&state, applied.height, &applied.changes)?;
        let timestamp_ms = block.header.timestamp_ms;
        self.covered().insert(applied.height, Covered { state_root: applied.state_root, timestamp_ms });
        if let Some(pinned) = self.followed().upgrade() {
            note_since(&undo, applied.height.previous(), &pinned);
        }
        Ok(applied)
    }

    /// The newest point for one long reader: blocks are executed while it reads, and it sees none of them. A second call lets
    /// go of what the first one follows.
    ///
    /// # Errors
    /// `NothingYet`, `Gone`.
    pub fn follow(&self) -> Result<Followed, NotCertified> {
        // No block is applied between the notes of the blocks so far and those to come.
        let undo = self.undo.write().map_err(|_| poisoned())?;
        let point = self.newest()?;
        let height = point.executed.height;
        let since = undo.since(height).ok_or(NotCertified::Gone(height))?;
        let buckets =
            self.ledger()?.subtree_roots(Subtree::LEVEL_MAX, &since).map_err(anyhow::Error::from)?;
        let pinned = Arc::new(Pinned::default());
        note_since(&undo, height, &pinned);
        *self.followed() = Arc::downgrade(&pinned);
        Ok(Followed { point, buckets, pinned })
    }

    /// Publishes the point that a block certifies, once the block is executed and its changes are written. A root that is not
    /// the one that this node computed is not published: the engine finds that out too, and stops the node.
    ///
    /// # Errors
    /// When a panic left the undo log half changed.
    pub fn advance(&self, block: &CommittedBlock) -> anyhow::Result<()> {
        let (header, certificate) = (&block.header, &block.certificate);
        let executed = header.executed;
        let pins = self.pins();
        let mut undo = self.undo.write().map_err(|_| poisoned())?;
        let mut covered = self.covered();
        if undo.since(executed.height).is_some()
            && let Some(own) = covered.get(&executed.height)
            && own.state_root == executed.state_root
        {
            let by = CertifiedHeader { header: header.clone(), certificate: certificate.clone() };
            let point = CertifiedPoint { executed, timestamp_ms: own.timestamp_ms, by };
            self.newest.send_replace(Some(Arc::new(point)));
            let needed = pins.keys().next().copied().unwrap_or(executed.height);
            undo.release(needed.min(executed.height));
        } else if self
            .newest
            .borrow()
            .as_ref()
            .is_some_and(|point| undo.since(point.executed.height).is_none())
        {
            self.newest.send_replace(None);
        }
        *covered = covered.split_off(&undo.base());
        Ok(())
    }

    /// The newest point.
    ///
    /// # Errors
    /// `NothingYet`.
    pub fn newest(&self) -> Result<Arc<CertifiedPoint>, NotCertified> {
        self.newest.borrow().clone().ok_or(NotCertified::NothingYet)
    }

    /// The newest point, as it changes.
    pub fn subscribe(&self) -> watch::Receiver<Option<Arc<CertifiedPoint>>> {
        self.newest.subscribe()
    }

    /// The newest point, kept readable for as long as the pin lives.
    ///
    /// # Errors
    /// `NothingYet`.
    pub fn pin(self: &Arc<Self>) -> Result<PinnedState, NotCertified> {
        let mut pins = self.pins();
        let point = self.newest()?;
        let count = pins.entry(point.executed.height).or_default();
        *count = count.saturating_add(1);
        drop(pins);
        Ok(PinnedState { state: self.clone(), point })
    }

    /// Reads the state at a point. No block is executed meanwhile: read a page and come back.
    ///
    /// # Errors
    /// `Gone`, and what `read` finds.
    pub fn read<T, E: Into<anyhow::Error>>(
        &self,
        point: &CertifiedPoint,
        read: impl FnOnce(&dyn StateReader) -> Result<T, E>,
    ) -> Result<T, NotCertified> {
        let height = point.executed.height;
        let undo = self.undo()?;
        let since = undo.since(height).ok_or(NotCertified::Gone(height))?;
        let newest = StateView(self.kv.as_ref());
        read(&EarlierState::new(since, &newest)).map_err(|error| NotCertified::Failed(error.into()))
    }

    /// What a key of agreed state has at a point, with the proof of it.
    ///
    /// # Errors
    /// `Gone`, or when the store fails or the proof would be too large.
    pub fn prove(
        &self,
        point: &CertifiedPoint,
        key: &[u8],
    ) -> Result<(Option<Vec<u8>>, StateProof), NotCertified> {
        let height = point.executed.height;
        let undo = self.undo()?;
        let since = undo.since(height).ok_or(NotCertified::Gone(height))?;
        let proof = self.ledger()?.prove(key, &since).map_err(anyhow::Error::from)?;
        let newest = StateView(self.kv.as_ref());
        let value = EarlierState::new(since, &newest).get(key).map_err(anyhow::Error::from)?;
        Ok((value, proof))
    }

    /// The roots of all subtrees of a level at a point.
    ///
    /// # Errors
    /// `Gone`, or when there is no such level.
    pub fn subtree_roots(&self, point: &CertifiedPoint, level: u32) -> Result<Vec<Hash>, NotCertified> {
        let height = point.executed.height;
        let undo = self.undo()?;
        let since = undo.since(height).ok_or(NotCertified::Gone(height))?;
        Ok(self.ledger()?.subtree_roots(level, &since).map_err(anyhow::Error::from)?)
    }

    fn followed(&self) -> MutexGuard<'_, Weak<Pinned>> {
        self.followed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn undo(&self) -> anyhow::Result<RwLockReadGuard<'_, UndoLog>> {
        self.undo.read().map_err(|_| poisoned())
    }

    fn ledger(&self) -> anyhow::Result<RwLockReadGuard<'_, Ledger>> {
        self.ledger.read().map_err(|_| poisoned())
    }

    fn covered(&self) -> MutexGuard<'_, BTreeMap<Height, Covered>> {
        self.covered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pins(&self) -> MutexGuard<'_, BTreeMap<Height, usize>> {
        self.pins.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Notes what the blocks above `height` have replaced.
fn note_since(undo: &UndoLog, height: Height, pinned: &Pinned) {
    match undo.since(height) {
        Some(since) => since.entries().into_iter().for_each(|(key, old)| pinned.note(key, old)),
        None => pinned.lose(),
    }
}

fn poisoned() -> anyhow::Error {
    anyhow!("a panic left the ledger half changed")
}

/// A certified point that stays readable.
pub struct PinnedState {
    state: Arc<CertifiedState>,
    point: Arc<CertifiedPoint>,
}

#[allow(dead_code, reason = "for snapshots, which read a whole state at a point")]
impl PinnedState {
    /// The point.
    pub fn point(&self) -> &Arc<CertifiedPoint> {
        &self.point
    }

    /// Reads the state at the point, as [`CertifiedState::read`] does.
    ///
    /// # Errors
    /// `Gone` when the blocks since then overwrote more than is remembered, and what `read` finds.
    pub fn read<T, E: Into<anyhow::Error>>(
        &self,
        read: impl FnOnce(&dyn StateReader) -> Result<T, E>,
    ) -> Result<T, NotCertified> {
        self.state.read(&self.point, read)
    }

    /// What a key of agreed state has at the point, with the proof of it.
    ///
    /// # Errors
    /// As [`CertifiedState::prove`].
    pub fn prove(&self, key: &[u8]) -> Result<(Option<Vec<u8>>, StateProof), NotCertified> {
        self.state.prove(&self.point, key)
    }

    /// The roots of all subtrees of a level.
    ///
    /// # Errors
    /// As [`CertifiedState::subtree_roots`].
    pub fn subtree_roots(&self, level: u32) -> Result<Vec<Hash>, NotCertified> {
        self.state.subtree_roots(&self.point, level)
    }
}

impl Drop for PinnedState {
    fn drop(&mut self) {
        let mut pins = self.state.pins();
        let height = self.point.executed.height;
        if let Some(count) = pins.get_mut(&height) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                pins.remove(&height);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use aegis_ledger::query;
    use aegis_types::KvRecord;

    use super::*;
    use crate::node::executor::Execution;
    use crate::node::testing::Chain;

    fn put(key: &str, value: &str) -> aegis_types::ProposalBody {
        aegis_types::ProposalBody::KvPut { key: key.to_owned(), value: value.into() }
    }

    /// Executes the next block, which sets `k` to its height and certifies the state after block `certified`.
    fn step(chain: &mut Chain, execution: &mut Execution, certified: u64) {
        let value = (chain.blocks.len() + 1).to_string();
        let proposal = chain.proposal(put("k", &value));
        let mut block = chain.add(10, vec![proposal]);
        let root = chain.roots.get(&Height(certified)).copied().unwrap_or_default();
        block.header.executed = Executed { height: Height(certified), state_root: root };
        let block = chain.replace_newest(block);
        execution.execute(&block).unwrap();
        chain.roots.insert(block.header.height, execution.standing.executed.state_root);
    }

    fn begin() -> (Chain, Execution) {
        let mut chain = Chain::new();
        let execution = chain.execution();
        chain.roots.insert(Height::ZERO, execution.standing.executed.state_root);
        (chain, execution)
    }

    fn value(state: &CertifiedState, point: &CertifiedPoint) -> Result<String, NotCertified> {
        let entry = state.read(point, |state| query::kv(state, "k"))?;
        Ok(entry.map_or_else(String::new, |entry| String::from_utf8(entry.value).unwrap()))
    }

    #[test]
    fn nothing_is_certified_before_the_first_block_after_a_start() {
        let (mut chain, mut execution) = begin();
        assert!(matches!(execution.certified.newest(), Err(NotCertified::NothingYet)));
        step(&mut chain, &mut execution, 0);
        let point = execution.certified.newest().unwrap();
        assert_eq!((point.executed.height, point.timestamp_ms), (Height::ZERO, chain.genesis.timestamp_ms));
        assert_eq!(value(&execution.certified, &point).unwrap(), "");
    }

    #[test]
    fn the_certified_state_is_read_and_proved_while_newer_blocks_are_executed() {
        let (mut chain, mut execution) = begin();
        for certified in [0, 0, 1, 3, 3] {
            step(&mut chain, &mut execution, certified);
        }
        let state = execution.certified.clone();
        let point = state.newest().unwrap();
        assert_eq!((point.executed.height, point.by.header.height), (Height(3), Height(5)));
        assert_eq!(point.timestamp_ms, chain.blocks[2].header.timestamp_ms);
        assert_eq!(value(&state, &point).unwrap(), "3");
        let key = KvRecord::state_key("k");
        let (value, proof) = state.prove(&point, &key).unwrap();
        proof.verify_value(&point.executed.state_root, &key, value.as_deref()).unwrap();
        assert_eq!(state.read(&point, |state| state.get(&key)).unwrap(), value);
        let roots = state.subtree_roots(&point, 4).unwrap();
        let root = aegis_types::subtree::root_of_subtrees(&roots).unwrap();
        assert_eq!(root, point.executed.state_root);
    }

    #[test]
    fn a_root_that_this_node_did_not_compute_is_not_published() {
        let (mut chain, mut execution) = begin();
        step(&mut chain, &mut execution, 0);
        chain.roots.insert(Height(1), Hash([7; 32]));
        step(&mut chain, &mut execution, 1);
        assert_eq!(execution.certified.newest().unwrap().executed.height, Height::ZERO);
    }

    #[test]
    fn a_point_that_was_left_behind_is_gone_unless_it_is_pinned() {
        let (mut chain, mut execution) = begin();
        step(&mut chain, &mut execution, 0);
        step(&mut chain, &mut execution, 1);
        let state = execution.certified.clone();
        let pinned = state.pin().unwrap();
        for certified in 2..6 {
            step(&mut chain, &mut execution, certified);
        }
        assert_eq!(value(&state, pinned.point()).unwrap(), "1");
        assert_eq!(value(&state, &state.newest().unwrap()).unwrap(), "5");
        let point = pinned.point().clone();
        drop(pinned);
        step(&mut chain, &mut execution, 6);
        assert!(matches!(value(&state, &point), Err(NotCertified::Gone(Height(1)))));
    }

    #[test]
    fn a_point_is_withdrawn_when_the_way_back_to_it_is_lost_and_the_next_one_is_published() {
        let (mut chain, mut execution) = begin();
        let ledger = execution.ledger.clone();
        execution.certified = Arc::new(CertifiedState::bounded(execution.kv.clone(), ledger, 4_000).unwrap());
        step(&mut chain, &mut execution, 0);
        let left_behind = execution.certified.newest().unwrap();
        assert_eq!(left_behind.executed.height, Height::ZERO);
        for _ in 0..20 {
            step(&mut chain, &mut execution, 0);
        }
        assert!(matches!(execution.certified.newest(), Err(NotCertified::NothingYet)));
        assert!(matches!(value(&execution.certified, &left_behind), Err(NotCertified::Gone(Height::ZERO))));
        step(&mut chain, &mut execution, 21);
        assert_eq!(value(&execution.certified, &execution.certified.newest().unwrap()).unwrap(), "21");
    }
}
