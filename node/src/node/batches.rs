//! The batch pool: batches that are held and not yet executed.
//!
//! Each author has a bounded share, so a flood by one author is refused at its own expense. Batches that a block names are
//! taken whatever their author's share: the block is what bounds them. Digests of executed batches are remembered for a
//! while, so that a late copy is not ordered again; should one be, the ledger executes each of its proposals once anyway.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aegis_types::{Batch, BatchRef, Canonical, Hash, Header, TypesError, ValidatorId};
use bytes::Bytes;

/// Most bytes of one author's batches that are not ordered yet: some seconds of traffic at full speed.
const AUTHOR_BYTES: u64 = 64 * 1024 * 1024;
/// Most batches of one author that are not ordered yet.
const AUTHOR_BATCHES: usize = 4_096;
/// Digests of executed batches that are remembered.
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
    /// Its author spreads it.
    Spread,
    /// A block names it.
    Named,
}

/// What became of an offered batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It is new and held now.
    New,
    /// It is or was held already.
    Known,
    /// Its author's share is used up.
    ShareUsedUp,
}

#[derive(Debug, Default)]
struct Share {
    bytes: u64,
    batches: usize,
}

#[derive(Debug, Default)]
struct Inner {
    held: BTreeMap<Hash, Arc<HeldBatch>>,
    shares: BTreeMap<ValidatorId, Share>,
    executed: BTreeSet<Hash>,
    executed_order: VecDeque<Hash>,
}

impl Inner {
    fn remove(&mut self, digest: &Hash) {
        let Some(batch) = self.held.remove(digest) else { return };
        let BatchRef { author, bytes, .. } = batch.reference;
        if let Some(share) = self.shares.get_mut(&author) {
            share.bytes = share.bytes.saturating_sub(u64::from(bytes));
            share.batches = share.batches.saturating_sub(1);
            if share.batches == 0 {
                self.shares.remove(&author);
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

    /// Offers a batch whose signatures are valid.
    pub fn offer(&self, batch: Arc<HeldBatch>, offer: Offer) -> Taken {
        let mut inner = self.lock();
        let BatchRef { digest, author, bytes, .. } = batch.reference;
        let is_done = offer == Offer::Spread && inner.executed.contains(&digest);
        if is_done || inner.held.contains_key(&digest) {
            return Taken::Known;
        }
        let share = inner.shares.entry(author).or_default();
        let is_used_up = share.batches >= AUTHOR_BATCHES || share.bytes + u64::from(bytes) > AUTHOR_BYTES;
        if is_used_up && offer == Offer::Spread {
            return Taken::ShareUsedUp;
        }
        share.bytes += u64::from(bytes);
        share.batches += 1;
        inner.held.insert(digest, batch);
        Taken::New
    }

    /// The batch of a digest.
    pub fn get(&self, digest: &Hash) -> Option<Arc<HeldBatch>> {
        self.lock().held.get(digest).cloned()
    }

    /// Those of `digests` that are neither held nor executed.
    pub fn missing(&self, digests: &[Hash]) -> Vec<Hash> {
        let inner = self.lock();
        let is_missing =
            |digest: &&Hash| !inner.held.contains_key(*digest) && !inner.executed.contains(*digest);
        digests.iter().filter(is_missing).copied().collect()
    }

    /// Takes out batches that turned out not to be wanted.
    pub fn withdraw(&self, digests: &[Hash]) {
        let mut inner = self.lock();
        for digest in digests {
            inner.remove(digest);
        }
    }

    /// Forgets what an executed block has ordered.
    pub fn forget(&self, header: &Header) {
        let mut inner = self.lock();
        for named in &header.batches {
            inner.remove(&named.digest);
            if inner.executed.insert(named.digest) {
                inner.executed_order.push_back(named.digest);
            }
        }
        while inner.executed_order.len() > REMEMBERED {
            if let Some(oldest) = inner.executed_order.pop_front() {
                inner.executed.remove(&oldest);
            }
        }
    }

    /// All held batches.
    pub fn all(&self) -> Vec<Arc<HeldBatch>> {
        self.lock().held.values().cloned().collect()
    }

    /// Digests of the held batches of an author, at most `limit`.
    pub fn digests_of(&self, author: &ValidatorId, limit: usize) -> Vec<Hash> {
        let inner = self.lock();
        let of_author = inner.held.values().filter(|batch| batch.reference.author == *author);
        of_author.map(|batch| batch.reference.digest).take(limit).collect()
    }

    /// Number and bytes of held batches.
    pub fn size(&self) -> (u64, u64) {
        let inner = self.lock();
        let bytes = inner.shares.values().map(|share| share.bytes).sum();
        (u64::try_from(inner.held.len()).unwrap_or(u64::MAX), bytes)
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

    #[test]
    fn an_executed_batch_is_not_taken_again_unless_a_block_names_it() {
        let pool = BatchPool::default();
        let one = batch(1, 1);
        assert_eq!(pool.offer(one.clone(), Offer::Spread), Taken::New);
        assert_eq!(pool.offer(one.clone(), Offer::Spread), Taken::Known);
        pool.forget(&header(vec![one.reference]));
        assert_eq!(pool.size(), (0, 0));
        assert_eq!(pool.offer(one.clone(), Offer::Spread), Taken::Known);
        assert_eq!(pool.offer(one, Offer::Named), Taken::New);
    }

    #[test]
    fn a_flood_uses_up_its_authors_share_only() {
        let pool = BatchPool::default();
        for sequence in 0..AUTHOR_BATCHES as u64 {
            assert_eq!(pool.offer(batch(1, sequence), Offer::Spread), Taken::New);
        }
        assert_eq!(pool.offer(batch(1, u64::MAX), Offer::Spread), Taken::ShareUsedUp);
        assert_eq!(pool.offer(batch(2, 0), Offer::Spread), Taken::New);
        assert_eq!(pool.offer(batch(1, u64::MAX), Offer::Named), Taken::New);
    }

    #[test]
    fn encoding_and_reference_agree_with_the_batch() {
        let one = batch(3, 7);
        assert_eq!(one.reference, one.batch.reference());
        assert_eq!(HeldBatch::decode(one.encoding.clone()).unwrap(), *one);
    }
}
