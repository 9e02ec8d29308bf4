//! How much of the disk a snapshot may take, and a state that is built from one.
//!
//! Neither may be what fills the disk and makes this node read-only.

use std::path::PathBuf;

use aegis_store::space::free_bytes;
use anyhow::ensure;

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
        let (free, needed) = self.free_and_needed(bytes)?;
        if free > needed { Ok(()) } else { Err(TooLittleRoom { free, needed }.into()) }
    }

    /// Checks that a state of so many bytes can be built, with a margin: its sorted copy and its store.
    ///
    /// # Errors
    /// When there is too little room; when the disk cannot be asked.
    pub fn check_build(&self, state_bytes: u64) -> anyhow::Result<()> {
        let (free, needed) = self.free_and_needed(state_bytes.saturating_mul(2))?;
        ensure!(
            free > needed,
            "{free} bytes are free on the disk, and building the state that was fetched takes {needed}: free some space, or \
             fetch blocks only with sync.mode = \"blocks\""
        );
        Ok(())
    }

    fn free_and_needed(&self, bytes: u64) -> anyhow::Result<(u64, u64)> {
        let needed = self.free_min.saturating_mul(MARGIN).saturating_add(bytes);
        Ok((free_bytes(&self.folder)?, needed))
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
        room(0).check_build(free / 4).unwrap();
        assert!(room(0).check_build(free).unwrap_err().to_string().contains("free some space"));
    }
}
