//! Reads a segment back after a start, tells a torn tail from damage, and makes what was read durable.

use std::ops::Range;

use tracing::warn;

use crate::error::StoreError;
use crate::medium::MediumFile;

use super::format::{SEGMENT_HEADER_BYTES, SegmentHeader};
use super::scan::{Bad, Scan, Step};
use super::segment_dir::SegmentDir;

/// Bytes moved at once while the last write is repeated.
const REWRITE_BYTES: usize = 1 << 20;

/// Where a segment stands in its log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Position {
    /// Another segment follows: all of it was durable when that one was made.
    Sealed,
    /// The last one, whose last write may be incomplete.
    Newest,
}

/// What a segment contains, up to where it is intact.
#[derive(Debug)]
pub(crate) struct Tail {
    /// The offset behind the last intact record.
    pub end: u64,
    /// The number after that of the last intact record.
    pub next_seq: u64,
    /// Where the intact records of the last write stand; empty when there are none.
    last_write: Range<u64>,
    /// The file's size, larger than `end` when its tail is torn.
    size: u64,
}

/// Reads all records of a segment in order.
///
/// `visit` gets the number, the offset and the payload of each. Nothing is changed.
///
/// # Errors
/// `Damaged` for anything that no crash can leave behind.
pub(crate) fn replay(
    dir: &SegmentDir,
    file: &dyn MediumFile,
    header: &SegmentHeader,
    position: Position,
    visit: &mut dyn FnMut(u64, u64, &[u8]),
) -> Result<Tail, StoreError> {
    let failed = |e| dir.error("read", header.first, e);
    let mut scan = Scan::new(file, header).map_err(failed)?;
    let mut last_write = 0..0;
    let mut current_write = None;
    let bad = loop {
        match scan.step().map_err(failed)? {
            Step::Record { header, offset, payload } => {
                if current_write != Some(header.write) {
                    current_write = Some(header.write);
                    last_write.start = offset;
                }
                last_write.end = offset + header.record_bytes();
                visit(header.seq, offset, payload);
            }
            Step::End => break None,
            Step::Bad(bad) => break Some(bad),
        }
    };
    if let Some(bad) = bad {
        refuse_damage(dir, header, position, &mut scan, &bad)?;
    } else if scan.seq() < header.first.saturating_add(header.founding) {
        return Err(dir.damaged(
            header.first,
            Some(scan.offset()),
            "records are missing at the end of the file",
        ));
    }
    Ok(Tail { end: scan.offset(), next_seq: scan.seq(), last_write, size: scan.size() })
}

/// Applies the rule of the [module's essay](super) to a bad record: an error unless it is torn.
fn refuse_damage(
    dir: &SegmentDir,
    header: &SegmentHeader,
    position: Position,
    scan: &mut Scan<'_>,
    bad: &Bad,
) -> Result<(), StoreError> {
    let seq = scan.seq();
    let damaged = |why: &str| {
        let reason = format!("record {seq}: {} ({why})", bad.reason);
        Err(dir.damaged(header.first, Some(bad.offset), reason))
    };
    if position == Position::Sealed {
        return damaged("a later segment follows");
    }
    if seq < header.first.saturating_add(header.founding) {
        return damaged("it was durable before the file got its name");
    }
    if !bad.incomplete {
        return damaged("all of it is there, so this is no torn write");
    }
    let latest = scan.latest_write_from(bad.resume).map_err(|e| dir.error("read", header.first, e))?;
    if latest.is_some_and(|write| write > seq) {
        return damaged("records of later writes follow");
    }
    Ok(())
}

/// Cuts a torn tail off, repeats the last write and syncs, so that all that was replayed is durable.
pub(crate) fn settle(
    dir: &SegmentDir,
    file: &dyn MediumFile,
    header: &SegmentHeader,
    tail: &Tail,
) -> Result<(), StoreError> {
    let first = header.first;
    if tail.size > tail.end {
        let torn_bytes = tail.size - tail.end;
        warn!(file = %dir.path(first).display(), offset = tail.end, torn_bytes, "cutting off an unconfirmed write");
        file.truncate(tail.end).map_err(|e| dir.error("truncate", first, e))?;
    }
    let mut buffer = vec![0; REWRITE_BYTES.min(usize::try_from(tail.end).unwrap_or(REWRITE_BYTES))];
    let mut at = tail.last_write.start.max(SEGMENT_HEADER_BYTES as u64);
    while at < tail.last_write.end {
        let left = usize::try_from(tail.last_write.end - at).unwrap_or(usize::MAX);
        let len = left.min(buffer.len());
        let piece = buffer.get_mut(..len).unwrap_or_default();
        let read = file.read_at(at, piece).map_err(|e| dir.error("read", first, e))?;
        if read < len {
            return Err(dir.damaged(first, Some(at), "the file became shorter while it was read"));
        }
        file.write_at(at, piece).map_err(|e| dir.error("write", first, e))?;
        at += len as u64;
    }
    file.sync().map_err(|e| dir.error("sync", first, e))
}
