//! The batch pool: batches that are held because the engine has them to order, or because a decided block that is not
//! executed yet names them.
//!
//! # What bounds it
//! A batch that its author spreads is charged to the author's share, which is its part of what all may have waiting: a
//! flood is refused at its author's expense, before it is journaled, and what the engine is told of always fits what it
//! can hold. Authors are not proved by a signature, so only what a validator delivers itself is taken in this way. Batches
//! that a block names are taken whatever their author's share: agreement needs them, and blocks bound them.
//!
//! # What the engine knows
//! A batch is *pending* from when it is offered until a block that names it is decided. The driver, which owns the engine,
//! tells it of pending batches only and ends their pendency with each decision, so that whatever the engine counts on is
//! held here, and so in the journal's checkpoints, whatever becomes of other blocks that name it too.
//!
//! Digests of decided batches are remembered for a while, so that a late copy is not ordered again; should one be, the
//! ledger executes each of its proposals once anyway.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aegis_consensus::limits::PENDING_BATCHES;
use aegis_types::{Batch, BatchRef, Canonical, Hash, Header, TypesError, ValidatorId};
use bytes::Bytes;

/// Most bytes of one author's batches that are not ordered yet: some seconds of traffic at full speed.
const AUTHOR_BYTES: u64 = 64 * 1024 * 1024;
/// Most batches of one author that are not ordered yet.
const AUTHOR_BATCHES: usize = 4_096;
/// Most bytes that all validators together may have spread and not ordered; they have equal parts of it.
const SPREAD_BYTES: u64 = 512 * 1024 * 1024;
/// Most batches that all validators together may have spread and not ordered. The other half of what the engine can hold
/// is for batches that blocks name, and this node's own.
const SPREAD_BATCHES: usize = PENDING_BATCHES / 2;
/// Digests of decided batches that are remembered.
const REMEMBERED: usize = 32_768;

/// A batch with its encoding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldBatch {
    /// The batch.
    pub batch: Batch,
    /// Its canonical encoding.
    pub encoding: Bytes,
    /// How headers name it.
    pub reference: BatchRef,
}

impl HeldBatch {
    /// Encodes a batch.
    pub fn new(batch: Batch) -> Self {
        let encoding = Bytes::from(batch.encode());
        let reference = reference(&batch, &encoding);
        Self { batch, encoding, reference }
    }

    /// Reads a batch from bytes that may be hostile. Signatures are not checked.
    ///
    /// # Errors
    /// Whatever is wrong with the encoding.
    pub fn decode(encoding: Bytes) -> Result<Self, TypesError> {
        let batch = Batch::decode(&encoding)?;
        let reference = reference(&batch, &encoding);
        Ok(Self { batch, encoding, reference })
    }
}

fn reference(batch: &Batch, encoding: &[u8]) -> BatchRef {
    BatchRef {
        digest: Batch::digest_of_encoding(encoding),
        author: batch.author,
        proposals: u32::try_from(batch.proposals.len()).unwrap_or(u32::MAX),
        bytes: u32::try_from(encoding.len()).unwrap_or(u32::MAX),
    }
}

/// Why a batch is offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offer {
    /// Its author, one of so many validators, spreads it.
    Spread {
        /// Among how many validators the room is divided.
        validators: usize,
    },
    /// A block names it, the journal has it, or it is this node's own, which the mempool bounds.
    Named,
}

/// What became of an offered batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// The engine is to be told of it.
    New,
    /// The engine knows it or is about to; or, if it was spread, it is decided already.
    Known,
    /// There is no room for it: its author's share is used up, or the engine holds as many as it can.
    NoRoom,
}

/// What an author has spread that is not decided.
#[derive(Debug, Default)]
struct Share {
    bytes: u64,
    batches: usize,
}

#[derive(Debug)]
struct Entry {
    batch: Arc<HeldBatch>,
    /// Whether the engine has it to order, or is about to hear of it.
    is_pending: bool,
    /// Whether it counts in its author's share. Only while it is pending.
    is_charged: bool,
    /// Decided blocks that name it and are not executed.
    unexecuted: u32,
}

#[derive(Debug, Default)]
struct Inner {
    held: BTreeMap<Hash, Entry>,
    /// Entries that are pending.
    pending: usize,
    /// Bytes of all entries.
    bytes: u64,
    shares: BTreeMap<ValidatorId, Share>,
    decided: BTreeSet<Hash>,
    decided_order: VecDeque<Hash>,
}

impl Inner {
    fn judge(&self, reference: &BatchRef, offer: Offer) -> Taken {
        let entry = self.held.get(&reference.digest);
        let is_known = match offer {
            Offer::Spread { .. } => entry.is_some() || self.decided.contains(&reference.digest),
            Offer::Named => entry.is_some_and(|entry| entry.is_pending),
        };
        if is_known {
            return Taken::Known;
        }
        let has_room = match offer {
            Offer::Spread { validators } => self.has_share(reference, validators),
            Offer::Named => true,
        };
        if has_room && self.pending < PENDING_BATCHES { Taken::New } else { Taken::NoRoom }
    }

    fn has_share(&self, reference: &BatchRef, validators: usize) -> bool {
        let parts = validators.max(1);
        let bytes_max = AUTHOR_BYTES.min(SPREAD_BYTES / u64::try_from(parts).unwrap_or(u64::MAX));
        let batches_max = AUTHOR_BATCHES.min(SPREAD_BATCHES / parts);
        let (bytes, batches) =
            self.shares.get(&reference.author).map_or((0, 0), |share| (share.bytes, share.batches));
        batches < batches_max && bytes.saturating_add(u64::from(reference.bytes)) <= bytes_max
    }

    fn charge(&mut self, reference: &BatchRef) {
        let share = self.shares.entry(reference.author).or_default();
        share.bytes = share.bytes.saturating_add(u64::from(reference.bytes));
        share.batches = share.batches.saturating_add(1);
    }

    fn discharge(&mut self, reference: &BatchRef) {
        let Some(share) = self.shares.get_mut(&reference.author) else { return };
        share.bytes = share.bytes.saturating_sub(u64::from(reference.bytes));
        share.batches = share.batches.saturating_sub(1);
        if share.batches == 0 {
            self.shares.remove(&reference.author);
        }
    }

    /// The entry of a batch, made if there is none.
    fn entry(&mut self, batch: Arc<HeldBatch>) -> &mut Entry {
        let BatchRef { digest, bytes, .. } = batch.reference;
        self.held.entry(digest).or_insert_with(|| {
            self.bytes = self.bytes.saturating_add(u64::from(bytes));
            Entry { batch, is_pending: false, is_charged: false, unexecuted: 0 }
        })
    }

    fn end_pendency(&mut self, digest: &Hash) {
        let Some(entry) = self.held.get_mut(digest).filter(|entry| entry.is_pending) else { return };
        entry.is_pending = false;
        let reference = entry.batch.reference;
        let was_charged = std::mem::take(&mut entry.is_charged);
        self.pending = self.pending.saturating_sub(1);
        if was_charged {
            self.discharge(&reference);
        }
    }

    fn remember(&mut self, digest: Hash) {
        if self.decided.insert(digest) {
            self.decided_order.push_back(digest);
        }
        while self.decided_order.len() > REMEMBERED {
            if let Some(oldest) = self.decided_order.pop_front() {
                self.decided.remove(&oldest);
            }
        }
    }
}

/// The pool. Shared by admission, driver, executor and network.
#[derive(Debug, Default)]
pub struct BatchPool {
    inner: Mutex<Inner>,
}

impl BatchPool {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Every change below leaves the pool whole, so a panic elsewhere cannot have broken it.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What [`offer`](Self::offer) would answer: whether checking the batch's signatures is worth the work.
    pub fn judge(&self, reference: &BatchRef, offer: Offer) -> Taken {
        self.lock().judge(reference, offer)
    }

    /// Offers a batch whose signatures are valid. If it is new, the driver must be told.
    pub fn offer(&self, batch: Arc<HeldBatch>, offer: Offer) -> Taken {
        let mut inner = self.lock();
        let reference = batch.reference;
        let taken = inner.judge(&reference, offer);
        if taken == Taken::New {
            let is_charged = matches!(offer, Offer::Spread { .. });
            let entry = inner.entry(batch);
            entry.is_pending = true;
            entry.is_charged = is_charged;
            inner.pending = inner.pending.saturating_add(1);
            if is_charged {
                inner.charge(&reference);
            }
        }
        taken
    }

    /// Whether the engine may be told of a batch: not if it was decided since it was offered.
    pub fn is_pending(&self, digest: &Hash) -> bool {
        self.lock().held.get(digest).is_some_and(|entry| entry.is_pending)
    }

    /// Takes the batches of a decided block out of what the engine has, and holds them until the block is executed.
    /// `brought` are those that came with the block.
    ///
    /// # Errors
    /// The digest of one that is neither held nor brought, which the engine never decides.
    pub fn decide(&self, header: &Header, brought: Vec<Arc<HeldBatch>>) -> Result<Vec<Arc<HeldBatch>>, Hash> {
        let mut brought: BTreeMap<Hash, _> =
            brought.into_iter().map(|batch| (batch.reference.digest, batch)).collect();
        let mut inner = self.lock();
        let mut payload = Vec::with_capacity(header.batches.len());
        for BatchRef { digest, .. } in &header.batches {
            let held = inner.held.get(digest).map(|entry| entry.batch.clone());
            let batch = held.or_else(|| brought.remove(digest)).ok_or(*digest)?;
            let entry = inner.entry(batch.clone());
            entry.unexecuted = entry.unexecuted.saturating_add(1);
            inner.end_pendency(digest);
            inner.remember(*digest);
            payload.push(batch);
        }
        Ok(payload)
    }

    /// Lets go of what an executed block has ordered, unless another block needs it.
    pub fn forget(&self, header: &Header) {
        let mut inner = self.lock();
        for BatchRef { digest, bytes, .. } in &header.batches {
            let Some(entry) = inner.held.get_mut(digest) else { continue };
            entry.unexecuted = entry.unexecuted.saturating_sub(1);
            if entry.unexecuted == 0 && !entry.is_pending {
                inner.held.remove(digest);
                inner.bytes = inner.bytes.saturating_sub(u64::from(*bytes));
            }
        }
    }

    /// The batch of a digest.
    pub fn get(&self, digest: &Hash) -> Option<Arc<HeldBatch>> {
        self.lock().held.get(digest).map(|entry| entry.batch.clone())
    }

    /// Those of `digests` that are neither held nor decided.
    pub fn missing(&self, digests: &[Hash]) -> Vec<Hash> {
        let inner = self.lock();
        let is_missing =
            |digest: &&Hash| !inner.held.contains_key(*digest) && !inner.decided.contains(*digest);
        digests.iter().filter(is_missing).copied().collect()
    }

    /// All held batches.
    pub fn all(&self) -> Vec<Arc<HeldBatch>> {
        self.lock().held.values().map(|entry| entry.batch.clone()).collect()
    }

    /// Digests of the batches of an author that are not ordered, at most `limit`.
    pub fn digests_of(&self, author: &ValidatorId, limit: usize) -> Vec<Hash> {
        let inner = self.lock();
        let is_wanted = |entry: &&Entry| entry.is_pending && entry.batch.reference.author == *author;
        let wanted = inner.held.values().filter(is_wanted);
        wanted.map(|entry| entry.batch.reference.digest).take(limit).collect()
    }

    /// Number and bytes of held batches.
    pub fn size(&self) -> (u64, u64) {
        let inner = self.lock();
        (u64::try_from(inner.held.len()).unwrap_or(u64::MAX), inner.bytes)
    }
}

#[cfg(test)]
mod tests {
    use aegis_types::{BlockKind, Epoch, Executed, Genesis, Height, Keypair, Member, Parameters, Proposal};
    use aegis_types::{ProposalBody, ValidatorSet, Weight};

    use super::*;

    fn batch(seed: u8, sequence: u64) -> Arc<HeldBatch> {
        let key = Keypair::from_seed(&[seed; 32]);
        let member = Member { validator: key.validator_id(), weight: Weight(1) };
        let genesis = Genesis {
            chain: "test".parse().unwrap(),
            timestamp_ms: 1,
            validators: ValidatorSet::new(Epoch(0), vec![member]).unwrap(),
            parameters: Parameters::default(),
        };
        let body = ProposalBody::KvDelete { key: "k".into() };
        let proposal = Proposal::sign(body, 9, "key", &key, &genesis.domain()).unwrap();
        Arc::new(HeldBatch::new(Batch { author: key.validator_id(), sequence, proposals: vec![proposal] }))
    }

    fn header(batches: Vec<BatchRef>) -> Header {
        Header {
            epoch: Epoch(0),
            height: Height(1),
            timestamp_ms: 1,
            parent: Hash::ZERO,
            proposer: ValidatorId([0; 32]),
            batches,
            executed: Executed::default(),
            validators_hash: Hash::ZERO,
            kind: BlockKind::Normal,
        }
    }

    const SPREAD: Offer = Offer::Spread { validators: 4 };

    #[test]
    fn an_executed_batch_is_not_taken_again_unless_a_block_names_it() {
        let pool = BatchPool::default();
        let one = batch(1, 1);
        let block = header(vec![one.reference]);
        assert_eq!(pool.offer(one.clone(), SPREAD), Taken::New);
        assert_eq!(pool.offer(one.clone(), SPREAD), Taken::Known);
        assert_eq!(pool.decide(&block, Vec::new()), Ok(vec![one.clone()]));
        pool.forget(&block);
        assert_eq!(pool.size(), (0, 0));
        assert!(pool.missing(&[one.reference.digest]).is_empty());
        assert_eq!(pool.offer(one.clone(), SPREAD), Taken::Known);
        assert_eq!(pool.offer(one, Offer::Named), Taken::New);
    }

    #[test]
    fn a_batch_that_two_blocks_name_is_held_until_both_are_executed() {
        let pool = BatchPool::default();
        let one = batch(1, 1);
        let block = header(vec![one.reference]);
        pool.offer(one.clone(), SPREAD);
        pool.decide(&block, Vec::new()).unwrap();
        assert!(!pool.is_pending(&one.reference.digest));
        assert_eq!(pool.offer(one.clone(), Offer::Named), Taken::New, "another block names it");
        pool.forget(&block);
        assert_eq!(pool.get(&one.reference.digest), Some(one.clone()), "the engine counts on it");
        assert_eq!(pool.decide(&block, Vec::new()), Ok(vec![one.clone()]));
        assert_eq!(pool.decide(&block, Vec::new()), Ok(vec![one.clone()]), "as when catching up");
        pool.forget(&block);
        assert_eq!(pool.all(), [one]);
        pool.forget(&block);
        assert_eq!(pool.size(), (0, 0));
    }

    #[test]
    fn what_comes_with_a_block_is_held_until_it_is_executed() {
        let pool = BatchPool::default();
        let one = batch(1, 1);
        let block = header(vec![one.reference]);
        assert_eq!(pool.decide(&block, Vec::new()), Err(one.reference.digest));
        assert_eq!(pool.decide(&block, vec![one.clone()]), Ok(vec![one.clone()]));
        assert_eq!(pool.offer(one, SPREAD), Taken::Known);
        pool.forget(&block);
        assert_eq!(pool.size(), (0, 0));
    }

    #[test]
    fn a_flood_uses_up_its_authors_share_only() {
        let pool = BatchPool::default();
        let offer = Offer::Spread { validators: 64 };
        let share = (SPREAD_BATCHES / 64) as u64;
        for sequence in 0..share {
            assert_eq!(pool.offer(batch(1, sequence), offer), Taken::New);
        }
        let next = batch(1, u64::MAX);
        assert_eq!(pool.judge(&next.reference, offer), Taken::NoRoom);
        assert_eq!(pool.offer(next.clone(), offer), Taken::NoRoom);
        assert_eq!(pool.offer(batch(2, 0), offer), Taken::New);
        assert_eq!(pool.offer(next.clone(), Offer::Named), Taken::New);
        assert_eq!(pool.offer(batch(1, share), offer), Taken::NoRoom);
        pool.decide(&header(vec![batch(1, 0).reference]), Vec::new()).unwrap();
        assert_eq!(pool.offer(batch(1, share), offer), Taken::New, "what is decided burdens nobody");
    }

    #[test]
    fn no_more_is_taken_than_the_engine_can_hold() {
        let pool = BatchPool::default();
        pool.lock().pending = PENDING_BATCHES;
        assert_eq!(pool.offer(batch(1, 0), Offer::Named), Taken::NoRoom);
        assert_eq!(pool.size(), (0, 0));
    }

    #[test]
    fn encoding_and_reference_agree_with_the_batch() {
        let one = batch(3, 7);
        assert_eq!(one.reference, one.batch.reference());
        assert_eq!(HeldBatch::decode(one.encoding.clone()).unwrap(), *one);
    }
}
