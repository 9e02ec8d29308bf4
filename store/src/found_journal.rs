//! A vote journal as it is found in its folder, before anything of it is changed.
//!
//! A journal may be damaged in a way that it does not show itself: it ends before its milestone, or is another one than its
//! home's. Its owner finds that out from the records. Whatever is wrong with it, its files are evidence then, and perhaps all
//! that is left of votes; so reading changes nothing, and only [`FoundJournal::open`] cuts off a torn write and deletes what
//! a checkpoint has replaced.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use crate::disk::Disk;
use crate::error::{Part, StoreError};
use crate::journal::{Journal, record_bytes};
use crate::medium::{Medium, MediumFile};
use crate::segment::{
    Position, SegmentDir, SegmentHeader, SegmentOptions, SegmentWriter, Tail, replay, settle,
};

/// The number of a journal's very first record. A journal that neither starts with it nor with a checkpoint has lost
/// its beginning.
const FIRST_SEQ: u64 = 1;

/// A journal that was read and is not open yet.
#[derive(Debug)]
pub struct FoundJournal {
    dir: SegmentDir,
    options: SegmentOptions,
    /// All segments, by their first records.
    segments: BTreeSet<u64>,
    /// The first segment that still counts.
    oldest: Option<u64>,
    newest: Option<Newest>,
    records: Vec<Vec<u8>>,
    bytes_since_checkpoint: u64,
}

/// The segment that is written to next, and what is intact of it.
#[derive(Debug)]
struct Newest {
    link: Link,
    tail: Tail,
}

/// A segment that belongs to the journal as it is now.
#[derive(Debug)]
struct Link {
    file: Arc<dyn MediumFile>,
    header: SegmentHeader,
}

impl FoundJournal {
    /// Reads the journal in a folder, which is made when it is absent.
    ///
    /// # Errors
    /// As for [`Journal::open`].
    pub fn read(dir: &Path, options: SegmentOptions) -> Result<Self, StoreError> {
        Self::read_on(Arc::new(Disk::open(dir)?), options)
    }

    /// [`read`](Self::read) on any medium.
    ///
    /// # Errors
    /// As for `read`.
    pub fn read_on(medium: Arc<dyn Medium>, options: SegmentOptions) -> Result<Self, StoreError> {
        let dir = SegmentDir::new(medium, Part::Journal);
        let segments = dir.names()?;
        let (mut records, mut bytes_since_checkpoint) = (Vec::new(), 0);
        let (mut expected, mut newest) = (None, None);
        let mut links = find_links(&dir, &segments)?.into_iter().peekable();
        let oldest = links.peek().map(|link| link.header.first);
        while let Some(link) = links.next() {
            let header = &link.header;
            check_link(&dir, header, expected)?;
            let position = if links.peek().is_some() { Position::Sealed } else { Position::Newest };
            let live = if header.checkpoint { header.first.saturating_add(header.founding) } else { 0 };
            let tail = replay(&dir, &*link.file, header, position, &mut |seq, _, payload| {
                if seq >= live {
                    bytes_since_checkpoint += record_bytes(payload);
                }
                records.push(payload.to_vec());
            })?;
            expected = Some((header.first, tail.next_seq));
            newest = Some(Newest { link, tail });
        }
        Ok(Self { dir, options, segments, oldest, newest, records, bytes_since_checkpoint })
    }

    /// All records since the last checkpoint, those of the checkpoint first, in the order in which they were appended.
    pub fn records(&self) -> &[Vec<u8>] {
        &self.records
    }

    /// One more than the number of the last confirmed record.
    pub fn confirmed(&self) -> u64 {
        self.newest.as_ref().map_or(FIRST_SEQ, |newest| newest.tail.next_seq)
    }

    /// Checks that the journal is as long as it was known to be.
    ///
    /// # Errors
    /// `Damaged` when it ends before the milestone.
    pub fn check_reaches(&self, milestone: u64) -> Result<(), StoreError> {
        if self.confirmed() >= milestone {
            return Ok(());
        }
        let (file, offset) = match &self.newest {
            Some(newest) => (self.dir.path(newest.link.header.first), Some(newest.tail.end)),
            None => (self.dir.folder(), None),
        };
        let reason = format!(
            "the records from {} to {} are missing although they were confirmed: the file was cut, or newer ones are lost",
            self.confirmed(),
            milestone.saturating_sub(1)
        );
        Err(StoreError::Damaged { part: Part::Journal, file, offset, reason })
    }

    /// Opens it for writing, with its records. A torn last write is cut off, and what a checkpoint has replaced is deleted.
    ///
    /// # Errors
    /// Errors of the file system.
    pub fn open(self) -> Result<(Journal, Vec<Vec<u8>>), StoreError> {
        let Self { dir, options, mut segments, oldest, newest, records, bytes_since_checkpoint } = self;
        dir.delete_unfinished()?;
        let is_new = segments.is_empty();
        let writer = match newest {
            Some(Newest { link: Link { file, header }, tail }) => {
                settle(&dir, &*file, &header, &tail)?;
                SegmentWriter::resume(dir.clone(), options, file, &header, &tail)
            }
            None => SegmentWriter::empty(dir.clone(), options, FIRST_SEQ),
        };
        let superseded = oldest.map_or_else(Vec::new, |oldest| segments.range(..oldest).copied().collect());
        for first in superseded {
            dir.delete(first)?;
            segments.remove(&first);
        }
        let confirmed = writer.next_seq();
        let journal =
            Journal { dir, writer, segments, bytes_since_checkpoint, is_new, confirmed, milestones: None };
        Ok((journal, records))
    }
}

/// The segments from the newest checkpoint on, or all of them when there is none, oldest first.
fn find_links(dir: &SegmentDir, segments: &BTreeSet<u64>) -> Result<Vec<Link>, StoreError> {
    let mut links = Vec::new();
    for &first in segments.iter().rev() {
        let (file, header) = if links.is_empty() { dir.open_to_write(first)? } else { dir.open(first)? };
        let is_checkpoint = header.checkpoint;
        links.push(Link { file, header });
        if is_checkpoint {
            break;
        }
    }
    links.reverse();
    Ok(links)
}

/// Checks that a segment continues the one before, given by its first record and the number after its last.
fn check_link(
    dir: &SegmentDir,
    header: &SegmentHeader,
    before: Option<(u64, u64)>,
) -> Result<(), StoreError> {
    let continues = match before {
        None => header.checkpoint || header.first == FIRST_SEQ,
        Some((first, next_seq)) => header.previous == Some(first) && header.first == next_seq,
    };
    if continues {
        Ok(())
    } else {
        Err(dir.damaged(header.first, Some(0), "the records before this segment are missing"))
    }
}
