//! Keys, headers, votes and certificates of a small network, made without an engine.

pub mod cluster;
pub mod effects;
pub mod subject;

use std::collections::BTreeMap;

use aegis_consensus::{
    Engine, EpochContext, LeaderSchedule, Message, NewView, Now, PrePrepare, PreparedBlock, Record, Start,
    Tip, ViewChange, VoteFloor,
};
use aegis_types::{
    BatchRef, BlockKind, Certificate, Domain, Epoch, Executed, Genesis, Hash, Header, Height, Keypair,
    Member, Parameter, Parameters, Signature, ValidatorId, ValidatorSet, View, Vote, VoteContent, VoteKind,
    Weight,
};

pub const TIMEOUT_MS: u64 = 1_000;
pub const IDLE_MS: u64 = 200;
pub const DRIFT_MS: u64 = 500;
pub const EPOCH_MS: u64 = 60_000;
pub const WINDOW: u64 = 4;
/// Unix time at which the genesis stands, and monotonic time 0.
pub const GENESIS_MS: u64 = 1_700_000_000_000;

/// A network of validators whose positions in the set are their indices here.
#[derive(Debug, Clone)]
pub struct Net {
    pub genesis: Genesis,
    pub domain: Domain,
    pub keys: Vec<Keypair>,
    schedule: LeaderSchedule,
}

pub fn now(monotonic_ms: u64) -> Now {
    Now { monotonic_ms, unix_ms: GENESIS_MS + monotonic_ms }
}

pub fn batch(author: ValidatorId, number: u64) -> BatchRef {
    let digest = Hash::of("aegis test batch", &[&author.0[..], &number.to_be_bytes()].concat());
    BatchRef { digest, author, proposals: 1, bytes: 100 }
}

/// The state root that every test execution computes.
pub fn root(height: Height) -> Hash {
    Hash::of("aegis test root", &height.0.to_be_bytes())
}

pub fn key(number: u8) -> Keypair {
    Keypair::from_seed(&[number; 32])
}

impl Net {
    pub fn equal(members: usize) -> Self {
        Self::weighted(&vec![1; members])
    }

    pub fn weighted(weights: &[u64]) -> Self {
        let mut keys: Vec<Keypair> = (1..).take(weights.len()).map(key).collect();
        keys.sort_by_key(Keypair::validator_id);
        let members = keys
            .iter()
            .zip(weights)
            .map(|(key, weight)| Member { validator: key.validator_id(), weight: Weight(*weight) });
        let mut parameters = Parameters::default();
        for (parameter, value) in [
            (Parameter::ViewTimeoutMs, TIMEOUT_MS),
            (Parameter::IdleIntervalMs, IDLE_MS),
            (Parameter::ClockDriftMaxMs, DRIFT_MS),
            (Parameter::EpochLengthMs, EPOCH_MS),
            (Parameter::Window, WINDOW),
        ] {
            parameters.set(parameter, value).unwrap();
        }
        let validators = ValidatorSet::new(Epoch::ZERO, members.collect()).unwrap();
        let schedule = LeaderSchedule::new(&validators);
        let genesis = Genesis {
            chain: "engine-test".parse().unwrap(),
            timestamp_ms: GENESIS_MS,
            validators,
            parameters,
        };
        Self { domain: genesis.domain(), genesis, keys, schedule }
    }

    pub fn set(&self) -> &ValidatorSet {
        &self.genesis.validators
    }

    pub fn id(&self, index: usize) -> ValidatorId {
        self.keys[index].validator_id()
    }

    pub fn leader(&self, view: u64) -> usize {
        let leader = self.schedule.leader(View(view));
        self.set().index_of(&leader).unwrap()
    }

    /// The lowest view above `above` that `index` leads.
    pub fn view_led_by(&self, index: usize, above: u64) -> u64 {
        (above + 1..).find(|view| self.leader(*view) == index).unwrap()
    }

    /// All but the given ones.
    pub fn others(&self, excluded: &[usize]) -> Vec<usize> {
        (0..self.keys.len()).filter(|index| !excluded.contains(index)).collect()
    }

    pub fn start(&self, index: usize, records: Vec<Record>) -> Start {
        self.start_with_key(self.keys[index].clone(), records)
    }

    pub fn start_with_key(&self, keypair: Keypair, records: Vec<Record>) -> Start {
        Start {
            domain: self.domain.clone(),
            keypair,
            epoch: EpochContext::genesis(&self.genesis),
            origin: (Height::ZERO, self.genesis.hash()),
            next_epoch: None,
            tip: Tip::genesis(&self.genesis),
            roots: BTreeMap::from([(Height::ZERO, root(Height::ZERO))]),
            records,
            floor: VoteFloor::NONE,
            now: now(0),
        }
    }

    pub fn engine(&self, index: usize) -> Engine {
        Engine::recover(self.start(index, Vec::new()))
    }

    /// A correct header of the leader of `view` above `parent` (the genesis if none), with these batches.
    pub fn header(&self, view: u64, parent: Option<&Header>, batches: &[BatchRef]) -> Header {
        let height = parent.map_or(Height(1), |parent| parent.height.next());
        Header {
            epoch: Epoch::ZERO,
            height,
            timestamp_ms: GENESIS_MS + height.0,
            parent: parent.map_or(self.genesis.hash(), Header::digest),
            proposer: self.id(self.leader(view)),
            batches: batches.to_vec(),
            executed: Executed { height: Height::ZERO, state_root: root(Height::ZERO) },
            validators_hash: self.set().hash(),
            kind: BlockKind::Normal,
        }
    }

    /// A chain of headers with a batch each, by the leader of `view`.
    pub fn chain(&self, view: u64, length: u64) -> Vec<Header> {
        let author = self.id(self.leader(view));
        let mut headers: Vec<Header> = Vec::new();
        for number in 0..length {
            headers.push(self.header(view, headers.last(), &[batch(author, number)]));
        }
        headers
    }

    pub fn vote(&self, index: usize, kind: VoteKind, view: u64, header: &Header) -> Vote {
        let content = content(kind, view, header);
        Vote::sign(content, &self.keys[index], &self.domain)
    }

    pub fn vote_message(&self, index: usize, kind: VoteKind, view: u64, header: &Header) -> Message {
        Message::Vote(self.vote(index, kind, view, header))
    }

    pub fn pre_prepare(&self, view: u64, header: &Header) -> Message {
        let vote = self.vote(self.leader(view), VoteKind::Prepare, view, header);
        Message::PrePrepare(PrePrepare { header: header.clone(), vote })
    }

    pub fn certificate(&self, kind: VoteKind, view: u64, header: &Header, signers: &[usize]) -> Certificate {
        let signature = |index: &usize| (*index as u32, self.vote(*index, kind, view, header).signature);
        let mut signatures: Vec<(u32, Signature)> = signers.iter().map(signature).collect();
        signatures.sort_by_key(|(index, _)| *index);
        Certificate { content: content(kind, view, header), signatures }
    }

    /// A block with a certificate of the first members that make a quorum.
    pub fn certified(&self, kind: VoteKind, view: u64, header: &Header) -> PreparedBlock {
        let signers = self.quorum();
        PreparedBlock { header: header.clone(), certificate: self.certificate(kind, view, header, &signers) }
    }

    /// The first members whose weight is a quorum.
    pub fn quorum(&self) -> Vec<usize> {
        let mut weight = 0;
        let mut members = Vec::new();
        for (index, member) in self.set().members().iter().enumerate() {
            if weight < self.set().quorum().0 {
                weight += member.weight.0;
                members.push(index);
            }
        }
        members
    }

    pub fn view_change(
        &self,
        index: usize,
        view: u64,
        tip: Option<PreparedBlock>,
        prepared: Vec<PreparedBlock>,
    ) -> ViewChange {
        ViewChange {
            epoch: Epoch::ZERO,
            view: View(view),
            tip_height: tip.as_ref().map_or(Height::ZERO, |tip| tip.header.height),
            tip,
            prepared,
            validator: self.id(index),
            signature: Signature([0; 64]),
        }
        .signed(&self.keys[index], &self.domain)
    }

    /// A view change of a validator that has nothing to tell.
    pub fn plain_view_change(&self, index: usize, view: u64) -> ViewChange {
        self.view_change(index, view, None, Vec::new())
    }

    pub fn new_view(&self, view: u64, view_changes: Vec<ViewChange>) -> NewView {
        NewView {
            epoch: Epoch::ZERO,
            view: View(view),
            view_changes,
            leader: self.id(self.leader(view)),
            signature: Signature([0; 64]),
        }
        .signed(&self.keys[self.leader(view)], &self.domain)
    }

    /// A new view in which nobody has anything to tell.
    pub fn plain_new_view(&self, view: u64) -> NewView {
        self.new_view(
            view,
            self.quorum().into_iter().map(|index| self.plain_view_change(index, view)).collect(),
        )
    }
}

pub fn content(kind: VoteKind, view: u64, header: &Header) -> VoteContent {
    VoteContent {
        kind,
        epoch: header.epoch,
        view: View(view),
        height: header.height,
        digest: header.digest(),
    }
}
