//! Walks through the records of one segment and judges what it meets, without deciding what to do about it.

use std::io;
use std::ops::Range;

use crate::medium::{MediumFile, SECTOR_BYTES};

use super::format::{
    RECORD_HEADER_BYTES, RECORD_MAGIC, RecordHeader, SEGMENT_HEADER_BYTES, SegmentHeader, payload_crc,
};
use super::window::Window;

/// What stands where the next record is expected.
pub(crate) enum Step<'a> {
    /// An intact record.
    Record { header: RecordHeader, offset: u64, payload: &'a [u8] },
    /// The end of the file.
    End,
    /// Something else.
    Bad(Bad),
}

/// Bytes that should be a record and are none.
#[derive(Debug)]
pub(crate) struct Bad {
    pub offset: u64,
    pub reason: &'static str,
    /// Whether a part of the record is missing, as after a torn write.
    pub incomplete: bool,
    /// Where the search for later records may start.
    pub resume: u64,
}

/// A walk through one segment, from its first record on.
pub(crate) struct Scan<'a> {
    window: Window<'a>,
    nonce: u64,
    offset: u64,
    seq: u64,
}

impl<'a> Scan<'a> {
    pub fn new(file: &'a dyn MediumFile, header: &SegmentHeader) -> io::Result<Self> {
        Ok(Self {
            window: Window::new(file)?,
            nonce: header.nonce,
            offset: SEGMENT_HEADER_BYTES as u64,
            seq: header.first,
        })
    }

    /// The offset behind the last intact record.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The number that the next record must have.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// The file's size.
    pub fn size(&self) -> u64 {
        self.window.size()
    }

    /// Goes on at this offset, with the record of this number.
    pub fn jump(&mut self, offset: u64, seq: u64) {
        self.offset = offset;
        self.seq = seq;
    }

    /// Reads and verifies the next record. After `End` and `Bad` it stays where it is.
    pub fn step(&mut self) -> io::Result<Step<'_>> {
        let offset = self.offset;
        if offset == self.size() {
            return Ok(Step::End);
        }
        let header_end = offset.saturating_add(RECORD_HEADER_BYTES as u64);
        if header_end > self.size() {
            return Ok(cut(offset));
        }
        let Some(header) = self.header_at(offset)? else {
            let incomplete = self.misses_a_sector(offset..header_end)?;
            let reason = "this is no record header";
            return Ok(Step::Bad(Bad { offset, reason, incomplete, resume: offset + 1 }));
        };
        let end = offset.saturating_add(header.record_bytes());
        if header.seq != self.seq {
            let reason = "a record with another number stands here";
            return Ok(Step::Bad(Bad { offset, reason, incomplete: false, resume: end }));
        }
        if end > self.size() {
            return Ok(cut(offset));
        }
        let payload = self.window.at(header_end, u64::from(header.len))?;
        if payload_crc(self.nonce, header.seq, payload) != header.payload_crc {
            let incomplete = self.misses_a_sector(header_end..end)?;
            let reason = "the checksum of the record does not match";
            return Ok(Step::Bad(Bad { offset, reason, incomplete, resume: end }));
        }
        self.offset = end;
        self.seq = self.seq.saturating_add(1);
        let payload = self.window.at(header_end, u64::from(header.len))?;
        Ok(Step::Record { header, offset, payload })
    }

    /// The header at exactly this offset, if one stands there.
    pub fn header_at(&mut self, offset: u64) -> io::Result<Option<RecordHeader>> {
        let bytes = self.window.at(offset, RECORD_HEADER_BYTES as u64)?;
        Ok(RecordHeader::decode(bytes, self.nonce))
    }

    /// The first header at or behind this offset.
    pub fn header_from(&mut self, offset: u64) -> io::Result<Option<(u64, RecordHeader)>> {
        let mut at = offset;
        loop {
            let bytes = self.window.at_least(at, RECORD_HEADER_BYTES as u64)?;
            if bytes.len() < RECORD_HEADER_BYTES {
                return Ok(None);
            }
            match bytes.windows(RECORD_MAGIC.len()).position(|piece| piece == RECORD_MAGIC) {
                Some(skip) => {
                    at += skip as u64;
                    if let Some(header) = self.header_at(at)? {
                        return Ok(Some((at, header)));
                    }
                    at += 1;
                }
                None => at += (bytes.len() - (RECORD_MAGIC.len() - 1)) as u64,
            }
        }
    }

    /// The latest write that any record at or behind this offset was part of.
    pub fn latest_write_from(&mut self, offset: u64) -> io::Result<Option<u64>> {
        let mut latest = None;
        let mut at = offset;
        while let Some((found, header)) = self.header_from(at)? {
            latest = latest.max(Some(header.write));
            at = found.saturating_add(header.record_bytes());
        }
        Ok(latest)
    }

    /// Whether the bytes of the range in one of its sectors are all zeros.
    fn misses_a_sector(&mut self, range: Range<u64>) -> io::Result<bool> {
        let mut at = range.start;
        while at < range.end {
            let sector_end = (at / SECTOR_BYTES + 1) * SECTOR_BYTES;
            let end = sector_end.min(range.end);
            if self.window.at(at, end - at)?.iter().all(|&byte| byte == 0) {
                return Ok(true);
            }
            at = end;
        }
        Ok(false)
    }
}

fn cut(offset: u64) -> Step<'static> {
    let reason = "the file ends within a record";
    Step::Bad(Bad { offset, reason, incomplete: true, resume: offset + 1 })
}
