//! `[sync]`

use serde::{Deserialize, Serialize};

/// How a node that is far behind catches up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SyncMode {
    /// From a certified snapshot of the state, then by blocks.
    Snapshot,
    /// By blocks alone, so that this node has all of history.
    Blocks,
}

section! {
    /// How this node catches up with the network. Whatever it fetches it verifies, so none of this is a matter of trust.
    pub struct SyncSection as "sync" {
        /// "snapshot" fetches the newest certified state when the node is far behind, and the blocks after it: fast, and
        /// without the history before, also what this node had of it. "blocks" executes every block from the first one on; it is
        /// the mode of an archive (`store.archive`) whatever the default, and the only one that it can have.
        mode: SyncMode = SyncMode::Snapshot;
        /// With fewer blocks missing than this, they are executed one by one even in the mode "snapshot".
        snapshot_distance: usize = 10_000;
    }
}
