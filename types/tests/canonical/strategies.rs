//! Generated values of every type that has a canonical encoding.

use aegis_types::state_tree::Leaf;
use aegis_types::{
    AccountId, Batch, BatchRef, BlockKind, Certificate, CertifiedHeader, CommittedBlock, Epoch, Executed,
    Genesis, Handover, Hash, Header, Height, Keypair, KvRecord, Member, Parameter, Parameters, Proposal,
    ProposalBody, SampledVotes, Signature, StateProof, ValidatorId, ValidatorSet, View, Vote, VoteContent,
    VoteKind, Weight,
};
use proptest::prelude::*;

/// Numbers of every encoded length, the default among them.
pub fn number() -> impl Strategy<Value = u64> {
    (any::<u64>(), 0..=64_u32).prop_map(|(number, shift)| number.checked_shr(shift).unwrap_or(0))
}

pub fn hash() -> impl Strategy<Value = Hash> {
    prop_oneof![1 => Just(Hash::ZERO), 4 => any::<[u8; 32]>().prop_map(Hash)]
}

fn signature() -> impl Strategy<Value = Signature> {
    any::<[[u8; 32]; 2]>().prop_map(|halves| Signature::from_slice(&halves.concat()).expect("64 bytes"))
}

/// Any 32 bytes: whoever only names a validator need not have a key.
fn stranger() -> impl Strategy<Value = ValidatorId> {
    any::<[u8; 32]>().prop_map(ValidatorId)
}

/// A key that can sign.
fn validator() -> impl Strategy<Value = ValidatorId> {
    any::<[u8; 32]>().prop_map(|seed| Keypair::from_seed(&seed).validator_id())
}

fn line(bytes_max: usize) -> impl Strategy<Value = String> {
    "[^\\pC]{1,24}".prop_filter("fits", move |text| text.len() <= bytes_max)
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..48)
}

pub fn vote_content() -> impl Strategy<Value = VoteContent> {
    let kind = prop_oneof![Just(VoteKind::Prepare), Just(VoteKind::Commit)];
    (kind, number(), number(), number(), hash()).prop_map(|(kind, epoch, view, height, digest)| VoteContent {
        kind,
        epoch: Epoch(epoch),
        view: View(view),
        height: Height(height),
        digest,
    })
}

pub fn vote() -> impl Strategy<Value = Vote> {
    (vote_content(), stranger(), signature()).prop_map(|(content, validator, signature)| Vote {
        content,
        validator,
        signature,
    })
}

fn evidence() -> impl Strategy<Value = ProposalBody> {
    (vote(), any::<[u8; 32]>(), signature()).prop_filter_map(
        "digests differ",
        |(first, digest, signature)| {
            let content = VoteContent { digest: Hash(digest), ..first.content };
            let second = Vote { content, signature, ..first.clone() };
            let differs = first.content.digest != content.digest;
            differs.then(|| ProposalBody::Evidence { first: Box::new(first), second: Box::new(second) })
        },
    )
}

pub fn body() -> impl Strategy<Value = ProposalBody> {
    prop_oneof![
        (line(512), value()).prop_map(|(key, value)| ProposalBody::KvPut { key, value }),
        line(512).prop_map(|key| ProposalBody::KvDelete { key }),
        (line(512), number(), value()).prop_map(|(key, expected_version, value)| ProposalBody::KvCas {
            key,
            expected_version,
            value
        }),
        (line(256), "\\PC{0,40}").prop_map(|(title, text)| ProposalBody::Text { title, text }),
        ("\\PC{0,12}", "\\PC{0,12}").prop_map(|(name, value)| ProposalBody::ParamSet { name, value }),
        (validator(), 1..=Weight::MAX.0)
            .prop_map(|(validator, weight)| ProposalBody::ValidatorAdd { validator, weight: Weight(weight) }),
        stranger().prop_map(|validator| ProposalBody::ValidatorRemove { validator }),
        (hash(), any::<bool>())
            .prop_map(|(proposal, approve)| ProposalBody::ProposalVote { proposal, approve }),
        evidence(),
        (value(), prop::collection::btree_map(number(), sampled(), 0..4)).prop_map(|(report, sampled)| {
            let at = |(height, votes)| SampledVotes { height: Height(height), ..votes };
            ProposalBody::MetricsReport { report, sampled: sampled.into_iter().map(at).collect() }
        }),
        (value(), value())
            .prop_filter("they differ", |(first, second)| first != second)
            .prop_map(|(first, second)| ProposalBody::MetricsEvidence { first, second }),
    ]
}

fn sampled() -> impl Strategy<Value = SampledVotes> {
    let own = prop::option::of((number().prop_map(View), signature()));
    (prop::collection::btree_set(0..128_usize, 0..9), own).prop_map(|(voters, own)| SampledVotes {
        height: Height::ZERO,
        voters: voters.into_iter().collect(),
        own,
    })
}

pub fn proposal() -> impl Strategy<Value = Proposal> {
    (any::<[u8; 32]>(), body(), number(), line(64), signature()).prop_map(
        |(account, body, expires_at_ms, idempotency_key, signature)| Proposal {
            account: AccountId(account),
            body,
            expires_at_ms,
            idempotency_key,
            signature,
        },
    )
}

pub fn batch() -> impl Strategy<Value = Batch> {
    (stranger(), number(), prop::collection::vec(proposal(), 1..5))
        .prop_map(|(author, sequence, proposals)| Batch { author, sequence, proposals })
}

pub fn batch_ref() -> impl Strategy<Value = BatchRef> {
    (hash(), stranger(), any::<u32>(), any::<u32>()).prop_map(|(digest, author, proposals, bytes)| BatchRef {
        digest,
        author,
        proposals,
        bytes,
    })
}

fn block_kind() -> impl Strategy<Value = BlockKind> {
    prop_oneof![
        Just(BlockKind::Normal),
        Just(BlockKind::Closing),
        hash().prop_map(|next_validators_hash| BlockKind::Handover { next_validators_hash }),
    ]
}

fn header_of(batches: impl Strategy<Value = Vec<BatchRef>>) -> impl Strategy<Value = Header> {
    let numbers = (number(), number(), number(), number());
    let hashes = (hash(), hash(), hash());
    (numbers, hashes, stranger(), batches, block_kind()).prop_map(
        |(
            (epoch, height, timestamp_ms, executed),
            (parent, state_root, validators_hash),
            proposer,
            batches,
            kind,
        )| {
            Header {
                epoch: Epoch(epoch),
                height: Height(height),
                timestamp_ms,
                parent,
                proposer,
                batches,
                executed: Executed { height: Height(executed), state_root },
                validators_hash,
                kind,
            }
        },
    )
}

pub fn header() -> impl Strategy<Value = Header> {
    header_of(prop::collection::vec(batch_ref(), 0..4))
}

pub fn certificate() -> impl Strategy<Value = Certificate> {
    (vote_content(), prop::collection::btree_map(any::<u32>(), signature(), 0..6)).prop_map(
        |(content, signatures)| Certificate { content, signatures: signatures.into_iter().collect() },
    )
}

pub fn committed_block() -> impl Strategy<Value = CommittedBlock> {
    (header_of(Just(Vec::new())), certificate(), prop::collection::vec(batch(), 0..3)).prop_map(
        |(mut header, mut certificate, batches)| {
            header.batches = batches.iter().map(Batch::reference).collect();
            certificate.content.epoch = header.epoch;
            certificate.content.height = header.height;
            certificate.content.digest = header.digest();
            CommittedBlock { header, certificate, batches }
        },
    )
}

/// Weights close enough for any number of members.
fn members(validator: impl Strategy<Value = ValidatorId>) -> impl Strategy<Value = Vec<Member>> {
    (prop::collection::btree_set(validator, 1..9), 1..=u64::from(u32::MAX)).prop_map(
        |(validators, weight)| {
            validators.into_iter().map(|validator| Member { validator, weight: Weight(weight) }).collect()
        },
    )
}

pub fn validator_set() -> impl Strategy<Value = ValidatorSet> {
    (number(), members(stranger()), any::<bool>()).prop_map(|(epoch, members, is_led)| {
        let leaders: Vec<ValidatorId> =
            members.iter().rev().filter(|_| is_led).map(|member| member.validator).collect();
        let set = ValidatorSet::new(Epoch(epoch), members).expect("equal weights make a valid set");
        set.with_leaders(&leaders).expect("all members can lead")
    })
}

fn parameters() -> impl Strategy<Value = Parameters> {
    let one = (prop::sample::select(Parameter::ALL.to_vec()), any::<u64>());
    prop::collection::vec(one, 0..8).prop_map(|values| {
        let mut parameters = Parameters::default();
        for (parameter, value) in values {
            let range = parameter.range();
            let value = range.min + value % (range.max - range.min + 1);
            parameters.set(parameter, value).expect("within range");
        }
        parameters
    })
}

pub fn genesis() -> impl Strategy<Value = Genesis> {
    ("[a-z0-9-]{1,48}", number(), members(validator()), parameters()).prop_map(
        |(chain, timestamp_ms, members, mut parameters)| {
            if parameters.check_weight_policy(members.len()).is_err() {
                for parameter in [Parameter::CoreSize, Parameter::FaultTolerance] {
                    parameters.set(parameter, parameter.range().default).expect("a profile fits any number");
                }
            }
            Genesis {
                chain: chain.parse().expect("a valid chain id"),
                timestamp_ms,
                validators: ValidatorSet::new(Epoch::ZERO, members).expect("equal weights make a valid set"),
                parameters,
            }
        },
    )
}

pub fn certified_header() -> impl Strategy<Value = CertifiedHeader> {
    (header(), certificate()).prop_map(|(header, certificate)| CertifiedHeader { header, certificate })
}

pub fn handover() -> impl Strategy<Value = Handover> {
    (certified_header(), validator_set()).prop_map(|(block, next)| Handover { block, next })
}

pub fn kv_record() -> impl Strategy<Value = KvRecord> {
    (number(), number(), value()).prop_map(|(version, height, value)| KvRecord {
        version: version.max(1),
        height: Height(height),
        value,
    })
}

pub fn state_proof() -> impl Strategy<Value = StateProof> {
    let leaves = prop::collection::btree_map(any::<[u8; 32]>(), any::<[u8; 32]>(), 0..6);
    (leaves, any::<[[u8; 32]; 16]>()).prop_map(|(leaves, siblings)| StateProof {
        leaves: leaves.into_iter().map(|(key, value)| Leaf { key: Hash(key), value: Hash(value) }).collect(),
        siblings: siblings.map(Hash),
    })
}
