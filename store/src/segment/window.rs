//! Buffered reading of a file at any offset.

use std::io;

use crate::medium::MediumFile;

/// Bytes read at once: large enough that a scan is sequential, small enough to be nothing beside one segment.
const READ_AHEAD_BYTES: u64 = 256 << 10;

/// The part of a file that is buffered, moved as needed.
pub(crate) struct Window<'a> {
    file: &'a dyn MediumFile,
    size: u64,
    start: u64,
    bytes: Vec<u8>,
}

impl<'a> Window<'a> {
    pub fn new(file: &'a dyn MediumFile) -> io::Result<Self> {
        Ok(Self { file, size: file.size()?, start: 0, bytes: Vec::new() })
    }

    /// The file's size when the window was made.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The `len` bytes at `offset`; fewer at the end of the file.
    pub fn at(&mut self, offset: u64, len: u64) -> io::Result<&[u8]> {
        let rest = self.at_least(offset, len)?;
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        Ok(rest.get(..len).unwrap_or(rest))
    }

    /// All buffered bytes from `offset` on: `len` or more, fewer only at the end of the file.
    pub fn at_least(&mut self, offset: u64, len: u64) -> io::Result<&[u8]> {
        let len = len.min(self.size.saturating_sub(offset));
        let end = self.start + self.bytes.len() as u64;
        if offset < self.start || offset.saturating_add(len) > end {
            self.fill(offset, len.max(READ_AHEAD_BYTES).min(self.size.saturating_sub(offset)))?;
        }
        let skip = usize::try_from(offset - self.start).unwrap_or(usize::MAX);
        Ok(self.bytes.get(skip..).unwrap_or(&[]))
    }

    fn fill(&mut self, offset: u64, len: u64) -> io::Result<()> {
        let len = usize::try_from(len).map_err(|_| io::ErrorKind::OutOfMemory)?;
        self.start = offset;
        self.bytes.resize(len, 0);
        let read = self.file.read_at(offset, &mut self.bytes);
        self.bytes.truncate(*read.as_ref().unwrap_or(&0));
        read.map(|_| ())
    }
}
