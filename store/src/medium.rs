//! The port between the segment code and whatever keeps its bytes.
//!
//! A medium is one flat folder of files. Its contract is that of a POSIX file system, no stronger:
//! - bytes written are visible at once and durable only after [`MediumFile::sync`];
//! - a file made, renamed or deleted is so at once, and durably only after [`Medium::sync_dir`];
//! - a rename replaces its target in one step;
//! - a crash may keep any part of what was not synced, sector by sector; a sector that was not kept reads as before or,
//!   where nothing was, as zeros;
//! - after a failed sync nothing is known about the bytes it was meant for, even if they can still be read.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// Bytes that a disk writes as a whole or not at all. Smaller than what disks use today would only be more careful.
pub const SECTOR_BYTES: u64 = 512;

/// A flat folder of files.
pub trait Medium: Send + Sync + fmt::Debug {
    /// The names of all files, in any order.
    ///
    /// # Errors
    /// As the folder's reading fails.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Makes an empty file, or empties the one that has this name, open for reading and writing.
    ///
    /// # Errors
    /// As the file's creation fails.
    fn create(&self, name: &str) -> io::Result<Arc<dyn MediumFile>>;

    /// Opens a file for reading.
    ///
    /// # Errors
    /// `NotFound` when there is none of this name.
    fn open(&self, name: &str) -> io::Result<Arc<dyn MediumFile>>;

    /// Opens a file for reading and writing.
    ///
    /// # Errors
    /// `NotFound` when there is none of this name.
    fn open_to_write(&self, name: &str) -> io::Result<Arc<dyn MediumFile>>;

    /// Gives a file another name; a file that had that name is gone.
    ///
    /// # Errors
    /// `NotFound` when there is none of the old name.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Deletes a file. Whoever has it open can go on reading.
    ///
    /// # Errors
    /// `NotFound` when there is none of this name.
    fn delete(&self, name: &str) -> io::Result<()>;

    /// Makes all earlier creations, renames and deletions durable.
    ///
    /// # Errors
    /// As the sync fails; then nothing is known about their durability.
    fn sync_dir(&self) -> io::Result<()>;

    /// How messages name the file.
    fn path(&self, name: &str) -> PathBuf;

    /// A number that whoever supplies the records' contents cannot foresee; see
    /// [the segment format](crate::segment).
    fn nonce(&self) -> u64;
}

/// An open file of a [`Medium`].
pub trait MediumFile: Send + Sync + fmt::Debug {
    /// The file's size in bytes.
    ///
    /// # Errors
    /// As the query fails.
    fn size(&self) -> io::Result<u64>;

    /// Fills `buffer` from `offset` on and returns how many bytes that were: fewer only at the end of the file.
    ///
    /// # Errors
    /// As the read fails.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;

    /// Writes all of `bytes` at `offset`, lengthening the file as needed.
    ///
    /// # Errors
    /// As the write fails; then any part of `bytes` may have been written.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Cuts the file to `size` bytes.
    ///
    /// # Errors
    /// As the cut fails.
    fn truncate(&self, size: u64) -> io::Result<()>;

    /// Makes all earlier writes to this file and its size durable.
    ///
    /// # Errors
    /// As the sync fails; it must not be repeated in the hope of a better answer.
    fn sync(&self) -> io::Result<()>;
}
