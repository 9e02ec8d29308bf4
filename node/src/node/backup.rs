//! A backup of what a network has decided; `restore` fills a home from it.
//!
//! # What is in a backup
//! ```text
//! BACKUP       what it is of: written last, so a backup without it is none
//! genesis.toml
//! clog/        the committed log
//! snap/        the newest snapshot, when the log does not begin at the first block
//! handovers    who may sign, when the log does not begin at the first block
//! ```
//! No key, no state store, which is derived, and no vote journal: a journal that is older than the votes cast since is worse
//! than none.
//!
//! # Why copying files is sound
//! The log is append-only and each record has its checksum. A copy that is read from front to back while the node writes is a
//! prefix of the log, perhaps with a torn record at its end, which opening cuts off like after a crash. A finished snapshot is
//! never changed; one that the node deletes meanwhile fails the copy. So no part of the node has to wait, and a backup
//! can be made of a running node and of a stopped one. Before a backup counts it is opened and read in full.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::path::Path;

use aegis_store::{CommittedLog, SegmentOptions};
use aegis_types::{Canonical as _, Genesis, Handover, Height};
use anyhow::{Context as _, bail, ensure};
use serde::{Deserialize, Serialize};

use super::chain_check::{ChainCheck, ProvedSets, read_block};
use super::check::Progress;
use super::new_folder::{NewFolder, is_within};
use super::snapshot::piece_file::{self, sync_folder};
use super::snapshot::shelf::{make_folder, piece_path, read_manifest};
use super::state_sync::chain::{self, Chain};
use super::state_sync::fetch;
use crate::home::Home;

const MARK: &str = "BACKUP";
const GENESIS: &str = "genesis.toml";
pub(super) const LOG: &str = "clog";
pub(super) const SNAPSHOTS: &str = "snap";
pub(super) const HANDOVERS: &str = "handovers";
/// The version of the backup's layout.
const VERSION: u32 = 1;
/// Bytes of the mark that are read; one that this program writes has some 300.
const MARK_BYTES_MAX: u64 = 64 << 10;
/// The log may lose its oldest file while it is copied; so often it is begun again.
const TRIES: usize = 3;
/// Bytes copied at once.
const COPY_BYTES: usize = 1 << 20;

/// What a backup is of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackupMark {
    /// Version of the layout.
    pub version: u32,
    /// The chain's name.
    pub chain: String,
    /// Hash of the genesis.
    pub genesis: String,
    /// The first block in it.
    pub first_height: u64,
    /// The last block in it.
    pub last_height: u64,
    /// The height of the snapshot in it, if there is one.
    pub snapshot_height: Option<u64>,
}

/// Where handovers come from, given the epoch that is asked for: a page of them, encoded, none at the end.
pub type HandoverSource<'a> = &'a mut dyn FnMut(u64) -> anyhow::Result<Vec<Vec<u8>>>;

/// Makes a backup of a home in a folder that is empty or absent. A node may run on the home.
///
/// # Errors
/// When the folder is in use or the node's own, there is nothing to back up, or what was copied does not hold. The folder is then
/// as it was before.
pub fn backup(
    home: &Home,
    genesis: &Genesis,
    to: &Path,
    handovers: HandoverSource<'_>,
    progress: Progress<'_>,
) -> anyhow::Result<BackupMark> {
    ensure!(
        !is_within(to, &home.data_path())?,
        "{} is in the node's own data folder, which the node may clear, and which is lost together with what it holds; name a \
         folder outside of it",
        to.display()
    );
    let folder = NewFolder::make(to)?;
    folder.keep_if(fill(home, genesis, to, handovers, progress))
}

fn fill(
    home: &Home,
    genesis: &Genesis,
    to: &Path,
    handovers: HandoverSource<'_>,
    progress: Progress<'_>,
) -> anyhow::Result<BackupMark> {
    let data = home.data_path();
    let mut snapshot = None;
    for remaining in (0..TRIES).rev() {
        match copy_all(&data, to) {
            Ok(copied) => {
                snapshot = copied;
                break;
            }
            Err(error) if remaining > 0 && is_gone(&error) => {
                for folder in [LOG, SNAPSHOTS] {
                    remove(&to.join(folder))?;
                }
            }
            Err(error) => return Err(error),
        }
    }
    let log = CommittedLog::open(&to.join(LOG), SegmentOptions::default())?;
    let (Some(first), Some(last)) = (log.first(), log.last()) else {
        bail!("{} holds no block yet", data.display());
    };
    if first > Height(1) {
        let Some(height) = snapshot.filter(|height| height.next() >= first && *height <= last) else {
            bail!(
                "this node has no block before {first} and no snapshot that reaches there, so a backup of it could not be \
                 restored; wait for the next snapshot (store.snapshot_blocks), or back up an archive node"
            );
        };
        write_handovers(genesis, &to.join(HANDOVERS), handovers)?;
        check_snapshot(genesis, to, height)?;
    }
    let mut chain = ChainCheck::new(genesis, first);
    let reader = log.reader();
    let total = last.0.saturating_sub(first.0).saturating_add(1);
    for height in first.0..=last.0 {
        let checked = read_block(&reader, Height(height)).and_then(|block| chain.next(&block));
        checked.with_context(|| format!("block {height} of the backup does not hold"))?;
        progress(height.saturating_sub(first.0).saturating_add(1), total);
    }
    fs::copy(home.genesis_path(), to.join(GENESIS)).context("the genesis file cannot be copied")?;
    let mark = BackupMark {
        version: VERSION,
        chain: genesis.chain.to_string(),
        genesis: genesis.hash().to_string(),
        first_height: first.0,
        last_height: last.0,
        snapshot_height: snapshot.map(|height| height.0),
    };
    write_mark(to, &mark)?;
    Ok(mark)
}

fn copy_all(data: &Path, to: &Path) -> anyhow::Result<Option<Height>> {
    copy_folder(&data.join(LOG), &to.join(LOG), |name| name.ends_with(".seg"))?;
    let snapshots = data.join(SNAPSHOTS);
    let newest = match fs::read_dir(&snapshots) {
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => return Err(error.into()),
        Ok(entries) => {
            let heights =
                entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u64>().ok());
            heights.max()
        }
    };
    if let Some(height) = newest {
        let name = height.to_string();
        make_folder(&to.join(SNAPSHOTS))?;
        copy_folder(&snapshots.join(&name), &to.join(SNAPSHOTS).join(&name), |_| true)?;
    }
    Ok(newest.map(Height))
}

pub(super) fn copy_folder(from: &Path, to: &Path, is_wanted: impl Fn(&str) -> bool) -> anyhow::Result<()> {
    make_folder(to)?;
    let mut names: Vec<String> = fs::read_dir(from)
        .with_context(|| from.display().to_string())?
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| is_wanted(name))
        .collect();
    names.sort();
    for name in names {
        let copied = copy_file(&from.join(&name), &to.join(&name));
        copied.with_context(|| from.join(&name).display().to_string())?;
    }
    sync_folder(to)?;
    Ok(())
}

/// Copies a file from front to back: of one that is being appended to, the copy is a prefix.
pub(super) fn copy_file(from: &Path, to: &Path) -> io::Result<()> {
    let (mut from, mut to) = (File::open(from)?, File::create(to)?);
    let mut buffer = vec![0; COPY_BYTES];
    loop {
        let read = from.read(&mut buffer)?;
        if read == 0 {
            return to.sync_all();
        }
        to.write_all(buffer.get(..read).unwrap_or_default())?;
    }
}

fn is_gone(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == ErrorKind::NotFound)
    })
}

pub(super) fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn write_handovers(genesis: &Genesis, path: &Path, source: HandoverSource<'_>) -> anyhow::Result<()> {
    let mut chain = Chain::open(path.to_path_buf(), genesis)?;
    loop {
        let page = source(chain.epoch().0)?;
        if page.is_empty() {
            return Ok(File::open(path)?.sync_all()?);
        }
        for encoding in page {
            chain.push(&Handover::decode(&encoding)?)??;
        }
    }
}

pub(super) fn check_snapshot(genesis: &Genesis, backup: &Path, height: Height) -> anyhow::Result<()> {
    let folder = backup.join(SNAPSHOTS).join(height.to_string());
    let manifest = read_manifest(&folder)?;
    manifest.verify(proved(genesis, &backup.join(HANDOVERS))?.sets(), &genesis.domain())?;
    for piece in manifest.pieces() {
        fetch::check(&manifest, piece, &piece_file::read(&piece_path(&folder, piece))?)?;
    }
    Ok(())
}

pub(super) fn proved(genesis: &Genesis, handovers: &Path) -> anyhow::Result<ProvedSets> {
    let mut sets = ProvedSets::new(genesis);
    if handovers.exists() {
        chain::for_each(handovers, |handover| sets.accept(&handover))?;
    }
    Ok(sets)
}

fn write_mark(folder: &Path, mark: &BackupMark) -> anyhow::Result<()> {
    let mut file = File::create(folder.join(MARK))?;
    file.write_all(serde_json::to_string_pretty(mark)?.as_bytes())?;
    file.sync_all()?;
    sync_folder(folder)?;
    Ok(())
}

/// What a backup is of.
///
/// # Errors
/// When the folder holds no finished backup of a known version.
pub fn read_mark(backup: &Path) -> anyhow::Result<BackupMark> {
    let path = backup.join(MARK);
    let mut text = String::new();
    File::open(&path)
        .and_then(|file| file.take(MARK_BYTES_MAX).read_to_string(&mut text))
        .with_context(|| format!("{} is no finished backup: {}", backup.display(), path.display()))?;
    let mark: BackupMark = serde_json::from_str(&text).with_context(|| path.display().to_string())?;
    ensure!(mark.version == VERSION, "the backup has version {}, this program knows {VERSION}", mark.version);
    Ok(mark)
}
