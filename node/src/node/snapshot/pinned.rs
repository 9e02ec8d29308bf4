//! The state at a height while later blocks are executed: the live store, and what later blocks have replaced.
//!
//! # Why a page is right
//! The executor notes an entry's old value before it commits the new one; the reader first reads the store and then looks at
//! the notes. So whatever change the reader has seen is noted by then, and a note for a change that it has not seen says what
//! it has read anyway. Only the first note of an entry counts: that is the value at the pinned height.

use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};
use std::sync::{Mutex, MutexGuard, PoisonError};

use aegis_store::{KvStore, StoreError, Table};

/// Most bytes of old values: with more, making the snapshot takes too long for this node's load and is given up.
const NOTES_BYTES_MAX: u64 = 128 * 1024 * 1024;
/// With more than this part of them, the writer should not wait any longer.
const URGENT_PART: u64 = 16;
/// A page ends after so many bytes or entries: commits wait while one is read, some milliseconds.
const PAGE_BYTES: usize = 512 * 1024;
const PAGE_ENTRIES: usize = 2_000;

/// What later blocks have replaced.
#[derive(Debug, Default)]
pub struct Pinned {
    notes: Mutex<Notes>,
}

#[derive(Debug, Default)]
struct Notes {
    old: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    bytes: u64,
    is_lost: bool,
}

/// Some entries of the pinned state, in ascending order.
#[derive(Debug)]
pub struct Page {
    /// Keys and values.
    pub entries: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Where the next page begins; none after the last.
    pub next: Option<Vec<u8>>,
}

impl Pinned {
    /// Notes the value that an entry had before it is changed; a caller has to do so before it commits the change.
    pub fn note(&self, key: &[u8], old: Option<&[u8]>) {
        let mut notes = self.notes();
        if notes.is_lost || notes.old.contains_key(key) {
            return;
        }
        notes.bytes = notes.bytes.saturating_add((key.len() + old.map_or(0, <[u8]>::len)) as u64);
        if notes.bytes > NOTES_BYTES_MAX {
            *notes = Notes { is_lost: true, ..Notes::default() };
            return;
        }
        notes.old.insert(key.to_vec(), old.map(<[u8]>::to_vec));
    }

    /// Gives up: what was replaced is not known any more.
    pub fn lose(&self) {
        *self.notes() = Notes { is_lost: true, ..Notes::default() };
    }

    /// Whether so much has changed since that the snapshot should be written soon, or it never will be.
    pub fn is_urgent(&self) -> bool {
        let notes = self.notes();
        notes.is_lost || notes.bytes > NOTES_BYTES_MAX / URGENT_PART
    }

    /// Whether too much has changed since to go on.
    pub fn is_lost(&self) -> bool {
        self.notes().is_lost
    }

    /// The next entries of the pinned state from `from` on.
    ///
    /// # Errors
    /// When the store fails.
    pub fn page(&self, kv: &dyn KvStore, from: &[u8]) -> Result<Page, StoreError> {
        let (mut entries, mut bytes, mut next) = (BTreeMap::new(), 0, None);
        kv.scan(Table::State, from, &mut |key, value| {
            if entries.len() >= PAGE_ENTRIES || bytes >= PAGE_BYTES {
                next = Some(key.to_vec());
                return ControlFlow::Break(());
            }
            bytes += key.len() + value.len();
            entries.insert(key.to_vec(), value.to_vec());
            ControlFlow::Continue(())
        })?;
        let end = next.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        for (key, old) in self.notes().old.range::<[u8], _>((Bound::Included(from), end)) {
            match old {
                Some(old) => entries.insert(key.clone(), old.clone()),
                None => entries.remove(key),
            };
        }
        Ok(Page { entries, next })
    }

    // No method panics between two changes that belong together, so a poisoned lock is taken as it is.
    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use aegis_store::{MemoryKv, Op};

    use super::*;

    fn put(key: usize, value: &str) -> Op {
        Op::Put { table: Table::State, key: format!("{key:06}").into_bytes(), value: value.into() }
    }

    /// Changes an entry as the executor does.
    fn change(kv: &MemoryKv, pinned: &Pinned, op: Op) {
        let (Op::Put { key, .. } | Op::Delete { key, .. }) = &op;
        pinned.note(key, kv.get(Table::State, key).unwrap().as_deref());
        kv.commit(&[op]).unwrap();
    }

    fn read_all(
        kv: &MemoryKv,
        pinned: &Pinned,
        mut between: impl FnMut(usize),
    ) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let (mut all, mut from, mut pages) = (BTreeMap::new(), Vec::new(), 0);
        loop {
            let page = pinned.page(kv, &from).unwrap();
            for (key, value) in page.entries {
                assert!(all.insert(key, value).is_none(), "an entry came twice");
            }
            let Some(next) = page.next else { return all };
            from = next;
            between(pages);
            pages += 1;
        }
    }

    #[test]
    fn a_snapshot_sees_none_of_the_changes_made_while_it_is_read() {
        let kv = MemoryKv::new();
        let ops: Vec<Op> = (0..3 * PAGE_ENTRIES).map(|key| put(key, "old")).collect();
        kv.commit(&ops).unwrap();
        let before = read_all(&kv, &Pinned::default(), |_| {});
        assert_eq!(before.len(), 3 * PAGE_ENTRIES);

        let pinned = Pinned::default();
        let delete = |key: usize| Op::Delete { table: Table::State, key: format!("{key:06}").into_bytes() };
        let during = read_all(&kv, &pinned, |page| {
            let (read, unread) = (page * 10, 3 * PAGE_ENTRIES - 1 - page * 10);
            for key in [read, unread] {
                change(&kv, &pinned, put(key, "new"));
                change(&kv, &pinned, put(key, "newer"));
                change(&kv, &pinned, delete(key + 3));
                change(&kv, &pinned, delete(key - page.min(1)));
                change(&kv, &pinned, put(10_000 + key, "added"));
            }
        });
        assert_eq!(during, before);
    }

    #[test]
    fn too_many_changes_are_noticed() {
        let pinned = Pinned::default();
        let value = vec![0; NOTES_BYTES_MAX as usize / 2];
        pinned.note(b"a", Some(&value));
        pinned.note(b"a", Some(&value));
        assert!(!pinned.is_lost());
        pinned.note(b"b", Some(&value));
        assert!(pinned.is_lost());
    }
}
