//! Catches a visitor that uses the store it is visiting.
//!
//! A scan holds the store's lock shared. A second read from inside it waits behind a commit that waits for the scan, and
//! nobody goes on. That needs three threads to meet, so tests would rarely see it: in debug builds the mere attempt panics.

use std::cell::RefCell;

thread_local! {
    /// The stores that this thread is scanning.
    static SCANNED: RefCell<Vec<(usize, &'static str)>> = const { RefCell::new(Vec::new()) };
}

/// Marks a store as being scanned by this thread, until it is dropped.
pub(super) struct Scanning;

impl Scanning {
    /// Begins a scan of `store`.
    pub(super) fn begin<S>(store: &S) -> Self {
        forbid_reentry(store);
        Self::begin_locked(store)
    }

    /// Begins a scan of `store` by a thread that holds its lock already.
    pub(super) fn begin_locked<S>(store: &S) -> Self {
        SCANNED.with_borrow_mut(|scanned| scanned.push(identity(store)));
        Self
    }
}

impl Drop for Scanning {
    fn drop(&mut self) {
        SCANNED.with_borrow_mut(|scanned| scanned.pop());
    }
}

/// Panics in debug builds when this thread is scanning `store`.
pub(super) fn forbid_reentry<S>(store: &S) {
    debug_assert!(
        SCANNED.with_borrow(|scanned| !scanned.contains(&identity(store))),
        "a scan's visitor uses the store, which can deadlock: collect first, then use it"
    );
}

/// Address and type: a store may begin where the store before it does.
fn identity<S>(store: &S) -> (usize, &'static str) {
    (std::ptr::from_ref(store).addr(), std::any::type_name::<S>())
}

#[cfg(all(test, debug_assertions))]
mod tests {
    use std::ops::ControlFlow;

    use crate::kv::{KvStore, MemoryKv, Op, SledKv, Table};

    fn reads_while_scanning(scanned: &dyn KvStore, read: &dyn KvStore) {
        let put = Op::Put { table: Table::Index, key: b"k".to_vec(), value: Vec::new() };
        scanned.commit(&[put]).expect("commit");
        let mut visit = |_: &[u8], _: &[u8]| {
            read.get(Table::State, b"k").expect("get");
            ControlFlow::Continue(())
        };
        scanned.scan_back(Table::Index, b"z", &mut visit).expect("scan");
    }

    #[test]
    #[should_panic(expected = "a scan's visitor uses the store")]
    fn a_visitor_that_reads_the_store_in_memory_is_caught() {
        let store = MemoryKv::new();
        reads_while_scanning(&store, &store);
    }

    #[test]
    #[should_panic(expected = "a scan's visitor uses the store")]
    fn a_visitor_that_reads_the_store_on_disk_is_caught() {
        let folder = tempfile::tempdir().expect("folder");
        let store = SledKv::open(folder.path(), 8 << 20).expect("open");
        reads_while_scanning(&store, &store);
    }

    #[test]
    fn a_visitor_may_use_another_store() {
        reads_while_scanning(&MemoryKv::new(), &MemoryKv::new());
    }
}
