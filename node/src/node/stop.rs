//! Ending in the middle of long work on the stores.

/// The node was told to stop before it had started. What was done so far is on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the node was told to stop before it had started; the next start goes on from there")]
pub struct Stopped;
