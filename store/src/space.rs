//! Room on the disk: how much there is, whether it can be written to, and a reserve of it.

use std::fs::{self, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, fallocate, statvfs};
use rustix::io::Errno;

use crate::disk::sync_folder;
use crate::error::StoreError;

const PROBE: &str = "probe.partial";
const RESERVE: &str = "reserve";

/// Bytes of the file system that this user may still fill.
///
/// # Errors
/// When the folder cannot be asked.
pub fn free_bytes(folder: &Path) -> Result<u64, StoreError> {
    let stat = statvfs(folder).map_err(|e| StoreError::io("ask for the free space of", folder, e.into()))?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Writes a small file, makes it durable and deletes it again: whether a store in this folder could be written.
///
/// # Errors
/// What keeps it from being written.
pub fn probe(folder: &Path) -> Result<(), StoreError> {
    let path = folder.join(PROBE);
    let written = (|| {
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
        std::io::Write::write_all(&mut &file, &[0x5A; 4096])?;
        file.sync_all()
    })();
    let deleted = match fs::remove_file(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        deleted => deleted,
    };
    written.and(deleted).map_err(|e| StoreError::io("write", &path, e))
}

/// A file that takes up room while all is well, so that there is some when the disk is full: a store needs room to
/// be closed in order, and sled needs some even to open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reserve {
    path: PathBuf,
    bytes: u64,
}

impl Reserve {
    /// A reserve of so many bytes in a folder; it is not made yet.
    pub fn new(folder: &Path, bytes: u64) -> Self {
        Self { path: folder.join(RESERVE), bytes }
    }

    /// Takes up the room, unless it is taken already.
    ///
    /// # Errors
    /// `NoSpace` when there is too little: nothing is taken then. A file system that cannot set room aside is no error.
    pub fn take(&self) -> Result<(), StoreError> {
        if fs::metadata(&self.path).is_ok_and(|found| found.len() == self.bytes) {
            return Ok(());
        }
        self.release()?;
        if self.bytes == 0 {
            return Ok(());
        }
        // Asked for more than there is, a file system hands out all it has before it refuses: everybody else would find
        // a full disk for that moment.
        let parent = self.path.parent().unwrap_or(&self.path);
        if free_bytes(parent)? < self.bytes {
            return Err(StoreError::NoSpace { action: "reserve", path: self.path.clone() });
        }
        let make = || -> std::io::Result<()> {
            let file =
                OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&self.path)?;
            match fallocate(&file, FallocateFlags::empty(), 0, self.bytes) {
                Err(Errno::OPNOTSUPP) => fs::remove_file(&self.path),
                Err(error) => Err(error.into()),
                Ok(()) => file.sync_all(),
            }
        };
        make().map_err(|error| {
            // What was taken of it must not make a full disk fuller.
            let _ = fs::remove_file(&self.path);
            StoreError::io("reserve", &self.path, error)
        })
    }

    /// Gives the room back.
    ///
    /// # Errors
    /// When the file cannot be deleted.
    pub fn release(&self) -> Result<(), StoreError> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(StoreError::io("delete", &self.path, error)),
            Ok(()) => match self.path.parent() {
                Some(folder) => sync_folder(folder),
                None => Ok(()),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reserve_takes_room_once_and_gives_it_back() {
        let temp = tempfile::tempdir().expect("temp dir");
        let reserve = Reserve::new(temp.path(), 1 << 20);
        reserve.take().expect("room");
        reserve.take().expect("taken already");
        assert_eq!(fs::metadata(temp.path().join(RESERVE)).expect("file").len(), 1 << 20);
        reserve.release().expect("released");
        reserve.release().expect("nothing left to release");
        assert!(!temp.path().join(RESERVE).exists());
    }

    #[test]
    fn a_reserve_that_does_not_fit_takes_nothing() {
        let temp = tempfile::tempdir().expect("temp dir");
        let free = free_bytes(temp.path()).expect("free space");
        let reserve = Reserve::new(temp.path(), free.saturating_mul(4).max(1 << 30));
        assert!(matches!(reserve.take(), Err(StoreError::NoSpace { .. })));
        assert!(!temp.path().join(RESERVE).exists());
    }

    #[test]
    fn a_probe_leaves_nothing_behind() {
        let temp = tempfile::tempdir().expect("temp dir");
        probe(temp.path()).expect("writable");
        assert_eq!(fs::read_dir(temp.path()).expect("list").count(), 0);
        assert!(probe(&temp.path().join("absent")).is_err());
    }
}
