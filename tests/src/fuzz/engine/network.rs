//! Keys, validator sets and signed messages of the members around an engine.

use aegis_consensus::{LeaderSchedule, NewView, PreparedBlock, ViewChange};
use aegis_types::{
    BatchRef, Certificate, Domain, Epoch, Genesis, Hash, Header, Height, Keypair, Member, Parameter,
    Parameters, Signature, ValidatorId, ValidatorSet, View, Vote, VoteContent, VoteKind, Weight,
};

/// Unix time of the genesis and of monotonic time 0.
pub const GENESIS_MS: u64 = 1_700_000_000_000;
/// Length of an epoch: some scripts reach the next one.
pub const EPOCH_MS: u64 = 60_000;
/// How many blocks may be open.
pub const WINDOW: u64 = 4;

/// Weights to choose from: equal, uneven, and with `f` of 0.
const WEIGHTS: [&[u64]; 4] = [&[1, 1, 1, 1], &[3, 3, 2, 2, 1], &[10, 10, 11, 9, 8, 12, 7], &[1, 1, 1]];

/// The members.
#[derive(Debug)]
pub struct Network {
    /// The genesis.
    pub genesis: Genesis,
    /// The domain of all signatures.
    pub domain: Domain,
    /// The keys of all members, in the order of the first set.
    pub keys: Vec<Keypair>,
}

impl Network {
    /// A network with one of the prepared choices of weights.
    pub fn new(choice: usize) -> Self {
        let weights = WEIGHTS[choice % WEIGHTS.len()];
        let mut keys: Vec<Keypair> =
            (1..).take(weights.len()).map(|n| Keypair::from_seed(&[n; 32])).collect();
        keys.sort_by_key(Keypair::validator_id);
        let member = |(key, weight): (&Keypair, &u64)| Member {
            validator: key.validator_id(),
            weight: Weight(*weight),
        };
        let members = keys.iter().zip(weights).map(member).collect();
        let mut parameters = Parameters::default();
        for (parameter, value) in [
            (Parameter::ViewTimeoutMs, 1_000),
            (Parameter::IdleIntervalMs, 200),
            (Parameter::ClockDriftMaxMs, 500),
            (Parameter::EpochLengthMs, EPOCH_MS),
            (Parameter::Window, WINDOW),
        ] {
            parameters.set(parameter, value).expect("within range");
        }
        let genesis = Genesis {
            chain: "aegis-fuzz".parse().expect("a chain id"),
            timestamp_ms: GENESIS_MS,
            validators: ValidatorSet::new(Epoch::ZERO, members).expect("a valid set"),
            parameters,
        };
        Self { domain: genesis.domain(), genesis, keys }
    }

    /// The validators of an epoch: in odd epochs one of them is left out where that gives a valid set.
    pub fn set(&self, epoch: Epoch) -> ValidatorSet {
        let all = self.genesis.validators.members();
        let absent = usize::try_from(epoch.0 / 2).unwrap_or(0) % all.len();
        let some: Vec<Member> =
            all.iter().enumerate().filter(|(at, _)| *at != absent).map(|(_, member)| *member).collect();
        let members = if epoch.0 % 2 == 1 { some } else { all.to_vec() };
        ValidatorSet::new(epoch, members)
            .or_else(|_| ValidatorSet::new(epoch, all.to_vec()))
            .expect("the first set is valid")
    }

    /// A member's name.
    pub fn id(&self, member: usize) -> ValidatorId {
        self.keys[member % self.keys.len()].validator_id()
    }

    /// The position of a member's key.
    pub fn index_of(&self, validator: &ValidatorId) -> usize {
        self.keys.iter().position(|key| key.validator_id() == *validator).unwrap_or(0)
    }

    /// The member that leads a view.
    pub fn leader(&self, epoch: Epoch, view: View) -> usize {
        self.index_of(&LeaderSchedule::new(&self.set(epoch)).leader(view))
    }

    /// A vote of a member.
    pub fn vote(&self, member: usize, kind: VoteKind, view: View, header: &Header) -> Vote {
        Vote::sign(content(kind, view, header), &self.keys[member % self.keys.len()], &self.domain)
    }

    /// A block with a certificate of all members of its epoch but `without`, who are a quorum.
    pub fn certified(&self, without: usize, kind: VoteKind, view: View, header: &Header) -> PreparedBlock {
        let set = self.set(header.epoch);
        let absent = self.id(without);
        let signers = (0_u32..).zip(set.members()).filter(|(_, member)| member.validator != absent);
        let signatures = signers
            .map(|(position, member)| {
                let vote = self.vote(self.index_of(&member.validator), kind, view, header);
                (position, vote.signature)
            })
            .collect();
        let certificate = Certificate { content: content(kind, view, header), signatures };
        PreparedBlock { header: header.clone(), certificate }
    }

    /// A view change of a member.
    pub fn view_change(
        &self,
        member: usize,
        (epoch, view): (Epoch, View),
        tip_height: Height,
        tip: Option<PreparedBlock>,
        prepared: Vec<PreparedBlock>,
    ) -> ViewChange {
        let key = &self.keys[member % self.keys.len()];
        let signature = Signature([0; 64]);
        ViewChange { epoch, view, tip_height, tip, prepared, validator: key.validator_id(), signature }
            .signed(key, &self.domain)
    }

    /// A new view of its leader.
    pub fn new_view(&self, epoch: Epoch, view: View, view_changes: Vec<ViewChange>) -> NewView {
        let key = &self.keys[self.leader(epoch, view)];
        NewView { epoch, view, view_changes, leader: key.validator_id(), signature: Signature([0; 64]) }
            .signed(key, &self.domain)
    }
}

/// What a vote for a header says.
pub fn content(kind: VoteKind, view: View, header: &Header) -> VoteContent {
    VoteContent { kind, epoch: header.epoch, view, height: header.height, digest: header.digest() }
}

/// A batch; the same number is the same batch.
pub fn batch(author: ValidatorId, number: u64) -> BatchRef {
    let digest = Hash::of("aegis fuzz batch", &number.to_be_bytes());
    BatchRef { digest, author, proposals: 1, bytes: 100 }
}

/// The state root that execution yields.
pub fn root(height: Height) -> Hash {
    Hash::of("aegis fuzz root", &height.0.to_be_bytes())
}
