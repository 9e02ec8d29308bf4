//! `[store]`

use crate::quantity::ByteSize;

section! {
    /// Durable state. Whether to flush is no setting: nothing is acknowledged before it is on disk.
    pub struct StoreSection as "store" {
        /// Memory for cached pages of the state database.
        cache: ByteSize = ByteSize::from_mib(64);
        /// Size at which a file of the vote journal is full and the next one is begun.
        journal_segment: ByteSize = ByteSize::from_mib(64);
        /// Size at which a file of the committed log is full and the next one is begun.
        log_segment: ByteSize = ByteSize::from_mib(64);
        /// A snapshot of the state, for nodes that join, is made each time agreement has passed a multiple of so many blocks;
        /// the newest two are kept. 0: none is made. Nodes with the same number make the same snapshots, so that a newcomer
        /// can fetch one from many of them at once.
        snapshot_blocks: usize = 5_000;
    }
}
