//! Certificates: what counts as a quorum's word, and what a forger may try.

use aegis_types::{
    Certificate, Domain, Epoch, Hash, Height, Keypair, Member, Signature, TypesError, ValidatorSet, View,
    Vote, VoteContent, VoteKind, Weight,
};

/// Weights 4, 3, 3, 3 and 2 make `W = 15`, `f = 4` and a quorum of 11.
const WEIGHTS: [(u8, u64); 5] = [(1, 4), (2, 3), (3, 3), (4, 3), (5, 2)];

fn keypair(n: u8) -> Keypair {
    Keypair::from_seed(&[n; 32])
}

fn domain() -> Domain {
    Domain::new("aegis-test-1".parse().expect("a valid chain id"), Hash([1; 32]))
}

fn set() -> ValidatorSet {
    let member = |(n, weight)| Member { validator: keypair(n).validator_id(), weight: Weight(weight) };
    ValidatorSet::new(Epoch(6), WEIGHTS.map(member).to_vec()).expect("a valid set")
}

fn content(kind: VoteKind) -> VoteContent {
    VoteContent { kind, epoch: Epoch(6), view: View(1), height: Height(9), digest: Hash([8; 32]) }
}

fn signature(n: u8, content: VoteContent) -> (u32, Signature) {
    let position = set().index_of(&keypair(n).validator_id()).expect("a member");
    (u32::try_from(position).expect("small"), Vote::sign(content, &keypair(n), &domain()).signature)
}

fn certificate(signers: &[u8]) -> Certificate {
    let content = content(VoteKind::Commit);
    let mut signatures: Vec<_> = signers.iter().map(|n| signature(*n, content)).collect();
    signatures.sort();
    Certificate { content, signatures }
}

#[test]
fn a_certificate_counts_exactly_when_its_signers_weigh_a_quorum() {
    for subset in 0..1_u8 << WEIGHTS.len() {
        let chosen =
            WEIGHTS.iter().enumerate().filter(|(i, _)| subset >> i & 1 == 1).map(|(_, member)| member);
        let weight: u64 = chosen.clone().map(|(_, weight)| weight).sum();
        let signers: Vec<u8> = chosen.map(|(n, _)| *n).collect();
        let certificate = certificate(&signers);
        let expected =
            if weight >= 11 { Ok(()) } else { Err(TypesError::BelowQuorum { weight, quorum: 11 }) };
        assert_eq!(certificate.verify(&set(), &domain()), expected, "{signers:?}");
        assert_eq!(certificate.weight(&set()), Weight(weight));
        assert_eq!(certificate.signers(&set()).count(), signers.len());
    }
}

#[test]
fn one_bad_signature_spoils_a_certificate_even_above_the_quorum() {
    let good = certificate(&[1, 2, 3, 4, 5]);
    assert_eq!(good.verify(&set(), &domain()), Ok(()));
    for place in 0..good.signatures.len() {
        let mut forged = good.clone();
        forged.signatures[place].1.0[3] ^= 1;
        let what = "certificate";
        assert_eq!(forged.verify(&set(), &domain()), Err(TypesError::BadSignature { what }), "{place}");
    }
}

#[test]
fn signatures_for_other_content_do_not_certify() {
    let good = certificate(&[1, 2, 3, 4]);
    let others = [
        VoteContent { kind: VoteKind::Prepare, ..good.content },
        VoteContent { view: View(2), ..good.content },
        VoteContent { height: Height(10), ..good.content },
        VoteContent { digest: Hash([9; 32]), ..good.content },
    ];
    for content in others {
        let moved = Certificate { content, ..good.clone() };
        assert!(
            matches!(moved.verify(&set(), &domain()), Err(TypesError::BadSignature { .. })),
            "{content:?}"
        );
    }
    let other_chain = Domain::new("aegis-test-2".parse().expect("valid"), Hash([1; 32]));
    assert!(good.verify(&set(), &other_chain).is_err());
}

#[test]
fn a_signer_who_stands_twice_out_of_order_or_outside_the_set_is_refused() {
    let good = certificate(&[1, 2, 3]);
    let mut twice = good.clone();
    twice.signatures.push(good.signatures[2]);
    let mut unordered = certificate(&[1, 2, 3, 4]);
    unordered.signatures.swap(0, 1);
    let mut outside = certificate(&[1, 2, 3, 4]);
    for position in [5, u32::MAX] {
        outside.signatures[3].0 = position;
        let error = outside.verify(&set(), &domain()).expect_err("refused");
        assert!(error.to_string().contains("outside the validator set"), "{error}");
    }
    for forged in [twice, unordered] {
        let error = forged.verify(&set(), &domain()).expect_err("refused");
        assert!(error.to_string().contains("not in order, or one signs twice"), "{error}");
    }
}

#[test]
fn a_set_of_another_epoch_cannot_check_a_certificate() {
    let later = ValidatorSet::new(Epoch(7), set().members().to_vec()).expect("a valid set");
    let error = certificate(&[1, 2, 3, 4]).verify(&later, &domain()).expect_err("refused");
    assert!(error.to_string().contains("it is of epoch 6, the validator set of epoch 7"), "{error}");
}

#[test]
fn an_empty_certificate_proves_nothing() {
    let empty = certificate(&[]);
    assert_eq!(empty.verify(&set(), &domain()), Err(TypesError::BelowQuorum { weight: 0, quorum: 11 }));
}
