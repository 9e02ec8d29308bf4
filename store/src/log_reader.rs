//! Reads committed blocks beside the writer.

use std::sync::Arc;

use aegis_types::Height;

use crate::error::StoreError;
use crate::log_catalog::{LogCatalog, Place, Readable};
use crate::segment::{RECORD_HEADER_BYTES, RecordHeader, payload_crc};

/// A view of the flushed part of a committed log. Cheap to clone; any number may read while the log is appended to.
#[derive(Debug, Clone)]
pub struct LogReader {
    catalog: Arc<LogCatalog>,
}

impl LogReader {
    pub(crate) fn new(catalog: Arc<LogCatalog>) -> Self {
        Self { catalog }
    }

    /// The lowest height that can be read.
    pub fn first(&self) -> Option<Height> {
        self.catalog.contents().first().map(Height)
    }

    /// The highest height that can be read: that of the last flushed block.
    pub fn last(&self) -> Option<Height> {
        self.catalog.contents().last().map(Height)
    }

    /// The files of the log, oldest first: the first block in each, and its size in bytes.
    ///
    /// # Errors
    /// Errors of the file system.
    pub fn files(&self) -> Result<Vec<(Height, u64)>, StoreError> {
        let segments = self.catalog.contents().segments();
        let dir = self.catalog.dir();
        segments.into_iter().map(|first| Ok((Height(first), dir.size(first)?))).collect()
    }

    /// The block at this height, verified by its checksum. `None` when it is pruned or not yet flushed.
    ///
    /// The first read in an old segment walks through that segment to learn where its blocks stand.
    ///
    /// # Errors
    /// `Damaged` when the bytes are not those that were appended; other blocks may still be readable. The log then does not
    /// open again before it is repaired.
    pub fn read(&self, height: Height) -> Result<Option<Vec<u8>>, StoreError> {
        let place = self.catalog.contents().locate(height.0);
        let read = match place {
            Place::Absent => return Ok(None),
            Place::Newest(readable, offset) => self.read_record(&readable, offset, height.0),
            Place::Sealed { segment, end } => self.catalog.sealed(segment, end).and_then(|sealed| {
                self.read_record(&sealed.readable, sealed.index.offset(height.0), height.0)
            }),
        };
        match read {
            Ok(block) => Ok(Some(block)),
            // The segment may have been pruned between the lookup and its opening.
            Err(_) if self.first().is_none_or(|first| height < first) => Ok(None),
            Err(error) => {
                if matches!(error, StoreError::Damaged { .. }) {
                    self.catalog.dir().suspect();
                }
                Err(error)
            }
        }
    }

    fn read_record(&self, readable: &Readable, offset: Option<u64>, seq: u64) -> Result<Vec<u8>, StoreError> {
        let dir = self.catalog.dir();
        let damaged =
            |reason: &str| Err(dir.damaged(readable.segment, offset, format!("block {seq}: {reason}")));
        let failed = |e| dir.error("read", readable.segment, e);
        let Some(offset) = offset else {
            return damaged("its record cannot be found");
        };
        let mut head = [0; RECORD_HEADER_BYTES];
        readable.file.read_at(offset, &mut head).map_err(failed)?;
        let Some(header) = RecordHeader::decode(&head, readable.nonce).filter(|header| header.seq == seq)
        else {
            return damaged("its header does not verify");
        };
        let mut payload = vec![0; usize::try_from(header.len).unwrap_or(usize::MAX)];
        readable.file.read_at(offset + RECORD_HEADER_BYTES as u64, &mut payload).map_err(failed)?;
        if payload_crc(readable.nonce, seq, &payload) != header.payload_crc {
            return damaged("its checksum does not match");
        }
        Ok(payload)
    }
}
