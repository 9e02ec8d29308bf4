//! Keys and signatures: what is signed for one purpose, chain and version counts for no other, the two rules of
//! verification hold, and checking many at once gives the verdict of checking each.

use aegis_types::crypto::{
    AccountSignature, PROTOCOL_VERSION, check_validator_key, verify_account, verify_accounts, verify_strict,
};
use aegis_types::{
    AccountId, Batch, Domain, Epoch, Genesis, Hash, Height, Keypair, Member, Parameters, Proposal,
    ProposalBody, Purpose, Signature, ValidatorId, ValidatorSet, View, Vote, VoteContent, VoteKind, Weight,
};
use aegis_types::{Canonical, TypesError};
use ed25519_dalek::{Signer, SigningKey};
use proptest::prelude::*;

const PURPOSES: [Purpose; 6] = [
    Purpose::Proposal,
    Purpose::Prepare,
    Purpose::Commit,
    Purpose::ViewChange,
    Purpose::NewView,
    Purpose::Report,
];

/// Encodings of the eight points of small order, and those that are not canonical: a sign bit on a point that has none,
/// or a coordinate of 2^255 - 19 and more.
const SMALL_ORDER: [&str; 14] = [
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    "0100000000000000000000000000000000000000000000000000000000000080",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
];

/// The group's order, least significant byte first.
const ORDER: &str = "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010";

fn bytes32(text: &str) -> [u8; 32] {
    hex::decode(text).expect("hexadecimal").try_into().expect("32 bytes")
}

fn keypair(n: u8) -> Keypair {
    Keypair::from_seed(&[n; 32])
}

fn domain_of(chain: &str, genesis: u8) -> Domain {
    Domain::new(chain.parse().expect("a valid chain id"), Hash([genesis; 32]))
}

fn domain() -> Domain {
    domain_of("aegis-test-1", 1)
}

fn signature_of(r: [u8; 32], s: [u8; 32]) -> Signature {
    Signature::from_slice(&[r, s].concat()).expect("64 bytes")
}

/// The same signature with the group's order added to its scalar: equal in arithmetic, another byte string.
fn with_order_added(signature: Signature) -> Signature {
    let (mut bytes, order, mut carry) = (signature.0, bytes32(ORDER), 0_u16);
    for (byte, add) in bytes[32..].iter_mut().zip(order) {
        let sum = u16::from(*byte) + u16::from(add) + carry;
        *byte = sum.to_le_bytes()[0];
        carry = sum >> 8;
    }
    Signature(bytes)
}

#[test]
fn a_signature_counts_for_its_own_purpose_only() {
    let (key, domain) = (keypair(1), domain());
    for signed in PURPOSES {
        let signature = key.sign(&domain, signed, b"content");
        for asked in PURPOSES {
            let item = AccountSignature {
                account: key.account_id(),
                message: domain.message(asked, b"content"),
                signature,
            };
            let verdict = verify_strict(&domain, asked, b"content", &key.validator_id(), &signature);
            assert_eq!(verdict, signed == asked, "{signed:?} asked as {asked:?}");
            assert_eq!(verify_account(&item), signed == asked, "{signed:?} asked as {asked:?}");
        }
    }
}

#[test]
fn a_signature_counts_on_its_own_chain_and_for_its_own_content_and_signer_only() {
    let (key, domain) = (keypair(1), domain());
    let signature = key.sign(&domain, Purpose::Commit, b"content");
    let verdict = |domain: &Domain, content: &[u8], signer: &Keypair| {
        verify_strict(domain, Purpose::Commit, content, &signer.validator_id(), &signature)
    };
    assert!(verdict(&domain, b"content", &key));
    assert!(!verdict(&domain_of("aegis-test-2", 1), b"content", &key), "another chain");
    assert!(!verdict(&domain_of("aegis-test-1", 2), b"content", &key), "another genesis under one name");
    assert!(!verdict(&domain, b"contenT", &key), "other content");
    assert!(!verdict(&domain, b"content", &keypair(2)), "another signer");
}

#[test]
fn a_signature_of_another_protocol_version_does_not_count() {
    let (key, domain) = (SigningKey::from_bytes(&[1; 32]), domain());
    let own = domain.message(Purpose::Commit, b"content");
    let sign = |message: &[u8]| Signature(key.sign(message).to_bytes());
    let verdict = |signature: Signature| {
        let signer = ValidatorId(key.verifying_key().to_bytes());
        verify_strict(&domain, Purpose::Commit, b"content", &signer, &signature)
    };
    assert!(verdict(sign(&own)));
    let version_at = b"aegis\0".len();
    let mut other = own;
    assert_eq!(other[version_at..version_at + 4], PROTOCOL_VERSION.to_be_bytes());
    other[version_at..version_at + 4].copy_from_slice(&(PROTOCOL_VERSION + 1).to_be_bytes());
    assert!(!verdict(sign(&other)), "another version");
    assert!(!verdict(sign(b"content")), "no domain at all");
}

#[test]
fn a_vote_cannot_be_passed_off_as_another() {
    let content = VoteContent {
        kind: VoteKind::Prepare,
        epoch: Epoch(1),
        view: View(2),
        height: Height(3),
        digest: Hash([4; 32]),
    };
    let vote = Vote::sign(content, &keypair(1), &domain());
    assert!(vote.verify(&domain()));
    let others = [
        VoteContent { kind: VoteKind::Commit, ..content },
        VoteContent { epoch: Epoch(2), ..content },
        VoteContent { view: View(3), ..content },
        VoteContent { height: Height(4), ..content },
        VoteContent { digest: Hash([5; 32]), ..content },
    ];
    for other in others {
        assert!(!Vote { content: other, ..vote.clone() }.verify(&domain()), "{other:?}");
    }
    assert!(!Vote { validator: keypair(2).validator_id(), ..vote.clone() }.verify(&domain()));
    assert!(!vote.verify(&domain_of("aegis-test-2", 1)));
}

#[test]
fn a_proposal_cannot_be_changed_after_signing_or_moved_to_another_chain() {
    let body = |value: &[u8]| ProposalBody::KvPut { key: "k".into(), value: value.to_vec() };
    let signed = Proposal::sign(body(b"1"), 1_000, "once", &keypair(1), &domain()).expect("valid");
    assert!(signed.verify(&domain()));
    assert!(!signed.verify(&domain_of("aegis-test-2", 1)));
    assert!(!Proposal { body: body(b"2"), ..signed.clone() }.verify(&domain()));
    assert!(!Proposal { expires_at_ms: 1_001, ..signed.clone() }.verify(&domain()));
    assert!(!Proposal { idempotency_key: "twice".into(), ..signed.clone() }.verify(&domain()));
    assert!(!Proposal { account: keypair(2).account_id(), ..signed }.verify(&domain()));
}

#[test]
fn votes_by_keys_of_small_order_are_refused_though_their_equation_holds() {
    let (domain, nothing) = (domain(), [0; 32]);
    let points = SMALL_ORDER.map(bytes32);
    for key in points {
        for commitment in points {
            let signature = signature_of(commitment, nothing);
            for content in [b"one".as_slice(), b"two", b"three", b"four"] {
                let verdict = verify_strict(&domain, Purpose::Commit, content, &ValidatorId(key), &signature);
                assert!(!verdict, "key {}", hex::encode(key));
            }
            // The rule for accounts takes it: whoever chooses such an account shares it with everybody.
            let message = domain.message(Purpose::Proposal, b"any");
            assert!(verify_account(&AccountSignature { account: AccountId(key), message, signature }));
        }
    }
}

#[test]
fn votes_with_a_commitment_of_small_order_or_a_second_spelling_are_refused() {
    let (key, domain) = (keypair(1), domain());
    let signature = key.sign(&domain, Purpose::Commit, b"content");
    let verdict = |signature: &Signature| {
        verify_strict(&domain, Purpose::Commit, b"content", &key.validator_id(), signature)
    };
    assert!(verdict(&signature));
    let scalar = signature.0[32..].try_into().expect("32 bytes");
    for commitment in SMALL_ORDER.map(bytes32) {
        assert!(!verdict(&signature_of(commitment, scalar)));
    }
    let respelt = with_order_added(signature);
    assert_ne!(respelt, signature);
    assert!(!verdict(&respelt), "the scalar is not reduced");
    let item = |signature| AccountSignature {
        account: key.account_id(),
        message: domain.message(Purpose::Commit, b"content"),
        signature,
    };
    assert!(verify_account(&item(signature)));
    assert!(!verify_account(&item(respelt)), "the scalar is not reduced");
    assert!(!verify_accounts(&vec![item(respelt); 8], [7; 32]), "the scalar is not reduced");
}

#[test]
fn a_validator_key_is_one_curve_point_in_its_one_spelling() {
    for n in 0..=u8::MAX {
        assert_eq!(check_validator_key(&keypair(n).validator_id()), Ok(()));
    }
    let reason = |bytes: [u8; 32]| check_validator_key(&ValidatorId(bytes)).expect_err("refused").to_string();
    for point in SMALL_ORDER {
        assert!(reason(bytes32(point)).contains("small order"), "{point}");
    }
    let no_point = reason([2; 32]);
    assert!(no_point.contains("no ed25519 public key") && no_point.contains("aegis keys show"), "{no_point}");
    // y = 2^255 - 19 + 3 stands for y = 3, which is a point, but not of small order.
    let respelt = "f0ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f";
    assert!(reason(bytes32(respelt)).contains("not the canonical form"));
}

#[test]
fn a_proposal_to_add_a_validator_without_a_usable_key_is_refused_by_signer_and_reader() {
    let add = |key| ProposalBody::ValidatorAdd { validator: ValidatorId(key), weight: Weight(1) };
    assert!(Proposal::sign(add(keypair(9).validator_id().0), 1, "k", &keypair(1), &domain()).is_ok());
    for key in [[2; 32], bytes32(SMALL_ORDER[0]), bytes32(SMALL_ORDER[4])] {
        let body = add(key);
        let refused = Proposal::sign(body.clone(), 1, "k", &keypair(1), &domain()).expect_err("refused");
        assert!(matches!(refused, TypesError::Invalid { field: "validator id", .. }), "{refused}");
        assert_eq!(ProposalBody::decode(body.kind(), &body.encode()), Err(refused.clone()));
        let account = keypair(1).account_id();
        let signature = Signature([0; 64]);
        let forged = Proposal { account, body, expires_at_ms: 1, idempotency_key: "k".into(), signature };
        assert_eq!(Proposal::decode(&forged.encode()), Err(refused));
    }
}

#[test]
fn a_genesis_with_a_validator_that_could_never_vote_is_refused() {
    let genesis = |key: ValidatorId| Genesis {
        chain: "aegis-test-1".parse().expect("valid"),
        timestamp_ms: 1,
        validators: ValidatorSet::new(Epoch::ZERO, vec![Member { validator: key, weight: Weight(1) }])
            .expect("valid"),
        parameters: Parameters::default(),
    };
    assert!(Genesis::decode(&genesis(keypair(1).validator_id()).encode()).is_ok());
    for key in [[2; 32], bytes32(SMALL_ORDER[0])] {
        let error = Genesis::decode(&genesis(ValidatorId(key)).encode()).expect_err("refused");
        assert!(matches!(error, TypesError::Invalid { field: "validator id", .. }), "{error}");
    }
}

/// What can be wrong with one signature among many; `Fine` and `SharedByAll` are valid by the rule of ZIP-215.
#[derive(Debug, Clone, Copy)]
enum Flaw {
    Fine,
    SharedByAll,
    OtherMessage,
    OtherAccount,
    FlippedBit,
    NoPoint,
    Unreduced,
    SmallCommitment,
}

const FLAWS: [Flaw; 6] = [
    Flaw::OtherMessage,
    Flaw::OtherAccount,
    Flaw::FlippedBit,
    Flaw::NoPoint,
    Flaw::Unreduced,
    Flaw::SmallCommitment,
];

fn item(n: u8, flaw: Flaw) -> AccountSignature {
    let (key, domain) = (keypair(n), domain());
    let message = domain.message(Purpose::Proposal, &[n]);
    let signature = key.sign(&domain, Purpose::Proposal, &[n]);
    let fine = AccountSignature { account: key.account_id(), message, signature };
    match flaw {
        Flaw::Fine => fine,
        Flaw::SharedByAll => {
            let (account, r) = (bytes32(SMALL_ORDER[4]), bytes32(SMALL_ORDER[usize::from(n) % 14]));
            AccountSignature { account: AccountId(account), signature: signature_of(r, [0; 32]), ..fine }
        }
        Flaw::OtherMessage => AccountSignature { message: b"other".to_vec(), ..fine },
        Flaw::OtherAccount => AccountSignature { account: keypair(!n).account_id(), ..fine },
        Flaw::FlippedBit => {
            let mut bytes = fine.signature.0;
            bytes[usize::from(n) % 64] ^= 1;
            AccountSignature { signature: Signature(bytes), ..fine }
        }
        Flaw::NoPoint => AccountSignature { account: AccountId([2; 32]), ..fine },
        Flaw::Unreduced => AccountSignature { signature: with_order_added(fine.signature), ..fine },
        Flaw::SmallCommitment => {
            let scalar = fine.signature.0[32..].try_into().expect("32 bytes");
            AccountSignature { signature: signature_of(bytes32(SMALL_ORDER[0]), scalar), ..fine }
        }
    }
}

#[test]
fn one_bad_signature_at_any_place_among_many_is_found() {
    assert!(verify_accounts(&[], [0; 32]));
    for len in 1..=12_u8 {
        let fine: Vec<AccountSignature> = (0..len).map(|n| item(n, Flaw::Fine)).collect();
        assert!(verify_accounts(&fine, [len; 32]));
        for place in 0..len {
            for flaw in FLAWS {
                let mut items = fine.clone();
                items[usize::from(place)] = item(place, flaw);
                assert!(!verify_account(&items[usize::from(place)]), "{flaw:?}");
                assert!(!verify_accounts(&items, [place; 32]), "{flaw:?} at {place} of {len}");
            }
        }
    }
}

#[test]
fn a_batch_with_one_forged_proposal_is_refused_whole() {
    let propose = |n| {
        Proposal::sign(ProposalBody::KvDelete { key: format!("k{n}") }, 1_000, "k", &keypair(n), &domain())
            .expect("valid")
    };
    let batch =
        Batch { author: keypair(1).validator_id(), sequence: 1, proposals: (1..=9).map(propose).collect() };
    assert_eq!(batch.verify(&domain(), [1; 32]), Ok(()));
    assert!(batch.verify(&domain_of("aegis-test-2", 1), [1; 32]).is_err());
    for place in 0..batch.proposals.len() {
        let mut forged = batch.clone();
        forged.proposals[place].expires_at_ms += 1;
        let what = "proposal in a batch";
        assert_eq!(forged.verify(&domain(), [1; 32]), Err(TypesError::BadSignature { what }), "{place}");
    }
}

fn any_flaw() -> impl Strategy<Value = Flaw> {
    prop_oneof![
        12 => Just(Flaw::Fine),
        12 => Just(Flaw::SharedByAll),
        1 => prop::sample::select(FLAWS.to_vec()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn checking_many_signatures_gives_the_verdict_of_checking_each(
        flaws in prop::collection::vec(any_flaw(), 0..24),
        seed: [u8; 32],
    ) {
        let items: Vec<AccountSignature> = (0..).zip(&flaws).map(|(n, flaw)| item(n, *flaw)).collect();
        let each = items.iter().all(verify_account);
        prop_assert_eq!(each, flaws.iter().all(|flaw| matches!(flaw, Flaw::Fine | Flaw::SharedByAll)));
        prop_assert_eq!(verify_accounts(&items, seed), each);
    }

    /// Chains, purposes and contents that are cut differently never yield the same signed bytes.
    #[test]
    fn different_inputs_are_never_signed_as_the_same_bytes(
        chains in prop::array::uniform2("[a-c-]{1,3}"),
        geneses in prop::array::uniform2(prop::array::uniform32(prop::sample::select(vec![0_u8, b'a', b'c']))),
        purposes in prop::array::uniform2(prop::sample::select(PURPOSES.to_vec())),
        contents in prop::array::uniform2(prop::collection::vec(prop::sample::select(vec![0_u8, b'a', b'c']), 0..4)),
    ) {
        let message = |i: usize| {
            let chain = chains[i].parse().expect("a valid chain id");
            Domain::new(chain, Hash(geneses[i])).message(purposes[i], &contents[i])
        };
        let same = chains[0] == chains[1] && geneses[0] == geneses[1] && purposes[0] == purposes[1]
            && contents[0] == contents[1];
        prop_assert_eq!(message(0) == message(1), same);
    }
}
