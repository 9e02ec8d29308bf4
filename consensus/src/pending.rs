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
        let first_of_each = self.queues.values().filter_map(|queue| queue.first_key_value());
        first_of_each.filter_map(|(_, digest)| self.batches.get(digest)).map(|waiting| waiting.since_ms).min()
    }

    /// Lets every batch's waiting time start anew: a new leader deserves its chance.
    pub(crate) fn restart_patience(&mut self, now_ms: u64) {
        for waiting in self.batches.values_mut() {
            waiting.since_ms = now_ms;
        }
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
