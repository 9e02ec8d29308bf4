//! The folder that holds everything a node must not lose, opened by one process at a time.
//!
//! ```text
//! LOCK     held exclusively while the node runs; contains its process id
//! FORMAT   the version of this layout
//! reserve  room for hard times, see `space`
//! wal/     vote journal
//! clog/    committed log
//! kv/      key-value store
//! snap/    snapshots of the state for others, and one that is being fetched; made by the node
//! ```
//! # Versions
//! | version | what it says |
//! |---|---|
//! | 1 | a checkpoint of the journal does not tell up to which block it has dropped votes |
//! | 2 | it does |
//!
//! The folders themselves are the same, so a folder of version 1 is opened as it is; whoever knows what stands in the journal
//! raises its version ([`DataDir::raise_version`]).
//!
//! `FORMAT` is made durable before the first subfolder exists, so a folder that has one and no `FORMAT` is damaged.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::disk::{FOLDER_MODE, make_folder, sync_folder, sync_parent};
use crate::error::{Part, StoreError};
use crate::kv::compact::delete_unfinished;

/// The version of the layout that this program writes, and the newest it reads.
pub const FORMAT_VERSION: u32 = 2;
/// The oldest version that it reads.
const FORMAT_VERSION_OLDEST: u32 = 1;

const LOCK: &str = "LOCK";
const FORMAT: &str = "FORMAT";
const FORMAT_UNFINISHED: &str = "FORMAT.partial";
const FORMAT_PREFIX: &str = "aegis data format ";
/// The lock and format files have one short line each; more than this is no such file.
const LINE_BYTES_MAX: u64 = 64;

const JOURNAL: &str = "wal";
const LOG: &str = "clog";
const KV: &str = "kv";

/// A locked data folder of a known format. The lock lasts as long as this value.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    version: u32,
    _locks: [File; 2],
}

impl DataDir {
    /// Opens the folder, making it when it is absent, sets its mode to 0700 and locks it.
    ///
    /// # Errors
    /// `InUse` when another process has it open, `NewerFormat` when a newer program wrote it, `Damaged` when its format
    /// file is not readable or missing, and errors of the file system.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(|e| StoreError::io("make folder", parent, e))?;
        }
        make_folder(path)?;
        fs::set_permissions(path, Permissions::from_mode(FOLDER_MODE))
            .map_err(|e| StoreError::io("set the mode of", path, e))?;
        let locks = take_locks(path)?;
        let mut data_dir = Self { path: path.to_path_buf(), version: FORMAT_VERSION, _locks: locks };
        data_dir.version = data_dir.check_format()?;
        for folder in [data_dir.journal_dir(), data_dir.log_dir(), data_dir.kv_dir()] {
            make_folder(&folder)?;
        }
        delete_unfinished(&data_dir.kv_dir())?;
        Ok(data_dir)
    }

    /// Refuses a folder that a process has open. Nothing but the lock's file is made.
    ///
    /// # Errors
    /// `InUse`, and errors of the file system.
    pub fn forbid_in_use(path: &Path) -> Result<(), StoreError> {
        if Self::has_data(path) { take_locks(path).map(drop) } else { Ok(()) }
    }

    /// The files that opening a folder makes, beside the folders of its parts.
    pub const FILES: [&'static str; 2] = [FORMAT, LOCK];

    /// Whether a node, or a command of its operator, has ever written to the folder. Nothing is made or locked.
    pub fn has_data(path: &Path) -> bool {
        [FORMAT, JOURNAL, LOG, KV].iter().any(|name| path.join(name).exists())
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The version of the layout, as found.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// Notes durably that the folder now has the layout of this program.
    ///
    /// # Errors
    /// Errors of the file system.
    pub fn raise_version(&mut self) -> Result<(), StoreError> {
        self.write_format(&self.path.join(FORMAT))?;
        self.version = FORMAT_VERSION;
        Ok(())
    }

    /// The folder of the vote journal.
    pub fn journal_dir(&self) -> PathBuf {
        self.path.join(JOURNAL)
    }

    /// Removes the folder of the vote journal if nothing is in it: opening makes it, and whoever moves the lost journal back
    /// must find its place free.
    pub fn remove_empty_journal_dir(&self) {
        // A folder that cannot be removed is not empty, or does no harm.
        let _ = fs::remove_dir(self.journal_dir());
    }

    /// The folder of the committed log.
    pub fn log_dir(&self) -> PathBuf {
        self.path.join(LOG)
    }

    /// The folder of the key-value store.
    pub fn kv_dir(&self) -> PathBuf {
        self.path.join(KV)
    }

    fn check_format(&self) -> Result<u32, StoreError> {
        let path = self.path.join(FORMAT);
        match read_line(&path) {
            Ok(line) => self.check_version(path, &line),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.check_new(&path)?;
                self.write_format(&path)?;
                Ok(FORMAT_VERSION)
            }
            Err(error) => Err(StoreError::io("read", &path, error)),
        }
    }

    fn check_version(&self, path: PathBuf, line: &str) -> Result<u32, StoreError> {
        let part = Part::Folder;
        let found = line.strip_prefix(FORMAT_PREFIX).and_then(|version| version.trim().parse::<u32>().ok());
        match found {
            Some(found @ FORMAT_VERSION_OLDEST..=FORMAT_VERSION) => Ok(found),
            Some(found) if found > FORMAT_VERSION => {
                Err(StoreError::NewerFormat { part, path: self.path.clone(), found, known: FORMAT_VERSION })
            }
            _ => {
                let reason = format!("expected `{FORMAT_PREFIX}{FORMAT_VERSION}`");
                Err(StoreError::Damaged { part, file: path, offset: None, reason })
            }
        }
    }

    fn check_new(&self, path: &Path) -> Result<(), StoreError> {
        if [self.journal_dir(), self.log_dir(), self.kv_dir()].iter().any(|folder| folder.exists()) {
            let reason = "the file is missing although the folder holds data".to_owned();
            let file = path.to_path_buf();
            return Err(StoreError::Damaged { part: Part::Folder, file, offset: None, reason });
        }
        Ok(())
    }

    fn write_format(&self, path: &Path) -> Result<(), StoreError> {
        let unfinished = self.path.join(FORMAT_UNFINISHED);
        let write = || {
            let mut file = File::create(&unfinished)?;
            writeln!(file, "{FORMAT_PREFIX}{FORMAT_VERSION}")?;
            file.sync_all()?;
            fs::rename(&unfinished, path)
        };
        write().map_err(|e| StoreError::io("write", path, e))?;
        sync_folder(&self.path)?;
        sync_parent(&self.path)
    }
}

/// Locks the folder itself, and the file that tells who holds it: that file alone could be deleted, and another process would
/// then lock its successor.
fn take_locks(folder: &Path) -> Result<[File; 2], StoreError> {
    let path = folder.join(LOCK);
    let handle = File::open(folder).map_err(|e| StoreError::io("open", folder, e))?;
    let lock = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(|e| StoreError::io("open", &path, e))?;
    for held in [&handle, &lock] {
        match flock(held, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                let pid = read_line(&path).ok().and_then(|line| line.trim().parse().ok());
                return Err(StoreError::InUse { path: folder.to_path_buf(), pid });
            }
            Err(error) => return Err(StoreError::io("lock", folder, error.into())),
        }
    }
    let pid = format!("{}\n", std::process::id());
    lock.set_len(0)
        .and_then(|()| lock.write_all_at(pid.as_bytes(), 0))
        .map_err(|e| StoreError::io("write", &path, e))?;
    Ok([handle, lock])
}

fn read_line(path: &Path) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?.take(LINE_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("metadata").permissions().mode() & 0o777
    }

    #[test]
    fn a_new_folder_is_private_and_opens_again() {
        let temp = tempfile::tempdir().expect("temp dir");
        let path = temp.path().join("deep/data");
        let first = DataDir::open(&path).expect("a new folder");
        assert_eq!(mode(&path), 0o700);
        assert_eq!(mode(&first.journal_dir()), 0o700);
        assert_eq!(
            fs::read_to_string(path.join(FORMAT)).expect("format"),
            format!("{FORMAT_PREFIX}{FORMAT_VERSION}\n")
        );
        drop(first);
        DataDir::open(&path).expect("the same folder");
    }

    #[test]
    fn whether_a_folder_is_in_use_is_told_without_making_anything() {
        let temp = tempfile::tempdir().expect("temp dir");
        let path = temp.path().join("data");
        DataDir::forbid_in_use(&path).expect("it is not there");
        assert!(!path.exists());
        let open = DataDir::open(&path).expect("a new folder");
        fs::remove_dir(open.log_dir()).expect("an empty folder");
        assert!(matches!(DataDir::forbid_in_use(&path), Err(StoreError::InUse { .. })));
        drop(open);
        DataDir::forbid_in_use(&path).expect("nobody has it open");
        assert!(!path.join(LOG).exists());
    }

    #[test]
    fn a_folder_others_could_read_is_closed_to_them() {
        let temp = tempfile::tempdir().expect("temp dir");
        let path = temp.path().join("data");
        fs::create_dir(&path).expect("folder");
        fs::set_permissions(&path, Permissions::from_mode(0o755)).expect("mode");
        let _open = DataDir::open(&path).expect("open");
        assert_eq!(mode(&path), 0o700);
    }

    #[test]
    fn a_second_opener_is_told_who_holds_the_folder() {
        let temp = tempfile::tempdir().expect("temp dir");
        let held = DataDir::open(temp.path()).expect("first");
        match DataDir::open(temp.path()) {
            Err(StoreError::InUse { pid, .. }) => assert_eq!(pid, Some(std::process::id())),
            other => panic!("expected InUse, got {other:?}"),
        }
        drop(held);
        DataDir::open(temp.path()).expect("free again");
    }

    #[test]
    fn a_newer_format_is_refused_and_left_alone() {
        let temp = tempfile::tempdir().expect("temp dir");
        drop(DataDir::open(temp.path()).expect("new"));
        fs::write(temp.path().join(FORMAT), "aegis data format 7\n").expect("write");
        match DataDir::open(temp.path()) {
            Err(StoreError::NewerFormat { found: 7, known: FORMAT_VERSION, .. }) => {}
            other => panic!("expected NewerFormat, got {other:?}"),
        }
        assert_eq!(fs::read_to_string(temp.path().join(FORMAT)).expect("format"), "aegis data format 7\n");
    }

    #[test]
    fn a_format_file_that_is_garbled_or_gone_is_damage() {
        let temp = tempfile::tempdir().expect("temp dir");
        drop(DataDir::open(temp.path()).expect("new"));
        fs::write(temp.path().join(FORMAT), "aegis data").expect("write");
        assert!(matches!(DataDir::open(temp.path()), Err(StoreError::Damaged { part: Part::Folder, .. })));
        fs::remove_file(temp.path().join(FORMAT)).expect("remove");
        assert!(matches!(DataDir::open(temp.path()), Err(StoreError::Damaged { part: Part::Folder, .. })));
    }

    #[test]
    fn a_folder_of_the_first_version_is_opened_and_its_version_raised_by_request() {
        let temp = tempfile::tempdir().expect("temp dir");
        drop(DataDir::open(temp.path()).expect("new"));
        fs::write(temp.path().join(FORMAT), "aegis data format 1\n").expect("write");
        let mut opened = DataDir::open(temp.path()).expect("version 1");
        assert_eq!(opened.version(), 1);
        opened.raise_version().expect("raise");
        drop(opened);
        assert_eq!(DataDir::open(temp.path()).expect("raised").version(), FORMAT_VERSION);
    }

    #[test]
    fn a_deleted_lock_file_does_not_let_a_second_process_in() {
        let temp = tempfile::tempdir().expect("temp dir");
        let _held = DataDir::open(temp.path()).expect("first");
        fs::remove_file(temp.path().join(LOCK)).expect("remove");
        assert!(matches!(DataDir::open(temp.path()), Err(StoreError::InUse { .. })));
    }
}
