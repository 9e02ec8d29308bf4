//! `[consensus]`

use aegis_types::Kind;

use crate::quantity::{ByteSize, Period};

section! {
    /// This node's part in agreement. What all nodes must agree on is not here but in the genesis and in agreed state.
    pub struct ConsensusSection as "consensus" {
        /// Kinds of voted proposals that this node votes yes to by itself: text, param.set, validator.add,
        /// validator.remove. By default it votes on none.
        auto_vote: Vec<Kind> = Vec::new();
        /// How long a proposal waits for others to share its batch; five times as long while earlier batches of the node wait to be
        /// ordered. Longer makes larger batches and slower answers.
        batch_delay: Period = Period::from_millis(2);
        /// A batch that has reached this size is sent at once; at most 1MiB.
        batch_bytes: ByteSize = ByteSize::from_kib(512);
        /// A batch with this many proposals is sent at once; at most 4096.
        batch_proposals: usize = 1_000;
        /// Most proposals that may wait for agreement at this node. Beyond that, clients are told that it is busy.
        pending_proposals: usize = 20_000;
        /// Most bytes of proposals that may wait for agreement at this node.
        pending_bytes: ByteSize = ByteSize::from_mib(64);
    }
}
