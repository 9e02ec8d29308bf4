//! What survives a crash.
//!
//! Three files, flushed one after the other in a fixed order: *batches*, then the *committed log*, then the *journal*. The
//! order matters. A journal that is ahead of the log could hold votes of an epoch that the log does not reach; a restart
//! would then not count them as its own. What is appended is in memory until a flush; a crash during a flush may keep any
//! prefix of the order.

use std::rc::Rc;

use aegis_types::{Batch, CommittedBlock};

use super::rng::Rng;

/// An append-only file.
#[derive(Debug, Clone)]
pub struct File<T> {
    items: Vec<T>,
    durable: usize,
}

impl<T> Default for File<T> {
    fn default() -> Self {
        Self { items: Vec::new(), durable: 0 }
    }
}

impl<T> File<T> {
    /// Appends in memory.
    pub fn append(&mut self, item: T) {
        self.items.push(item);
    }

    /// Everything, flushed or not, as the running process knows it.
    pub fn items(&self) -> &[T] {
        &self.items
    }

    /// What a crash cannot take.
    pub fn durable(&self) -> &[T] {
        &self.items[..self.durable]
    }

    /// Replaces the whole content, atomically and durably.
    pub fn replace(&mut self, items: Vec<T>) {
        self.durable = items.len();
        self.items = items;
    }

    fn unflushed(&self) -> usize {
        self.items.len() - self.durable
    }

    fn flush(&mut self) {
        self.durable = self.items.len();
    }

    /// Keeps the first `count` of the unflushed items.
    fn keep(&mut self, count: usize) {
        self.items.truncate(self.durable + count);
        self.durable = self.items.len();
    }
}

/// A node's disk.
#[derive(Debug, Clone, Default)]
pub struct Disk {
    /// Batches, own and others'.
    pub batches: File<Rc<Batch>>,
    /// The committed log: the item at index `i` is the block of height `i + 1`.
    pub log: File<Rc<CommittedBlock>>,
    /// The vote journal: encoded records.
    pub journal: File<Vec<u8>>,
}

impl Disk {
    /// Whether a flush has anything to do.
    pub fn is_dirty(&self) -> bool {
        self.batches.unflushed() + self.log.unflushed() + self.journal.unflushed() > 0
    }

    /// Makes everything durable.
    pub fn flush(&mut self) {
        self.batches.flush();
        self.log.flush();
        self.journal.flush();
    }

    /// A crash while nothing is being written: what was not flushed is lost.
    pub fn crash(&mut self) {
        self.batches.keep(0);
        self.log.keep(0);
        self.journal.keep(0);
    }

    /// A crash in the middle of a flush: a random prefix of what was being written survives.
    pub fn crash_during_flush(&mut self, rng: &mut Rng) {
        let total = self.batches.unflushed() + self.log.unflushed() + self.journal.unflushed();
        let mut survivors = rng.index(total + 1);
        let mut next = |unflushed: usize| {
            let kept = survivors.min(unflushed);
            survivors -= kept;
            kept
        };
        let (batches, log, journal) =
            (next(self.batches.unflushed()), next(self.log.unflushed()), next(self.journal.unflushed()));
        self.batches.keep(batches);
        self.log.keep(log);
        self.journal.keep(journal);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_journal_never_outlives_the_blocks_written_before_it() {
        for seed in 0..200 {
            let mut rng = Rng::new(seed, "disk");
            let mut disk = Disk::default();
            disk.journal.append(vec![0]);
            disk.flush();
            disk.batches.append(Rc::new(Batch {
                author: aegis_types::ValidatorId([0; 32]),
                sequence: 0,
                proposals: Vec::new(),
            }));
            disk.journal.append(vec![1]);
            disk.journal.append(vec![2]);
            disk.crash_during_flush(&mut rng);
            assert!(!disk.journal.durable().is_empty(), "flushed records stay");
            assert!(disk.journal.durable().len() == 1 || disk.batches.durable().len() == 1);
            assert!(!disk.is_dirty());
        }
    }
}
