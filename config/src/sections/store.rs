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
    }
}
