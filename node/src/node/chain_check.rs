//! Checks blocks one after the other against nothing but the genesis: their order, their contents, and that a quorum of
//! the right validators decided each.

use std::collections::BTreeMap;

use aegis_store::{KvStore, LogReader};
use aegis_types::{
    BlockKind, Canonical, CertifiedHeader, CommittedBlock, Domain, Epoch, Genesis, Handover, Hash, Height,
    ValidatorSet,
};
use anyhow::{Context as _, bail, ensure};

use super::handovers;

/// Handovers read at a time.
const PAGE: usize = 64;

/// The validator sets of all epochs, each proved by the one before.
#[derive(Debug, Clone)]
pub struct ProvedSets {
    domain: Domain,
    sets: BTreeMap<Epoch, ValidatorSet>,
    newest: ValidatorSet,
}

impl ProvedSets {
    /// Those that the genesis names.
    pub fn new(genesis: &Genesis) -> Self {
        let newest = genesis.validators.clone();
        let sets = BTreeMap::from([(newest.epoch(), newest.clone())]);
        Self { domain: genesis.domain(), sets, newest }
    }

    /// Those that follow from the handovers in a state store.
    ///
    /// # Errors
    /// When the store fails, or a handover does not hold.
    pub fn of_store(genesis: &Genesis, kv: &dyn KvStore) -> anyhow::Result<Self> {
        let mut sets = Self::new(genesis);
        sets.follow(kv)?;
        Ok(sets)
    }

    /// Takes the handovers that a state store has beyond those that are known.
    ///
    /// # Errors
    /// When the store fails, or a handover does not hold.
    pub fn follow(&mut self, kv: &dyn KvStore) -> anyhow::Result<()> {
        loop {
            let page = handovers::load(kv, self.newest.epoch(), PAGE)?;
            for encoding in &page {
                self.accept(&Handover::decode(encoding)?)?;
            }
            if page.len() < PAGE {
                return Ok(());
            }
        }
    }

    /// The epoch that the sets reach.
    pub fn epoch(&self) -> Epoch {
        self.newest.epoch()
    }

    /// Takes the next handover.
    ///
    /// # Errors
    /// When it does not follow.
    pub fn accept(&mut self, handover: &Handover) -> anyhow::Result<()> {
        let epoch = self.newest.epoch();
        handover
            .verify(&self.newest, &self.domain)
            .with_context(|| format!("the handover that ends epoch {epoch} does not hold"))?;
        self.newest = handover.next.clone();
        self.sets.insert(self.newest.epoch(), self.newest.clone());
        Ok(())
    }

    /// All sets by epoch.
    pub fn sets(&self) -> &BTreeMap<Epoch, ValidatorSet> {
        &self.sets
    }

    /// Checks that the validators of its epoch decided a block.
    ///
    /// # Errors
    /// What does not hold.
    pub fn verify(&self, block: &CommittedBlock) -> anyhow::Result<()> {
        let epoch = block.header.epoch;
        let set = self.sets.get(&epoch);
        let set = set.with_context(|| {
            format!("who was a validator in epoch {epoch} does not follow from the genesis")
        })?;
        let certified =
            CertifiedHeader { header: block.header.clone(), certificate: block.certificate.clone() };
        certified.verify(set, &self.domain)?;
        if let BlockKind::Handover { next_validators_hash } = block.header.kind
            && let Some(next) = self.sets.get(&epoch.next())
        {
            ensure!(
                next.hash() == next_validators_hash,
                "it hands over to another set than the next epoch's"
            );
        }
        Ok(())
    }
}

/// Follows a chain of blocks upwards.
#[derive(Debug)]
pub struct ChainCheck {
    /// The height and digest of the block before.
    before: Option<(Height, Hash)>,
}

impl ChainCheck {
    /// From the genesis on, or from whatever comes first above it.
    pub fn new(genesis: &Genesis, first: Height) -> Self {
        Self { before: (first == Height(1)).then(|| (Height::ZERO, genesis.hash())) }
    }

    /// Checks that a block follows, and that it carries what its header names.
    ///
    /// # Errors
    /// What does not hold.
    pub fn next(&mut self, block: &CommittedBlock) -> anyhow::Result<()> {
        let header = &block.header;
        if let Some((height, digest)) = self.before {
            ensure!(header.height == height.next(), "it says that its height is {}", header.height);
            ensure!(header.parent == digest, "it does not follow the block before it");
        }
        let carried = block.batches.iter().map(aegis_types::Batch::reference);
        ensure!(
            carried.eq(header.batches.iter().copied()),
            "its batches are not those that its header names"
        );
        self.before = Some((header.height, header.digest()));
        Ok(())
    }
}

/// Reads a block of the log that must be there.
///
/// # Errors
/// When it is missing or damaged.
pub fn read_block(log: &LogReader, height: Height) -> anyhow::Result<CommittedBlock> {
    let Some(bytes) = log.read(height)? else { bail!("it is missing") };
    let block = CommittedBlock::decode(&bytes)?;
    ensure!(block.header.height == height, "it is the block of height {}", block.header.height);
    Ok(block)
}
