//! Scenarios that cross the end of an epoch: parameters, validators, evidence.

mod support;

use aegis_ledger::{Enactment, LedgerError, LedgerEvent, PendingChange, RejectCode, VoteStatus, query};
use aegis_types::{BlockKind, Epoch, Hash, Parameter, ProposalBody, ProposalId, Weight};
use support::{Chain, SECOND, add, code, equivocation, remove, set, text, validator};

fn weights(chain: &Chain) -> Vec<(u8, u64)> {
    let mut weights: Vec<_> = (1..=20)
        .map(|n| (n, chain.ledger.validators().weight_of(&validator(n)).0))
        .filter(|(_, weight)| *weight > 0)
        .collect();
    weights.sort_unstable();
    weights
}

fn enactment(chain: &Chain, id: &ProposalId) -> Enactment {
    let record = query::vote_record(&chain.state, id).unwrap().unwrap();
    assert_eq!(record.status, VoteStatus::Passed);
    record.closed.unwrap().enactment.unwrap()
}

/// Passes a proposal with the votes of three and says what became of it.
fn enactment_of(chain: &mut Chain, body: ProposalBody) -> Enactment {
    let id = chain.pass(3, body);
    enactment(chain, &id)
}

fn refused(enactment: Enactment) -> RejectCode {
    match enactment {
        Enactment::Refused { code, .. } => code,
        Enactment::Done => panic!("it was carried out"),
    }
}

#[test]
fn a_parameter_of_agreement_waits_for_the_next_epoch() {
    let mut chain = Chain::new(&[1, 1, 1, 1]);
    chain.pass(3, set(Parameter::Window, 16));
    assert_eq!(chain.ledger.parameters().get(Parameter::Window), 8);
    assert_eq!(query::pending_parameters(&chain.state).unwrap(), [(Parameter::Window, 16)]);
    let closed = chain.end_epoch(Vec::new());
    assert_eq!(closed.next_epoch.unwrap().parameters.get(Parameter::Window), 16);
    assert_eq!(chain.ledger.parameters().get(Parameter::Window), 16);
    assert_eq!(query::pending_parameters(&chain.state).unwrap(), []);
}

#[test]
fn a_validator_is_added_and_another_removed_at_the_end_of_the_epoch() {
    let mut chain = Chain::new(&[10, 10, 10, 10]);
    let added = chain.pass(3, add(5, 12));
    chain.pass(3, remove(1));
    chain.pass(3, add(2, 9));
    assert_eq!(enactment(&chain, &added), Enactment::Done);
    assert_eq!(weights(&chain), [(1, 10), (2, 10), (3, 10), (4, 10)], "nothing changes within the epoch");
    let pending = query::pending_validators(&chain.state).unwrap();
    let changes: Vec<_> = (1..=5)
        .filter_map(|n| Some((n, pending.iter().find(|p| p.validator == validator(n))?.change)))
        .collect();
    let weight = |weight| PendingChange::Weight(Weight(weight));
    assert_eq!(changes, [(1, PendingChange::Removal), (2, weight(9)), (5, weight(12))]);

    let closed = chain.end_epoch(Vec::new());
    assert!(closed.events.iter().any(|event| matches!(event, LedgerEvent::ValidatorsChanged { .. })));
    assert_eq!(weights(&chain), [(2, 9), (3, 10), (4, 10), (5, 12)]);
    assert_eq!(chain.ledger.epoch(), Epoch(1));
    assert_eq!(query::pending_validators(&chain.state).unwrap(), []);
    let again = chain.end_epoch(Vec::new());
    assert!(!again.events.iter().any(|event| matches!(event, LedgerEvent::ValidatorsChanged { .. })));
}

#[test]
fn a_change_that_passes_in_the_closing_block_counts_for_the_next_epoch() {
    let mut chain = Chain::new(&[1, 1, 1, 1]);
    let opening = chain.proposal(1, add(5, 1));
    let id = opening.id();
    let mut proposals = vec![opening];
    for n in 1..=3 {
        proposals.push(chain.proposal(n, ProposalBody::ProposalVote { proposal: id, approve: true }));
    }
    chain.end_epoch(proposals);
    assert_eq!(chain.ledger.validators().len(), 5);
}

#[test]
fn a_change_is_refused_when_the_set_would_be_invalid_with_what_already_waits() {
    let mut chain = Chain::new(&[10, 10, 10, 10]);
    // Alone, 25 of 65 exceeds f = 21.
    let heavy = chain.pass(3, add(5, 25));
    assert_eq!(refused(enactment(&chain, &heavy)), RejectCode::InvalidValidatorSet);
    // 16 of 56 is within f = 18; with one of the others gone, 16 of 46 exceeds f = 15.
    let first = chain.pass(3, add(5, 16));
    assert_eq!(enactment(&chain, &first), Enactment::Done);
    let removal = chain.pass(3, remove(1));
    assert_eq!(refused(enactment(&chain, &removal)), RejectCode::InvalidValidatorSet);
    chain.end_epoch(Vec::new());
    assert_eq!(weights(&chain), [(1, 10), (2, 10), (3, 10), (4, 10), (5, 16)]);

    // The other way round: the removal waits, so the newcomer that was welcome before is too heavy.
    let mut chain = Chain::new(&[10, 10, 10, 10]);
    assert_eq!(enactment_of(&mut chain, remove(1)), Enactment::Done);
    assert_eq!(refused(enactment_of(&mut chain, add(5, 16))), RejectCode::InvalidValidatorSet);
}

#[test]
fn removing_a_stranger_is_refused_and_removing_a_newcomer_takes_it_back() {
    let mut chain = Chain::new(&[10, 10, 10, 10]);
    let stranger = chain.pass(3, remove(9));
    assert_eq!(refused(enactment(&chain, &stranger)), RejectCode::NotAMember);
    chain.pass(3, add(9, 5));
    let back = chain.pass(3, remove(9));
    assert_eq!(enactment(&chain, &back), Enactment::Done);
    assert_eq!(query::pending_validators(&chain.state).unwrap(), []);
}

#[test]
fn the_last_validator_cannot_be_removed() {
    let mut chain = Chain::new(&[1]);
    let id = chain.pass(1, remove(1));
    assert_eq!(refused(enactment(&chain, &id)), RejectCode::InvalidValidatorSet);
}

#[test]
fn open_votes_are_counted_with_the_new_weights_in_the_first_block_of_an_epoch() {
    let mut chain = Chain::new(&[10, 10, 10, 10]);
    let passes = chain.open(20, text("passes when 1 and 2 weigh more"));
    let fails = chain.open(20, text("fails when 3 weighs more"));
    let stays = chain.open(20, text("voted on by one who leaves"));
    chain.vote(1, passes, true);
    chain.vote(2, passes, true);
    chain.vote(3, fails, false);
    chain.vote(4, stays, true);
    chain.vote(1, stays, true);
    chain.pass(3, remove(4));
    for (n, weight) in [(1, 15), (2, 15)] {
        chain.pass(3, add(n, weight));
    }
    chain.end_epoch(Vec::new());
    assert_eq!(weights(&chain), [(1, 15), (2, 15), (3, 10)]);
    let open = |chain: &Chain, id| query::vote_record(&chain.state, id).unwrap().unwrap().status;
    assert_eq!(open(&chain, &passes), VoteStatus::Open, "the handover decides nothing");
    chain.block(Vec::new());
    assert_eq!(open(&chain, &passes), VoteStatus::Passed, "30 of 40");
    assert_eq!(open(&chain, &fails), VoteStatus::Open, "10 of 40 is below a third");
    let record = query::vote_record(&chain.state, &stays).unwrap().unwrap();
    assert_eq!(
        (record.tally.yes, record.tally.total, record.tally.epoch),
        (Weight(15), Weight(40), Epoch(1))
    );
    assert_eq!(query::votes(&chain.state, &stays).unwrap().len(), 1, "the vote of who left is dropped");
    assert_eq!(code(&chain.vote(4, stays, true)), "not-a-validator");
    // The recount kept the books: changing a vote moves its present weight.
    chain.vote(1, stays, false);
    let tally = query::vote_record(&chain.state, &stays).unwrap().unwrap().tally;
    assert_eq!((tally.yes, tally.no), (Weight(0), Weight(15)));
}

#[test]
fn more_open_votes_than_a_block_counts_are_counted_over_several_and_at_once_when_touched() {
    let parameters = [(Parameter::OpenVotesMax, 100_000)];
    let mut chain = Chain::with_parameters(&[10, 10, 10, 10], &parameters);
    let proposals: Vec<_> = (0..1_500).map(|n| chain.proposal(20, text(&format!("{n}")))).collect();
    let ids: Vec<_> = proposals.iter().map(aegis_types::Proposal::id).collect();
    chain.block(proposals);
    let yes: Vec<_> = ids
        .iter()
        .map(|id| chain.proposal(1, ProposalBody::ProposalVote { proposal: *id, approve: true }))
        .collect();
    chain.block(yes);
    chain.pass(3, add(1, 12));
    chain.end_epoch(Vec::new());
    let counted = |chain: &Chain| {
        ids.iter()
            .filter(|id| query::vote_record(&chain.state, id).unwrap().unwrap().tally.yes == Weight(12))
            .count()
    };
    let mut waiting = query::open_votes(&chain.state, None, 1_000).unwrap().next;
    waiting = query::open_votes(&chain.state, waiting, 400).unwrap().next;
    let last = waiting.expect("100 are left").proposal;
    let touch = chain.proposal(2, ProposalBody::ProposalVote { proposal: last, approve: true });
    chain.block(vec![touch]);
    assert_eq!(counted(&chain), 1_000);
    let tally = query::vote_record(&chain.state, &last).unwrap().unwrap().tally;
    assert_eq!((tally.yes, tally.total), (Weight(22), Weight(42)), "counted before its turn");
    chain.block(Vec::new());
    assert_eq!(counted(&chain), 1_499);
}

#[test]
fn an_equivocator_leaves_at_the_end_of_the_epoch() {
    let mut chain = Chain::new(&[10, 10, 10, 10, 10]);
    let evidence = equivocation(&chain, 3, Epoch(0));
    let proposal = chain.proposal(20, evidence.clone());
    let applied = chain.block(vec![proposal]);
    assert_eq!(applied.events, [LedgerEvent::EvidenceRecorded { validator: validator(3), epoch: Epoch(0) }]);
    assert_eq!(code(&chain.submit(20, evidence).1), "evidence-known");
    assert_eq!(query::pending_validators(&chain.state).unwrap()[0].change, PendingChange::RemovalOfOffender);
    let readmission = chain.pass(4, add(3, 10));
    assert_eq!(refused(enactment(&chain, &readmission)), RejectCode::Offender);
    chain.end_epoch(Vec::new());
    assert_eq!(weights(&chain), [(1, 10), (2, 10), (4, 10), (5, 10)]);
    assert_eq!(query::evidence(&chain.state, None, 10).unwrap().items.len(), 1);
    let readmission = chain.pass(4, add(3, 10));
    assert_eq!(enactment(&chain, &readmission), Enactment::Done, "in the next epoch it may come back");
}

#[test]
fn evidence_counts_for_the_current_and_the_previous_epoch_only() {
    let mut chain = Chain::new(&[1, 1, 1, 1, 1]);
    let old = equivocation(&chain, 3, Epoch(0));
    chain.end_epoch(Vec::new());
    let future = equivocation(&chain, 3, Epoch(2));
    assert_eq!(code(&chain.submit(20, future).1), "evidence-out-of-date");
    let late = equivocation(&chain, 2, Epoch(0));
    assert_eq!(chain.submit(20, late).1, aegis_ledger::Outcome::applied());
    chain.end_epoch(Vec::new());
    assert_eq!(chain.ledger.validators().len(), 4);
    assert_eq!(code(&chain.submit(20, old).1), "evidence-out-of-date");
}

#[test]
fn forged_evidence_proves_nothing() {
    let mut chain = Chain::new(&[1, 1, 1, 1]);
    let ProposalBody::Evidence { first, mut second } = equivocation(&chain, 3, Epoch(0)) else {
        unreachable!()
    };
    second.signature = first.signature;
    let forged = ProposalBody::Evidence { first: first.clone(), second };
    assert_eq!(code(&chain.submit(20, forged).1), "evidence-invalid");
    let same = ProposalBody::Evidence { first: first.clone(), second: first };
    assert_eq!(code(&chain.submit(20, same).1), "evidence-invalid");
    let stranger = equivocation(&chain, 9, Epoch(0));
    assert_eq!(code(&chain.submit(20, stranger).1), "evidence-invalid");
    let elsewhere = equivocation(&Chain::new(&[1, 1]), 3, Epoch(0));
    assert_eq!(code(&chain.submit(20, elsewhere).1), "evidence-invalid");
    assert_eq!(query::evidence(&chain.state, None, 10).unwrap().items, []);
}

#[test]
fn a_flood_of_forged_evidence_costs_a_bounded_number_of_checks() {
    let mut chain = Chain::new(&[1, 1, 1, 1]);
    let ProposalBody::Evidence { first, mut second } = equivocation(&chain, 3, Epoch(0)) else {
        unreachable!()
    };
    second.signature = first.signature;
    let forged = ProposalBody::Evidence { first, second };
    let proposals: Vec<_> = (0..70).map(|_| chain.proposal(20, forged.clone())).collect();
    let codes: Vec<_> = chain.block(proposals.clone()).receipts.iter().map(|r| code(&r.outcome)).collect();
    assert_eq!(codes.iter().filter(|code| **code == "evidence-invalid").count(), 64);
    assert_eq!(codes.iter().filter(|code| **code == "evidence-busy").count(), 6);
    let again = chain.block(proposals[64..].to_vec()).receipts;
    assert_eq!(
        code(&again[0].outcome),
        "evidence-invalid",
        "what found no room may come again under its key"
    );
}

#[test]
fn a_sole_validator_that_equivocates_stays() {
    let mut chain = Chain::new(&[1]);
    let evidence = equivocation(&chain, 1, Epoch(0));
    chain.submit(20, evidence);
    chain.end_epoch(Vec::new());
    assert_eq!(weights(&chain), [(1, 1)]);
    assert_eq!(query::pending_validators(&chain.state).unwrap(), []);
}

#[test]
fn blocks_that_do_not_fit_leave_the_ledger_as_it_is() {
    let mut chain = Chain::new(&[1, 1, 1, 1]);
    chain.submit(20, support::put("a", "1"));
    let (root, now) = (chain.ledger.root(), chain.now);
    let good = chain.next_block(BlockKind::Normal, now + 1, Vec::new());
    let mut bad = good.clone();
    bad.header.height = bad.header.height.next();
    assert!(matches!(chain.apply(&bad), Err(LedgerError::WrongHeight { .. })));
    let mut bad = good.clone();
    bad.header.epoch = Epoch(1);
    assert!(matches!(chain.apply(&bad), Err(LedgerError::WrongEpoch { .. })));
    let mut bad = good.clone();
    bad.header.timestamp_ms = now;
    assert!(matches!(chain.apply(&bad), Err(LedgerError::TimeStoodStill { .. })));
    let mut bad = good.clone();
    bad.header.kind = BlockKind::Handover { next_validators_hash: Hash::ZERO };
    assert!(matches!(chain.apply(&bad), Err(LedgerError::WrongKind { .. })));
    assert_eq!((chain.ledger.root(), chain.reopened().root()), (root, root));
    chain.apply(&good).unwrap();
}

#[test]
fn a_closing_block_is_followed_by_its_handover_and_nothing_else() {
    let mut chain = Chain::new(&[1, 1, 1, 1]);
    chain.pass(3, add(5, 1));
    let closing = chain.next_block(BlockKind::Closing, chain.now + SECOND, Vec::new());
    let next = chain.apply(&closing).unwrap().next_epoch.unwrap();
    assert_eq!(chain.ledger.epoch(), Epoch(0));
    assert_eq!(chain.reopened().next_epoch(), Some(next.clone()), "a restart finds the next epoch again");
    let normal = chain.next_block(BlockKind::Normal, chain.now + SECOND, Vec::new());
    assert!(matches!(chain.apply(&normal), Err(LedgerError::WrongKind { .. })));
    let handover = |hash| BlockKind::Handover { next_validators_hash: hash };
    let other = chain.next_block(handover(Hash::ZERO), chain.now + SECOND, Vec::new());
    assert!(matches!(chain.apply(&other), Err(LedgerError::WrongKind { .. })));
    let right = chain.next_block(handover(next.validators.hash()), chain.now + SECOND, Vec::new());
    let applied = chain.apply(&right).unwrap();
    assert_eq!(applied.events, [LedgerEvent::EpochBegan { epoch: Epoch(1) }]);
    assert_eq!(chain.ledger.epoch_start_ms(), chain.now);
    assert_eq!(chain.ledger.next_epoch(), None);
    assert_eq!(chain.ledger.validators(), &next.validators);
}
