//! Where the records of a segment stand.

use crate::error::StoreError;
use crate::medium::MediumFile;

use super::format::{RECORD_HEADER_BYTES, SEGMENT_HEADER_BYTES, SegmentHeader};
use super::scan::Scan;
use super::segment_dir::SegmentDir;

/// Stands for a record whose header cannot be found any more.
const LOST: u32 = u32::MAX;

/// The offsets of a segment's records, by number.
#[derive(Debug, Clone, Default)]
pub(crate) struct SegmentIndex {
    first: u64,
    offsets: Vec<u32>,
}

impl SegmentIndex {
    /// The index of an empty segment.
    pub fn new(first: u64) -> Self {
        Self { first, offsets: Vec::new() }
    }

    /// Notes where the next record stands.
    pub fn push(&mut self, offset: u64) {
        self.offsets.push(u32::try_from(offset).unwrap_or(LOST));
    }

    /// Where the record stands; `None` when it is not in this segment or lost.
    pub fn offset(&self, seq: u64) -> Option<u64> {
        let position = usize::try_from(seq.checked_sub(self.first)?).ok()?;
        self.offsets.get(position).filter(|&&offset| offset != LOST).map(|&offset| u64::from(offset))
    }

    fn next_seq(&self) -> u64 {
        self.first.saturating_add(self.offsets.len() as u64)
    }

    fn skip_to(&mut self, seq: u64) {
        while self.next_seq() < seq {
            self.offsets.push(LOST);
        }
    }
}

/// Finds the records of a sealed segment that ends before record `end`, by their headers alone.
///
/// A damaged record costs itself only: the walk goes on at the next header that verifies.
pub(crate) fn build_index(
    dir: &SegmentDir,
    file: &dyn MediumFile,
    header: &SegmentHeader,
    end: u64,
) -> Result<SegmentIndex, StoreError> {
    let failed = |e| dir.error("read", header.first, e);
    let mut scan = Scan::new(file, header).map_err(failed)?;
    if end.saturating_sub(header.first) > scan.size() / RECORD_HEADER_BYTES as u64 {
        return Err(dir.damaged(header.first, Some(scan.size()), "the file is too short for its records"));
    }
    let mut index = SegmentIndex::new(header.first);
    let mut at = SEGMENT_HEADER_BYTES as u64;
    while index.next_seq() < end {
        let found = match scan.header_at(at).map_err(failed)? {
            Some(header) => Some((at, header)),
            None => scan.header_from(at.saturating_add(1)).map_err(failed)?,
        };
        let Some((offset, record)) = found else { break };
        at = offset.saturating_add(record.record_bytes());
        if record.seq >= index.next_seq() && record.seq < end {
            index.skip_to(record.seq);
            index.push(offset);
        }
    }
    index.skip_to(end);
    Ok(index)
}
