//! Scenarios of idempotency keys and expiry.

mod support;

use aegis_ledger::{Admission, Outcome, RejectCode, query};
use aegis_types::{Batch, BlockKind, Parameter};
use proptest::prelude::*;
use support::{Chain, DAY, HOUR, SECOND, cas, code, envelope, keypair, put, set, validator};

#[test]
fn a_repeated_key_yields_the_first_result_and_has_no_effect() {
    let mut chain = Chain::new(&[1]);
    let expires = chain.now + HOUR;
    let first = envelope(9, put("a", "1"), "k", expires);
    let other_content = envelope(9, put("a", "2"), "k", expires);
    let applied = chain.block(vec![first.clone(), first.clone()]);
    let Ok(Admission::Duplicate(result)) = chain.ledger.check(&chain.state, &first, chain.now) else {
        panic!("the first result is remembered");
    };
    assert_eq!(result.request, first.request_hash());
    assert_ne!(other_content.request_hash(), first.request_hash());
    assert_eq!((result.id, result.height.0, result.position), (first.id(), 1, 0));
    assert_eq!(result.outcome, Outcome::Applied { version: Some(1) });
    let duplicate = Outcome::Duplicate { first: Box::new(result) };
    assert_eq!(applied.receipts[1].outcome, duplicate);
    assert_eq!(chain.block(vec![other_content]).receipts[0].outcome, duplicate);
    assert_eq!(query::kv(&chain.state, "a").unwrap().unwrap().version, 1);
}

#[test]
fn keys_of_different_accounts_do_not_meet() {
    let mut chain = Chain::new(&[1]);
    let expires = chain.now + HOUR;
    let proposals = vec![envelope(8, put("a", "1"), "k", expires), envelope(9, put("a", "2"), "k", expires)];
    assert_eq!(chain.block(proposals).receipts[1].outcome, Outcome::Applied { version: Some(2) });
}

#[test]
fn a_rejection_is_a_first_result_too() {
    let mut chain = Chain::new(&[1]);
    let late = envelope(9, cas("a", 7, "x"), "k", chain.now + HOUR);
    let rejected = chain.block(vec![late.clone()]).receipts.remove(0).outcome;
    assert_eq!(rejected, Outcome::rejected(RejectCode::VersionMismatch { actual: 0 }));
    match chain.block(vec![late]).receipts.remove(0).outcome {
        Outcome::Duplicate { first } => assert_eq!(first.outcome, rejected),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_expired_proposal_is_rejected_and_its_key_is_free() {
    let mut chain = Chain::new(&[1]);
    let at = chain.now + 10 * SECOND;
    let expired = envelope(9, put("a", "old"), "k", at);
    let renewed = envelope(9, put("a", "new"), "k", at + HOUR);
    let receipts = chain.block_at(at, vec![expired, renewed]).receipts;
    assert_eq!(code(&receipts[0].outcome), "expired");
    assert_eq!(receipts[1].outcome, Outcome::Applied { version: Some(1) });
}

#[test]
fn an_envelope_that_expires_too_late_waits_for_its_time_and_then_works_once() {
    let mut chain = Chain::new(&[1]);
    let at = chain.now + SECOND;
    let early = envelope(9, put("a", "1"), "k", at + HOUR + 1);
    assert_eq!(code(&chain.block_at(at, vec![early.clone()]).receipts[0].outcome), "expiry-too-far");
    let receipts = chain.block_at(at + 1, vec![early.clone(), early]).receipts;
    assert_eq!(receipts[0].outcome, Outcome::Applied { version: Some(1) });
    assert!(matches!(receipts[1].outcome, Outcome::Duplicate { .. }));
}

#[test]
fn admission_tells_fresh_from_duplicate_conflict_and_hopeless() {
    let mut chain = Chain::with_parameters(&[1, 1, 1, 1], &[(Parameter::OpenVotesMax, 1)]);
    let now = chain.now;
    let first = envelope(9, put("a", "1"), "k", now + HOUR / 2);
    let check = |chain: &Chain, proposal| chain.ledger.check(&chain.state, &proposal, now).unwrap();
    let refusal = |admission| match admission {
        Admission::Refused { code, .. } => code.name(),
        other => panic!("{other:?}"),
    };
    assert_eq!(check(&chain, first.clone()), Admission::Fresh);
    chain.block(vec![first.clone()]);
    match check(&chain, envelope(9, put("a", "1"), "k", now + HOUR)) {
        Admission::Duplicate(result) => assert_eq!(result.id, first.id()),
        other => panic!("{other:?}"),
    }
    assert_eq!(check(&chain, envelope(9, put("a", "2"), "k", now + HOUR / 2)), Admission::Conflict);
    let other = |body| envelope(9, body, "k2", now + HOUR / 2);
    assert_eq!(refusal(check(&chain, envelope(9, put("a", "2"), "k2", now))), "expired");
    assert_eq!(refusal(check(&chain, envelope(9, put("a", "2"), "k2", now + 2 * HOUR))), "expiry-too-far");
    assert_eq!(refusal(check(&chain, other(set(Parameter::Window, 1_000)))), "invalid-parameter");
    assert_eq!(check(&chain, other(support::text("x"))), Admission::Fresh);
    let id = chain.open(9, support::text("x"));
    assert_eq!(refusal(check(&chain, other(support::text("y")))), "too-many-open-votes");
    let vote = aegis_types::ProposalBody::ProposalVote { proposal: id, approve: true };
    assert_eq!(refusal(check(&chain, other(vote.clone()))), "not-a-validator");
    assert_eq!(check(&chain, envelope(1, vote.clone(), "v", now + HOUR / 2)), Admission::Fresh);
    for n in 1..=3 {
        chain.vote(n, id, true);
    }
    assert_eq!(refusal(check(&chain, envelope(4, vote, "v", now + HOUR / 2))), "vote-closed");
    let epoch = chain.ledger.epoch();
    let evidence = support::equivocation(&chain, 2, epoch);
    assert_eq!(check(&chain, other(evidence.clone())), Admission::Fresh);
    chain.submit(9, evidence.clone());
    assert_eq!(refusal(check(&chain, other(evidence))), "evidence-known");
}

#[test]
fn first_results_are_kept_for_the_retention_and_then_forgotten_within_bounds() {
    let mut chain = Chain::with_parameters(&[1], &[(Parameter::IdempotencyRetentionMs, HOUR)]);
    let records = |chain: &Chain| (chain.state.count(b"i"), chain.state.count(b"x"));
    let proposals: Vec<_> =
        (0..1_000).map(|n| envelope(9, put("a", "1"), &format!("k{n}"), chain.now + HOUR / 2)).collect();
    chain.block(proposals);
    assert_eq!(records(&chain), (1_000, 32), "keys to forget share records");
    let written = chain.now;
    chain.block_at(written + HOUR - 1, Vec::new());
    assert_eq!(records(&chain), (1_000, 32));
    chain.block_at(written + HOUR, Vec::new());
    assert_eq!(records(&chain), (744, 24), "an empty block forgets 256");
    let busy: Vec<_> = (0..100).map(|n| chain.proposal(8, put(&format!("b{n}"), "x"))).collect();
    chain.block(busy);
    assert_eq!(chain.state.count(b"i"), 744 - 480 + 100, "a block of 100 forgets 456, by whole records");
    chain.block(Vec::new());
    chain.block(Vec::new());
    assert_eq!(records(&chain), (100, 4));
    chain.block_at(written + 3 * HOUR, Vec::new());
    assert_eq!(records(&chain), (0, 0));
}

#[test]
fn a_shorter_retention_does_not_let_an_envelope_work_twice() {
    let mut chain = Chain::with_parameters(&[1, 1, 1, 1], &[(Parameter::IdempotencyRetentionMs, 2 * HOUR)]);
    let envelope = envelope(9, put("a", "1"), "k", chain.now + HOUR);
    chain.block(vec![envelope.clone()]);
    chain.pass(3, set(Parameter::IdempotencyRetentionMs, HOUR));
    assert_eq!(chain.ledger.parameters().get(Parameter::IdempotencyRetentionMs), HOUR);
    for step in 1..60 {
        let receipts = chain.block_at(chain.now + 60 * SECOND + step, vec![envelope.clone()]).receipts;
        assert!(!matches!(receipts[0].outcome, Outcome::Applied { .. }));
    }
    assert_eq!(query::kv(&chain.state, "a").unwrap().unwrap().version, 1);
}

#[test]
fn positions_run_over_all_batches_of_a_block() {
    let mut chain = Chain::new(&[1]);
    let batch = |author: u8, from: u8| Batch {
        author: validator(author),
        sequence: 1,
        proposals: (from..from + 3)
            .map(|n| envelope(9, put("a", "x"), &format!("k{n}"), chain.now + HOUR / 2))
            .collect(),
    };
    let block = chain.next_block_of(BlockKind::Normal, chain.now + 1, vec![batch(1, 0), batch(2, 3)]);
    let receipts = chain.apply(&block).unwrap().receipts;
    let seen: Vec<_> = receipts.iter().map(|r| (r.position, r.idempotency_key.clone())).collect();
    assert_eq!(seen, (0..6).map(|n| (n, format!("k{n}"))).collect::<Vec<_>>());
    assert_eq!(receipts[5].account, keypair(9).account_id());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Whatever is ordered however often and whenever, each envelope takes effect at most once, and of one account's key one
    /// envelope does within the retention.
    #[test]
    fn envelopes_take_effect_at_most_once(
        blocks in prop::collection::vec(
            (prop_oneof![4 => 1..120 * SECOND, 1 => HOUR / 4..2 * HOUR, 1 => 20 * HOUR..2 * DAY],
             prop::collection::vec((0_u8..2, 0_u8..4, 0_u8..3, 0_u64..8), 0..24)),
            1..24,
        ),
        retention in prop_oneof![Just(HOUR), Just(DAY)],
    ) {
        let mut chain = Chain::with_parameters(&[1], &[(Parameter::IdempotencyRetentionMs, retention)]);
        let start = chain.now;
        let mut effects = std::collections::BTreeMap::<_, Vec<u64>>::new();
        for (step, picks) in blocks {
            let proposals: Vec<_> = picks
                .iter()
                .map(|(account, key, variant, expiry)| {
                    let body = put(&format!("{account}.{key}.{variant}.{expiry}"), "x");
                    envelope(*account, body, &format!("k{key}"), start + (expiry + 1) * 13 * HOUR / 2)
                })
                .collect();
            let at = chain.now + step;
            for receipt in chain.block_at(at, proposals).receipts {
                if matches!(receipt.outcome, Outcome::Applied { .. }) {
                    effects.entry((receipt.account, receipt.idempotency_key)).or_default().push(at);
                }
            }
        }
        for entry in query::kv_list(&chain.state, "", None, 1_000).unwrap().items {
            prop_assert_eq!(entry.version, 1, "{} took effect twice", entry.key);
        }
        for times in effects.values() {
            prop_assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= retention));
        }
    }
}
