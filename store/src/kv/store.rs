//! The contract of a key-value store.

use std::ops::ControlFlow;

use crate::error::StoreError;

/// What a scan calls with each key and value; it goes on until this breaks.
pub type Visit<'a> = dyn FnMut(&[u8], &[u8]) -> ControlFlow<()> + 'a;

/// A table: an ordered map from keys to values of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// The replicated state.
    State,
    /// What makes history searchable: proposals, receipts.
    Index,
    /// How far this node is: height, block hash, state root.
    Meta,
}

impl Table {
    /// All tables.
    pub const ALL: [Table; 3] = [Table::State, Table::Index, Table::Meta];
}

/// One change of a [`commit`](KvStore::commit).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// Sets a key, whether or not it is there.
    Put {
        /// Where the key belongs.
        table: Table,
        /// At most [`KEY_BYTES_MAX`](super::KEY_BYTES_MAX) bytes.
        key: Vec<u8>,
        /// At most [`VALUE_BYTES_MAX`](super::VALUE_BYTES_MAX) bytes.
        value: Vec<u8>,
    },
    /// Removes a key, if it is there.
    Delete {
        /// Where the key belongs.
        table: Table,
        /// At most [`KEY_BYTES_MAX`](super::KEY_BYTES_MAX) bytes.
        key: Vec<u8>,
    },
}

/// Ordered tables that change together.
///
/// A commit is seen by readers as a whole or not at all, and found after a crash as a whole or not at all. Commits are
/// lost after a crash from the newest back to, at most, the last [`flush`](Self::flush).
pub trait KvStore: Send + Sync {
    /// The value of a key.
    ///
    /// # Errors
    /// `Damaged` when its bytes are not those that were put, and errors of the disk.
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// Visits keys and values in ascending order, starting at `from` itself, until `visit` breaks.
    ///
    /// All that is visited belongs to one moment: commits wait meanwhile. So `visit` must be short and must not use the
    /// store.
    ///
    /// # Errors
    /// As for [`get`](Self::get); what came before has been visited.
    fn scan(&self, table: Table, from: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError>;

    /// Visits keys and values in descending order, starting at the last key below `before`. Otherwise like
    /// [`scan`](Self::scan).
    ///
    /// # Errors
    /// As for `scan`.
    fn scan_back(&self, table: Table, before: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError>;

    /// Applies the changes in order and together, over all tables. Visible on return, durable after the next flush.
    ///
    /// # Errors
    /// `TooLarge` for a key above [`KEY_BYTES_MAX`](super::KEY_BYTES_MAX) or a value above
    /// [`VALUE_BYTES_MAX`](super::VALUE_BYTES_MAX), with nothing changed. After any other error every later
    /// change fails; what was committed before can still be read unless the store is damaged.
    fn commit(&self, ops: &[Op]) -> Result<(), StoreError>;

    /// Makes all commits so far durable.
    ///
    /// # Errors
    /// Errors of the disk; nothing can be changed any more then.
    fn flush(&self) -> Result<(), StoreError>;

    /// Empties all tables, durably, so that they can be built again.
    ///
    /// # Errors
    /// Errors of the disk; the store is closed then, and the next opening finishes the work.
    fn clear(&self) -> Result<(), StoreError>;
}
