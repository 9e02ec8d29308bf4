//! Which blocks the committed log has and where they stand; shared by its writer and its readers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::error::StoreError;
use crate::medium::MediumFile;
use crate::segment::{Flushed, SegmentDir, SegmentIndex, build_index};

/// Sealed segments whose indexes are kept. A reader that walks through the log needs one at a time; an index has four
/// bytes per block, so this many stay below a few megabytes for blocks of ordinary size.
const INDEXES_MAX: usize = 32;

/// A segment that can be read from.
#[derive(Debug, Clone)]
pub(crate) struct Readable {
    pub file: Arc<dyn MediumFile>,
    pub segment: u64,
    pub nonce: u64,
}

/// Where a block stands.
pub(crate) enum Place {
    /// The log does not have it.
    Absent,
    /// In the segment that is being written; the offset is `None` when its index has lost it.
    Newest(Readable, Option<u64>),
    /// In a sealed segment, which ends before height `end`.
    Sealed { segment: u64, end: u64 },
}

/// What the writer and the readers share. The locks are held for lookups, never during a read of the disk.
#[derive(Debug)]
pub(crate) struct LogCatalog {
    dir: SegmentDir,
    contents: RwLock<Contents>,
    indexes: Mutex<IndexCache>,
}

/// The flushed part of the log.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    /// All segments by their first heights, the newest included.
    segments: BTreeSet<u64>,
    newest: Option<(Readable, SegmentIndex)>,
    /// The height after the last flushed block.
    end: u64,
}

impl LogCatalog {
    pub fn new(dir: SegmentDir, contents: Contents) -> Self {
        Self { dir, contents: RwLock::new(contents), indexes: Mutex::default() }
    }

    pub fn dir(&self) -> &SegmentDir {
        &self.dir
    }

    // A panic while a lock is held cannot leave these maps half changed, so a poisoned lock is taken as it is.
    pub fn contents(&self) -> RwLockReadGuard<'_, Contents> {
        self.contents.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets readers see what a flush has made durable: the blocks at these offsets within the write, up to height `end`.
    pub fn publish(&self, flushed: Flushed, positions: impl Iterator<Item = u64>, end: u64) {
        let mut contents = self.contents_mut();
        if flushed.started {
            let readable = Readable { file: flushed.file, segment: flushed.segment, nonce: flushed.nonce };
            contents.segments.insert(flushed.segment);
            let started = (readable, SegmentIndex::new(flushed.segment));
            if let Some((sealed, index)) = contents.newest.replace(started) {
                self.indexes().insert(Arc::new(Sealed { readable: sealed, index }));
            }
        }
        if let Some((_, index)) = &mut contents.newest {
            positions.for_each(|position| index.push(flushed.offset + position));
        }
        contents.end = end;
    }

    /// Takes out the oldest segment if it ends below `height`, and tells whether it was the newest too.
    pub fn take_oldest_below(&self, height: u64, newest_may_go: bool) -> Option<(u64, bool)> {
        let mut contents = self.contents_mut();
        let mut segments = contents.segments.iter().copied();
        let oldest = segments.next()?;
        let next = segments.next();
        let may_go = next.unwrap_or(contents.end) <= height && (next.is_some() || newest_may_go);
        if !may_go {
            return None;
        }
        contents.segments.remove(&oldest);
        if next.is_none() {
            contents.newest = None;
        }
        self.indexes().remove(oldest);
        Some((oldest, next.is_none()))
    }

    /// The sealed segment with its index, which is made when it is not at hand.
    pub fn sealed(&self, segment: u64, end: u64) -> Result<Arc<Sealed>, StoreError> {
        if let Some(sealed) = self.indexes().get(segment) {
            return Ok(sealed);
        }
        let (file, header) = self.dir.open(segment)?;
        let index = build_index(&self.dir, &*file, &header, end)?;
        let readable = Readable { file, segment, nonce: header.nonce };
        let sealed = Arc::new(Sealed { readable, index });
        self.indexes().insert(Arc::clone(&sealed));
        Ok(sealed)
    }

    fn contents_mut(&self) -> RwLockWriteGuard<'_, Contents> {
        self.contents.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn indexes(&self) -> MutexGuard<'_, IndexCache> {
        self.indexes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Contents {
    pub fn new(segments: BTreeSet<u64>, newest: (Readable, SegmentIndex), end: u64) -> Self {
        Self { segments, newest: Some(newest), end }
    }

    /// The lowest height, if there is any block.
    pub fn first(&self) -> Option<u64> {
        self.segments.first().copied()
    }

    /// The highest height, if there is any block.
    pub fn last(&self) -> Option<u64> {
        self.first().and(self.end.checked_sub(1))
    }

    /// The first heights of all segments.
    pub fn segments(&self) -> Vec<u64> {
        self.segments.iter().copied().collect()
    }

    pub fn locate(&self, height: u64) -> Place {
        let Some(&segment) = self.segments.range(..=height).next_back().filter(|_| height < self.end) else {
            return Place::Absent;
        };
        match &self.newest {
            Some((readable, index)) if readable.segment == segment => {
                Place::Newest(readable.clone(), index.offset(height))
            }
            _ => {
                let end = self.segments.range(height.saturating_add(1)..).next();
                Place::Sealed { segment, end: end.copied().unwrap_or(self.end) }
            }
        }
    }
}

/// A sealed segment, open, and where its blocks stand.
#[derive(Debug)]
pub(crate) struct Sealed {
    pub readable: Readable,
    pub index: SegmentIndex,
}

/// The most recently used indexes of sealed segments.
#[derive(Debug, Default)]
struct IndexCache {
    sealed: BTreeMap<u64, (Arc<Sealed>, u64)>,
    uses: u64,
}

impl IndexCache {
    fn get(&mut self, segment: u64) -> Option<Arc<Sealed>> {
        self.uses += 1;
        let (sealed, last_use) = self.sealed.get_mut(&segment)?;
        *last_use = self.uses;
        Some(Arc::clone(sealed))
    }

    fn insert(&mut self, sealed: Arc<Sealed>) {
        self.uses += 1;
        self.sealed.insert(sealed.readable.segment, (sealed, self.uses));
        if self.sealed.len() > INDEXES_MAX {
            let oldest =
                self.sealed.iter().min_by_key(|(_, (_, last_use))| *last_use).map(|(&segment, _)| segment);
            oldest.and_then(|segment| self.sealed.remove(&segment));
        }
    }

    fn remove(&mut self, segment: u64) {
        self.sealed.remove(&segment);
    }
}
