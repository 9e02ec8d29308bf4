//! The finished snapshots of a node, in the folder `snap/` of its data.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use aegis_types::Height;
use anyhow::Context as _;
use bytes::Bytes;
use tracing::{debug, info, warn};

use super::manifest::{Manifest, Piece};
use super::piece_file::{self, PieceError};
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
    offer: Offer,
    asked: Option<Instant>,
    /// Whether the disk has refused to read it; said once, as peers may ask often.
    is_troubled: bool,
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
        self.held().values().map(|held| held.offer).collect()
    }

    /// Whether there is a snapshot of a height.
    pub fn has(&self, height: Height) -> bool {
        self.held().contains_key(&height)
    }

    /// A part of the encoded manifest of a snapshot; none when it is not held or no part begins there.
    ///
    /// # Errors
    /// When the disk cannot be read at the moment.
    pub fn manifest(&self, offer: &Offer, offset: u64) -> io::Result<Option<Bytes>> {
        if !self.is_held(offer) {
            return Ok(None);
        }
        let path = self.folder_of(offer.height).join(MANIFEST);
        self.read(offer, &path, |path| piece_file::read_part(path, offset))
    }

    /// A part of a piece of a snapshot; none when it is not held or no part begins there.
    ///
    /// # Errors
    /// When the disk cannot be read at the moment.
    pub fn part(&self, offer: &Offer, piece: Piece, offset: u64) -> io::Result<Option<Bytes>> {
        if !self.is_held(offer) {
            return Ok(None);
        }
        let path = piece_path(&self.folder_of(offer.height), piece);
        self.read(offer, &path, |path| piece_file::read_part(path, offset))
    }

    fn held(&self) -> MutexGuard<'_, BTreeMap<Height, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it is held, and notes that somebody wants it.
    fn is_held(&self, offer: &Offer) -> bool {
        let mut held = self.held();
        let found = held.get_mut(&offer.height).filter(|held| held.offer == *offer);
        found.is_some_and(|found| {
            found.asked = Some(Instant::now());
            true
        })
    }

    /// Only what is not as it was written ends the serving of a snapshot: the disk may be well again in a moment.
    fn read(
        &self,
        offer: &Offer,
        path: &Path,
        read: impl FnOnce(&Path) -> Result<Option<Vec<u8>>, PieceError>,
    ) -> io::Result<Option<Bytes>> {
        match read(path) {
            Ok(bytes) => Ok(bytes.map(Bytes::from)),
            Err(PieceError::Disk(error)) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(PieceError::Disk(error)) => {
                let mut held = self.held();
                let of_this = held.get_mut(&offer.height).filter(|held| held.offer == *offer);
                if of_this.is_some_and(|held| !std::mem::replace(&mut held.is_troubled, true)) {
                    warn!(path = %path.display(), %error, "a snapshot cannot be read at the moment; see the system's log");
                } else {
                    debug!(path = %path.display(), %error, "a snapshot cannot be read at the moment");
                }
                Err(error)
            }
            Err(PieceError::Damaged(reason)) => {
                warn!(path = %path.display(), reason, "a snapshot is damaged and is not served any more");
                self.held().retain(|_, held| held.offer != *offer);
                Ok(None)
            }
        }
    }

    fn admit(&self, height: Height) -> anyhow::Result<()> {
        let manifest = read_manifest(&self.folder_of(height))?;
        anyhow::ensure!(manifest.height() == height, "it is of height {}", manifest.height());
        let held = Held { offer: Offer::of(&manifest), asked: None, is_troubled: false };
        self.held().insert(height, held);
        Ok(())
    }

    /// Lets go of the oldest snapshots beyond those to keep, and deletes whatever is not served any more.
    fn retire(&self) {
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
            }
        }
        let unheld = match self.unheld() {
            Ok(unheld) => unheld,
            Err(error) => return warn!(%error, "the snapshots that are not needed cannot be found"),
        };
        for height in unheld {
            match self.discard(&self.folder_of(height)) {
                Ok(()) => info!(%height, "deleted a snapshot that is not served any more"),
                Err(error) => warn!(%height, %error, "an old snapshot cannot be deleted"),
            }
        }
    }

    /// The heights that have a folder and are not held: old ones, and those found damaged.
    fn unheld(&self) -> io::Result<Vec<Height>> {
        let mut unheld = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let name = entry?.file_name();
            let height = name.to_str().and_then(|name| name.parse().ok()).map(Height);
            unheld.extend(height.filter(|height| !self.has(*height)));
        }
        Ok(unheld)
    }
}
