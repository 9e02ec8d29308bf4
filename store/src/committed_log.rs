//! The committed log: the bytes of every block by height, without gaps.
//!
//! Opening reads the newest segment in full and the headers of the others, so a long log opens fast; a block in an
//! older segment is verified whenever it is read.

use std::path::Path;
use std::sync::Arc;

use aegis_types::Height;

use crate::disk::Disk;
use crate::error::{Part, StoreError};
use crate::log_catalog::{Contents, LogCatalog, Readable};
use crate::log_reader::LogReader;
use crate::medium::Medium;
use crate::segment::{
    Position, RECORD_BYTES_MAX, SegmentDir, SegmentIndex, SegmentOptions, SegmentWriter, replay, settle,
};

/// The one writer of a committed log.
#[derive(Debug)]
pub struct CommittedLog {
    writer: SegmentWriter,
    catalog: Arc<LogCatalog>,
    /// Where the buffered blocks stand in the buffer.
    positions: Vec<u64>,
    /// The first buffered height.
    buffered_first: Option<u64>,
}

impl CommittedLog {
    /// Opens the log in a folder, making it when it is absent.
    ///
    /// A torn last write is cut off: it was never confirmed.
    ///
    /// # Errors
    /// `Damaged` when a segment is missing, confirmed blocks of the newest one are garbled, or a block was found garbled when
    /// it was read earlier (see [`repair_log`](crate::repair_log)); `NewerFormat`, and errors of the file system.
    pub fn open(dir: &Path, options: SegmentOptions) -> Result<Self, StoreError> {
        Self::open_on(Arc::new(Disk::open(dir)?), options)
    }

    /// [`open`](Self::open) on any medium.
    ///
    /// # Errors
    /// As for `open`.
    pub fn open_on(medium: Arc<dyn Medium>, options: SegmentOptions) -> Result<Self, StoreError> {
        let dir = SegmentDir::new(medium, Part::CommittedLog);
        if dir.is_suspect()? {
            return Err(dir.suspicion());
        }
        let segments = dir.settle_names()?;
        let Some(&newest) = segments.last() else {
            return Ok(Self::new(SegmentWriter::empty(dir.clone(), options, 0), dir, Contents::default()));
        };
        let mut before = None;
        for &first in segments.range(..newest) {
            check_link(&dir, first, before, dir.open(first)?.1.previous)?;
            before = Some(first);
        }
        let (file, header) = dir.open_to_write(newest)?;
        check_link(&dir, newest, before, header.previous)?;
        let mut index = SegmentIndex::new(newest);
        let tail = replay(&dir, &*file, &header, Position::Newest, &mut |_, offset, _| index.push(offset))?;
        settle(&dir, &*file, &header, &tail)?;
        let readable = Readable { file: Arc::clone(&file), segment: newest, nonce: header.nonce };
        let contents = Contents::new(segments, (readable, index), tail.next_seq);
        Ok(Self::new(SegmentWriter::resume(dir.clone(), options, file, &header, &tail), dir, contents))
    }

    fn new(writer: SegmentWriter, dir: SegmentDir, contents: Contents) -> Self {
        let catalog = Arc::new(LogCatalog::new(dir, contents));
        Self { writer, catalog, positions: Vec::new(), buffered_first: None }
    }

    /// The lowest height in the log, flushed or not.
    pub fn first(&self) -> Option<Height> {
        self.catalog.contents().first().or(self.buffered_first).map(Height)
    }

    /// The highest height in the log, flushed or not. [`LogReader::last`] counts flushed blocks only.
    pub fn last(&self) -> Option<Height> {
        self.first().map(|_| Height(self.writer.next_seq()).previous())
    }

    /// Buffers a block. Its height must follow [`last`](Self::last); an empty log takes any.
    ///
    /// # Errors
    /// `NotContiguous` and `TooLarge` leave the log as it was; `Poisoned` after an earlier failure.
    pub fn append(&mut self, height: Height, block: &[u8]) -> Result<(), StoreError> {
        self.writer.check()?;
        let actual = block.len() as u64;
        if actual > RECORD_BYTES_MAX {
            return Err(StoreError::TooLarge { what: "a block", actual, limit: RECORD_BYTES_MAX });
        }
        match self.last() {
            Some(last) if height != last.next() => {
                return Err(StoreError::NotContiguous { expected: last.next(), actual: height });
            }
            Some(_) => {}
            None => self.writer.renumber(height.0),
        }
        self.buffered_first.get_or_insert(height.0);
        self.positions.push(self.writer.push(block));
        Ok(())
    }

    /// Makes all buffered blocks durable with one write and one sync, and lets readers see them.
    ///
    /// # Errors
    /// Any error closes the log for writing: this call and every later one fail. Readers go on.
    pub fn flush(&mut self) -> Result<(), StoreError> {
        if let Some(flushed) = self.writer.flush()? {
            self.catalog.publish(flushed, self.positions.drain(..), self.writer.next_seq());
            self.buffered_first = None;
        }
        Ok(())
    }

    /// Deletes the segments whose blocks all lie below `height` and returns how many bytes that freed.
    ///
    /// Blocks below `height` in a segment that goes on beyond it stay. When all blocks lie below, and none is
    /// buffered, the log is empty afterwards.
    ///
    /// # Errors
    /// Errors of the file system; readers have lost sight of the segment that could not be deleted, and it is back after
    /// the next opening.
    pub fn prune_below(&mut self, height: Height) -> Result<u64, StoreError> {
        self.writer.check()?;
        let mut freed = 0_u64;
        while let Some((segment, was_newest)) =
            self.catalog.take_oldest_below(height.0, self.writer.is_flushed())
        {
            if was_newest {
                self.writer.detach();
            }
            freed = freed.saturating_add(self.catalog.dir().delete(segment)?);
        }
        Ok(freed)
    }

    /// A reader of this log, for use beside it.
    pub fn reader(&self) -> LogReader {
        LogReader::new(Arc::clone(&self.catalog))
    }
}

/// Checks that a segment names the one before it, except the oldest, whose predecessors may have been pruned.
fn check_link(
    dir: &SegmentDir,
    first: u64,
    before: Option<u64>,
    previous: Option<u64>,
) -> Result<(), StoreError> {
    if before.is_some() && before != previous {
        return Err(dir.damaged(first, Some(0), "the blocks before this segment are missing"));
    }
    Ok(())
}
