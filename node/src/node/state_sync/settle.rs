//! Puts a state store and a committed log that were built beside the old ones in their place.
//!
//! `snap/incoming/ready` says that both are complete and durable. From then on they count: whatever interrupts the
//! exchange, the next start goes on with it, and each step finds out by itself whether it was done. The vote journal is not
//! among what is exchanged.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use aegis_store::DataDir;
use anyhow::Context as _;
use tracing::{info, warn};

use crate::node::snapshot::piece_file::sync_folder;
use crate::node::snapshot::shelf::{Shelf, read_manifest};

const READY: &str = "ready";
const KV: &str = "kv";
const LOG: &str = "clog";
const PIECES: &str = "pieces";
const OTHER_PIECES: &str = "pieces.other";
/// What the old folders are called until they are deleted.
const REPLACED: &str = "replaced";

/// The places in the folder where a snapshot is collected.
#[derive(Debug, Clone)]
pub struct Incoming {
    folder: PathBuf,
}

impl Incoming {
    /// Those in `folder`.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// The folder itself.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The snapshot's pieces and manifest.
    pub fn pieces(&self) -> PathBuf {
        self.folder.join(PIECES)
    }

    /// The pieces of another snapshot that was begun.
    pub fn other_pieces(&self) -> PathBuf {
        self.folder.join(OTHER_PIECES)
    }

    /// The handovers.
    pub fn handovers(&self) -> PathBuf {
        self.folder.join("handovers")
    }

    /// The new state store.
    pub fn kv(&self) -> PathBuf {
        self.folder.join(KV)
    }

    /// Entries on their way into the new state store.
    pub fn sorting(&self) -> PathBuf {
        self.folder.join("sorting")
    }

    /// The new committed log.
    pub fn log(&self) -> PathBuf {
        self.folder.join(LOG)
    }

    /// Says, durably, that everything is built.
    ///
    /// # Errors
    /// Errors of the disk.
    pub fn announce(&self) -> io::Result<()> {
        for folder in [self.kv(), self.log(), self.pieces()] {
            sync_folder(&folder)?;
        }
        File::create(self.folder.join(READY))?.sync_all()?;
        sync_folder(&self.folder)
    }

    /// Takes the announcement back, durably. Comes before anything that it vouches for is changed: a crash in between would
    /// otherwise make the next start put half of it in place.
    ///
    /// # Errors
    /// Errors of the disk.
    pub fn withdraw(&self) -> io::Result<()> {
        match fs::remove_file(self.folder.join(READY)) {
            Ok(()) => sync_folder(&self.folder),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Deletes everything, the announcement first.
    ///
    /// # Errors
    /// Errors of the disk; the announcement is gone unless it is the one that could not be deleted.
    pub fn discard(&self) -> io::Result<()> {
        self.withdraw()?;
        remove(&self.folder)
    }

    /// Whether everything is built and waits for the exchange.
    pub fn is_ready(&self) -> bool {
        self.folder.join(READY).exists()
    }
}

/// Completes an exchange that was announced; otherwise only deletes what an earlier one has left. Nobody may have the
/// stores open.
///
/// # Errors
/// Errors of the disk; calling it again goes on.
pub fn settle(data_dir: &DataDir, shelf: &Shelf) -> anyhow::Result<()> {
    let incoming = Incoming::new(shelf.incoming());
    if !incoming.is_ready() {
        remove(&incoming.sorting())
            .context("what a crash has left of a state's building cannot be deleted")?;
        return remove_replaced(data_dir).context("what the synced state has replaced cannot be deleted");
    }
    let exchange = || -> anyhow::Result<()> {
        replace(&data_dir.kv_dir(), &incoming.kv())?;
        replace(&data_dir.log_dir(), &incoming.log())?;
        keep_pieces(&incoming, shelf);
        incoming.discard()?;
        Ok(remove_replaced(data_dir)?)
    };
    exchange().with_context(|| {
        format!(
            "the synced state in {} cannot be put in place; start the node again",
            incoming.folder().display()
        )
    })?;
    info!("the synced state is in place");
    Ok(())
}

/// Gives up an exchange that was announced before this node became an archive: it would delete the blocks that are to be
/// kept. One that has begun already must be completed.
///
/// # Errors
/// Errors of the disk.
pub fn keep_blocks(shelf: &Shelf) -> io::Result<()> {
    let incoming = Incoming::new(shelf.incoming());
    let is_untouched = incoming.kv().exists() && incoming.log().exists();
    if !(incoming.is_ready() && is_untouched) {
        return Ok(());
    }
    warn!(
        "this node is an archive (store.archive), so a fetched snapshot is not put in the place of its blocks"
    );
    fs::remove_file(incoming.folder().join(READY))?;
    sync_folder(incoming.folder())?;
    remove(incoming.folder())
}

/// The pieces are a snapshot like any other, for the next one who asks; without it nothing is lost.
fn keep_pieces(incoming: &Incoming, shelf: &Shelf) {
    let kept = read_manifest(&incoming.pieces()).and_then(|manifest| {
        let height = manifest.height();
        shelf.finish(&incoming.pieces(), height)
    });
    if let Err(error) = kept {
        warn!(error = format!("{error:#}"), "the fetched snapshot cannot be kept for others");
    }
}

fn replace(place: &Path, new: &Path) -> io::Result<()> {
    if !new.exists() {
        return Ok(());
    }
    if place.exists() {
        remove(&replaced(place))?;
        fs::rename(place, replaced(place))?;
    }
    fs::rename(new, place)?;
    match place.parent() {
        Some(parent) => sync_folder(parent),
        None => Ok(()),
    }
}

fn remove_replaced(data_dir: &DataDir) -> io::Result<()> {
    for old in [data_dir.kv_dir(), data_dir.log_dir()] {
        remove(&replaced(&old))?;
    }
    Ok(())
}

fn replaced(place: &Path) -> PathBuf {
    place.with_extension(REPLACED)
}

/// Deletes a folder, if it is there.
///
/// # Errors
/// Errors of the disk.
pub fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    /// A data folder with old stores and new ones beside them, up to the announcement.
    fn prepare(folder: &Path) -> (DataDir, Shelf) {
        let data_dir = DataDir::open(folder).unwrap();
        let shelf = Shelf::open(folder.join("snap")).unwrap();
        let incoming = Incoming::new(shelf.incoming());
        let votes = data_dir.journal_dir();
        for (folder, name) in [
            (data_dir.kv_dir(), "old"),
            (data_dir.log_dir(), "old"),
            (votes, "votes"),
            (incoming.kv(), "new"),
            (incoming.log(), "new"),
            (incoming.pieces(), "piece"),
        ] {
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join(name), name).unwrap();
        }
        (data_dir, shelf)
    }

    fn assert_settled(data_dir: &DataDir, shelf: &Shelf) {
        assert_eq!(names(&data_dir.kv_dir()), ["new"]);
        assert_eq!(names(&data_dir.log_dir()), ["new"]);
        assert_eq!(names(&data_dir.journal_dir()), ["votes"]);
        assert!(!shelf.incoming().exists());
        assert_eq!(names(data_dir.path()), ["FORMAT", "LOCK", "clog", "kv", "snap", "wal"]);
    }

    #[test]
    fn nothing_is_exchanged_before_the_announcement() {
        let folder = tempfile::tempdir().unwrap();
        let (data_dir, shelf) = prepare(folder.path());
        settle(&data_dir, &shelf).unwrap();
        assert_eq!(names(&data_dir.kv_dir()), ["old"]);
        assert!(shelf.incoming().exists());
    }

    #[test]
    fn what_an_interrupted_exchange_has_left_is_deleted_at_the_next_start() {
        let folder = tempfile::tempdir().unwrap();
        let (data_dir, shelf) = prepare(folder.path());
        let incoming = Incoming::new(shelf.incoming());
        incoming.announce().unwrap();
        replace(&data_dir.kv_dir(), &incoming.kv()).unwrap();
        replace(&data_dir.log_dir(), &incoming.log()).unwrap();
        incoming.discard().unwrap();
        assert!(replaced(&data_dir.kv_dir()).exists() && replaced(&data_dir.log_dir()).exists());
        settle(&data_dir, &shelf).unwrap();
        assert_settled(&data_dir, &shelf);
    }

    #[test]
    fn an_archive_keeps_its_blocks_unless_the_exchange_has_begun() {
        let folder = tempfile::tempdir().unwrap();
        let (data_dir, shelf) = prepare(folder.path());
        let incoming = Incoming::new(shelf.incoming());
        incoming.announce().unwrap();
        keep_blocks(&shelf).unwrap();
        settle(&data_dir, &shelf).unwrap();
        assert_eq!(
            (names(&data_dir.kv_dir()), names(&data_dir.log_dir())),
            (vec!["old".into()], vec!["old".into()])
        );
        assert!(!shelf.incoming().exists());

        let folder = tempfile::tempdir().unwrap();
        let (data_dir, shelf) = prepare(folder.path());
        let incoming = Incoming::new(shelf.incoming());
        incoming.announce().unwrap();
        replace(&data_dir.kv_dir(), &incoming.kv()).unwrap();
        keep_blocks(&shelf).unwrap();
        settle(&data_dir, &shelf).unwrap();
        assert_settled(&data_dir, &shelf);
    }

    #[test]
    fn an_announcement_that_was_taken_back_counts_for_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (data_dir, shelf) = prepare(folder.path());
        let incoming = Incoming::new(shelf.incoming());
        incoming.announce().unwrap();
        incoming.withdraw().unwrap();
        assert!(!incoming.is_ready());
        settle(&data_dir, &shelf).unwrap();
        assert_eq!(names(&data_dir.kv_dir()), ["old"]);
        incoming.withdraw().unwrap();
    }

    #[test]
    fn the_exchange_leaves_the_votes_alone_and_can_be_taken_up_wherever_it_was_interrupted() {
        for steps in 0..4 {
            let folder = tempfile::tempdir().unwrap();
            let (data_dir, shelf) = prepare(folder.path());
            let incoming = Incoming::new(shelf.incoming());
            incoming.announce().unwrap();
            if steps >= 1 {
                replace(&data_dir.kv_dir(), &incoming.kv()).unwrap();
            }
            if steps >= 2 {
                // Between the two renames of one exchange; the next start makes the missing folder.
                fs::rename(data_dir.log_dir(), replaced(&data_dir.log_dir())).unwrap();
                fs::create_dir(data_dir.log_dir()).unwrap();
            }
            if steps >= 3 {
                replace(&data_dir.log_dir(), &incoming.log()).unwrap();
            }
            settle(&data_dir, &shelf).unwrap();
            assert_settled(&data_dir, &shelf);
            settle(&data_dir, &shelf).unwrap();
            assert_settled(&data_dir, &shelf);
        }
    }
}
