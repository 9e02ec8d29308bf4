//! Writes the files of a snapshot from a pinned state.
//!
//! The state is read twice: once to learn the sizes of its buckets, from which follows how many chunks there are, and once to
//! hand each entry to its chunk. So the cut depends on the state alone, and all nodes cut alike. Then each chunk is put in order and
//! checked against the root that its subtree had at the pinned height; a mistake here would be taken for a lie elsewhere.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use aegis_store::KvStore;
use aegis_types::state_tree::key_hash;
use aegis_types::subtree::root_of_subtrees;
use aegis_types::{CertifiedHeader, Hash, Subtree};
use anyhow::{Context as _, bail, ensure};
use tokio_util::sync::CancellationToken;

use super::chunk::{CHUNK_BYTES_MAX, Entries, entry_bytes, push_entry, verify};
use super::cut::BucketSizes;
use super::manifest::{ChunkInfo, Manifest, Piece};
use super::piece_file;
use super::pinned::Pinned;
use super::room::SnapshotRoom;
use super::shelf::{piece_path, write_manifest};

/// Entries on their way into their chunks' files.
const SPOOL_BYTES: usize = 16 * 1024 * 1024;
/// After each step the writer sleeps for as long as the step took: it never has more than half a core.
const REST_MAX: Duration = Duration::from_millis(200);

/// The state to be written.
pub struct Source {
    /// The live state.
    pub kv: Arc<dyn KvStore>,
    /// What was replaced in it since.
    pub pinned: Arc<Pinned>,
    /// The hashes of all buckets of the pinned state.
    pub buckets: Vec<Hash>,
    /// The block after which the state is this one.
    pub block: CertifiedHeader,
    /// That block, encoded.
    pub block_encoding: Vec<u8>,
    /// The block whose header names the state.
    pub witness: CertifiedHeader,
    /// The disk that it is written to.
    pub room: SnapshotRoom,
    /// Ends the writing when the node ends.
    pub stop: CancellationToken,
}

impl Source {
    /// Writes all files into an empty folder, durably.
    ///
    /// # Errors
    /// When the disk or the store fails or has too little room, when the state changes too fast, or `Uncuttable`.
    pub fn write_into(&self, folder: &Path) -> anyhow::Result<Manifest> {
        let mut sizes = BucketSizes::new()?;
        self.for_each_entry(|key, value| Ok(sizes.add(key, entry_bytes(key, value))?))?;
        let level = sizes.level()?;
        self.room.check(sizes.total())?;
        self.spool(folder, level)?;
        let mut chunks = Vec::with_capacity(Subtree::count(level)?);
        for index in 0..Subtree::count(level)? {
            let begun = Instant::now();
            let subtree = Subtree::new(level, index)?;
            let buckets = self.buckets.get(subtree.buckets()).context("the tree has too few buckets")?;
            let root = root_of_subtrees(buckets)?;
            let number = u32::try_from(index)?;
            let chunk = sorted(&spool_path(folder, number))?;
            verify(&chunk, subtree, &root)
                .context("what the store holds is not the state that was executed; please report this")?;
            piece_file::write(&piece_path(folder, Piece::Chunk(number)), &chunk)?;
            chunks.push(ChunkInfo { root, bytes: chunk.len() as u64 });
            self.rest(begun)?;
        }
        piece_file::write(&piece_path(folder, Piece::Block), &self.block_encoding)?;
        let manifest = Manifest {
            block: self.block.clone(),
            witness: self.witness.clone(),
            level,
            chunks,
            block_bytes: self.block_encoding.len() as u64,
        };
        write_manifest(folder, &manifest)?;
        Ok(manifest)
    }

    /// Hands each entry to the file of its chunk, in the order of the store.
    fn spool(&self, folder: &Path, level: u32) -> anyhow::Result<()> {
        let mut spools = vec![Vec::new(); Subtree::count(level)?];
        let mut held = 0;
        self.for_each_entry(|key, value| {
            let index = Subtree::of_key(level, key)?.index();
            let spool = spools.get_mut(index).context("a key is in no chunk")?;
            push_entry(spool, key, value);
            held += key.len() + value.len();
            if held >= SPOOL_BYTES {
                held = 0;
                append_all(folder, &mut spools)?;
            }
            Ok(())
        })?;
        append_all(folder, &mut spools)
    }

    fn for_each_entry(
        &self,
        mut visit: impl FnMut(&[u8], &[u8]) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let mut from = Some(Vec::new());
        while let Some(start) = from {
            let begun = Instant::now();
            let page = self.pinned.page(self.kv.as_ref(), &start)?;
            for (key, value) in &page.entries {
                visit(key, value)?;
            }
            from = page.next;
            self.rest(begun)?;
        }
        Ok(())
    }

    fn rest(&self, begun: Instant) -> anyhow::Result<()> {
        ensure!(!self.pinned.is_lost(), "the state changes faster than it can be written");
        std::thread::sleep(begun.elapsed().min(REST_MAX));
        ensure!(!self.stop.is_cancelled(), "the node stops");
        // What is written already is not free any more, so only the margin counts.
        let further = 0;
        self.room.check(further)
    }
}

fn spool_path(folder: &Path, index: u32) -> PathBuf {
    folder.join(format!("{index}.spool"))
}

fn append_all(folder: &Path, spools: &mut [Vec<u8>]) -> anyhow::Result<()> {
    for (index, spool) in (0_u32..).zip(spools) {
        if !spool.is_empty() {
            let path = spool_path(folder, index);
            OpenOptions::new().create(true).append(true).open(&path)?.write_all(spool)?;
            // Not only cleared: with many chunks what they have reserved would add up.
            *spool = Vec::new();
        }
    }
    Ok(())
}

/// The entries of a spool in ascending order of key hash; the spool is deleted.
fn sorted(spool: &Path) -> anyhow::Result<Vec<u8>> {
    let size = match fs::metadata(spool) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    if size > CHUNK_BYTES_MAX {
        bail!("a chunk has {size} bytes although its entries were counted; please report this");
    }
    let bytes = fs::read(spool)?;
    let mut entries = Vec::new();
    for entry in Entries::of(&bytes) {
        let (key, value) = entry?;
        entries.push((key_hash(key), key, value));
    }
    entries.sort_unstable_by_key(|(hash, _, _)| *hash);
    let mut chunk = Vec::with_capacity(bytes.len());
    for (_, key, value) in entries {
        push_entry(&mut chunk, key, value);
    }
    fs::remove_file(spool)?;
    Ok(chunk)
}
