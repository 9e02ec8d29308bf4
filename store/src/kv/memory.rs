//! A key-value store in memory, which can lose what was not flushed as a disk would.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::error::StoreError;

use super::limits::check_sizes;
use super::reentry::{Scanning, forbid_reentry};
use super::store::{KvStore, Op, Table, Visit};

type Map = BTreeMap<Vec<u8>, Vec<u8>>;

/// A [`KvStore`] for simulations. It never fails, except for keys and values that are too large.
#[derive(Debug, Default)]
pub struct MemoryKv {
    contents: RwLock<Contents>,
}

#[derive(Debug, Default)]
struct Contents {
    state: Map,
    index: Map,
    meta: Map,
    /// What the changes since the last flush have replaced, oldest first. Bounded by how often its user flushes.
    replaced: Vec<(Table, Vec<u8>, Option<Vec<u8>>)>,
}

impl Contents {
    fn map(&self, table: Table) -> &Map {
        match table {
            Table::State => &self.state,
            Table::Index => &self.index,
            Table::Meta => &self.meta,
        }
    }

    fn set(&mut self, table: Table, key: &[u8], value: Option<Vec<u8>>) -> Option<Vec<u8>> {
        let map = match table {
            Table::State => &mut self.state,
            Table::Index => &mut self.index,
            Table::Meta => &mut self.meta,
        };
        match value {
            Some(value) => map.insert(key.to_vec(), value),
            None => map.remove(key),
        }
    }
}

impl MemoryKv {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes back every commit since the last flush, as the worst crash would.
    pub fn crash(&self) {
        let mut contents = self.write();
        while let Some((table, key, value)) = contents.replaced.pop() {
            contents.set(table, &key, value);
        }
    }

    // No method panics between two changes that belong together, so a poisoned lock is taken as it is.
    fn read(&self) -> RwLockReadGuard<'_, Contents> {
        forbid_reentry(self);
        self.contents.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Contents> {
        forbid_reentry(self);
        self.contents.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl KvStore for MemoryKv {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.read().map(table).get(key).cloned())
    }

    fn scan(&self, table: Table, from: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError> {
        let contents = self.read();
        let _scanning = Scanning::begin(self);
        let range = (Bound::Included(from), Bound::Unbounded);
        let _ = contents.map(table).range::<[u8], _>(range).try_for_each(|(key, value)| visit(key, value));
        Ok(())
    }

    fn scan_back(&self, table: Table, before: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError> {
        let contents = self.read();
        let _scanning = Scanning::begin(self);
        let range = (Bound::Unbounded, Bound::Excluded(before));
        let _ =
            contents.map(table).range::<[u8], _>(range).rev().try_for_each(|(key, value)| visit(key, value));
        Ok(())
    }

    fn commit(&self, ops: &[Op]) -> Result<(), StoreError> {
        check_sizes(ops)?;
        let mut contents = self.write();
        for op in ops {
            let (table, key, value) = match op {
                Op::Put { table, key, value } => (*table, key, Some(value.clone())),
                Op::Delete { table, key } => (*table, key, None),
            };
            let old = contents.set(table, key, value);
            contents.replaced.push((table, key.clone(), old));
        }
        Ok(())
    }

    fn flush(&self) -> Result<(), StoreError> {
        self.write().replaced = Vec::new();
        Ok(())
    }

    fn clear(&self) -> Result<(), StoreError> {
        *self.write() = Contents::default();
        Ok(())
    }
}
