//! How a log is cut into files.

/// Bytes after which a segment is closed, unless the options say otherwise. Whole segments are what is deleted, so
/// larger ones keep dead records longer; smaller ones cost more syncs of the folder.
pub const SEGMENT_BYTES_DEFAULT: u64 = 64 << 20;

/// The largest segment size taken. Together with one full write buffer it stays within the 32-bit offsets of the index.
pub const SEGMENT_BYTES_MAX: u64 = 1 << 30;

/// How a log is cut into files. May differ from one start to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentOptions {
    /// Bytes after which the next write starts a new segment; at most [`SEGMENT_BYTES_MAX`] count.
    pub segment_bytes: u64,
}

impl Default for SegmentOptions {
    fn default() -> Self {
        Self { segment_bytes: SEGMENT_BYTES_DEFAULT }
    }
}
