//! The vote journal: what a validator must find again before it may vote again.
//!
//! A record is opaque here. The driver appends the records of the inputs it has handled, flushes once, and only then
//! lets the messages out that rest on them. From time to time it writes a *checkpoint*: the records that still matter,
//! which replace everything before them.
//!
//! # Why a checkpoint is atomic
//! Its segment is written and synced under another name, renamed, and the folder synced; a start reads from the newest
//! checkpoint on, once it has synced the folder itself. So until the rename is durable the old segments may be the journal,
//! and with them it was whole; from then on they are not read any more. They are deleted right after that, or by the next
//! start when a crash came between; a deletion that fails closes the journal, as every other failed write does.
//!
//! # Milestones
//! A journal that was cut between two records, or has lost its newest segment, looks like one that never went further. So
//! the number of confirmed records is noted outside the journal's folder ([`Milestones`]): when a segment is made, when
//! the journal is opened, and whenever its owner has the time. Each is noted after it is true, and that of a new segment
//! before the flush that made it returns, so a journal that ends below its milestone has lost what was confirmed. What was
//! confirmed since the last milestone is not protected by it.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use crate::disk::Disk;
use crate::error::StoreError;
use crate::found_journal::FoundJournal;
use crate::medium::Medium;
use crate::segment::{RECORD_HEADER_BYTES, SegmentDir, SegmentOptions, SegmentWriter};

/// Remembers, durably and outside the journal's folder, how far a journal has got.
pub trait Milestones: Send + Sync + fmt::Debug {
    /// Remembers that the records below this number are confirmed, unless more are known to be.
    ///
    /// # Errors
    /// When it cannot be made durable; the one before then still stands.
    fn note(&self, confirmed: u64) -> Result<(), StoreError>;
}

/// The one writer of a vote journal.
#[derive(Debug)]
pub struct Journal {
    pub(crate) dir: SegmentDir,
    pub(crate) writer: SegmentWriter,
    /// All segments, by their first records.
    pub(crate) segments: BTreeSet<u64>,
    pub(crate) bytes_since_checkpoint: u64,
    pub(crate) is_new: bool,
    /// The number after that of the last confirmed record.
    pub(crate) confirmed: u64,
    pub(crate) milestones: Option<Arc<dyn Milestones>>,
}

impl Journal {
    /// Opens the journal in a folder, making it when it is absent, and returns all records since the last checkpoint,
    /// those of the checkpoint first, in the order in which they were appended.
    ///
    /// A torn last write is cut off: it was never confirmed. Who knows how long the journal must be reads it first, as a
    /// [`FoundJournal`]: a journal that is too short is to stay as it is.
    ///
    /// # Errors
    /// `Damaged` when confirmed records are missing or garbled, `NewerFormat`, and errors of the file system.
    pub fn open(dir: &Path, options: SegmentOptions) -> Result<(Self, Vec<Vec<u8>>), StoreError> {
        Self::open_on(Arc::new(Disk::open(dir)?), options)
    }

    /// [`open`](Self::open) on any medium.
    ///
    /// # Errors
    /// As for `open`.
    pub fn open_on(
        medium: Arc<dyn Medium>,
        options: SegmentOptions,
    ) -> Result<(Self, Vec<Vec<u8>>), StoreError> {
        FoundJournal::read_on(medium, options)?.open()
    }

    /// The number that a milestone of this moment has: one more than that of the last confirmed record.
    pub fn confirmed(&self) -> u64 {
        self.confirmed
    }

    /// Notes milestones from now on, the first one at once.
    ///
    /// # Errors
    /// When the first one cannot be noted.
    pub fn keep_milestones(&mut self, milestones: Arc<dyn Milestones>) -> Result<(), StoreError> {
        self.milestones = Some(milestones);
        self.note_milestone()
    }

    /// Who notes milestones, for an owner that lets a thread of its own note how far the journal is.
    pub fn milestones(&self) -> Option<Arc<dyn Milestones>> {
        self.milestones.clone()
    }

    /// Notes how far the journal is, for an owner that stops.
    ///
    /// # Errors
    /// When it cannot be noted; the journal can be used as before.
    pub fn note_milestone(&self) -> Result<(), StoreError> {
        self.milestones.as_ref().map_or(Ok(()), |milestones| milestones.note(self.confirmed))
    }

    /// Whether there was no journal in the folder when it was opened. For a validator that has voted before, that means
    /// its journal is lost.
    pub fn is_new(&self) -> bool {
        self.is_new
    }

    /// Buffers a record. It is not durable before the next [`flush`](Self::flush).
    ///
    /// A record above [`RECORD_BYTES_MAX`](crate::segment::RECORD_BYTES_MAX), or a buffer above
    /// [`BUFFER_BYTES_MAX`](crate::segment::BUFFER_BYTES_MAX), lets the next flush fail.
    pub fn append(&mut self, record: &[u8]) {
        self.writer.push(record);
        self.bytes_since_checkpoint += record_bytes(record);
    }

    /// Makes all buffered records durable with one write and one sync.
    ///
    /// # Errors
    /// Any error closes the journal: this call and every later one fail, and no vote may be sent that rests on it.
    pub fn flush(&mut self) -> Result<(), StoreError> {
        if let Some(flushed) = self.writer.flush()? {
            self.segments.insert(flushed.segment);
            self.confirmed = self.writer.next_seq();
            if flushed.started {
                self.note_milestone().inspect_err(|_| self.writer.poison())?;
            }
        }
        Ok(())
    }

    /// Replaces all records by `live`, durably and in one step, and deletes the segments of those before.
    ///
    /// Buffered records are flushed first; `live` must contain whatever of them still matters. It may be of any size:
    /// it is written as it comes, and not held in memory.
    ///
    /// # Errors
    /// As for [`flush`](Self::flush). The journal then holds either the old or the new records, never a mixture. Only
    /// `TooLarge` for a record of `live` leaves it usable.
    pub fn checkpoint(&mut self, live: impl Iterator<Item = impl AsRef<[u8]>>) -> Result<(), StoreError> {
        self.flush()?;
        let first = self.writer.checkpoint(live)?;
        self.bytes_since_checkpoint = 0;
        self.confirmed = self.writer.next_seq();
        self.note_milestone().inspect_err(|_| self.writer.poison())?;
        let superseded = std::mem::replace(&mut self.segments, BTreeSet::from([first]));
        for old in superseded {
            self.dir.delete(old).inspect_err(|_| self.writer.poison())?;
        }
        Ok(())
    }

    /// Bytes appended since the last checkpoint, headers included: what a restart has to replay.
    pub fn bytes_since_checkpoint(&self) -> u64 {
        self.bytes_since_checkpoint
    }
}

pub(crate) fn record_bytes(payload: &[u8]) -> u64 {
    (RECORD_HEADER_BYTES + payload.len()) as u64
}
