//! Who may sign: the handovers from the genesis on, verified one by one and kept in a file.
//!
//! A chain may be long, so it is not held in memory: only the newest sets are. The file is a cache of what was verified; it
//! is read and verified again when it is opened, and cut where it does not hold.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use aegis_types::{Canonical as _, Domain, Epoch, Genesis, Handover, Hash, Height, TypesError, ValidatorSet};

/// Validator sets that are held: those of the newest epochs. A snapshot's two blocks are of the newest or the one before,
/// unless many epochs have ended since it was made.
const SETS_HELD: usize = 256;
const FILE_MODE: u32 = 0o600;
const LENGTH_BYTES: usize = 4;

/// A verified chain of handovers.
#[derive(Debug)]
pub struct Chain {
    path: PathBuf,
    file: File,
    domain: Domain,
    sets: BTreeMap<Epoch, ValidatorSet>,
    newest: ValidatorSet,
}

impl Chain {
    /// Opens the chain in a file, making it when it is absent.
    ///
    /// # Errors
    /// Errors of the disk.
    pub fn open(path: PathBuf, genesis: &Genesis) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        let file = options.create(true).append(true).mode(FILE_MODE).open(&path)?;
        let newest = genesis.validators.clone();
        let sets = BTreeMap::from([(newest.epoch(), newest.clone())]);
        let mut chain = Self { path, file, domain: genesis.domain(), sets, newest };
        let mut reader = reader(&chain.path)?;
        let mut kept = 0;
        while let Some((handover, bytes)) = read_next(&mut reader) {
            if chain.accept(&handover).is_err() {
                break;
            }
            kept += bytes;
        }
        chain.file.set_len(kept)?;
        Ok(chain)
    }

    /// The epoch that the chain has reached.
    pub fn epoch(&self) -> Epoch {
        self.newest.epoch()
    }

    /// The validator sets of the newest epochs.
    pub fn sets(&self) -> &BTreeMap<Epoch, ValidatorSet> {
        &self.sets
    }

    /// Takes the next handover, if it follows.
    ///
    /// # Errors
    /// `Ok(Err)` says why it does not; the outer error is one of the disk.
    pub fn push(&mut self, handover: &Handover) -> io::Result<Result<(), TypesError>> {
        if let Err(error) = self.accept(handover) {
            return Ok(Err(error));
        }
        let encoding = handover.encode();
        let length = u32::try_from(encoding.len()).map_err(io::Error::other)?;
        self.file.write_all(&[&length.to_be_bytes()[..], &encoding].concat())?;
        Ok(Ok(()))
    }

    fn accept(&mut self, handover: &Handover) -> Result<(), TypesError> {
        handover.verify(&self.newest, &self.domain)?;
        self.newest = handover.next.clone();
        self.sets.insert(self.newest.epoch(), self.newest.clone());
        if self.sets.len() > SETS_HELD {
            self.sets.pop_first();
        }
        Ok(())
    }
}

/// All handovers in a chain's file, in order.
///
/// # Errors
/// Errors of the disk, and those of `visit`.
pub fn for_each(path: &Path, mut visit: impl FnMut(Handover) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let mut reader = reader(path)?;
    while let Some((handover, _)) = read_next(&mut reader) {
        visit(handover)?;
    }
    Ok(())
}

/// The block that an epoch started from: the handover before it, or the genesis.
///
/// # Errors
/// Errors of the disk; when the chain does not reach the epoch.
pub fn origin_of(path: &Path, genesis: &Genesis, epoch: Epoch) -> anyhow::Result<(Height, Hash)> {
    let mut origin = (epoch == Epoch::ZERO).then(|| (Height::ZERO, genesis.hash()));
    for_each(path, |handover| {
        if handover.next.epoch() == epoch {
            let header = &handover.block.header;
            origin = Some((header.height, header.digest()));
        }
        Ok(())
    })?;
    origin.ok_or_else(|| anyhow::anyhow!("the handovers do not reach epoch {epoch}"))
}

fn reader(path: &Path) -> io::Result<BufReader<File>> {
    Ok(BufReader::new(File::open(path)?))
}

/// The next whole handover and the bytes that it takes in the file.
fn read_next(reader: &mut BufReader<File>) -> Option<(Handover, u64)> {
    let mut length = [0; LENGTH_BYTES];
    reader.read_exact(&mut length).ok()?;
    let length = usize::try_from(u32::from_be_bytes(length)).ok()?;
    if length > Handover::MAX_BYTES {
        return None;
    }
    let mut encoding = vec![0; length];
    reader.read_exact(&mut encoding).ok()?;
    Some((Handover::decode(&encoding).ok()?, (LENGTH_BYTES + length) as u64))
}
