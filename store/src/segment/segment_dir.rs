//! The segments of one log as files of a medium.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use tracing::warn;

use crate::error::{Part, StoreError};
use crate::medium::{Medium, MediumFile};

use super::format::{HeaderFault, SEGMENT_HEADER_BYTES, SegmentHeader, VERSION};

const EXTENSION: &str = ".seg";
/// The extension of a segment that is being written and does not count yet.
const UNFINISHED: &str = ".partial";

/// Present when a record was found damaged while the log was in use.
const SUSPECT: &str = "suspect";

/// The folder of one log. Segments are named by the number of their first record.
#[derive(Debug, Clone)]
pub(crate) struct SegmentDir {
    medium: Arc<dyn Medium>,
    part: Part,
}

impl SegmentDir {
    pub fn new(medium: Arc<dyn Medium>, part: Part) -> Self {
        Self { medium, part }
    }

    pub fn part(&self) -> Part {
        self.part
    }

    pub fn nonce(&self) -> u64 {
        self.medium.nonce()
    }

    /// The segments that are there, after the folder was synced and cleared of unfinished ones.
    pub fn settle_names(&self) -> Result<BTreeSet<u64>, StoreError> {
        let firsts = self.names()?;
        self.delete_unfinished()?;
        Ok(firsts)
    }

    /// The segments that are there, after the folder was synced.
    pub fn names(&self) -> Result<BTreeSet<u64>, StoreError> {
        self.sync_names()?;
        let names = self.medium.list().map_err(|e| self.folder_error("list", e))?;
        Ok(names.iter().filter_map(|name| parse(name)).collect())
    }

    /// Deletes what was being written when a crash came.
    pub fn delete_unfinished(&self) -> Result<(), StoreError> {
        let names = self.medium.list().map_err(|e| self.folder_error("list", e))?;
        for name in names.iter().filter(|name| name.ends_with(UNFINISHED)) {
            self.medium.delete(name).map_err(|e| self.error_at("delete", name, e))?;
        }
        Ok(())
    }

    /// Notes that a record was found damaged. Best effort: where it cannot be noted, it is found again.
    pub fn suspect(&self) {
        let noted =
            self.medium.create(SUSPECT).and_then(|file| file.sync()).and_then(|()| self.medium.sync_dir());
        if let Err(error) = noted {
            warn!(folder = %self.medium.path("").display(), %error, "damage of a log could not be noted");
        }
    }

    /// Whether a record was found damaged.
    pub fn is_suspect(&self) -> Result<bool, StoreError> {
        let names = self.medium.list().map_err(|e| self.folder_error("list", e))?;
        Ok(names.iter().any(|name| name == SUSPECT))
    }

    /// Forgets that a record was found damaged.
    pub fn clear_suspicion(&self) -> Result<(), StoreError> {
        if self.is_suspect()? {
            self.medium.delete(SUSPECT).map_err(|e| self.error_at("delete", SUSPECT, e))?;
            self.sync_names()?;
        }
        Ok(())
    }

    /// The damage that was found while the log was in use.
    pub fn suspicion(&self) -> StoreError {
        let reason = "a block was found damaged when it was read".to_owned();
        StoreError::Damaged { part: self.part, file: self.medium.path(""), offset: None, reason }
    }

    /// Opens a segment and reads its header.
    pub fn open(&self, first: u64) -> Result<(Arc<dyn MediumFile>, SegmentHeader), StoreError> {
        let file = self.medium.open(&name(first)).map_err(|e| self.error("open", first, e))?;
        self.with_header(first, file)
    }

    /// Opens a segment for appending and reads its header.
    pub fn open_to_write(&self, first: u64) -> Result<(Arc<dyn MediumFile>, SegmentHeader), StoreError> {
        let file = self.medium.open_to_write(&name(first)).map_err(|e| self.error("open", first, e))?;
        self.with_header(first, file)
    }

    /// Makes a segment with its founding records, durable in full before it gets its name.
    pub fn create(&self, header: &SegmentHeader, founding: &[u8]) -> Result<Arc<dyn MediumFile>, StoreError> {
        let mut segment = self.begin(header.first)?;
        segment.append(founding)?;
        segment.finish(header)
    }

    /// Begins a segment whose founding records are written piece by piece. It counts only once it is finished.
    pub fn begin(&self, first: u64) -> Result<Unfinished<'_>, StoreError> {
        let name = unfinished_of(first);
        let file = self.medium.create(&name).map_err(|e| self.error_at("create", &name, e))?;
        Ok(Unfinished { dir: self, file, name, end: SEGMENT_HEADER_BYTES as u64 })
    }

    /// Deletes a segment durably and returns how many bytes it had.
    pub fn delete(&self, first: u64) -> Result<u64, StoreError> {
        let size = self.size(first)?;
        self.medium.delete(&name(first)).map_err(|e| self.error("delete", first, e))?;
        self.sync_names()?;
        Ok(size)
    }

    /// The size of a segment in bytes.
    pub fn size(&self, first: u64) -> Result<u64, StoreError> {
        self.medium.open(&name(first)).and_then(|file| file.size()).map_err(|e| self.error("open", first, e))
    }

    pub fn error(&self, action: &'static str, first: u64, source: io::Error) -> StoreError {
        self.error_at(action, &name(first), source)
    }

    pub fn damaged(&self, first: u64, offset: Option<u64>, reason: impl Into<String>) -> StoreError {
        StoreError::Damaged { part: self.part, file: self.path(first), offset, reason: reason.into() }
    }

    pub fn folder(&self) -> PathBuf {
        self.medium.path("")
    }

    pub fn path(&self, first: u64) -> PathBuf {
        self.medium.path(&name(first))
    }

    fn with_header(
        &self,
        first: u64,
        file: Arc<dyn MediumFile>,
    ) -> Result<(Arc<dyn MediumFile>, SegmentHeader), StoreError> {
        let mut bytes = [0; SEGMENT_HEADER_BYTES];
        let read = file.read_at(0, &mut bytes).map_err(|e| self.error("read", first, e))?;
        match SegmentHeader::decode(bytes.get(..read).unwrap_or(&[]), self.part) {
            Ok(header) if header.first == first => Ok((file, header)),
            Ok(header) => {
                let reason = format!("this is segment {}, so the file was renamed", name(header.first));
                Err(self.damaged(first, Some(0), reason))
            }
            Err(HeaderFault::Damaged) => {
                Err(self.damaged(first, Some(0), format!("this is no segment header of the {}", self.part)))
            }
            Err(HeaderFault::Newer(found)) => {
                let path = self.path(first);
                Err(StoreError::NewerFormat { part: self.part, path, found, known: VERSION })
            }
        }
    }

    fn sync_names(&self) -> Result<(), StoreError> {
        self.medium.sync_dir().map_err(|e| self.folder_error("sync", e))
    }

    fn folder_error(&self, action: &'static str, source: io::Error) -> StoreError {
        self.error_at(action, "", source)
    }

    fn error_at(&self, action: &'static str, name: &str, source: io::Error) -> StoreError {
        StoreError::io(action, &self.medium.path(name), source)
    }
}

/// A segment under the name that it has until all its founding records are durable.
pub(crate) struct Unfinished<'a> {
    dir: &'a SegmentDir,
    file: Arc<dyn MediumFile>,
    name: String,
    end: u64,
}

impl Unfinished<'_> {
    /// Writes encoded founding records behind those before.
    pub fn append(&mut self, founding: &[u8]) -> Result<(), StoreError> {
        self.file.write_at(self.end, founding).map_err(|e| self.dir.error_at("write", &self.name, e))?;
        self.end += founding.len() as u64;
        Ok(())
    }

    /// The offset behind the records so far.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Writes the header, makes all of it durable and gives it its name.
    pub fn finish(self, header: &SegmentHeader) -> Result<Arc<dyn MediumFile>, StoreError> {
        let Self { dir, file, name: unfinished, .. } = self;
        let error = |action| {
            let unfinished = &unfinished;
            move |source| dir.error_at(action, unfinished, source)
        };
        file.write_at(0, &header.encode()).map_err(error("write"))?;
        file.sync().map_err(error("sync"))?;
        dir.medium.rename(&unfinished, &name(header.first)).map_err(error("rename"))?;
        dir.sync_names()?;
        Ok(file)
    }
}

fn name(first: u64) -> String {
    format!("{first:016x}{EXTENSION}")
}

fn unfinished_of(first: u64) -> String {
    format!("{}{UNFINISHED}", name(first))
}

fn parse(file_name: &str) -> Option<u64> {
    let digits = file_name.strip_suffix(EXTENSION)?;
    let first = u64::from_str_radix(digits, 16).ok()?;
    (name(first) == file_name).then_some(first)
}
