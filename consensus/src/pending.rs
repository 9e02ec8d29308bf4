//! Batches that are held and wait to be ordered.

use std::collections::{BTreeMap, BTreeSet};

use aegis_types::{BatchRef, Hash, Header, Limits, ValidatorId};

use crate::limits::PENDING_BATCHES;

#[derive(Debug, Clone)]
struct Waiting {
    reference: BatchRef,
    arrival: u64,
    since_ms: u64,
}

/// Held batches by digest, and their order of arrival by author. Blocks take from the authors in turn, so that no author
/// can crowd out another.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pending {
    batches: BTreeMap<Hash, Waiting>,
    queues: BTreeMap<ValidatorId, BTreeMap<u64, Hash>>,
    arrivals: u64,
    /// When the batch came that waits longest. Drivers ask for deadlines all the time, batches come and go seldom.
    oldest_ms: Option<u64>,
    /// The author served last, so that the next block starts behind it.
    turn: Option<ValidatorId>,
}

impl Pending {
    /// Adds a batch; true when it is new.
    pub(crate) fn insert(&mut self, reference: BatchRef, now_ms: u64) -> bool {
        if self.batches.contains_key(&reference.digest) || self.batches.len() >= PENDING_BATCHES {
            return false;
        }
        let arrival = self.arrivals;
        self.arrivals = arrival.saturating_add(1);
        self.queues.entry(reference.author).or_default().insert(arrival, reference.digest);
        self.batches.insert(reference.digest, Waiting { reference, arrival, since_ms: now_ms });
        self.oldest_ms = Some(self.oldest_ms.map_or(now_ms, |oldest| oldest.min(now_ms)));
        true
    }

    /// Removes what a block has ordered.
    pub(crate) fn remove(&mut self, header: &Header) {
        for named in &header.batches {
            if let Some(waiting) = self.batches.remove(&named.digest)
                && let Some(queue) = self.queues.get_mut(&waiting.reference.author)
            {
                queue.remove(&waiting.arrival);
                if queue.is_empty() {
                    self.queues.remove(&waiting.reference.author);
                }
            }
        }
        let first_of_each = self.queues.values().filter_map(|queue| queue.first_key_value());
        let first_of_each = first_of_each.filter_map(|(_, digest)| self.batches.get(digest));
        self.oldest_ms = first_of_each.map(|waiting| waiting.since_ms).min();
    }

    /// Whether exactly this batch is held.
    pub(crate) fn holds(&self, reference: &BatchRef) -> bool {
        self.batches.get(&reference.digest).is_some_and(|waiting| waiting.reference == *reference)
    }

    /// Whether the batch of this digest is held under another description than `reference`.
    pub(crate) fn contradicts(&self, reference: &BatchRef) -> bool {
        self.batches.get(&reference.digest).is_some_and(|waiting| waiting.reference != *reference)
    }

    /// Number of batches.
    pub(crate) fn len(&self) -> usize {
        self.batches.len()
    }

    /// When the batch came that waits longest.
    pub(crate) fn oldest_ms(&self) -> Option<u64> {
        self.oldest_ms
    }

    /// Lets every batch's waiting time start anew: a new leader deserves its chance.
    pub(crate) fn restart_patience(&mut self, now_ms: u64) {
        for waiting in self.batches.values_mut() {
            waiting.since_ms = now_ms;
        }
        self.oldest_ms = self.oldest_ms.map(|_| now_ms);
    }

    /// The payload of the next block: the oldest batches that are not in `open`, the authors in turn, within the limits.
    pub(crate) fn select(&mut self, open: &BTreeSet<Hash>) -> Vec<BatchRef> {
        let mut queues: Vec<(ValidatorId, Vec<BatchRef>)> = Vec::with_capacity(self.queues.len());
        for (author, queue) in &self.queues {
            let free = queue.values().filter(|digest| !open.contains(*digest));
            let references =
                free.filter_map(|digest| self.batches.get(digest)).map(|waiting| waiting.reference);
            let mut first: Vec<BatchRef> = references.take(Limits::BLOCK_BATCHES).collect();
            first.reverse();
            queues.push((*author, first));
        }
        let start = self.turn.map_or(0, |turn| queues.partition_point(|(author, _)| *author <= turn));
        if start < queues.len() {
            queues.rotate_left(start);
        }
        let mut selected = Vec::new();
        let mut bytes: u64 = 0;
        let limit = u64::try_from(Limits::BLOCK_BYTES).unwrap_or(u64::MAX);
        'block: loop {
            let mut is_exhausted = true;
            for (author, queue) in &mut queues {
                let Some(reference) = queue.pop() else { continue };
                bytes = bytes.saturating_add(u64::from(reference.bytes));
                if bytes > limit || selected.len() >= Limits::BLOCK_BATCHES {
                    break 'block;
                }
                selected.push(reference);
                self.turn = Some(*author);
                is_exhausted = false;
            }
            if is_exhausted {
                break;
            }
        }
        selected
    }
}

#[cfg(test)]
mod tests {
    use aegis_types::{BlockKind, Epoch, Executed, Height};

    use super::*;

    fn batch(author: u8, number: u8, bytes: u32) -> BatchRef {
        let mut digest = [number; 32];
        digest[0] = author;
        BatchRef { digest: Hash(digest), author: ValidatorId([author; 32]), proposals: 1, bytes }
    }

    fn block(batches: &[BatchRef]) -> Header {
        Header {
            epoch: Epoch::ZERO,
            height: Height(1),
            timestamp_ms: 1,
            parent: Hash::ZERO,
            proposer: ValidatorId([0; 32]),
            batches: batches.to_vec(),
            executed: Executed::default(),
            validators_hash: Hash::ZERO,
            kind: BlockKind::Normal,
        }
    }

    #[test]
    fn authors_take_turns_whatever_they_flood() {
        let mut pending = Pending::default();
        for number in 0..200 {
            pending.insert(batch(1, number, 10), 0);
        }
        pending.insert(batch(2, 0, 10), 0);
        pending.insert(batch(3, 0, 10), 0);
        let selected = pending.select(&BTreeSet::new());
        assert_eq!(selected.len(), Limits::BLOCK_BATCHES);
        let authors: Vec<u8> = selected.iter().take(3).map(|batch| batch.author.0[0]).collect();
        assert_eq!(authors, [1, 2, 3]);
    }

    #[test]
    fn the_next_block_starts_behind_the_author_served_last() {
        let mut pending = Pending::default();
        let large = u32::try_from(Limits::BLOCK_BYTES).unwrap();
        for author in 1..=3 {
            for number in 0..2 {
                pending.insert(batch(author, number, large), 0);
            }
        }
        let mut authors = Vec::new();
        for _ in 0..4 {
            let selected = pending.select(&BTreeSet::new());
            assert_eq!(selected.len(), 1, "one fills the block");
            authors.push(selected[0].author.0[0]);
            pending.remove(&block(&selected));
        }
        assert_eq!(authors, [1, 2, 3, 1]);
    }

    #[test]
    fn an_author_is_served_in_the_order_of_arrival_and_open_batches_are_left_out() {
        let mut pending = Pending::default();
        let batches = [batch(1, 9, 1), batch(1, 5, 1), batch(1, 7, 1)];
        for batch in batches {
            assert!(pending.insert(batch, 0));
            assert!(!pending.insert(batch, 0), "held already");
        }
        assert_eq!(pending.select(&BTreeSet::new()), batches);
        assert_eq!(pending.select(&BTreeSet::from([batches[1].digest])), [batches[0], batches[2]]);
    }

    #[test]
    fn removing_leaves_nothing_behind() {
        let mut pending = Pending::default();
        let batches = [batch(1, 1, 1), batch(2, 1, 1)];
        for batch in batches {
            pending.insert(batch, 5);
        }
        assert_eq!(pending.oldest_ms(), Some(5));
        pending.remove(&block(&batches));
        assert_eq!((pending.len(), pending.queues.len(), pending.oldest_ms()), (0, 0, None));
    }

    #[test]
    fn a_batch_is_held_or_contradicted_by_its_whole_description() {
        let mut pending = Pending::default();
        let held = batch(1, 1, 10);
        let described = BatchRef { bytes: 11, ..held };
        pending.insert(held, 0);
        assert!(pending.holds(&held) && !pending.contradicts(&held));
        assert!(!pending.holds(&described) && pending.contradicts(&described));
        let unknown = batch(1, 2, 10);
        assert!(!pending.holds(&unknown) && !pending.contradicts(&unknown));
    }

    #[test]
    fn the_oldest_waits_until_patience_starts_anew() {
        let mut pending = Pending::default();
        pending.insert(batch(2, 1, 1), 30);
        pending.insert(batch(1, 1, 1), 40);
        assert_eq!(pending.oldest_ms(), Some(30));
        pending.restart_patience(70);
        assert_eq!(pending.oldest_ms(), Some(70));
    }
}
