//! How much of the disk a snapshot may take.
//!
//! A snapshot is a service to others: it must never be what fills the disk and makes this node read-only.

use std::path::PathBuf;

use aegis_store::space::free_bytes;

/// How many times `free_min` must stay free: what execution writes meanwhile must find room, too.
const MARGIN: u64 = 2;

/// Too little is free for a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "{free} bytes are free on the disk, and a snapshot is made only with {needed}: free some space, or set \
     `store.snapshot_blocks = 0` to make none"
)]
pub struct TooLittleRoom {
    free: u64,
    needed: u64,
}

/// The disk that snapshots are written to.
#[derive(Debug, Clone)]
pub struct SnapshotRoom {
    /// A folder on it.
    pub folder: PathBuf,
    /// With less free than this, the node stops writing, in bytes.
    pub free_min: u64,
}

impl SnapshotRoom {
    /// Checks that so many more bytes can be written, with a margin.
    ///
    /// # Errors
    /// [`TooLittleRoom`]; when the disk cannot be asked.
    pub fn check(&self, bytes: u64) -> anyhow::Result<()> {
        let free = free_bytes(&self.folder)?;
        let needed = self.free_min.saturating_mul(MARGIN).saturating_add(bytes);
        if free > needed { Ok(()) } else { Err(TooLittleRoom { free, needed }.into()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_needs_its_size_and_twice_what_the_node_needs() {
        let folder = tempfile::tempdir().unwrap();
        let free = free_bytes(folder.path()).unwrap();
        let room = |free_min| SnapshotRoom { folder: folder.path().to_path_buf(), free_min };
        room(0).check(0).unwrap();
        room(free / 8).check(free / 8).unwrap();
        assert!(room(free).check(0).unwrap_err().is::<TooLittleRoom>());
        assert!(room(0).check(free.saturating_mul(2)).unwrap_err().is::<TooLittleRoom>());
        assert!(room(free / 8).check(free.saturating_mul(2)).is_err());
    }
}
