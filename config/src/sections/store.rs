//! `[store]`

use crate::quantity::{ByteSize, Period};

section! {
    /// Durable state. Whether to flush is no setting: nothing is acknowledged before it is on disk.
    pub struct StoreSection as "store" {
        /// Memory for cached pages of the state database.
        cache: ByteSize = ByteSize::from_mib(64);
        /// Size at which a file of the vote journal is full and the next one is begun.
        journal_segment: ByteSize = ByteSize::from_mib(64);
        /// Size at which a file of the committed log is full and the next one is begun.
        log_segment: ByteSize = ByteSize::from_mib(64);
        /// Keep every block for ever, and so catch up by blocks only. Without it, blocks and the history of proposals go when they are older than `keep_time`, or
        /// when all of them take more than `keep_size`; agreed state stays.
        archive: bool = false;
        /// How long blocks are kept, in agreed time.
        keep_time: Period = Period::from_secs(30 * 24 * 60 * 60);
        /// How much room blocks may take. Those of the last days are kept anyway: for twice the time that a proposal may live.
        keep_size: ByteSize = ByteSize::from_mib(64 * 1024);
        /// With less free space on the disk than this, the node stops voting and executing and only answers, until there is more.
        free_min: ByteSize = ByteSize::from_mib(256);
        /// Room that is kept taken and given back when the disk is full, so that the node can stop in order.
        reserve: ByteSize = ByteSize::from_mib(64);
        /// A snapshot of the state, for nodes that join, is made each time agreement has passed a multiple of so many blocks;
        /// the newest two are kept. 0: none is made. Nodes with the same number make the same snapshots, so that a newcomer
        /// can fetch one from many of them at once.
        snapshot_blocks: usize = 5_000;
    }
}
