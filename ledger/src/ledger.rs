//! The ledger itself: the chain's head, the state tree, and the application of blocks.

use aegis_types::{
    BlockKind, Canonical, CommittedBlock, Domain, Epoch, Genesis, Hash, Header, Height, Parameters,
    StateProof, Subtree, ValidatorSet, WeightsMode,
};
use prost::Message;

use crate::applied::{Applied, LedgerEvent, NextEpoch};
use crate::earlier_tree::EarlierTree;
use crate::error::LedgerError;
use crate::execution::{Execution, Setting};
use crate::keys;
use crate::overlay::Overlay;
use crate::records::{AgreedParameters, HeadRecord, ParametersRecord};
use crate::state::{Change, StateReader, read_required};
use crate::tree::StateTree;
use crate::undo::StateUndo;
use crate::weighing::{first_standing, hand_over_standing};

/// The replicated application between two blocks.
///
/// It keeps in RAM the Merkle tree over the state's entries and what every block needs: head, parameters and validator sets.
/// All values stay behind [`StateReader`]. To execute a block call [`Ledger::apply`], then write its changes in one atomic
/// step before anything else; a caller that fails to write must [`Ledger::open`] the ledger again.
#[derive(Debug, Clone)]
pub struct Ledger {
    domain: Domain,
    tree: StateTree,
    head: HeadRecord,
    agreed: AgreedParameters,
    validators: ValidatorSet,
    previous: Option<ValidatorSet>,
    next: Option<ValidatorSet>,
}

impl Ledger {
    /// The ledger at height 0, and the entries of its state, which the caller writes into an empty store.
    ///
    /// # Errors
    /// None at present: a genesis is valid by construction.
    pub fn genesis(genesis: &Genesis) -> Result<(Self, Vec<Change>), LedgerError> {
        let head = HeadRecord {
            genesis: genesis.hash().0.to_vec(),
            timestamp_ms: genesis.timestamp_ms,
            epoch_start_ms: genesis.timestamp_ms,
            ..HeadRecord::default()
        };
        let agreed = AgreedParameters { in_force: genesis.parameters.clone(), ..AgreedParameters::default() };
        let entry = |key: &[u8], value: Vec<u8>| Change { key: key.to_vec(), value: Some(value) };
        let mut changes = vec![
            entry(keys::HEAD, head.encode_to_vec()),
            entry(keys::PARAMETERS, agreed.to_record().encode_to_vec()),
            entry(keys::VALIDATORS_CURRENT, genesis.validators.encode()),
        ];
        if genesis.parameters.weights_mode() != WeightsMode::Fixed {
            let standing = first_standing(&genesis.validators, &genesis.parameters);
            changes.push(entry(keys::STANDING_CURRENT, standing.encode_to_vec()));
            changes.sort_by(|a, b| a.key.cmp(&b.key));
        }
        let mut tree = StateTree::new();
        tree.update(&changes);
        let validators = genesis.validators.clone();
        let ledger =
            Self { domain: genesis.domain(), tree, head, agreed, validators, previous: None, next: None };
        Ok((ledger, changes))
    }

    /// The ledger of a state that was written before. Reads every entry once to rebuild the tree; the caller compares
    /// [`Ledger::root`] with what it knows of the height.
    ///
    /// # Errors
    /// `State`; `Damaged` when a record is missing, as in an empty store, or is not what the ledger wrote;
    /// `OtherGenesis` when the state is another network's.
    pub fn open(genesis: &Genesis, state: &dyn StateReader) -> Result<Self, LedgerError> {
        let head: HeadRecord = read_required(state, keys::HEAD)?;
        let (expected, actual) = (genesis.hash(), crate::records::hash(keys::HEAD, &head.genesis)?);
        if expected != actual {
            return Err(LedgerError::OtherGenesis { expected, actual });
        }
        let parameters: ParametersRecord = read_required(state, keys::PARAMETERS)?;
        let validators = read_set(state, keys::VALIDATORS_CURRENT)?
            .ok_or_else(|| LedgerError::damaged(keys::VALIDATORS_CURRENT, "it is missing"))?;
        let mut tree = StateTree::new();
        state.visit_all(&mut |key, value| tree.set(key, value))?;
        tree.rehash();
        Ok(Self {
            domain: genesis.domain(),
            tree,
            head,
            agreed: AgreedParameters::from_record(keys::PARAMETERS, &parameters)?,
            validators,
            previous: read_set(state, keys::VALIDATORS_PREVIOUS)?,
            next: read_set(state, keys::VALIDATORS_NEXT)?,
        })
    }

    /// Executes a block. `state` holds the entries after the block before; the block is one that consensus committed and
    /// whose proposals are well formed and signed, which decoding it and voting on it have established.
    ///
    /// # Errors
    /// `State` and `Damaged` are failures of the store. `WrongHeight` is the caller's mistake. `WrongEpoch`,
    /// `TimeStoodStill` and `WrongKind` mean that consensus did not commit the block on this chain. The ledger is unchanged
    /// after each of them.
    pub fn apply(&mut self, state: &dyn StateReader, block: &CommittedBlock) -> Result<Applied, LedgerError> {
        self.check_fits(block)?;
        match block.header.kind {
            BlockKind::Normal | BlockKind::Closing => self.apply_payload(state, block),
            BlockKind::Handover { next_validators_hash } => {
                self.apply_handover(state, &block.header, next_validators_hash)
            }
        }
    }

    /// Root of the state after the last applied block.
    pub fn root(&self) -> Hash {
        self.tree.root()
    }

    /// The proof of what an entry of agreed state has in the state that `undo` leads back to.
    ///
    /// # Errors
    /// `Unprovable` when the proof would be too large to send.
    pub fn prove(&self, key: &[u8], undo: &StateUndo<'_>) -> Result<StateProof, LedgerError> {
        EarlierTree::new(&self.tree, undo).prove(key)
    }

    /// The roots of all subtrees of a level in the state that `undo` leads back to. Level 0 is the state root alone.
    ///
    /// # Errors
    /// `NoSuchLevel` for a level above [`Subtree::LEVEL_MAX`].
    pub fn subtree_roots(&self, level: u32, undo: &StateUndo<'_>) -> Result<Vec<Hash>, LedgerError> {
        let count = Subtree::count(level).map_err(|_| LedgerError::NoSuchLevel { level })?;
        let tree = EarlierTree::new(&self.tree, undo);
        Ok((count..count.saturating_mul(2)).map(|position| tree.node(position)).collect())
    }

    /// Height of the last applied block; 0 when there is none yet.
    pub fn height(&self) -> Height {
        Height(self.head.height)
    }

    /// Agreed time of the last applied block, in milliseconds of the Unix epoch.
    pub fn timestamp_ms(&self) -> u64 {
        self.head.timestamp_ms
    }

    /// The epoch that the next block belongs to.
    pub fn epoch(&self) -> Epoch {
        self.head.epoch()
    }

    /// Agreed time at which that epoch began: the timestamp of the handover block before it, or of the genesis.
    pub fn epoch_start_ms(&self) -> u64 {
        self.head.epoch_start_ms
    }

    /// The parameters in force. Those that agreement reads change with an epoch only.
    pub fn parameters(&self) -> &Parameters {
        &self.agreed.in_force
    }

    /// The current epoch's validators.
    pub fn validators(&self) -> &ValidatorSet {
        &self.validators
    }

    /// What the closing block yielded, when that is the last applied block and the handover is to come; so that a node
    /// that restarts between the two finds it again.
    pub fn next_epoch(&self) -> Option<NextEpoch> {
        self.next.clone().map(|validators| NextEpoch { validators, parameters: self.agreed.next() })
    }

    pub(crate) fn setting(&self) -> Setting<'_> {
        Setting {
            domain: &self.domain,
            rules: &self.agreed.in_force,
            validators: &self.validators,
            previous: self.previous.as_ref(),
        }
    }

    fn check_fits(&self, block: &CommittedBlock) -> Result<(), LedgerError> {
        let header = &block.header;
        let expected = self.height().next();
        if header.height != expected {
            return Err(LedgerError::WrongHeight { expected, actual: header.height });
        }
        if header.epoch != self.epoch() {
            return Err(LedgerError::WrongEpoch { expected: self.epoch(), actual: header.epoch });
        }
        if header.timestamp_ms <= self.head.timestamp_ms {
            return Err(LedgerError::TimeStoodStill {
                parent: self.head.timestamp_ms,
                actual: header.timestamp_ms,
            });
        }
        let wrong = |reason| Err(LedgerError::WrongKind { height: header.height, reason });
        match (self.head.closing, header.kind) {
            (true, BlockKind::Normal | BlockKind::Closing) => {
                wrong("the block after a closing block is its handover")
            }
            (false, BlockKind::Handover { .. }) => wrong("a handover follows a closing block"),
            (true, BlockKind::Handover { .. }) if !block.batches.is_empty() => {
                wrong("a handover has no batches")
            }
            (true, BlockKind::Handover { .. }) | (false, BlockKind::Normal | BlockKind::Closing) => Ok(()),
        }
    }

    fn apply_payload(
        &mut self,
        state: &dyn StateReader,
        block: &CommittedBlock,
    ) -> Result<Applied, LedgerError> {
        let header = &block.header;
        let mut execution = Execution::begin(self.setting(), state, &self.head, &self.agreed, header);
        let receipts = execution.run(header.digest(), &block.batches)?;
        let next_epoch = match header.kind {
            BlockKind::Closing => Some(execution.close_epoch()?),
            BlockKind::Normal | BlockKind::Handover { .. } => None,
        };
        let finished = execution.finish();
        self.tree.update(&finished.changes);
        self.head = finished.head;
        self.agreed = finished.agreed;
        self.next = next_epoch.as_ref().map(|next| next.validators.clone());
        Ok(Applied {
            height: header.height,
            changes: finished.changes,
            receipts,
            state_root: self.tree.root(),
            next_epoch,
            events: finished.events,
        })
    }

    /// The next epoch's set and parameters come into force; nothing else happens in a handover.
    fn apply_handover(
        &mut self,
        state: &dyn StateReader,
        header: &Header,
        next_validators_hash: Hash,
    ) -> Result<Applied, LedgerError> {
        let next = self.next.clone().filter(|next| next.hash() == next_validators_hash);
        let Some(next) = next else {
            return Err(LedgerError::WrongKind {
                height: header.height,
                reason: "the handover names another validator set than the one that the closing block yielded",
            });
        };
        let agreed = AgreedParameters { in_force: self.agreed.next(), ..AgreedParameters::default() };
        let mut head = self.head.clone();
        head.height = header.height.0;
        head.timestamp_ms = header.timestamp_ms;
        head.epoch = next.epoch().0;
        head.epoch_start_ms = header.timestamp_ms;
        head.closing = false;
        if next.members() != self.validators.members() {
            head.weights_epoch = next.epoch().0;
            head.recount_from = keys::DEADLINES.to_vec();
        }
        let mut writes = Overlay::new(state);
        writes.put(keys::HEAD.to_vec(), head.encode_to_vec());
        writes.put(keys::PARAMETERS.to_vec(), agreed.to_record().encode_to_vec());
        writes.put(keys::VALIDATORS_PREVIOUS.to_vec(), self.validators.encode());
        writes.put(keys::VALIDATORS_CURRENT.to_vec(), next.encode());
        writes.delete(keys::VALIDATORS_NEXT.to_vec());
        hand_over_standing(&mut writes, header.height)?;
        let changes = writes.into_changes();
        self.tree.update(&changes);
        self.head = head;
        self.agreed = agreed;
        self.previous = Some(std::mem::replace(&mut self.validators, next));
        self.next = None;
        Ok(Applied {
            height: header.height,
            changes,
            receipts: Vec::new(),
            state_root: self.tree.root(),
            next_epoch: None,
            events: vec![LedgerEvent::EpochBegan { epoch: self.epoch() }],
        })
    }
}

fn read_set(state: &dyn StateReader, key: &[u8]) -> Result<Option<ValidatorSet>, LedgerError> {
    state
        .get(key)?
        .map(|bytes| {
            ValidatorSet::decode(&bytes).map_err(|error| LedgerError::damaged(key, error.to_string()))
        })
        .transpose()
}
