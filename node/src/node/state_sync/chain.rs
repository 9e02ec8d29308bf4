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
    genesis_set: ValidatorSet,
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
        let (domain, genesis_set) = (genesis.domain(), newest.clone());
        let mut chain = Self { path, file, domain, genesis_set, sets, newest };
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

    /// The validator sets of some epochs. Those that are not held any more are read from the file, which was verified; an
    /// epoch that the chain has not reached is left out.
    ///
    /// # Errors
    /// Errors of the disk.
    pub fn sets_of(&self, epochs: [Epoch; 2]) -> anyhow::Result<BTreeMap<Epoch, ValidatorSet>> {
        let held = epochs.iter().filter_map(|epoch| Some((*epoch, self.sets.get(epoch)?.clone())));
        let mut found: BTreeMap<Epoch, ValidatorSet> = held.collect();
        let is_passed = |epoch: &Epoch| *epoch <= self.epoch();
        if epochs.iter().filter(|epoch| is_passed(epoch)).any(|epoch| !found.contains_key(epoch)) {
            let genesis = &self.genesis_set;
            found.extend(epochs.contains(&genesis.epoch()).then(|| (genesis.epoch(), genesis.clone())));
            for_each(&self.path, |handover| {
                let next = handover.next;
                found.extend(epochs.contains(&next.epoch()).then_some((next.epoch(), next)));
                Ok(())
            })?;
        }
        Ok(found)
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
/// When the file has anything that is no handover, errors of the disk, and those of `visit`.
pub fn for_each(path: &Path, mut visit: impl FnMut(Handover) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let mut reader = reader(path)?;
    let mut read = 0;
    while let Some((handover, bytes)) = read_next(&mut reader) {
        visit(handover)?;
        read += bytes;
    }
    let length = reader.get_ref().metadata()?.len();
    anyhow::ensure!(read == length, "what stands in {} from byte {read} on is no handover", path.display());
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

#[cfg(test)]
mod tests {
    use aegis_types::{BlockKind, CertifiedHeader, Vote};

    use super::*;
    use crate::node::testing::Chain as Blocks;

    /// The handover that ends an epoch of the test network to a set of the same one validator.
    fn handover(blocks: &Blocks, template: &CertifiedHeader, set: &ValidatorSet) -> Handover {
        let next = ValidatorSet::new(set.epoch().next(), set.members().to_vec()).unwrap();
        let mut block = template.clone();
        block.header.epoch = set.epoch();
        block.header.validators_hash = set.hash();
        block.header.kind = BlockKind::Handover { next_validators_hash: next.hash() };
        block.certificate.content.epoch = set.epoch();
        block.certificate.content.digest = block.header.digest();
        let vote = Vote::sign(block.certificate.content, &blocks.key, &blocks.genesis.domain());
        block.certificate.signatures = vec![(0, vote.signature)];
        Handover { block, next }
    }

    #[test]
    fn the_validators_of_an_epoch_long_gone_are_found_and_those_of_none_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("handovers");
        let mut blocks = Blocks::new();
        let block = blocks.add(10, Vec::new());
        let template = CertifiedHeader { header: block.header, certificate: block.certificate };
        let mut chain = Chain::open(path.clone(), &blocks.genesis).unwrap();
        let last = SETS_HELD as u64 + 20;
        while chain.epoch() < Epoch(last) {
            let next = handover(&blocks, &template, &chain.newest);
            chain.push(&next).unwrap().unwrap();
        }
        for chain in [chain, Chain::open(path, &blocks.genesis).unwrap()] {
            for epochs in [[Epoch(0), Epoch(1)], [Epoch(3), Epoch(last)], [Epoch(last - 1), Epoch(last)]] {
                let sets = chain.sets_of(epochs).unwrap();
                assert_eq!(sets.keys().copied().collect::<Vec<_>>(), epochs);
                assert!(sets.iter().all(|(epoch, set)| set.epoch() == *epoch));
            }
            assert!(chain.sets_of([Epoch(last + 1); 2]).unwrap().is_empty());
        }
    }

    #[test]
    fn what_is_no_handover_is_an_error_to_a_reader_and_cut_off_by_who_goes_on_with_the_chain() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("handovers");
        let mut blocks = Blocks::new();
        let block = blocks.add(10, Vec::new());
        let template = CertifiedHeader { header: block.header, certificate: block.certificate };
        let mut chain = Chain::open(path.clone(), &blocks.genesis).unwrap();
        let next = handover(&blocks, &template, &chain.newest);
        chain.push(&next).unwrap().unwrap();
        let whole = std::fs::read(&path).unwrap();
        let too_long = u32::try_from(Handover::MAX_BYTES + 1).unwrap().to_be_bytes();
        for rest in [&[0][..], &too_long, &whole[..whole.len() - 1]] {
            std::fs::write(&path, [&whole, rest].concat()).unwrap();
            let mut count = 0;
            let mut visit = |_| {
                count += 1;
                Ok(())
            };
            let error = for_each(&path, &mut visit).unwrap_err().to_string();
            assert!(error.contains(&format!("from byte {}", whole.len())), "{error}");
            assert_eq!(count, 1);
            assert_eq!(Chain::open(path.clone(), &blocks.genesis).unwrap().epoch(), Epoch(1));
            assert_eq!(std::fs::read(&path).unwrap(), whole);
        }
    }
}
