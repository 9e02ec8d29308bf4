//! Appends records to the newest segment and starts new ones.

use std::sync::Arc;

use crate::error::StoreError;
use crate::medium::MediumFile;

use super::format::{
    RECORD_BYTES_MAX, RECORD_HEADER_BYTES, RecordHeader, SEGMENT_HEADER_BYTES, SegmentHeader, payload_crc,
};
use super::options::{SEGMENT_BYTES_MAX, SegmentOptions};
use super::replay::Tail;
use super::segment_dir::SegmentDir;

/// Bytes that may be buffered before they are flushed. A driver flushes far earlier; this only keeps one that does not
/// from eating the memory.
pub const BUFFER_BYTES_MAX: u64 = 256 << 20;

/// Capacity that the buffer keeps between flushes; one rare large write must not hold its memory for ever.
const BUFFER_KEEP_BYTES: usize = 4 << 20;

/// Bytes that a checkpoint gathers before it writes them: it may be far larger than what fits the memory twice.
const CHECKPOINT_PIECE_BYTES: usize = 4 << 20;

/// The segment that records are appended to.
#[derive(Debug, Clone)]
struct Newest {
    file: Arc<dyn MediumFile>,
    first: u64,
    nonce: u64,
    end: u64,
}

/// Where the records of one flush went.
#[derive(Debug)]
pub(crate) struct Flushed {
    pub file: Arc<dyn MediumFile>,
    /// The first record of the segment.
    pub segment: u64,
    pub nonce: u64,
    /// The offset of the first record that was flushed.
    pub offset: u64,
    /// Whether the segment was made by this flush.
    pub started: bool,
}

/// The one writer of a log: buffers records, writes and syncs them together, and is poisoned by the first failure.
#[derive(Debug)]
pub(crate) struct SegmentWriter {
    dir: SegmentDir,
    segment_bytes: u64,
    newest: Option<Newest>,
    next_seq: u64,
    /// Encoded records that are not written yet.
    buffer: Vec<u8>,
    /// The number of the first of them.
    buffer_first: u64,
    /// The nonce that they are encoded with.
    buffer_nonce: u64,
    /// Whether they go to a new segment.
    starts_segment: bool,
    refused: Option<StoreError>,
    poisoned: bool,
}

impl SegmentWriter {
    /// A writer for a log that has no segment yet; its first record gets the number `next_seq`.
    pub fn empty(dir: SegmentDir, options: SegmentOptions, next_seq: u64) -> Self {
        Self {
            dir,
            segment_bytes: options.segment_bytes.min(SEGMENT_BYTES_MAX),
            newest: None,
            next_seq,
            buffer: Vec::new(),
            buffer_first: next_seq,
            buffer_nonce: 0,
            starts_segment: true,
            refused: None,
            poisoned: false,
        }
    }

    /// A writer that goes on where a settled segment ends.
    pub fn resume(
        dir: SegmentDir,
        options: SegmentOptions,
        file: Arc<dyn MediumFile>,
        header: &SegmentHeader,
        tail: &Tail,
    ) -> Self {
        let newest = Newest { file, first: header.first, nonce: header.nonce, end: tail.end };
        Self { newest: Some(newest), ..Self::empty(dir, options, tail.next_seq) }
    }

    /// The number of the next record.
    pub fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// Whether nothing is buffered.
    pub fn is_flushed(&self) -> bool {
        self.buffer.is_empty()
    }

    /// Whether an earlier failure has closed this writer.
    pub fn check(&self) -> Result<(), StoreError> {
        if self.poisoned { Err(StoreError::Poisoned { part: self.dir.part() }) } else { Ok(()) }
    }

    /// Closes this writer after a failure that its owner has met.
    pub fn poison(&mut self) {
        self.poisoned = true;
    }

    /// Buffers a record and returns where it stands in the buffer.
    ///
    /// One that is too large is not buffered: the next flush fails and poisons the writer.
    pub fn push(&mut self, payload: &[u8]) -> u64 {
        if self.buffer.is_empty() {
            self.begin_write();
        }
        let position = self.buffer.len() as u64;
        match checked_len(payload, position) {
            Ok(len) => {
                let (seq, write) = (self.next_seq, self.buffer_first);
                encode_record(&mut self.buffer, self.buffer_nonce, seq, write, len, payload);
                self.next_seq = self.next_seq.saturating_add(1);
            }
            Err(error) => self.refused = self.refused.take().or(Some(error)),
        }
        position
    }

    /// Writes and syncs what is buffered. `None` when nothing is.
    pub fn flush(&mut self) -> Result<Option<Flushed>, StoreError> {
        self.check()?;
        if let Some(error) = self.refused.take() {
            self.poisoned = true;
            return Err(error);
        }
        if self.buffer.is_empty() {
            return Ok(None);
        }
        let flushed = self.write_buffer().inspect_err(|_| self.poisoned = true)?;
        self.buffer.clear();
        self.buffer.shrink_to(BUFFER_KEEP_BYTES);
        Ok(Some(flushed))
    }

    /// Starts a segment whose founding records replace all earlier ones. Nothing may be buffered.
    ///
    /// Returns its first record's number. One number is left out before it, so that no two segments share a name.
    pub fn checkpoint(&mut self, live: impl Iterator<Item = impl AsRef<[u8]>>) -> Result<u64, StoreError> {
        self.check()?;
        let first = self.next_seq.saturating_add(1);
        let (newest, next_seq) = self.write_checkpoint(first, live).inspect_err(|error| {
            self.poisoned = !matches!(error, StoreError::TooLarge { .. });
        })?;
        self.newest = Some(newest);
        self.next_seq = next_seq;
        Ok(first)
    }

    fn write_checkpoint(
        &self,
        first: u64,
        live: impl Iterator<Item = impl AsRef<[u8]>>,
    ) -> Result<(Newest, u64), StoreError> {
        let nonce = self.dir.nonce();
        let mut segment = self.dir.begin(first)?;
        let mut piece = Vec::new();
        let mut seq = first;
        for payload in live {
            let payload = payload.as_ref();
            encode_record(&mut piece, nonce, seq, first, record_len(payload)?, payload);
            seq = seq.saturating_add(1);
            if piece.len() >= CHECKPOINT_PIECE_BYTES {
                segment.append(&piece)?;
                piece.clear();
            }
        }
        segment.append(&piece)?;
        let end = segment.end();
        let header = SegmentHeader {
            part: self.dir.part(),
            first,
            previous: None,
            nonce,
            founding: seq - first,
            checkpoint: true,
        };
        let file = segment.finish(&header)?;
        Ok((Newest { file, first, nonce, end }, seq))
    }

    /// Forgets the newest segment, so that the next record starts one. Nothing may be buffered.
    pub fn detach(&mut self) {
        self.newest = None;
    }

    /// Lets the next record have this number. Only for a log without segments.
    pub fn renumber(&mut self, next_seq: u64) {
        self.next_seq = next_seq;
    }

    fn begin_write(&mut self) {
        self.buffer_first = self.next_seq;
        // One without records is never full: the next segment would have its name.
        let is_open =
            |newest: &&Newest| newest.end < self.segment_bytes || newest.end <= SEGMENT_HEADER_BYTES as u64;
        match self.newest.as_ref().filter(is_open) {
            Some(newest) => {
                self.buffer_nonce = newest.nonce;
                self.starts_segment = false;
            }
            None => {
                self.buffer_nonce = self.dir.nonce();
                self.starts_segment = true;
            }
        }
    }

    fn write_buffer(&mut self) -> Result<Flushed, StoreError> {
        let len = self.buffer.len() as u64;
        if let Some(newest) = self.newest.as_mut().filter(|_| !self.starts_segment) {
            let offset = newest.end;
            newest
                .file
                .write_at(offset, &self.buffer)
                .map_err(|e| self.dir.error("write", newest.first, e))?;
            newest.file.sync().map_err(|e| self.dir.error("sync", newest.first, e))?;
            newest.end += len;
            return Ok(Flushed {
                file: Arc::clone(&newest.file),
                segment: newest.first,
                nonce: newest.nonce,
                offset,
                started: false,
            });
        }
        let header = SegmentHeader {
            part: self.dir.part(),
            first: self.buffer_first,
            previous: self.newest.as_ref().map(|newest| newest.first),
            nonce: self.buffer_nonce,
            founding: self.next_seq - self.buffer_first,
            checkpoint: false,
        };
        let newest = self.start_segment(&header, &self.buffer)?;
        let file = Arc::clone(&newest.file);
        self.newest = Some(newest);
        let offset = SEGMENT_HEADER_BYTES as u64;
        Ok(Flushed { file, segment: header.first, nonce: header.nonce, offset, started: true })
    }

    fn start_segment(&self, header: &SegmentHeader, founding: &[u8]) -> Result<Newest, StoreError> {
        let file = self.dir.create(header, founding)?;
        let end = SEGMENT_HEADER_BYTES as u64 + founding.len() as u64;
        Ok(Newest { file, first: header.first, nonce: header.nonce, end })
    }
}

pub(super) fn encode_record(
    buffer: &mut Vec<u8>,
    nonce: u64,
    seq: u64,
    write: u64,
    len: u32,
    payload: &[u8],
) {
    let header = RecordHeader { len, seq, write, payload_crc: payload_crc(nonce, seq, payload) };
    buffer.extend_from_slice(&header.encode(nonce));
    buffer.extend_from_slice(payload);
}

fn checked_len(payload: &[u8], buffered: u64) -> Result<u32, StoreError> {
    let len = record_len(payload)?;
    let total = buffered.saturating_add(u64::from(len)).saturating_add(RECORD_HEADER_BYTES as u64);
    if total > BUFFER_BYTES_MAX {
        return Err(StoreError::TooLarge { what: "one flush", actual: total, limit: BUFFER_BYTES_MAX });
    }
    Ok(len)
}

fn record_len(payload: &[u8]) -> Result<u32, StoreError> {
    let actual = payload.len() as u64;
    let too_large = StoreError::TooLarge { what: "a record", actual, limit: RECORD_BYTES_MAX };
    u32::try_from(actual).ok().filter(|_| actual <= RECORD_BYTES_MAX).ok_or(too_large)
}
