//! What is left of a damaged segment: the records that verify, and a new segment made of them.

use std::io;
use std::sync::Arc;

use crate::error::StoreError;
use crate::medium::MediumFile;

use super::format::SegmentHeader;
use super::scan::{Scan, Step};
use super::segment_dir::SegmentDir;
use super::writer::encode_record;

/// Bytes gathered before they are written: a segment may be far larger than what should be held in memory.
const PIECE_BYTES: usize = 4 << 20;

/// Intact records in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Run {
    /// The number of the first one.
    pub first: u64,
    /// The number after that of the last one.
    pub end: u64,
    /// Where the first one stands.
    offset: u64,
}

enum Seen {
    Record(u64, u64),
    End,
    Bad { resume: u64 },
}

/// What a segment holds.
#[derive(Debug, Default)]
pub(crate) struct Intact {
    /// All intact records, in ascending order. Whatever lies between two runs is damaged.
    pub runs: Vec<Run>,
    /// Whether the file goes on behind the last run, with bytes that are no record.
    pub has_broken_tail: bool,
}

/// Reads all of a segment, damaged or not.
pub(crate) fn find_runs(
    dir: &SegmentDir,
    file: &dyn MediumFile,
    header: &SegmentHeader,
) -> Result<Intact, StoreError> {
    read_runs(file, header).map_err(|e| dir.error("read", header.first, e))
}

fn read_runs(file: &dyn MediumFile, header: &SegmentHeader) -> io::Result<Intact> {
    let mut scan = Scan::new(file, header)?;
    let mut runs: Vec<Run> = Vec::new();
    let mut is_broken = true;
    loop {
        let seen = match scan.step()? {
            Step::Record { header, offset, .. } => Seen::Record(header.seq, offset),
            Step::End => Seen::End,
            Step::Bad(bad) => Seen::Bad { resume: bad.resume },
        };
        match seen {
            Seen::Record(seq, offset) => {
                match runs.last_mut().filter(|_| !is_broken) {
                    Some(run) => run.end = seq.saturating_add(1),
                    None => runs.push(Run { first: seq, end: seq.saturating_add(1), offset }),
                }
                is_broken = false;
            }
            Seen::End => return Ok(Intact { runs, has_broken_tail: false }),
            Seen::Bad { mut resume } => {
                is_broken = true;
                let expected = scan.seq();
                let next = loop {
                    match scan.header_from(resume)? {
                        Some((offset, record)) if record.seq >= expected => break (offset, record.seq),
                        Some((offset, _)) => resume = offset.saturating_add(1),
                        None => return Ok(Intact { runs, has_broken_tail: true }),
                    }
                };
                scan.jump(next.0, next.1);
            }
        }
    }
}

/// Makes a segment of the run's records, durably, in place of one that has its name.
///
/// `keep` is called when all of the new segment is durable under another name, just before it takes its own.
pub(crate) fn rewrite_run(
    dir: &SegmentDir,
    (file, header): (&dyn MediumFile, &SegmentHeader),
    run: Run,
    previous: Option<u64>,
    keep: impl FnOnce() -> Result<(), StoreError>,
) -> Result<Arc<dyn MediumFile>, StoreError> {
    let failed = |e| dir.error("read", header.first, e);
    let nonce = dir.nonce();
    let mut scan = Scan::new(file, header).map_err(failed)?;
    scan.jump(run.offset, run.first);
    let mut segment = dir.begin(run.first)?;
    let mut piece = Vec::new();
    while scan.seq() < run.end {
        let Step::Record { header: record, payload, .. } = scan.step().map_err(failed)? else {
            return Err(dir.damaged(header.first, Some(scan.offset()), "a record changed while it was read"));
        };
        encode_record(&mut piece, nonce, record.seq, run.first, record.len, payload);
        if piece.len() >= PIECE_BYTES {
            segment.append(&piece)?;
            piece.clear();
        }
    }
    segment.append(&piece)?;
    keep()?;
    let founding = run.end - run.first;
    segment.finish(&SegmentHeader {
        part: dir.part(),
        first: run.first,
        previous,
        nonce,
        founding,
        checkpoint: false,
    })
}
