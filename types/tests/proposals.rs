//! What a proposal may say: sizes and forms of its fields, and what names it.

use aegis_types::proposal::{Rule, check_key};
use aegis_types::{
    Canonical, Domain, Epoch, Hash, Height, Keypair, Kind, Limits, MemberBits, Proposal, ProposalBody,
    SampledVotes, TypesError, View, Vote, VoteContent, VoteKind, Weight,
};

fn keypair(n: u8) -> Keypair {
    Keypair::from_seed(&[n; 32])
}

fn domain() -> Domain {
    Domain::new("aegis-test-1".parse().expect("a valid chain id"), Hash([1; 32]))
}

fn sign(body: ProposalBody, idempotency_key: &str) -> Result<Proposal, TypesError> {
    Proposal::sign(body, 1_000, idempotency_key, &keypair(1), &domain())
}

fn put(key: &str, value_bytes: usize) -> ProposalBody {
    ProposalBody::KvPut { key: key.into(), value: vec![7; value_bytes] }
}

/// A proposal that signing would refuse, as a hostile client would send it.
fn unchecked(body: ProposalBody, idempotency_key: &str) -> Vec<u8> {
    let signed = sign(put("k", 0), "k").expect("valid");
    Proposal { body, idempotency_key: idempotency_key.into(), ..signed }.encode()
}

/// Text that is no key: empty, or with a control character in any place, or none that is visible.
const NOT_ONE_LINE: [&str; 6] = ["", "\n", "a\tb", "a\0", "\u{7f}", "a\u{85}b"];

#[test]
fn idempotency_keys_have_1_to_64_bytes_of_text_without_control_characters() {
    for key in ["k", " ", "é", "order-17/retry", &"x".repeat(64), &"é".repeat(32)] {
        let proposal = sign(put("k", 1), key).expect(key);
        assert_eq!(Proposal::decode(&proposal.encode()), Ok(proposal));
    }
    for key in NOT_ONE_LINE {
        let error = sign(put("k", 1), key).expect_err("refused");
        assert!(error.to_string().contains("1 to 64 bytes of text without control characters"), "{error}");
        assert_eq!(Proposal::decode(&unchecked(put("k", 1), key)), Err(error));
    }
    for key in ["x".repeat(65), format!("x{}", "é".repeat(32))] {
        let error = TypesError::TooLarge { what: "idempotency key", actual: 65, limit: 64 };
        assert_eq!(sign(put("k", 1), &key), Err(error.clone()));
        assert_eq!(Proposal::decode(&unchecked(put("k", 1), &key)), Err(error));
    }
}

#[test]
fn keys_have_1_to_512_bytes_of_text_without_control_characters() {
    for key in ["k", "config/région", "a b", &"x".repeat(512), &"é".repeat(256)] {
        assert_eq!(check_key(key), Ok(()), "{key}");
    }
    let bodies = |key: &str| {
        let key = key.to_owned();
        [
            put(&key, 1),
            ProposalBody::KvDelete { key: key.clone() },
            ProposalBody::KvCas { key, expected_version: 1, value: vec![1] },
        ]
    };
    for key in NOT_ONE_LINE {
        let error = check_key(key).expect_err("refused");
        assert!(error.to_string().contains("1 to 512 bytes of text"), "{error}");
        for body in bodies(key) {
            assert_eq!(body.check(), Err(error.clone()));
            assert_eq!(Proposal::decode(&unchecked(body, "k")), Err(error.clone()));
        }
    }
    let error = TypesError::TooLarge { what: "key", actual: 513, limit: 512 };
    for body in bodies(&"x".repeat(513)) {
        assert_eq!(body.check(), Err(error.clone()));
        assert_eq!(Proposal::decode(&unchecked(body, "k")), Err(error.clone()));
    }
}

/// Text that is not UTF-8 does not decode: no proposal can hold it.
#[test]
fn keys_that_are_not_utf_8_do_not_decode() {
    let error = ProposalBody::decode(Kind::KvDelete, &[0x0a, 1, 0xff]).expect_err("refused");
    assert!(matches!(error, TypesError::Undecodable { what: "kv.delete", .. }), "{error}");
}

#[test]
fn values_and_texts_are_limited_to_the_byte() {
    let text =
        |title: usize, text: usize| ProposalBody::Text { title: "t".repeat(title), text: "x".repeat(text) };
    let param = |name: usize, value: usize| ProposalBody::ParamSet {
        name: "n".repeat(name),
        value: "1".repeat(value),
    };
    let cas = |value| ProposalBody::KvCas { key: "k".into(), expected_version: 0, value: vec![0; value] };
    let cases = [
        (put("k", 65_536), put("k", 65_537), ("value", 65_536)),
        (cas(65_536), cas(65_537), ("value", 65_536)),
        (text(256, 65_536), text(257, 0), ("title", 256)),
        (text(1, 0), text(1, 65_537), ("text", 65_536)),
        (param(128, 128), param(129, 1), ("parameter name", 128)),
        (param(1, 0), param(1, 129), ("parameter value", 128)),
    ];
    for (largest, larger, (what, limit)) in cases {
        let proposal = sign(largest, &"k".repeat(64)).expect(what);
        assert!(proposal.encode().len() <= Limits::PROPOSAL_BYTES, "a valid proposal does not fit: {what}");
        assert_eq!(Proposal::decode(&proposal.encode()), Ok(proposal));
        let error = TypesError::TooLarge { what, actual: limit + 1, limit };
        assert_eq!(sign(larger.clone(), "k"), Err(error.clone()));
        assert_eq!(Proposal::decode(&unchecked(larger, "k")), Err(error));
    }
}

#[test]
fn a_title_is_one_line_and_the_text_may_be_many() {
    let text = |title: &str| ProposalBody::Text { title: title.into(), text: "a\nb\n".into() };
    assert_eq!(text("One line").check(), Ok(()));
    for title in NOT_ONE_LINE {
        let error = text(title).check().expect_err("refused").to_string();
        assert!(error.contains("one line that is not empty"), "{error}");
    }
}

#[test]
fn weights_outside_1_to_2_to_the_32_are_refused() {
    let add =
        |weight| ProposalBody::ValidatorAdd { validator: keypair(9).validator_id(), weight: Weight(weight) };
    for weight in [1, 2, Weight::MAX.0] {
        assert_eq!(add(weight).check(), Ok(()));
    }
    for weight in [0, Weight::MAX.0 + 1, u64::MAX] {
        let error = add(weight).check().expect_err("refused").to_string();
        assert!(error.contains(&format!("{weight} is outside 1 to 4294967296")), "{error}");
    }
}

#[test]
fn evidence_is_two_contradictory_votes_of_one_validator() {
    let content = VoteContent {
        kind: VoteKind::Prepare,
        epoch: Epoch(1),
        view: View(1),
        height: Height(1),
        digest: Hash([1; 32]),
    };
    let other = VoteContent { digest: Hash([2; 32]), ..content };
    let vote = |n, content| Box::new(Vote::sign(content, &keypair(n), &domain()));
    let evidence = |first, second| ProposalBody::Evidence { first, second }.check();
    assert_eq!(evidence(vote(1, content), vote(1, other)), Ok(()));
    assert_eq!(evidence(vote(1, other), vote(1, content)), Ok(()));
    let no_contradictions = [
        (vote(1, content), vote(1, content)),
        (vote(1, content), vote(2, other)),
        (vote(1, content), vote(1, VoteContent { kind: VoteKind::Commit, ..other })),
        (vote(1, content), vote(1, VoteContent { epoch: Epoch(2), ..other })),
        (vote(1, content), vote(1, VoteContent { view: View(2), ..other })),
        (vote(1, content), vote(1, VoteContent { height: Height(2), ..other })),
    ];
    for (first, second) in no_contradictions {
        let error = evidence(first, second).expect_err("refused").to_string();
        assert!(error.contains("do not contradict each other"), "{error}");
    }
}

#[test]
fn reports_are_limited_and_their_heights_in_order() {
    let report = |bytes, heights: &[u64]| {
        let votes =
            |height: &u64| SampledVotes { height: Height(*height), voters: MemberBits::default(), own: None };
        ProposalBody::MetricsReport { report: vec![1; bytes], sampled: heights.iter().map(votes).collect() }
    };
    let many: Vec<u64> = (1..=33).collect();
    assert_eq!(report(4_096, &many[..32]).check(), Ok(()));
    assert!(matches!(report(4_097, &[]).check(), Err(TypesError::TooLarge { limit: 4_096, .. })));
    for heights in [&many[..], &[2, 1], &[1, 1]] {
        let body = report(1, heights);
        assert!(body.check().is_err(), "{heights:?}");
        assert!(ProposalBody::decode(Kind::MetricsReport, &body.encode()).is_err(), "{heights:?}");
    }
    let evidence = |first: &[u8], second: &[u8]| {
        ProposalBody::MetricsEvidence { first: first.to_vec(), second: second.to_vec() }.check()
    };
    assert_eq!(evidence(&[1], &[2]), Ok(()));
    assert!(evidence(&[1], &[1]).is_err());
    assert!(evidence(&[1], &[2; 4_097]).is_err());
}

#[test]
fn members_are_bits_in_one_spelling() {
    let bits: MemberBits = [9, 0, 127, 128, usize::MAX].into_iter().collect();
    assert_eq!(bits.positions().collect::<Vec<_>>(), [0, 9, 127], "what no set can have is left out");
    assert!(bits.contains(9) && !bits.contains(8) && !bits.contains(usize::MAX));
    assert_eq!(MemberBits::from_bytes(bits.as_bytes().to_vec()).as_ref(), Ok(&bits));
    assert_eq!(MemberBits::default().as_bytes(), [0; 0]);
    assert!(MemberBits::from_bytes(vec![1, 0]).is_err());
    assert!(matches!(MemberBits::from_bytes(vec![1; 17]), Err(TypesError::TooLarge { limit: 16, .. })));
}

#[test]
fn a_proposal_is_named_by_its_content_and_not_by_its_signature() {
    let one = sign(put("k", 1), "k").expect("valid");
    let mut resigned = one.clone();
    resigned.signature.0[0] ^= 1;
    assert_eq!(one.id(), resigned.id());
    let later = Proposal { expires_at_ms: 2_000, ..one.clone() };
    let other_key = Proposal { idempotency_key: "other".into(), ..one.clone() };
    let other_account = Proposal { account: keypair(2).account_id(), ..one.clone() };
    for other in [&later, &other_key, &other_account] {
        assert_ne!(one.id(), other.id());
        assert_eq!(one.request_hash(), other.request_hash(), "asks for the same");
    }
}

/// A retry under the same key with another request must be told apart from a mere repetition.
#[test]
fn requests_differ_in_kind_or_body() {
    let bodies = [
        put("k", 1),
        put("k", 2),
        put("l", 1),
        ProposalBody::KvDelete { key: "k".into() },
        ProposalBody::KvCas { key: "k".into(), expected_version: 0, value: vec![7] },
        ProposalBody::ParamSet { name: "k".into(), value: "7".into() },
        ProposalBody::Text { title: "k".into(), text: "7".into() },
    ];
    let hash = |body: &ProposalBody| sign(body.clone(), "k").expect("valid").request_hash();
    for (i, one) in bodies.iter().enumerate() {
        for (j, other) in bodies.iter().enumerate() {
            assert_eq!(hash(one) == hash(other), i == j, "{one:?} and {other:?}");
        }
    }
}

#[test]
fn kinds_that_change_the_rules_are_voted_on() {
    let voted: Vec<&str> =
        Kind::ALL.iter().filter(|kind| kind.rule() == Rule::Voted).map(|kind| kind.name()).collect();
    assert_eq!(voted, ["text", "param.set", "validator.add", "validator.remove"]);
}
