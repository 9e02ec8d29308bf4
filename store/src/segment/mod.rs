//! Append-only files of checksummed records, shared by the vote journal and the committed log.
//!
//! # Layout
//! A log is a sequence of records, numbered without gaps, cut into segments. The segment that starts with record `s`
//! is the file `<s as 16 hexadecimal digits>.seg`. All integers are little-endian.
//! ```text
//! segment header, 64 bytes                      record
//!  0  magic "AEGISSEG"                           0  magic u32
//!  8  version u32                                4  length of the payload u32
//! 12  part u32 (1 journal, 2 committed log)      8  seq u64
//! 16  first seq u64                             16  write u64: first seq of the write this record was part of
//! 24  first seq of the segment before u64       24  crc32 of nonce, seq, payload
//! 32  nonce u64                                 28  crc32 of nonce, bytes 0..28
//! 40  founding records u64                      32  payload
//! 48  flags u32 (1 checkpoint)
//! 60  crc32 of bytes 0..60
//! ```
//! The nonce differs from segment to segment and enters every checksum. A record that the disk serves from another
//! segment does not verify, and a payload cannot contain bytes that pass for a record, whoever chose them.
//!
//! # Writing
//! One flush is one write of all buffered records and one sync. A new segment is written under another name, header and
//! first write together (its *founding records*), synced, renamed and the folder synced; so a file that has its final
//! name is never without an intact header and founding records.
//!
//! # What a crash leaves
//! Only the records of the last write can be incomplete, and only in the newest segment. A bad record there is *torn*,
//! and cut off with all that follows, exactly if
//! 1. it is none of the founding records,
//! 2. no later record belongs to a later write: such a write only began when the bad record was already durable, and
//! 3. a part of it is missing: it runs past the end of the file, or one of its sectors holds nothing but zeros.
//!
//! Everything else is damage and reported. Rule 2 needs the field `write`: disks may keep the second half of a write
//! and lose the first, so a valid record behind a bad one proves nothing by itself. Rule 3 tells a flipped bit in the
//! last record from a torn write.
//!
//! # Opening
//! What is readable after a crash of the process need not be durable, and what a failed sync left in the page cache
//! only looks so. Opening therefore writes the records of the last write again, in place and with the same bytes, and
//! syncs file and folder before anything read counts.

mod format;
mod index;
mod options;
mod replay;
mod salvage;
mod scan;
mod segment_dir;
mod window;
mod writer;

pub use format::{RECORD_BYTES_MAX, VERSION};
pub use options::{SEGMENT_BYTES_DEFAULT, SEGMENT_BYTES_MAX, SegmentOptions};
pub use writer::BUFFER_BYTES_MAX;

pub(crate) use format::{RECORD_HEADER_BYTES, RecordHeader, SegmentHeader, payload_crc};
pub(crate) use index::{SegmentIndex, build_index};
pub(crate) use replay::{Position, Tail, replay, settle};
pub(crate) use salvage::{Intact, Run, find_runs, rewrite_run};
pub(crate) use segment_dir::SegmentDir;
pub(crate) use writer::{Flushed, SegmentWriter};
