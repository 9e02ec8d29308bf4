//! A small network with equal weights, whose members are known by their positions in the validator set.

use std::collections::BTreeMap;

use aegis_consensus::{Engine, EpochContext, LeaderSchedule, Now, Record, Start, Tip, VoteFloor};
use aegis_types::{
    BatchRef, Certificate, Domain, Epoch, Executed, Genesis, Hash, Header, Height, Keypair, Member,
    Parameter, Parameters, ValidatorId, ValidatorSet, View, Weight,
};

/// Unix time of the genesis.
const GENESIS_MS: u64 = 1_700_000_000_000;
/// A view's first timeout.
pub const TIMEOUT_MS: u64 = 1_000;
/// How many blocks may be open.
const WINDOW: u64 = 4;

/// Keys and genesis.
#[derive(Debug)]
pub struct Instance {
    /// The chain's domain.
    pub domain: Domain,
    /// The members' keys, by position in the set.
    pub keys: Vec<Keypair>,
    genesis: Genesis,
    schedule: LeaderSchedule,
}

impl Instance {
    /// A network of at most 100 members of weight 1.
    ///
    /// # Errors
    /// When the set is not a valid one.
    pub fn equal(members: u8) -> anyhow::Result<Self> {
        let mut keys: Vec<Keypair> = (1..=members).map(|seed| Keypair::from_seed(&[seed; 32])).collect();
        keys.sort_by_key(Keypair::validator_id);
        let weighted = keys.iter().map(|key| Member { validator: key.validator_id(), weight: Weight(1) });
        let validators = ValidatorSet::new(Epoch::ZERO, weighted.collect())?;
        let mut parameters = Parameters::default();
        parameters.set(Parameter::ViewTimeoutMs, TIMEOUT_MS)?;
        parameters.set(Parameter::Window, WINDOW)?;
        parameters.set(Parameter::EpochLengthMs, 24 * 3_600 * 1_000)?;
        let schedule = LeaderSchedule::new(&validators);
        let genesis =
            Genesis { chain: "aegis-model".parse()?, timestamp_ms: GENESIS_MS, validators, parameters };
        Ok(Self { domain: genesis.domain(), keys, genesis, schedule })
    }

    /// The validator set.
    pub fn set(&self) -> &ValidatorSet {
        &self.genesis.validators
    }

    /// A member's name.
    pub fn id(&self, member: usize) -> ValidatorId {
        self.keys[member].validator_id()
    }

    /// A member's position; none for a stranger.
    pub fn index_of(&self, validator: &ValidatorId) -> Option<usize> {
        self.set().index_of(validator)
    }

    /// The member that leads a view.
    pub fn leader(&self, view: View) -> usize {
        self.index_of(&self.schedule.leader(view)).unwrap_or_default()
    }

    /// The genesis hash: the first block's parent.
    pub fn genesis_hash(&self) -> Hash {
        self.genesis.hash()
    }

    /// A fresh engine.
    pub fn engine(&self, member: usize) -> Engine {
        Engine::recover(self.start(member, &[], Vec::new(), now(0)))
    }

    /// What a member restarts from: its committed log, executed to the end, and its journal.
    pub fn start(
        &self,
        member: usize,
        log: &[(Header, Certificate)],
        records: Vec<Record>,
        now: Now,
    ) -> Start {
        let mut roots = BTreeMap::from([(Height::ZERO, root(Height::ZERO))]);
        roots.extend(log.iter().map(|(header, _)| (header.height, root(header.height))));
        let tip = log.last().map_or_else(
            || Tip::genesis(&self.genesis),
            |(header, certificate)| Tip::of(header.clone(), certificate.clone()),
        );
        Start {
            domain: self.domain.clone(),
            keypair: self.keys[member].clone(),
            epoch: EpochContext::genesis(&self.genesis),
            origin: (Height::ZERO, self.genesis.hash()),
            next_epoch: None,
            tip,
            roots,
            records,
            floor: VoteFloor::NONE,
            now,
        }
    }

    /// A batch; the same number is the same batch.
    pub fn batch(&self, number: u64) -> BatchRef {
        let digest = Hash::of("aegis model batch", &number.to_be_bytes());
        BatchRef { digest, author: self.id(0), proposals: 1, bytes: 100 }
    }

    /// A header on a parent, by a proposer that executed nothing yet.
    pub fn header(&self, proposer: usize, parent: Option<&Header>, batches: Vec<BatchRef>) -> Header {
        Header {
            epoch: Epoch::ZERO,
            height: parent.map_or(Height(1), |parent| parent.height.next()),
            timestamp_ms: parent.map_or(GENESIS_MS, |parent| parent.timestamp_ms).saturating_add(1),
            parent: parent.map_or(self.genesis.hash(), Header::digest),
            proposer: self.id(proposer),
            batches,
            executed: Executed { height: Height::ZERO, state_root: root(Height::ZERO) },
            validators_hash: self.set().hash(),
            kind: aegis_types::BlockKind::Normal,
        }
    }
}

/// The state root after a block: every correct node computes it.
pub fn root(height: Height) -> Hash {
    Hash::of("aegis model root", &height.0.to_be_bytes())
}

/// The time; all clocks agree.
pub fn now(monotonic_ms: u64) -> Now {
    Now { monotonic_ms, unix_ms: GENESIS_MS.saturating_add(monotonic_ms) }
}
