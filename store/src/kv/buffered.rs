//! A key-value store before another one: the newest changes in memory, written below in large, sorted commits.
//!
//! What changes with every block (how far the node is, accounts, counters) is then written once for many blocks, and rows
//! reach the tree below in the order of their keys. Log-structured stores call such a buffer a memtable.
//!
//! # Invariants
//! - Readers see the buffer laid over the store below: what is in both is that of the buffer.
//! - Rows stay in the buffer until the store below has taken them, so no reader misses them in between.
//! - One commit below takes whole commits, in their order: a crash finds each of them as a whole or not at all.
//! - After the store below has refused a change, every later one is refused.

use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::error::{Part, StoreError};

use super::limits::check_sizes;
use super::reentry::{Scanning, forbid_reentry};
use super::store::{KvStore, Op, Table, Visit};

/// Bytes of rows that are written below at once. More: fewer writes of rows that change often; a longer pause for the one who
/// commits, some ten milliseconds.
const BUFFER_BYTES: usize = 256 << 10;

/// What a row takes besides key and value, roughly.
const ROW_BYTES: usize = 64;

/// The rows of a table; a deleted one has no value.
type Rows = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// A [`KvStore`] that gathers commits for the one below it.
#[derive(Debug)]
pub struct BufferedKv<S> {
    below: S,
    newest: RwLock<Newest>,
    /// Held by whoever changes anything, so that nothing is added between a write below and the emptying of the buffer.
    changing: Mutex<()>,
    is_refused: AtomicBool,
}

#[derive(Debug, Default)]
struct Newest {
    tables: [Rows; Table::ALL.len()],
    bytes: usize,
}

impl Newest {
    fn rows(&self, table: Table) -> &Rows {
        let [state, index, meta] = &self.tables;
        match table {
            Table::State => state,
            Table::Index => index,
            Table::Meta => meta,
        }
    }

    fn set(&mut self, op: &Op) {
        let (table, key, value) = match op {
            Op::Put { table, key, value } => (table, key, Some(value.clone())),
            Op::Delete { table, key } => (table, key, None),
        };
        let [state, index, meta] = &mut self.tables;
        let rows = match table {
            Table::State => state,
            Table::Index => index,
            Table::Meta => meta,
        };
        let size = |value: &Option<Vec<u8>>| value.as_ref().map_or(0, Vec::len);
        self.bytes += size(&value);
        match rows.insert(key.clone(), value) {
            Some(old) => self.bytes -= size(&old),
            None => self.bytes += key.len() + ROW_BYTES,
        }
    }

    fn ops(&self) -> Vec<Op> {
        let ops_of = |table: Table| {
            self.rows(table).iter().map(move |(key, value)| match value {
                Some(value) => Op::Put { table, key: key.clone(), value: value.clone() },
                None => Op::Delete { table, key: key.clone() },
            })
        };
        Table::ALL.into_iter().flat_map(ops_of).collect()
    }
}

impl<S: KvStore> BufferedKv<S> {
    /// An empty buffer before a store.
    pub fn new(below: S) -> Self {
        Self {
            below,
            newest: RwLock::default(),
            changing: Mutex::default(),
            is_refused: AtomicBool::new(false),
        }
    }

    // Nothing panics between two changes that belong together, so a poisoned lock is taken as it is.
    fn read(&self) -> RwLockReadGuard<'_, Newest> {
        forbid_reentry(self);
        self.newest.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Newest> {
        forbid_reentry(self);
        self.newest.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self) -> Result<MutexGuard<'_, ()>, StoreError> {
        let changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_refused.load(Ordering::Acquire) {
            return Err(StoreError::Poisoned { part: Part::Kv });
        }
        Ok(changing)
    }

    /// Does something to the store below; after a failure nothing is changed any more.
    fn below(&self, change: impl FnOnce(&S) -> Result<(), StoreError>) -> Result<(), StoreError> {
        change(&self.below).inspect_err(|_| self.is_refused.store(true, Ordering::Release))
    }

    fn write_below(&self, _changing: &MutexGuard<'_, ()>) -> Result<(), StoreError> {
        let ops = self.read().ops();
        if !ops.is_empty() {
            self.below(|below| below.commit(&ops))?;
            *self.write() = Newest::default();
        }
        Ok(())
    }
}

/// Rows of the buffer among those of the store below, which come one by one in the order of a scan.
struct Merged<'a, I: Iterator<Item = (&'a Vec<u8>, &'a Option<Vec<u8>>)>> {
    newer: std::iter::Peekable<I>,
    /// Whether a key comes before another one in this scan.
    is_before: fn(&[u8], &[u8]) -> bool,
    visit: &'a mut Visit<'a>,
    flow: ControlFlow<()>,
}

impl<'a, I: Iterator<Item = (&'a Vec<u8>, &'a Option<Vec<u8>>)>> Merged<'a, I> {
    fn visit_below(&mut self, key: &[u8], value: &[u8]) -> ControlFlow<()> {
        let is_before = self.is_before;
        self.flow = self.visit_newer(|newer| is_before(newer, key));
        if self.flow.is_continue() {
            self.flow = match self.newer.next_if(|(newer, _)| *newer == key) {
                Some((_, Some(newer))) => (self.visit)(key, newer),
                Some((_, None)) => ControlFlow::Continue(()),
                None => (self.visit)(key, value),
            };
        }
        self.flow
    }

    fn visit_newer(&mut self, is_due: impl Fn(&[u8]) -> bool) -> ControlFlow<()> {
        while let Some((key, value)) = self.newer.next_if(|(key, _)| is_due(key)) {
            if let Some(value) = value {
                (self.visit)(key, value)?;
            }
        }
        ControlFlow::Continue(())
    }

    fn visit_rest(mut self) {
        if self.flow.is_continue() {
            let _ = self.visit_newer(|_| true);
        }
    }
}

impl<S: KvStore> KvStore for BufferedKv<S> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let newest = self.read();
        match newest.rows(table).get(key) {
            Some(value) => Ok(value.clone()),
            None => self.below.get(table, key),
        }
    }

    fn scan(&self, table: Table, from: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError> {
        let newest = self.read();
        let _scanning = Scanning::begin_locked(self);
        let range = (Bound::Included(from), Bound::Unbounded);
        let newer = newest.rows(table).range::<[u8], _>(range).peekable();
        let flow = ControlFlow::Continue(());
        let visit: &mut Visit<'_> = &mut |key, value| visit(key, value);
        let mut merged = Merged { newer, is_before: |one, other| one < other, visit, flow };
        self.below.scan(table, from, &mut |key, value| merged.visit_below(key, value))?;
        merged.visit_rest();
        Ok(())
    }

    fn scan_back(&self, table: Table, before: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError> {
        let newest = self.read();
        let _scanning = Scanning::begin_locked(self);
        let range = (Bound::Unbounded, Bound::Excluded(before));
        let newer = newest.rows(table).range::<[u8], _>(range).rev().peekable();
        let flow = ControlFlow::Continue(());
        let visit: &mut Visit<'_> = &mut |key, value| visit(key, value);
        let mut merged = Merged { newer, is_before: |one, other| one > other, visit, flow };
        self.below.scan_back(table, before, &mut |key, value| merged.visit_below(key, value))?;
        merged.visit_rest();
        Ok(())
    }

    fn commit(&self, ops: &[Op]) -> Result<(), StoreError> {
        check_sizes(ops)?;
        let changing = self.change()?;
        let bytes = {
            let mut newest = self.write();
            ops.iter().for_each(|op| newest.set(op));
            newest.bytes
        };
        if bytes >= BUFFER_BYTES { self.write_below(&changing) } else { Ok(()) }
    }

    fn flush(&self) -> Result<(), StoreError> {
        let changing = self.change()?;
        self.write_below(&changing)?;
        self.below(KvStore::flush)
    }

    fn clear(&self) -> Result<(), StoreError> {
        let _changing = self.change()?;
        self.below(KvStore::clear)?;
        *self.write() = Newest::default();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kv::MemoryKv;

    fn put(key: &str, value: &[u8]) -> Op {
        Op::Put { table: Table::State, key: key.into(), value: value.to_vec() }
    }

    #[test]
    fn commits_reach_the_store_below_when_the_buffer_is_full_or_flushed_and_each_row_once() {
        let store = BufferedKv::new(MemoryKv::new());
        for number in 0_u32..100 {
            store.commit(&[put("k", &number.to_be_bytes())]).unwrap();
        }
        assert_eq!(store.below.get(Table::State, b"k").unwrap(), None);
        assert_eq!(store.get(Table::State, b"k").unwrap(), Some(99_u32.to_be_bytes().to_vec()));
        assert!(store.read().bytes < 2 * ROW_BYTES, "a row that changes counts once");
        store.flush().unwrap();
        assert_eq!(store.below.get(Table::State, b"k").unwrap(), Some(99_u32.to_be_bytes().to_vec()));
        assert_eq!(store.read().bytes, 0);
        store.commit(&[put("large", &vec![1; BUFFER_BYTES])]).unwrap();
        assert_eq!(store.read().bytes, 0);
        assert!(store.below.get(Table::State, b"large").unwrap().is_some());
    }

    /// Takes nothing.
    #[derive(Debug)]
    struct Refusing;

    impl KvStore for Refusing {
        fn get(&self, _: Table, _: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
            Ok(None)
        }

        fn scan(&self, _: Table, _: &[u8], _: &mut Visit<'_>) -> Result<(), StoreError> {
            Ok(())
        }

        fn scan_back(&self, _: Table, _: &[u8], _: &mut Visit<'_>) -> Result<(), StoreError> {
            Ok(())
        }

        fn commit(&self, _: &[Op]) -> Result<(), StoreError> {
            Err(StoreError::NoSpace { action: "write", path: "f".into() })
        }

        fn flush(&self) -> Result<(), StoreError> {
            Ok(())
        }

        fn clear(&self) -> Result<(), StoreError> {
            Ok(())
        }
    }

    #[test]
    fn after_the_store_below_has_refused_a_commit_nothing_is_changed_and_everything_can_be_read() {
        let store = BufferedKv::new(Refusing);
        store.commit(&[put("k", b"v")]).unwrap();
        assert!(matches!(store.flush(), Err(StoreError::NoSpace { .. })));
        for _ in 0..2 {
            assert!(matches!(store.commit(&[put("l", b"v")]), Err(StoreError::Poisoned { part: Part::Kv })));
            assert!(matches!(store.flush(), Err(StoreError::Poisoned { part: Part::Kv })));
        }
        assert_eq!(store.get(Table::State, b"k").unwrap(), Some(b"v".to_vec()));
        assert_eq!(store.get(Table::State, b"l").unwrap(), None);
    }
}
