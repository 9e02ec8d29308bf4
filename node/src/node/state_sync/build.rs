//! Builds a state store and a committed log from the verified pieces of a snapshot.
//!
//! What a node computes from blocks beside agreed state (indexes) is made from the state where it can be: the validator
//! sets and handovers, the votes that are known to it. The history before the snapshot is not on such a node.
//!
//! # Crashes
//! Before anything is built, what an earlier attempt announced is taken back, and its store and log are deleted. They are used
//! only after they are durable, the root over the whole store was computed anew, and `ready` says so. So the store may be
//! filled entry by entry, without transactions and flushes: of a half-built one nothing is kept.

use aegis_consensus::{EpochContext, NextEpoch};
use aegis_ledger::Ledger;
use aegis_rpc::api::SnapshotPhase;
use aegis_store::{CommittedLog, KvStore, Op, SegmentOptions, SledKv, Table};
use aegis_types::{BlockKind, CertifiedHeader, Genesis, Handover, Hash, Height};
use anyhow::{Context as _, ensure};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::chain;
use super::progress::Progress;
use super::settle::{Incoming, remove};
use super::sorting::{Sorted, Sorter};
use crate::node::snapshot::chunk::{Entries, entry_bytes};
use crate::node::snapshot::manifest::{Manifest, Piece};
use crate::node::snapshot::piece_file;
use crate::node::snapshot::shelf::piece_path;
use crate::node::state::{self, Standing, StateView};
use crate::node::{handovers, remembered};

/// Most bytes of the new store's cache while it is built: it is filled and read from front to back, so no page is needed
/// again soon.
const CACHE_BYTES_MAX: u64 = 64 << 20;
/// Between two looks at whether the node stops, and two reports of progress.
const ENTRIES_PER_LOOK: usize = 1_024;

/// What is built from what.
pub struct Build<'a> {
    pub incoming: &'a Incoming,
    pub genesis: &'a Genesis,
    pub manifest: &'a Manifest,
    pub cache_bytes: u64,
    pub log_segment_bytes: u64,
    pub progress: &'a watch::Sender<Option<Progress>>,
    /// Ends the building when the node ends.
    pub stop: &'a CancellationToken,
}

impl Build<'_> {
    /// Builds both, durably, and announces them for the exchange.
    ///
    /// # Errors
    /// When a store fails, the node stops, or the state as a whole is not the certified one.
    pub fn run(&self) -> anyhow::Result<()> {
        // It vouches for what is deleted now.
        self.incoming.withdraw()?;
        for folder in [self.incoming.kv(), self.incoming.log()] {
            remove(&folder)?;
        }
        // Everything is handled twice: sorted, and put into the store.
        let total = self.manifest.total_bytes().saturating_mul(2);
        let progress = Progress::begin(self.manifest.height(), SnapshotPhase::Building, 0, total);
        self.progress.send_replace(Some(progress));
        let kv = SledKv::open(&self.incoming.kv(), self.cache_bytes.min(CACHE_BYTES_MAX))?;
        self.write_state(&kv)?;
        self.check_stop()?;
        let ledger = Ledger::open(self.genesis, &StateView(&kv))?;
        let (computed, certified) = (ledger.root(), self.manifest.state_root());
        ensure!(
            computed == certified,
            "the state has the root {computed} instead of {certified}; please report this"
        );
        self.write_rows(&kv, &ledger)?;
        kv.flush()?;
        self.write_log()?;
        self.check_stop()?;
        self.incoming.announce()?;
        Ok(())
    }

    fn check_stop(&self) -> anyhow::Result<()> {
        ensure!(!self.stop.is_cancelled(), "the node stops");
        Ok(())
    }

    fn write_state(&self, kv: &SledKv) -> anyhow::Result<()> {
        let mut bytes = 0;
        for (number, entry) in (1..).zip(self.sorted()?) {
            let (key, value) = entry?;
            bytes += entry_bytes(&key, &value);
            kv.fill(Table::State, &key, &value)?;
            if number % ENTRIES_PER_LOOK == 0 {
                self.check_stop()?;
                self.note_done(std::mem::take(&mut bytes));
            }
        }
        Ok(())
    }

    /// The entries of all chunks, in the order in which the store takes them fast.
    fn sorted(&self) -> anyhow::Result<Sorted> {
        let mut sorter = Sorter::new(self.incoming.sorting(), self.stop)?;
        for piece in self.manifest.pieces() {
            let Piece::Chunk(_) = piece else { continue };
            self.check_stop()?;
            let chunk = piece_file::read(&piece_path(&self.incoming.pieces(), piece))?;
            for entry in Entries::of(&chunk) {
                let (key, value) = entry?;
                sorter.push(key, value)?;
            }
            self.note_done(chunk.len() as u64);
        }
        sorter.finish()
    }

    fn note_done(&self, bytes: u64) {
        self.progress.send_modify(|progress| {
            if let Some(progress) = progress {
                progress.done_bytes += bytes;
            }
        });
    }

    fn write_rows(&self, kv: &dyn KvStore, ledger: &Ledger) -> anyhow::Result<()> {
        kv.commit(&[state::validators_op(&self.genesis.validators)])?;
        let visit = |handover: Handover| {
            // Later ones than the state are not needed, and the executor writes them when it gets there.
            if handover.next.epoch() <= ledger.epoch() {
                kv.commit(&[handovers::row(&handover), state::validators_op(&handover.next)])?;
            }
            Ok(())
        };
        chain::for_each(&self.incoming.handovers(), visit)?;
        remembered::write_rows(kv)?;
        let block = &self.manifest.block;
        let named = block.header.executed;
        let standing = self.standing(ledger)?;
        let mut ops = handover_of(block, ledger);
        ops.extend([
            state::root_op(named.height, named.state_root),
            state::root_op(self.manifest.height(), self.manifest.state_root()),
            state::genesis_op(self.genesis),
            state::standing_op(&standing),
        ]);
        kv.commit(&ops)?;
        Ok(())
    }

    fn standing(&self, ledger: &Ledger) -> anyhow::Result<Standing> {
        let block = &self.manifest.block;
        let next_epoch = ledger
            .next_epoch()
            .map(|next| NextEpoch { validators: next.validators, parameters: next.parameters });
        Ok(Standing {
            executed: self.manifest.executed(),
            digest: block.header.digest(),
            epoch: EpochContext {
                validators: ledger.validators().clone(),
                parameters: ledger.parameters().clone(),
                start_ms: ledger.epoch_start_ms(),
            },
            origin: self.origin(ledger)?,
            next_epoch,
        })
    }

    /// The block that the state's epoch started from.
    fn origin(&self, ledger: &Ledger) -> anyhow::Result<(Height, Hash)> {
        let header = &self.manifest.block.header;
        match header.kind {
            BlockKind::Handover { .. } => Ok((header.height, header.digest())),
            BlockKind::Normal | BlockKind::Closing => {
                chain::origin_of(&self.incoming.handovers(), self.genesis, ledger.epoch())
            }
        }
    }

    fn write_log(&self) -> anyhow::Result<()> {
        let encoding = piece_file::read(&piece_path(&self.incoming.pieces(), Piece::Block))?;
        let options = SegmentOptions { segment_bytes: self.log_segment_bytes };
        let mut log = CommittedLog::open(&self.incoming.log(), options)?;
        log.append(self.manifest.height(), &encoding)?;
        log.flush().context("the new committed log cannot be written")
    }
}

/// When the snapshot is of a handover block, nobody may have had its row yet: the state says who comes next.
fn handover_of(block: &CertifiedHeader, ledger: &Ledger) -> Vec<Op> {
    match block.header.kind {
        BlockKind::Handover { .. } => {
            let next = ledger.validators().clone();
            let validators = state::validators_op(&next);
            vec![handovers::row(&Handover { block: block.clone(), next }), validators]
        }
        BlockKind::Normal | BlockKind::Closing => Vec::new(),
    }
}
