//! Validators that measure, vote and report on a chain, honestly or not.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use aegis_ledger::weights::{self, Sample};
use aegis_ledger::{Applied, Outcome};
use aegis_metrics::reports::ReportedValues;
use aegis_metrics::{Micro, Report, SignedReport};
use aegis_types::{
    Canonical, Genesis, Height, MemberBits, Parameter, ProposalBody, SampledVotes, ValidatorId, ValidatorSet,
    View, Vote, VoteContent, VoteKind, Weight,
};

use crate::support::{Chain, SECOND, keypair, validator};

/// [`Parameter::WeightsMode`] by word, for the genesis of a scenario.
pub fn value(parameter: Parameter, word: &str) -> (Parameter, u64) {
    (parameter, parameter.parse_value(word).expect("the scenario's word is known"))
}

/// A chain whose validators report. Validator `n` is the key pair `n`.
#[derive(Clone)]
pub struct Network {
    pub chain: Chain,
    /// Round-trip time of two validators in microseconds.
    pub rtt_us: fn(u8, u8) -> u32,
    /// Those who are down: they neither vote nor report.
    pub down: BTreeSet<u8>,
    /// Those who claim a round-trip time of this many microseconds to everybody.
    pub claims_us: BTreeMap<u8, u32>,
    /// Those who say that they received the Commits of these alone, beside their own.
    pub names_only: BTreeMap<u8, BTreeSet<u8>>,
    pub commit_latency_us: u32,
    sequence: u64,
}

impl Network {
    pub fn new(members: usize, parameters: &[(Parameter, u64)]) -> Self {
        Self::of(Chain::with_parameters(&vec![1; members], parameters))
    }

    pub fn of(chain: Chain) -> Self {
        Self {
            chain,
            rtt_us: |a, b| if a <= 4 && b <= 4 { 20_000 } else { 80_000 },
            down: BTreeSet::new(),
            claims_us: BTreeMap::new(),
            names_only: BTreeMap::new(),
            commit_latency_us: 60_000,
            sequence: 0,
        }
    }

    pub fn genesis(&self) -> &Genesis {
        &self.chain.genesis
    }

    /// Executes blocks until the sample of the epoch is drawn.
    pub fn draw(&mut self) -> Sample {
        for _ in 0..120 {
            self.chain.block(Vec::new());
            if let Some(sample) = weights::sample(&self.chain.state).expect("the state is whole") {
                return sample;
            }
        }
        panic!("no sample was drawn within two minutes");
    }

    /// The members that are up.
    pub fn up(&self) -> Vec<u8> {
        let set = self.chain.ledger.validators();
        let members = (1..).zip(validators()).filter(|(_, validator)| set.contains(validator));
        members.map(|(n, _)| n).filter(|n| !self.down.contains(n)).collect()
    }

    /// The signed report of a member.
    pub fn signed(&mut self, n: u8) -> SignedReport {
        self.sequence += 1;
        let set = self.chain.ledger.validators().clone();
        let rtt = |member: u8| match self.claims_us.get(&n) {
            _ if member == n => 0,
            Some(claim) => *claim,
            None if self.down.contains(&member) => 10_000_000,
            None => (self.rtt_us)(n, member),
        };
        let report = Report {
            epoch: set.epoch(),
            sequence: self.sequence,
            reporter: validator(n),
            height: self.chain.ledger.height(),
            rtt_us: numbers(&set).map(rtt).collect(),
            votes_in_time: vec![10_000; set.len()],
            channels: BTreeMap::new(),
            values: ReportedValues {
                phi: Some(Micro::new(10_000)),
                stability: Some(Micro::new(900_000)),
                divergence: Some(Micro::new(100_000)),
                commit_latency_us: Some(self.commit_latency_us),
                ..ReportedValues::default()
            },
            covered_weight: Weight(0),
        };
        report.sign(&keypair(n), &self.chain.genesis.domain())
    }

    /// What a member says of the sampled heights.
    pub fn sampled(&self, n: u8, sample: &Sample) -> Vec<SampledVotes> {
        let set = self.chain.ledger.validators();
        let is_named = |member: u8| match self.names_only.get(&n) {
            Some(names) => member == n || names.contains(&member),
            None => !self.down.contains(&member),
        };
        let voters: MemberBits =
            (0..).zip(numbers(set)).filter(|(_, member)| is_named(*member)).map(|(place, _)| place).collect();
        let votes = sample.blocks.iter().map(|(height, digest)| SampledVotes {
            height: *height,
            voters: voters.clone(),
            own: Some((View::ZERO, self.commit(n, *height, *digest).signature)),
        });
        votes.collect()
    }

    pub fn commit(&self, n: u8, height: Height, digest: aegis_types::Hash) -> Vote {
        let epoch = self.chain.ledger.epoch();
        let content = VoteContent { kind: VoteKind::Commit, epoch, view: View::ZERO, height, digest };
        Vote::sign(content, &keypair(n), &self.chain.genesis.domain())
    }

    pub fn body(&mut self, n: u8, sample: &Sample) -> ProposalBody {
        let report = self.signed(n).encode();
        ProposalBody::MetricsReport { report, sampled: self.sampled(n, sample) }
    }

    /// Lets these members report, in one block.
    pub fn report(&mut self, members: &[u8], sample: &Sample) {
        let mut proposals = Vec::new();
        for n in members {
            let body = self.body(*n, sample);
            body.check().expect("an honest report is well formed");
            proposals.push(self.chain.proposal(*n, body));
        }
        for receipt in self.chain.block(proposals).receipts {
            assert_eq!(receipt.outcome, Outcome::applied());
        }
    }

    /// A whole epoch, with reports of all who are up.
    pub fn epoch(&mut self) -> Applied {
        let sample = self.draw();
        self.report(&self.up(), &sample);
        self.chain.end_epoch(Vec::new())
    }

    pub fn epochs(&mut self, count: usize) {
        for _ in 0..count {
            self.epoch();
        }
    }

    /// The weights of validators 1, 2, ...
    pub fn weights(&self) -> Vec<u64> {
        let set = self.chain.ledger.validators();
        validators().iter().map(|validator| set.weight_of(validator).0).filter(|weight| *weight > 0).collect()
    }

    pub fn leaders(&self) -> BTreeSet<u8> {
        self.chain.ledger.validators().leaders().map(|leader| number(&leader)).collect()
    }

    /// Passes a vote in one block with the votes of all who are up.
    pub fn pass(&mut self, body: ProposalBody) {
        let opening = self.chain.proposal(1, body);
        let proposal = opening.id();
        let mut proposals = vec![opening];
        for n in self.up() {
            proposals.push(self.chain.proposal(n, ProposalBody::ProposalVote { proposal, approve: true }));
        }
        self.chain.block_at(self.chain.now + SECOND, proposals);
    }
}

/// The validators of the key pairs 1, 2, ...: making a key costs more than anything else here.
fn validators() -> &'static [ValidatorId] {
    static VALIDATORS: OnceLock<Vec<ValidatorId>> = OnceLock::new();
    VALIDATORS.get_or_init(|| (1..=20).map(validator).collect())
}

fn number(validator: &ValidatorId) -> u8 {
    (1..).zip(validators()).find(|(_, known)| *known == validator).expect("a validator of the scenario").0
}

/// The key pairs' numbers in the order of the set.
pub fn numbers(set: &ValidatorSet) -> impl Iterator<Item = u8> + '_ {
    set.members().iter().map(|member| number(&member.validator))
}
