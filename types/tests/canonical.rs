//! One encoding per value: whatever decodes is the encoding of what it decodes to, no bytes make a decoder panic, and
//! what is too large is refused before it is looked at.

#[path = "canonical/respelling.rs"]
mod respelling;
#[path = "canonical/strategies.rs"]
mod strategies;

use std::fmt::Debug;

use aegis_types::{
    Batch, BatchRef, Canonical, Certificate, CertifiedHeader, CommittedBlock, Genesis, Handover, Header,
    Kind, KvRecord, Limits, Parameter, Proposal, ProposalBody, Signature, StateProof, TypesError,
    ValidatorSet, Vote, VoteContent, proto,
};
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use prost::Message;

use respelling::respellings;

fn assert_round_trip<T: Canonical + PartialEq + Debug>(value: &T) {
    let bytes = value.encode();
    assert!(bytes.len() <= T::MAX_BYTES);
    assert_eq!(T::decode(&bytes).as_ref(), Ok(value));
}

/// The property that makes an encoding canonical; true for all bytes whatever.
fn assert_refused_or_canonical<T: Canonical + Debug>(bytes: &[u8], what: &str) {
    if let Ok(value) = T::decode(bytes) {
        assert_eq!(value.encode(), bytes, "a {} has a second encoding: {what}\n{value:?}", T::NAME);
    }
}

fn assert_no_respelling_decodes<T: Canonical + PartialEq + Debug>(value: &T) {
    let (bytes, mut same_message) = (value.encode(), 0);
    for (what, respelt) in respellings(&bytes) {
        assert_refused_or_canonical::<T>(&respelt, &what);
        if respelt != bytes
            && T::Proto::decode(respelt.as_slice()).is_ok_and(|proto| proto.encode_to_vec() == bytes)
        {
            same_message += 1;
            let refused = T::decode(&respelt).expect_err(&what);
            // Who repeats a part of a committed block is refused earlier, for the number of parts.
            let named = matches!(
                refused,
                TypesError::NotCanonical { .. } | TypesError::TooMany { .. } | TypesError::TooLarge { .. }
            );
            assert!(named, "{what}: {refused}");
        }
    }
    assert!(same_message >= 10, "only {same_message} other spellings of a {} were tried", T::NAME);
}

/// A change that a fault or an attacker may make to bytes.
#[derive(Debug, Clone)]
enum Change {
    Flip(Index, u8),
    Insert(Index, u8),
    Remove(Index),
    Truncate(Index),
    Copy(Index, Index),
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        4 => (any::<Index>(), 0..8_u8).prop_map(|(at, bit)| Change::Flip(at, bit)),
        2 => (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Change::Insert(at, byte)),
        2 => any::<Index>().prop_map(Change::Remove),
        1 => any::<Index>().prop_map(Change::Truncate),
        1 => (any::<Index>(), any::<Index>()).prop_map(|(from, to)| Change::Copy(from, to)),
    ]
}

fn changed(mut bytes: Vec<u8>, changes: &[Change]) -> Vec<u8> {
    for change in changes {
        let end = bytes.len();
        match change {
            Change::Insert(at, byte) => bytes.insert(at.index(end + 1), *byte),
            _ if end == 0 => {}
            Change::Flip(at, bit) => bytes[at.index(end)] ^= 1 << bit,
            Change::Remove(at) => drop(bytes.remove(at.index(end))),
            Change::Truncate(at) => bytes.truncate(at.index(end)),
            Change::Copy(from, to) => bytes[to.index(end)] = bytes[from.index(end)],
        }
    }
    bytes
}

fn assert_hostile_bytes_do_no_harm<T: Canonical + Debug>(value: &T, changes: &[Change]) {
    let bytes = changed(value.encode(), changes);
    assert_refused_or_canonical::<T>(&bytes, "changed bytes");
}

fn assert_truncations_do_no_harm<T: Canonical + Debug>(value: &T) {
    let bytes = value.encode();
    for length in 0..bytes.len() {
        assert_refused_or_canonical::<T>(&bytes[..length], "truncated bytes");
    }
}

/// Makes the property tests of one type.
macro_rules! properties {
    ($($type:ident by $strategy:ident in $module:ident;)*) => {$(
        mod $module {
            use super::*;

            proptest! {
                #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

                #[test]
                fn values_survive_their_encoding(value in strategies::$strategy()) {
                    assert_round_trip::<$type>(&value);
                }

                #[test]
                fn hostile_bytes_do_no_harm(value in strategies::$strategy(), changes in prop::collection::vec(change(), 1..6)) {
                    assert_hostile_bytes_do_no_harm::<$type>(&value, &changes);
                }

                #[test]
                fn random_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
                    assert_refused_or_canonical::<$type>(&bytes, "random bytes");
                }
            }

            proptest! {
                // Each case tries hundreds of byte strings.
                #![proptest_config(ProptestConfig { cases: 8, failure_persistence: None, ..ProptestConfig::default() })]

                #[test]
                fn no_other_spelling_decodes(value in strategies::$strategy()) {
                    assert_no_respelling_decodes::<$type>(&value);
                }

                #[test]
                fn truncations_do_no_harm(value in strategies::$strategy()) {
                    assert_truncations_do_no_harm::<$type>(&value);
                }
            }

            #[test]
            fn oversize_is_refused_by_its_length_alone() {
                let (actual, limit) = (<$type>::MAX_BYTES + 1, <$type>::MAX_BYTES);
                let error = <$type>::decode(&vec![0xff; actual]).expect_err("too large");
                assert_eq!(error, TypesError::TooLarge { what: <$type>::NAME, actual, limit });
                let text = format!("{} has {actual} bytes; at most {limit} are allowed", <$type>::NAME);
                assert_eq!(error.to_string(), text);
                let error = <$type>::decode(&vec![0xff; limit]).expect_err("garbage");
                assert!(!matches!(error, TypesError::TooLarge { .. }), "{error}");
            }

            #[test]
            fn nothing_is_no_value() {
                assert!(<$type>::decode(&[]).is_err());
            }
        }
    )*};
}

properties! {
    VoteContent by vote_content in vote_contents;
    Vote by vote in votes;
    Certificate by certificate in certificates;
    Proposal by proposal in proposals;
    Batch by batch in batches;
    BatchRef by batch_ref in batch_references;
    Header by header in headers;
    CommittedBlock by committed_block in committed_blocks;
    ValidatorSet by validator_set in validator_sets;
    Genesis by genesis in geneses;
    CertifiedHeader by certified_header in certified_headers;
    Handover by handover in handovers;
    KvRecord by kv_record in kv_records;
    StateProof by state_proof in state_proofs;
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn bodies_of_every_kind_survive_their_encoding(body in strategies::body()) {
        prop_assert_eq!(ProposalBody::decode(body.kind(), &body.encode()), Ok(body));
    }

    #[test]
    fn no_other_spelling_of_a_body_decodes(body in strategies::body()) {
        let bytes = body.encode();
        for (what, respelt) in respellings(&bytes) {
            if let Ok(read) = ProposalBody::decode(body.kind(), &respelt) {
                prop_assert_eq!(read.encode(), respelt, "{}", what);
            }
        }
    }

    #[test]
    fn a_body_read_as_any_kind_is_refused_or_canonical(
        body in strategies::body(),
        changes in prop::collection::vec(change(), 0..4),
    ) {
        let bytes = changed(body.encode(), &changes);
        for kind in Kind::ALL {
            if let Ok(read) = ProposalBody::decode(kind, &bytes) {
                prop_assert_eq!(read.kind(), kind);
                prop_assert_eq!(read.encode(), bytes.as_slice());
            }
        }
    }

    /// Every part is needed, so nothing that is cut off can go unnoticed.
    #[test]
    fn no_truncated_proposal_or_vote_decodes(proposal in strategies::proposal(), vote in strategies::vote()) {
        let (proposal, vote) = (proposal.encode(), vote.encode());
        prop_assert!((0..proposal.len()).all(|length| Proposal::decode(&proposal[..length]).is_err()));
        prop_assert!((0..vote.len()).all(|length| Vote::decode(&vote[..length]).is_err()));
    }
}

/// One generated value, the same in every run.
fn sample<S: Strategy>(strategy: S) -> S::Value {
    strategy.new_tree(&mut TestRunner::deterministic()).expect("a value").current()
}

#[test]
fn each_way_to_spell_a_vote_otherwise_is_refused_as_not_canonical() {
    let vote = sample(strategies::vote());
    let bytes = vote.encode();
    let ways = [
        "long key of field 2",
        "long number or length in field 2",
        "in field 1: long number or length in field 1",
        "repeated field 2",
        "field 3 before the one ahead of it",
        "unknown field of wire type 0 after",
        "unknown field of wire type 2 ahead",
        "unknown empty group after",
    ];
    let respelt = respellings(&bytes);
    for way in ways {
        let (_, bytes) =
            respelt.iter().find(|(what, _)| what == way).unwrap_or_else(|| panic!("{way} was not tried"));
        let error = Vote::decode(bytes).expect_err(way);
        assert_eq!(error, TypesError::NotCanonical { what: "vote" }, "{way}");
        assert!(
            error.to_string().contains("encode it again with fields in order and without unknown fields")
        );
    }
}

#[test]
fn a_genesis_with_parameters_out_of_order_repeated_or_at_their_default_is_refused() {
    let genesis = sample(strategies::genesis());
    let decode = |parameters: &[(&str, u64)]| {
        let parameter =
            |(name, value): &(&str, u64)| proto::Parameter { name: (*name).to_owned(), value: *value };
        let proto =
            proto::Genesis { parameters: parameters.iter().map(parameter).collect(), ..genesis.to_proto() };
        Genesis::decode(&proto.encode_to_vec())
    };
    assert!(decode(&[("open_votes_max", 7), ("window", 4)]).is_ok());
    let refused: [&[(&str, u64)]; 4] = [
        &[("window", 4), ("open_votes_max", 7)],
        &[("window", 4), ("window", 4)],
        &[("window", 4), ("window", 5)],
        &[("window", Parameter::Window.range().default)],
    ];
    for parameters in refused {
        let error = decode(parameters).expect_err("refused");
        assert!(
            matches!(error, TypesError::Invalid { field: "genesis parameters", .. }),
            "{parameters:?}: {error}"
        );
    }
}

#[test]
fn members_signers_and_parts_out_of_order_are_refused() {
    let set = sample(strategies::validator_set().prop_filter("several", |set| set.len() > 1));
    let mut reversed = set.to_proto();
    reversed.members.reverse();
    let error = ValidatorSet::decode(&reversed.encode_to_vec()).expect_err("refused").to_string();
    assert!(error.contains("its members are not in order"), "{error}");

    let several = strategies::certificate().prop_filter("several", |one| one.signatures.len() > 1);
    let mut reversed = sample(several).to_proto();
    reversed.signatures.reverse();
    let error = Certificate::decode(&reversed.encode_to_vec()).expect_err("refused").to_string();
    assert!(error.contains("they are not in order, or one signs twice"), "{error}");

    let several = strategies::committed_block().prop_filter("several", |block| block.batches.len() > 1);
    let mut reversed = sample(several).to_proto();
    reversed.batches.reverse();
    let error = CommittedBlock::decode(&reversed.encode_to_vec()).expect_err("refused").to_string();
    assert!(error.contains("they are not the ones that the header names"), "{error}");
}

#[test]
fn the_height_of_an_encoding_is_read_without_the_rest_and_garbage_has_none() {
    let block = sample(strategies::committed_block());
    let encoding = block.encode();
    assert_eq!(CommittedBlock::height_of_encoding(&encoding), Some(block.header.height));
    assert_eq!(CommittedBlock::height_of_encoding(&[0xFF; 40]), None);
    assert_eq!(CommittedBlock::height_of_encoding(&[]), None);
}

#[test]
fn a_block_with_the_certificate_of_another_is_refused() {
    let mut block = sample(strategies::committed_block());
    block.certificate.content.digest.0[0] ^= 1;
    let error = CommittedBlock::decode(&block.encode()).expect_err("refused").to_string();
    assert!(error.contains("it is for another block than the header"), "{error}");
}

#[test]
fn unknown_kinds_of_votes_blocks_and_proposals_are_refused_by_name() {
    for kind in [0, 3, -1] {
        let proto = proto::VoteContent { kind, ..sample(strategies::vote_content()).to_proto() };
        let error = VoteContent::decode(&proto.encode_to_vec()).expect_err("refused").to_string();
        assert!(error.contains(&format!("{kind} is neither Prepare nor Commit")), "{error}");
    }
    for kind in [3, -1, i32::MAX] {
        let proto = proto::Header { kind, ..sample(strategies::header()).to_proto() };
        let error = Header::decode(&proto.encode_to_vec()).expect_err("refused").to_string();
        assert!(error.contains(&format!("{kind} is not known")), "{error}");
    }
    let mut proto = sample(strategies::proposal()).to_proto();
    proto.content.as_mut().expect("content").kind = "kv.increment".into();
    let error = Proposal::decode(&proto.encode_to_vec()).expect_err("refused");
    assert!(matches!(&error, TypesError::UnknownKind { kind, .. } if kind == "kv.increment"), "{error}");
}

#[test]
fn only_a_handover_names_the_next_validators() {
    for kind in [proto::BlockKind::Normal, proto::BlockKind::Closing] {
        let header = sample(strategies::header()).to_proto();
        let proto = proto::Header { kind: kind.into(), next_validators_hash: vec![1; 32], ..header };
        let error = Header::decode(&proto.encode_to_vec()).expect_err("refused").to_string();
        assert!(error.contains("only a handover block has one"), "{error}");
    }
    let kind = proto::BlockKind::Handover.into();
    let proto =
        proto::Header { kind, next_validators_hash: Vec::new(), ..sample(strategies::header()).to_proto() };
    assert!(Header::decode(&proto.encode_to_vec()).is_err());
}

#[test]
fn full_lists_decode_and_one_entry_more_is_refused() {
    let reference = sample(strategies::batch_ref());
    let header = |n| Header {
        batches: vec![BatchRef { proposals: u32::MAX, bytes: u32::MAX, ..reference }; n],
        ..sample(strategies::header())
    };
    assert_round_trip(&header(Limits::BLOCK_BATCHES));
    let error = TypesError::TooMany { what: "batches of a block", actual: 65, limit: 64 };
    assert_eq!(Header::decode(&header(65).encode()), Err(error));

    let certificate = |n| Certificate {
        signatures: (0..n).map(|position| (u32::MAX - 1_000 + position, Signature([7; 64]))).collect(),
        ..sample(strategies::certificate())
    };
    assert_round_trip(&certificate(128));
    let error = TypesError::TooMany { what: "certificate signatures", actual: 129, limit: 128 };
    assert_eq!(Certificate::decode(&certificate(129).encode()), Err(error));

    let body = ProposalBody::KvDelete { key: "k".into() };
    let proposal = Proposal { body, idempotency_key: "k".into(), ..sample(strategies::proposal()) };
    let batch = |n| Batch { proposals: vec![proposal.clone(); n], ..sample(strategies::batch()) };
    assert_round_trip(&batch(Limits::BATCH_PROPOSALS));
    let error = TypesError::TooMany { what: "proposals of a batch", actual: 4_097, limit: 4_096 };
    assert_eq!(Batch::decode(&batch(4_097).encode()), Err(error));
    assert!(
        Batch::decode(&batch(0).encode()).expect_err("empty").to_string().contains("it has no proposals")
    );
}

/// The limits fit each other: whatever the parts' limits allow, the whole's limit admits.
#[test]
fn the_largest_committed_block_fits_its_limit() {
    let body = ProposalBody::KvPut { key: "k".repeat(512), value: vec![7; Limits::VALUE_BYTES] };
    let proposal = Proposal { body, idempotency_key: "i".repeat(64), ..sample(strategies::proposal()) };
    let batch = Batch { proposals: vec![proposal; 15], ..sample(strategies::batch()) };
    assert!(batch.encode().len() > Limits::BATCH_BYTES * 9 / 10);
    let small = sample(strategies::batch());
    let mut batches = vec![batch; 8];
    batches.resize(Limits::BLOCK_BATCHES, small);
    let mut block = sample(strategies::committed_block());
    block.header.batches = batches.iter().map(Batch::reference).collect();
    assert!(block.header.payload_bytes() <= u64::try_from(Limits::BLOCK_BYTES).expect("a size"));
    block.batches = batches;
    block.certificate.content.digest = block.header.digest();
    block.certificate.signatures = (0..128).map(|position| (position, Signature([7; 64]))).collect();
    assert_round_trip(&block);
    let room = Limits::COMMITTED_BLOCK_BYTES - Limits::BLOCK_BYTES;
    assert!(Header::MAX_BYTES + Certificate::MAX_BYTES + 8 * (Limits::BLOCK_BATCHES + 2) < room);
}
