//! The finished snapshots of a node, in the folder `snap/` of its data.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use aegis_types::{Hash, Height};
use anyhow::Context as _;
use bytes::Bytes;
use tracing::{info, warn};

use super::manifest::{Manifest, Piece};
use super::piece_file;
use super::question::Offer;

/// Snapshots that are kept: with the last one only, whoever began to fetch the one before would have to start over.
const KEPT: usize = 2;
/// One that was asked for within this time is kept longer ...
const IN_USE: Duration = Duration::from_secs(600);
/// ... as long as there are not more than so many: they cost disk.
const KEPT_MAX: usize = 4;

const MANIFEST: &str = "manifest";
const BLOCK: &str = "block";
/// Where a snapshot from elsewhere is collected; no snapshot of this node.
const INCOMING: &str = "incoming";
const FOLDER_MODE: u32 = 0o700;

/// Where the pieces of a snapshot stand within its folder.
pub fn piece_path(folder: &Path, piece: Piece) -> PathBuf {
    match piece {
        Piece::Block => folder.join(BLOCK),
        Piece::Chunk(index) => folder.join(index.to_string()),
    }
}

/// Writes a manifest into a snapshot's folder.
///
/// # Errors
/// Errors of the disk.
pub fn write_manifest(folder: &Path, manifest: &Manifest) -> io::Result<()> {
    piece_file::write(&folder.join(MANIFEST), &manifest.encode())?;
    piece_file::sync_folder(folder)
}

/// The manifest in a snapshot's folder.
///
/// # Errors
/// When it is missing or damaged.
pub fn read_manifest(folder: &Path) -> anyhow::Result<Manifest> {
    let path = folder.join(MANIFEST);
    let bytes = piece_file::read(&path).with_context(|| path.display().to_string())?;
    Ok(Manifest::decode(&bytes)?)
}

/// Makes a folder that only this user may enter, unless it is there.
///
/// # Errors
/// Errors of the disk.
pub fn make_folder(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(folder)
}

#[derive(Debug)]
struct Held {
    root: Hash,
    level: u32,
    asked: Option<Instant>,
}

/// The snapshots that can be served. Cheap to ask; the lock is never held during a read of the disk.
#[derive(Debug)]
pub struct Shelf {
    folder: PathBuf,
    held: Mutex<BTreeMap<Height, Held>>,
}

impl Shelf {
    /// Opens the folder, making it when it is absent. What is unfinished or damaged is deleted: it can be made again.
    ///
    /// # Errors
    /// Errors of the disk.
    pub fn open(folder: PathBuf) -> io::Result<Self> {
        make_folder(&folder)?;
        let shelf = Self { folder, held: Mutex::default() };
        for entry in fs::read_dir(&shelf.folder)? {
            let entry = entry?;
            let name = entry.file_name();
            if name == INCOMING {
                continue;
            }
            let height = name.to_str().and_then(|name| name.parse().ok()).map(Height);
            let held = height.map(|height| shelf.admit(height));
            if !matches!(held, Some(Ok(()))) {
                if let Some(Err(error)) = held {
                    warn!(folder = %entry.path().display(), error = format!("{error:#}"), "a damaged snapshot is deleted");
                }
                // Another thread may be deleting it already.
                shelf.discard(&entry.path())?;
            }
        }
        shelf.retire();
        Ok(shelf)
    }

    /// Where a snapshot from elsewhere is collected.
    pub fn incoming(&self) -> PathBuf {
        self.folder.join(INCOMING)
    }

    /// The folder of the snapshot at a height.
    pub fn folder_of(&self, height: Height) -> PathBuf {
        self.folder.join(height.to_string())
    }

    /// Makes an empty folder for a snapshot to be written into.
    ///
    /// # Errors
    /// Errors of the disk.
    pub fn begin(&self, height: Height) -> io::Result<PathBuf> {
        let folder = self.folder.join(format!("{height}.making"));
        self.discard(&folder)?;
        make_folder(&folder)?;
        Ok(folder)
    }

    /// Deletes a folder that was begun.
    ///
    /// # Errors
    /// Errors of the disk.
    pub fn discard(&self, folder: &Path) -> io::Result<()> {
        match fs::remove_dir_all(folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Takes a complete and durable folder for the snapshot at a height, and lets go of what is no longer needed.
    ///
    /// # Errors
    /// Errors of the disk; when the manifest cannot be read.
    pub fn finish(&self, folder: &Path, height: Height) -> anyhow::Result<()> {
        let place = self.folder_of(height);
        self.discard(&place)?;
        fs::rename(folder, &place)?;
        piece_file::sync_folder(&self.folder)?;
        self.admit(height)?;
        self.retire();
        Ok(())
    }

    /// What can be served, and whether the snapshot at a height is among it.
    pub fn offers(&self) -> Vec<Offer> {
        self.held().iter().map(|(height, held)| Offer { height: *height, root: held.root }).collect()
    }

    /// Whether there is a snapshot of a height.
    pub fn has(&self, height: Height) -> bool {
        self.held().contains_key(&height)
    }

    /// The encoded manifest of the snapshot with a state root.
    pub fn manifest(&self, root: &Hash) -> Option<Bytes> {
        let (height, _) = self.find(root)?;
        self.read(height, &self.folder_of(height).join(MANIFEST), piece_file::read)
    }

    /// A part of a piece of the snapshot with a state root and level.
    pub fn part(&self, root: &Hash, level: u32, piece: Piece, offset: u64) -> Option<Bytes> {
        let (height, _) = self.find(root).filter(|(_, held)| *held == level)?;
        let path = piece_path(&self.folder_of(height), piece);
        self.read(height, &path, |path| piece_file::read_part(path, offset))
    }

    fn held(&self) -> MutexGuard<'_, BTreeMap<Height, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, root: &Hash) -> Option<(Height, u32)> {
        let mut held = self.held();
        let (height, found) = held.iter_mut().rev().find(|(_, held)| held.root == *root)?;
        found.asked = Some(Instant::now());
        Some((*height, found.level))
    }

    fn read(
        &self,
        height: Height,
        path: &Path,
        read: impl FnOnce(&Path) -> io::Result<Vec<u8>>,
    ) -> Option<Bytes> {
        match read(path) {
            Ok(bytes) => Some(bytes.into()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                warn!(path = %path.display(), %error, "a snapshot cannot be read and is not served any more");
                self.held().remove(&height);
                None
            }
        }
    }

    fn admit(&self, height: Height) -> anyhow::Result<()> {
        let manifest = read_manifest(&self.folder_of(height))?;
        anyhow::ensure!(manifest.height() == height, "it is of height {}", manifest.height());
        let held = Held { root: manifest.state_root(), level: manifest.level, asked: None };
        self.held().insert(height, held);
        Ok(())
    }

    /// Deletes the oldest snapshots beyond those to keep.
    fn retire(&self) {
        let mut retired = Vec::new();
        {
            let mut held = self.held();
            while held.len() > KEPT {
                let in_use = |held: &Held| held.asked.is_some_and(|asked| asked.elapsed() < IN_USE);
                let kept_anyway = held.len() <= KEPT_MAX;
                let older = held.iter().take(held.len() - KEPT);
                let old = older
                    .filter(|(_, held)| !(kept_anyway && in_use(held)))
                    .map(|(height, _)| *height)
                    .next();
                let Some(old) = old else { break };
                held.remove(&old);
                retired.push(old);
            }
        }
        for height in retired {
            match self.discard(&self.folder_of(height)) {
                Ok(()) => info!(%height, "deleted an old snapshot"),
                Err(error) => warn!(%height, %error, "an old snapshot cannot be deleted"),
            }
        }
    }
}
