//! The batches that a process holds.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use aegis_types::{AccountId, BatchRef, Hash, Header, ValidatorId};

use super::clock::{MILLI, Micros};
use super::held_batch::HeldBatch;

/// Batches of one author that wait to be ordered; what is more is not taken, so that a flood by one author harms nobody else.
const PER_AUTHOR_MAX: usize = 256;

/// An own batch that is not ordered is pushed again after this time, and then after twice as long each time.
const PUSH_AGAIN_AFTER: Micros = 1_000 * MILLI;
/// The longest pause between two pushes.
const PUSH_AGAIN_AFTER_MAX: Micros = 8 * PUSH_AGAIN_AFTER;

/// Where a batch comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Sealed here.
    Own,
    /// Sent by its author or on request.
    Spread,
    /// Part of a decided block.
    Block,
}

/// Held batches, and which of them the engine knows.
#[derive(Debug, Default)]
pub struct Pool {
    me: Option<ValidatorId>,
    batches: BTreeMap<Hash, Rc<HeldBatch>>,
    waiting: BTreeMap<ValidatorId, usize>,
    /// Batches in decided blocks.
    ordered: BTreeSet<Hash>,
    /// Batches that the engine knows to be available.
    offered: BTreeSet<Hash>,
    /// Batches that a proposed block names: taken whatever their author's share.
    named: BTreeSet<Hash>,
    /// Own batches that are not ordered, when each is to be pushed next, and the pause after that.
    own: BTreeMap<Hash, (Micros, Micros)>,
    /// Batches with proposals of this account are kept from the engine, as a Byzantine node may do.
    censored: Option<AccountId>,
    /// Those that the engine asked for in spite of that.
    uncensored: BTreeSet<Hash>,
}

impl Pool {
    /// An empty pool of a validator; `ordered` are batches that must not be ordered again.
    pub fn new(me: ValidatorId, ordered: BTreeSet<Hash>) -> Self {
        Self { me: Some(me), ordered, ..Self::default() }
    }

    /// Keeps batches with proposals of an account from the engine.
    pub fn censor(&mut self, account: AccountId) {
        self.censored = Some(account);
    }

    /// Takes a batch in; false when it is held or ordered already.
    pub fn insert(&mut self, batch: Rc<HeldBatch>, source: Source) -> bool {
        let (digest, author) = (batch.reference.digest, batch.reference.author);
        if self.batches.contains_key(&digest) || self.ordered.contains(&digest) {
            return false;
        }
        if Some(author) == self.me && source != Source::Block {
            self.own.insert(digest, (0, PUSH_AGAIN_AFTER));
        }
        *self.waiting.entry(author).or_default() += 1;
        self.named.remove(&digest);
        self.batches.insert(digest, batch);
        true
    }

    /// Whether a batch is new and its author's share has room for it.
    pub fn wants(&self, reference: &BatchRef) -> bool {
        !self.batches.contains_key(&reference.digest)
            && !self.ordered.contains(&reference.digest)
            && (self.named.contains(&reference.digest)
                || self.waiting.get(&reference.author).copied().unwrap_or(0) < PER_AUTHOR_MAX)
    }

    /// Takes these whatever their authors' shares: a block names them.
    pub fn want_named(&mut self, digests: &[Hash]) {
        self.named.extend(digests);
    }

    /// A held batch.
    pub fn get(&self, digest: &Hash) -> Option<&Rc<HeldBatch>> {
        self.batches.get(digest)
    }

    /// All held batches.
    pub fn held(&self) -> impl Iterator<Item = &Rc<HeldBatch>> {
        self.batches.values()
    }

    /// The batch, when it is held, not ordered, and the engine has yet to hear of it; it counts as told.
    pub fn offer(&mut self, digest: &Hash) -> Option<Rc<HeldBatch>> {
        let batch = self.batches.get(digest)?;
        let is_censored = self
            .censored
            .is_some_and(|account| batch.batch.proposals.iter().any(|proposal| proposal.account == account));
        if self.ordered.contains(digest) || (is_censored && !self.uncensored.contains(digest)) {
            return None;
        }
        self.offered.insert(*digest).then(|| batch.clone())
    }

    /// Whether the engine was told of a batch, so that it stands in the journal, and no decided block has been executed with it.
    pub fn is_offered(&self, digest: &Hash) -> bool {
        self.offered.contains(digest)
    }

    /// The engine has to have this batch whatever is in it.
    pub fn stop_censoring(&mut self, digest: &Hash) {
        if self.censored.is_some() {
            self.uncensored.insert(*digest);
        }
    }

    /// Takes back out what came with a block that the engine refused.
    pub fn withdraw(&mut self, digests: &[Hash]) {
        for digest in digests {
            if !self.offered.contains(digest) {
                self.remove(digest);
            }
        }
    }

    /// A block is decided: its batches are ordered, and held until it is executed.
    pub fn decide(&mut self, header: &Header) {
        for named in &header.batches {
            self.ordered.insert(named.digest);
            self.own.remove(&named.digest);
        }
    }

    /// A block is executed and durable: its batches are no longer needed.
    pub fn forget(&mut self, header: &Header) {
        for named in &header.batches {
            self.remove(&named.digest);
        }
    }

    /// Own batches that are due to be pushed (again).
    pub fn due_for_push(&mut self, at: Micros) -> Vec<Rc<HeldBatch>> {
        let Self { own, batches, .. } = self;
        let mut due = Vec::new();
        for (digest, (due_at, pause)) in own {
            if at >= *due_at {
                *due_at = at + *pause;
                *pause = (*pause * 2).min(PUSH_AGAIN_AFTER_MAX);
                due.extend(batches.get(digest).cloned());
            }
        }
        due
    }

    /// Batches that are held and not ordered.
    pub fn unordered(&self) -> impl Iterator<Item = (Hash, &Rc<HeldBatch>)> {
        self.batches
            .iter()
            .filter(|(digest, _)| !self.ordered.contains(*digest))
            .map(|(d, batch)| (*d, batch))
    }

    /// Whether a batch is ordered, as far as this node knows.
    pub fn has_ordered(&self, digest: &Hash) -> bool {
        self.ordered.contains(digest)
    }

    fn remove(&mut self, digest: &Hash) {
        if let Some(batch) = self.batches.remove(digest) {
            self.offered.remove(digest);
            self.own.remove(digest);
            if let Some(waiting) = self.waiting.get_mut(&batch.reference.author) {
                *waiting = waiting.saturating_sub(1);
            }
        }
    }
}
