//! The key-value store on sled 0.34.
//!
//! Sled is used within what was measured to be safe:
//! - Its own flush does not sync the file (it relies on `sync_file_range`), so every flush here is followed by an
//!   `fdatasync` on sled's file, and sled's timer is off.
//! - All changes go through one transaction over all trees; other ways are not atomic over several trees.
//! - No entry is large: values are cut into pieces (see `sled_value`).
//! - Sled panics on some damaged files, at opening and later. Every call is guarded, and a panic is reported as damage.
//! - A file `snap.*.generating`, left by a crash while sled was writing it, would keep sled from opening; it is deleted.
//! - After a write that the disk refused, the store can only be read; after any other failure it is closed. Damage is also
//!   marked in the folder, so that it is not opened again.
//! - A store that was dropped holds its lock for a moment; the next opening waits for it.

use std::fs::{self, File};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::thread::sleep;
use std::time::{Duration, Instant};

use sled::transaction::{ConflictableTransactionResult, TransactionError, Transactional, TransactionalTree};
use sled::{Db, IVec, Tree};
use tracing::warn;

use crate::disk::{make_folder, sync_folder, sync_parent};
use crate::error::{Part, StoreError};

use super::access::{Access, Purpose};
use super::damage_mark;
use super::limits::{check_size, check_sizes};
use super::reentry::{Scanning, forbid_reentry};
use super::sled_value::{Head, encode_head, piece_key, pieces, value_crc};
use super::store::{KvStore, Op, Table, Visit};

/// Bytes of sled's cache unless the caller says otherwise. Its real memory is larger; a cache well below the live state
/// makes reads some five times slower.
pub const CACHE_BYTES_DEFAULT: u64 = 256 << 20;

/// The version of the layout in sled that this program writes, and the newest it reads.
const LAYOUT_VERSION: u32 = 1;

const PIECES_TREE: &str = "pieces";
const LAYOUT_TREE: &str = "layout";
const VERSION_KEY: &[u8] = b"version";
/// Present while the tables are being emptied.
const CLEARING_KEY: &[u8] = b"clearing";

/// How sled's error says that its file is locked; it has no kind of its own.
const LOCKED: &str = "could not acquire lock";
/// After a store is dropped, threads of sled hold its lock a few milliseconds longer. Another process never lets go, and
/// is normally found by the lock of the data folder first.
const LOCK_WAIT_MAX: Duration = Duration::from_secs(3);
const LOCK_POLL: Duration = Duration::from_millis(5);

/// Sled's own files.
const SLED_DB: &str = "db";
const SLED_CONF: &str = "conf";
/// What is appended to the name of a damaged folder that is set aside.
const ASIDE: &str = ".damaged";

/// A [`KvStore`] in a folder.
#[derive(Debug)]
pub struct SledKv {
    db: Db,
    trees: Trees,
    folder: PathBuf,
    /// Sled's file, for the sync that sled leaves out.
    file: File,
    /// Held shared by readers and alone by commits: sled's iterators do not see one moment.
    one_moment: RwLock<()>,
    access: Access,
}

#[derive(Debug)]
struct Trees {
    state: Tree,
    index: Tree,
    meta: Tree,
    pieces: Tree,
    layout: Tree,
}

impl Trees {
    fn open(db: &Db) -> sled::Result<Self> {
        Ok(Self {
            state: db.open_tree("state")?,
            index: db.open_tree("index")?,
            meta: db.open_tree("meta")?,
            pieces: db.open_tree(PIECES_TREE)?,
            layout: db.open_tree(LAYOUT_TREE)?,
        })
    }

    fn table(&self, table: Table) -> &Tree {
        match table {
            Table::State => &self.state,
            Table::Index => &self.index,
            Table::Meta => &self.meta,
        }
    }
}

impl SledKv {
    /// Opens the store in a folder, making it when it is absent. `cache_bytes` bounds sled's cache, not its memory.
    ///
    /// # Errors
    /// `Damaged` when sled cannot read the folder (see [`recreate`](Self::recreate)), `NewerFormat`, and errors of the
    /// disk; a full disk is one of them, for sled writes while it opens.
    pub fn open(folder: &Path, cache_bytes: u64) -> Result<Self, StoreError> {
        make_folder(folder)?;
        if damage_mark::is_there(folder) {
            return Err(damaged(folder, "damage was found in it before"));
        }
        delete_unfinished_snapshots(folder)?;
        let config = sled::Config::new()
            .path(folder)
            .cache_capacity(cache_bytes)
            .mode(sled::Mode::LowSpace)
            .use_compression(false)
            .flush_every_ms(None);
        let db = open_when_free(folder, &config)?;
        let trees = guarded(folder, || Trees::open(&db))?;
        for name in [SLED_DB, SLED_CONF] {
            let path = folder.join(name);
            File::open(&path)
                .and_then(|file| file.sync_all())
                .map_err(|e| StoreError::io("sync", &path, e))?;
        }
        sync_folder(folder)?;
        let path = folder.join(SLED_DB);
        let file = File::open(&path).map_err(|e| StoreError::io("open", &path, e))?;
        let store = Self {
            db,
            trees,
            folder: folder.to_path_buf(),
            file,
            one_moment: RwLock::new(()),
            access: Access::default(),
        };
        store.check_layout()?;
        Ok(store)
    }

    /// Sets the folder aside under the name `<folder>.damaged`, in place of one set aside earlier, and opens an empty
    /// store, to be filled from the committed log.
    ///
    /// # Errors
    /// Errors of the disk.
    pub fn recreate(folder: &Path, cache_bytes: u64) -> Result<Self, StoreError> {
        if folder.exists() {
            let mut aside = folder.as_os_str().to_owned();
            aside.push(ASIDE);
            let aside = PathBuf::from(aside);
            if aside.exists() {
                fs::remove_dir_all(&aside).map_err(|e| StoreError::io("delete", &aside, e))?;
            }
            fs::rename(folder, &aside).map_err(|e| StoreError::io("rename", folder, e))?;
            sync_parent(folder)?;
            warn!(aside = %aside.display(), "set the damaged key-value store aside");
        }
        Self::open(folder, cache_bytes)
    }

    /// Checks the layout's version, writes it into a new store, and finishes a clearing that a crash has interrupted.
    fn check_layout(&self) -> Result<(), StoreError> {
        let version = self.run(|| self.trees.layout.get(VERSION_KEY))?;
        let version = version.map(|bytes| <[u8; 4]>::try_from(&*bytes).map(u32::from_le_bytes));
        match version {
            Some(Ok(LAYOUT_VERSION)) => {}
            Some(Ok(found)) if found > LAYOUT_VERSION => {
                let path = self.folder.clone();
                return Err(StoreError::NewerFormat { part: Part::Kv, path, found, known: LAYOUT_VERSION });
            }
            None if self
                .run(|| Ok(Table::ALL.iter().all(|&table| self.trees.table(table).is_empty())))? =>
            {
                self.write(|| self.trees.layout.insert(VERSION_KEY, &LAYOUT_VERSION.to_le_bytes()))?;
                return self.flush();
            }
            Some(_) | None => return Err(damaged(&self.folder, "its layout version is missing or garbled")),
        }
        if self.run(|| self.trees.layout.contains_key(CLEARING_KEY))? { self.clear() } else { Ok(()) }
    }

    /// Reads something with sled unless the store is closed, and closes the store when that fails.
    fn run<T>(&self, call: impl FnOnce() -> sled::Result<T>) -> Result<T, StoreError> {
        self.run_for(Purpose::Read, call)
    }

    /// Writes something with sled while the store is open, and restricts the store when that fails.
    fn write<T>(&self, call: impl FnOnce() -> sled::Result<T>) -> Result<T, StoreError> {
        self.run_for(Purpose::Write, call)
    }

    fn run_for<T>(&self, purpose: Purpose, call: impl FnOnce() -> sled::Result<T>) -> Result<T, StoreError> {
        self.access.check(purpose)?;
        guarded(&self.folder, call).inspect_err(|error| {
            self.access.restrict(purpose, error);
            if matches!(error, StoreError::Damaged { .. }) {
                damage_mark::leave(&self.folder);
            }
        })
    }

    /// Puts an entry by itself, for a store that is being filled and that nobody uses before a [`flush`](KvStore::flush) has
    /// ended that: after a crash any part of it may be there. The store must not have the key. In ascending order of key this
    /// is several times as fast as commits.
    ///
    /// # Errors
    /// As for [`commit`](KvStore::commit).
    pub fn fill(&self, table: Table, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        check_size(key, value)?;
        let _alone = self.alone();
        self.write(|| {
            for (number, piece) in pieces(value) {
                self.trees.pieces.insert(piece_key(table, key, number), piece)?;
            }
            self.trees.table(table).insert(key, encode_head(table, key, value)).map(drop)
        })
    }

    fn shared(&self) -> RwLockReadGuard<'_, ()> {
        forbid_reentry(self);
        self.one_moment.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn alone(&self) -> RwLockWriteGuard<'_, ()> {
        forbid_reentry(self);
        self.one_moment.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The value that an entry of a table tree stands for.
    fn value(&self, table: Table, key: &[u8], entry: &[u8]) -> Result<Vec<u8>, StoreError> {
        let garbled = || {
            self.access.close();
            damage_mark::leave(&self.folder);
            damaged(&self.folder, "a value is not what was put")
        };
        let head = Head::decode(entry).ok_or_else(garbled)?;
        let (crc, value) = match head {
            Head::Whole { crc, value } => (crc, value.to_vec()),
            Head::Pieces { crc, len } => {
                let mut value = Vec::new();
                for number in 0..head.pieces() {
                    let piece = self.run(|| self.trees.pieces.get(piece_key(table, key, number)))?;
                    value.extend_from_slice(&piece.ok_or_else(garbled)?);
                }
                if value.len() as u64 != u64::from(len) {
                    return Err(garbled());
                }
                (crc, value)
            }
        };
        if value_crc(table, key, &value) == crc { Ok(value) } else { Err(garbled()) }
    }

    fn visit_all(
        &self,
        table: Table,
        mut next: impl FnMut() -> Option<sled::Result<(IVec, IVec)>>,
        visit: &mut Visit<'_>,
    ) -> Result<(), StoreError> {
        while let Some((key, entry)) = self.run(|| next().transpose())? {
            let value = self.value(table, &key, &entry)?;
            if visit(&key, &value).is_break() {
                break;
            }
        }
        Ok(())
    }
}

impl KvStore for SledKv {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let _shared = self.shared();
        let entry = self.run(|| self.trees.table(table).get(key))?;
        entry.map(|entry| self.value(table, key, &entry)).transpose()
    }

    fn scan(&self, table: Table, from: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError> {
        let _shared = self.shared();
        let _scanning = Scanning::begin(self);
        let mut entries = self.trees.table(table).range(from..);
        self.visit_all(table, || entries.next(), visit)
    }

    fn scan_back(&self, table: Table, before: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError> {
        let _shared = self.shared();
        let _scanning = Scanning::begin(self);
        let mut entries = self.trees.table(table).range(..before);
        self.visit_all(table, || entries.next_back(), visit)
    }

    fn commit(&self, ops: &[Op]) -> Result<(), StoreError> {
        check_sizes(ops)?;
        let _alone = self.alone();
        let Trees { state, index, meta, pieces, .. } = &self.trees;
        self.write(|| {
            match (state, index, meta, pieces).transaction(|(state, index, meta, pieces)| {
                let views = Views { state, index, meta, pieces };
                ops.iter().try_for_each(|op| views.apply(op))
            }) {
                Ok(()) => Ok(()),
                Err(TransactionError::Storage(error)) => Err(error),
                Err(TransactionError::Abort(Garbled)) => Err(sled::Error::Corruption { at: None, bt: () }),
            }
        })
    }

    fn flush(&self) -> Result<(), StoreError> {
        self.write(|| self.db.flush())?;
        let synced = self.file.sync_data().map_err(|e| StoreError::io("sync", &self.folder.join(SLED_DB), e));
        synced.inspect_err(|error| self.access.restrict(Purpose::Write, error))
    }

    fn clear(&self) -> Result<(), StoreError> {
        let _alone = self.alone();
        self.write(|| self.trees.layout.insert(CLEARING_KEY, &[]))?;
        self.flush()?;
        let Trees { state, index, meta, pieces, layout } = &self.trees;
        for tree in [meta, state, index, pieces] {
            self.write(|| tree.clear())?;
        }
        self.flush()?;
        self.write(|| layout.remove(CLEARING_KEY))?;
        self.flush()
    }
}

/// An entry inside a transaction is not what was put.
struct Garbled;

/// The trees inside a transaction.
struct Views<'a> {
    state: &'a TransactionalTree,
    index: &'a TransactionalTree,
    meta: &'a TransactionalTree,
    pieces: &'a TransactionalTree,
}

impl Views<'_> {
    fn table(&self, table: Table) -> &TransactionalTree {
        match table {
            Table::State => self.state,
            Table::Index => self.index,
            Table::Meta => self.meta,
        }
    }

    fn apply(&self, op: &Op) -> ConflictableTransactionResult<(), Garbled> {
        match op {
            Op::Put { table, key, value } => {
                let old = self.table(*table).insert(key.as_slice(), encode_head(*table, key, value))?;
                let mut kept = 0;
                for (number, piece) in pieces(value) {
                    self.pieces.insert(piece_key(*table, key, number), piece)?;
                    kept = number + 1;
                }
                self.remove_pieces(*table, key, kept, old)
            }
            Op::Delete { table, key } => {
                let old = self.table(*table).remove(key.as_slice())?;
                self.remove_pieces(*table, key, 0, old)
            }
        }
    }

    /// Removes the pieces of a replaced entry from number `kept` on.
    fn remove_pieces(
        &self,
        table: Table,
        key: &[u8],
        kept: u32,
        old: Option<IVec>,
    ) -> ConflictableTransactionResult<(), Garbled> {
        let Some(old) = old else { return Ok(()) };
        let old = Head::decode(&old)
            .ok_or(sled::transaction::ConflictableTransactionError::Abort(Garbled))?
            .pieces();
        for number in kept..old {
            self.pieces.remove(piece_key(table, key, number))?;
        }
        Ok(())
    }
}

/// Runs something of sled's, with its panics and errors sorted by what can be done about them.
fn guarded<T>(folder: &Path, call: impl FnOnce() -> sled::Result<T>) -> Result<T, StoreError> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(sled::Error::Io(error))) => Err(StoreError::io("use", folder, error)),
        Ok(Err(error)) => Err(damaged(folder, &error.to_string())),
        Err(_) => Err(damaged(folder, "sled panicked on its contents")),
    }
}

/// Opens sled, waiting a little for threads of a store that was just dropped to let go of the file.
fn open_when_free(folder: &Path, config: &sled::Config) -> Result<Db, StoreError> {
    let deadline = Instant::now() + LOCK_WAIT_MAX;
    loop {
        match guarded(folder, || config.open()) {
            Err(StoreError::Io { source, .. }) if source.to_string().contains(LOCKED) => {
                if Instant::now() >= deadline {
                    return Err(StoreError::InUse { path: folder.to_path_buf(), pid: None });
                }
                sleep(LOCK_POLL);
            }
            outcome => return outcome,
        }
    }
}

fn damaged(folder: &Path, reason: &str) -> StoreError {
    let file = folder.to_path_buf();
    StoreError::Damaged { part: Part::Kv, file, offset: None, reason: reason.to_owned() }
}

fn delete_unfinished_snapshots(folder: &Path) -> Result<(), StoreError> {
    let failed = |e| StoreError::io("list", folder, e);
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.starts_with("snap.") && name.ends_with(".generating") {
            fs::remove_file(&path).map_err(|e| StoreError::io("delete", &path, e))?;
        }
    }
    Ok(())
}
