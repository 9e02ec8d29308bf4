//! The values whose encodings are pinned: made from fixed seeds, with every field away from its default where it can be.

use aegis_types::state_tree::Leaf;
use aegis_types::{
    Batch, BlockKind, Canonical, Certificate, CertifiedHeader, ChainId, CommittedBlock, Domain, Epoch,
    Executed, Genesis, Handover, Hash, Header, Height, Keypair, KvRecord, Member, MemberBits, Parameter,
    Parameters, Proposal, ProposalBody, SampledVotes, StateProof, ValidatorSet, View, Vote, VoteContent,
    VoteKind, Weight,
};

/// 2026-01-01T00:00:00Z.
pub const TIME_MS: u64 = 1_767_225_600_000;

pub fn keypair(n: u8) -> Keypair {
    Keypair::from_seed(&[n; 32])
}

pub fn domain() -> Domain {
    genesis().domain()
}

pub fn validators() -> ValidatorSet {
    let member = |(n, weight)| Member { validator: keypair(n).validator_id(), weight: Weight(weight) };
    let members = [(1, 10), (2, 10), (3, 11), (4, 300), (5, 290), (6, 295)].map(member);
    ValidatorSet::new(Epoch(0), members.to_vec()).expect("the sample is a valid set")
}

pub fn largest_weights() -> ValidatorSet {
    let member = |n| Member { validator: keypair(n).validator_id(), weight: Weight::MAX };
    ValidatorSet::new(Epoch(u64::MAX), (1..=4).map(member).collect()).expect("the sample is a valid set")
}

pub fn genesis() -> Genesis {
    let mut parameters = Parameters::default();
    parameters.set(Parameter::Window, 16).expect("within range");
    parameters.set(Parameter::ClockDriftMaxMs, 250).expect("within range");
    genesis_with(parameters)
}

pub fn genesis_of_defaults() -> Genesis {
    genesis_with(Parameters::default())
}

pub fn genesis_of_smallest_parameters() -> Genesis {
    let mut parameters = Parameters::default();
    for parameter in Parameter::ALL {
        parameters.set(parameter, parameter.range().min).expect("within range");
    }
    genesis_with(parameters)
}

fn genesis_with(parameters: Parameters) -> Genesis {
    let chain: ChainId = "aegis-golden-1".parse().expect("a valid chain id");
    Genesis { chain, timestamp_ms: TIME_MS, validators: validators(), parameters }
}

fn vote_content(kind: VoteKind, digest: u8) -> VoteContent {
    VoteContent { kind, epoch: Epoch(3), view: View(300), height: Height(70_000), digest: Hash([digest; 32]) }
}

pub fn prepare() -> Vote {
    Vote::sign(vote_content(VoteKind::Prepare, 0xaa), &keypair(4), &domain())
}

pub fn commit() -> Vote {
    Vote::sign(vote_content(VoteKind::Commit, 0xaa), &keypair(4), &domain())
}

/// All numbers at their default, so left out of the encoding.
pub fn first_vote() -> Vote {
    let content = VoteContent {
        kind: VoteKind::Prepare,
        epoch: Epoch::ZERO,
        view: View::ZERO,
        height: Height::ZERO,
        digest: Hash::ZERO,
    };
    Vote::sign(content, &keypair(1), &domain())
}

/// A proposal body of every kind, with the name that it has in the golden file.
pub fn bodies() -> Vec<(&'static str, ProposalBody)> {
    let evidence =
        |digest| Box::new(Vote::sign(vote_content(VoteKind::Commit, digest), &keypair(2), &domain()));
    let (key, validator) = ("config/région".to_owned(), keypair(9).validator_id());
    vec![
        ("kv.put", ProposalBody::KvPut { key: key.clone(), value: vec![0x00, 0xff, 0x80] }),
        ("kv.put of nothing", ProposalBody::KvPut { key: key.clone(), value: Vec::new() }),
        ("kv.delete", ProposalBody::KvDelete { key: key.clone() }),
        ("kv.cas", ProposalBody::KvCas { key: key.clone(), expected_version: 300, value: b"v2".to_vec() }),
        ("kv.cas of a new key", ProposalBody::KvCas { key, expected_version: 0, value: b"v1".to_vec() }),
        ("text", ProposalBody::Text { title: "Retire node 3".into(), text: "It is slow.\nAgreed?".into() }),
        ("param.set", ProposalBody::ParamSet { name: "window".into(), value: "16".into() }),
        ("validator.add", ProposalBody::ValidatorAdd { validator, weight: Weight(250) }),
        ("validator.remove", ProposalBody::ValidatorRemove { validator }),
        ("proposal.vote yes", ProposalBody::ProposalVote { proposal: Hash([0x77; 32]), approve: true }),
        ("proposal.vote no", ProposalBody::ProposalVote { proposal: Hash([0x77; 32]), approve: false }),
        ("evidence", ProposalBody::Evidence { first: evidence(0xaa), second: evidence(0xbb) }),
        (
            "metrics.report",
            ProposalBody::MetricsReport { report: vec![0x01, 0xff], sampled: sampled_votes() },
        ),
        (
            "metrics.report of nothing",
            ProposalBody::MetricsReport { report: vec![0x01], sampled: Vec::new() },
        ),
        ("metrics.evidence", ProposalBody::MetricsEvidence { first: vec![0x01], second: vec![0x02] }),
    ]
}

pub fn sampled_votes() -> Vec<SampledVotes> {
    let voters: MemberBits = [0, 3, 9, 127].into_iter().collect();
    let own = Some((View(300), commit().signature));
    vec![
        SampledVotes { height: Height(70_000), voters: voters.clone(), own },
        SampledVotes { height: Height(70_001), voters, own: None },
    ]
}

pub fn led_validators() -> ValidatorSet {
    let leaders = [6, 4].map(|n| keypair(n).validator_id());
    validators().with_leaders(&leaders).expect("the sample's leaders are heavy enough")
}

pub fn proposal(body: ProposalBody) -> Proposal {
    Proposal::sign(body, TIME_MS + 60_000, "order-17", &keypair(40), &domain()).expect("a valid proposal")
}

pub fn batch() -> Batch {
    let proposals = bodies().into_iter().map(|(_, body)| proposal(body)).collect();
    Batch { author: keypair(5).validator_id(), sequence: 129, proposals }
}

fn small_batch() -> Batch {
    let body = ProposalBody::KvDelete { key: "k".into() };
    Batch { author: keypair(1).validator_id(), sequence: 0, proposals: vec![proposal(body)] }
}

pub fn header() -> Header {
    Header {
        epoch: Epoch(0),
        height: Height(200),
        timestamp_ms: TIME_MS + 1_000,
        parent: Hash([0x11; 32]),
        proposer: keypair(6).validator_id(),
        batches: vec![batch().reference(), small_batch().reference()],
        executed: Executed { height: Height(197), state_root: Hash([0x22; 32]) },
        validators_hash: validators().hash(),
        kind: BlockKind::Normal,
    }
}

pub fn first_header() -> Header {
    Header {
        height: Height(1),
        parent: genesis().hash(),
        batches: Vec::new(),
        executed: Executed::default(),
        ..header()
    }
}

pub fn closing_header() -> Header {
    Header { kind: BlockKind::Closing, epoch: Epoch(7), ..header() }
}

pub fn handover_header() -> Header {
    let next_validators_hash = largest_weights().hash();
    Header { kind: BlockKind::Handover { next_validators_hash }, batches: Vec::new(), ..header() }
}

/// A certificate by the three heavy members.
pub fn certificate(header: &Header) -> Certificate {
    let content = VoteContent {
        kind: VoteKind::Commit,
        epoch: header.epoch,
        view: View(2),
        height: header.height,
        digest: header.digest(),
    };
    let (set, domain) = (validators(), domain());
    let sign = |n| {
        let vote = Vote::sign(content, &keypair(n), &domain);
        let position = set.index_of(&vote.validator).expect("a member");
        (u32::try_from(position).expect("a small set"), vote.signature)
    };
    let mut signatures = [4, 5, 6].map(sign).to_vec();
    signatures.sort();
    Certificate { content, signatures }
}

pub fn committed_block() -> CommittedBlock {
    let header = header();
    CommittedBlock { certificate: certificate(&header), header, batches: vec![batch(), small_batch()] }
}

pub fn empty_block() -> CommittedBlock {
    let header = first_header();
    CommittedBlock { certificate: certificate(&header), header, batches: Vec::new() }
}

pub fn kv_record() -> KvRecord {
    KvRecord { version: 300, height: Height(70_000), value: vec![0x00, 0xff, 0x80] }
}

/// Two leaves, and siblings that are all different.
pub fn state_proof() -> StateProof {
    let leaves = vec![
        Leaf { key: Hash([0x31; 32]), value: Hash([0x41; 32]) },
        Leaf { key: Hash([0x32; 32]), value: Hash([0x42; 32]) },
    ];
    let mut level = 0;
    let siblings = [(); 16].map(|()| {
        level += 1;
        Hash([level; 32])
    });
    StateProof { leaves, siblings }
}

/// The first epoch's end.
pub fn handover() -> Handover {
    let member = |n| Member { validator: keypair(n).validator_id(), weight: Weight(7) };
    let next = ValidatorSet::new(Epoch(1), (1..=4).map(member).collect()).expect("the sample is a valid set");
    let kind = BlockKind::Handover { next_validators_hash: next.hash() };
    let header = Header { kind, batches: Vec::new(), ..header() };
    Handover { block: CertifiedHeader { certificate: certificate(&header), header }, next }
}

/// What every reader of a golden file must find again in its bytes.
pub fn assert_reads_back<T: Canonical + PartialEq + std::fmt::Debug>(value: &T) {
    let read = T::decode(&value.encode());
    assert_eq!(read.as_ref(), Ok(value), "a {} does not read back", T::NAME);
}
