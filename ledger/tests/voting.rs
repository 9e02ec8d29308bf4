//! Scenarios of voted proposals within an epoch.

mod support;

use aegis_ledger::{Enactment, LedgerEvent, Outcome, RejectCode, VoteStatus, query};
use aegis_types::{Kind, Parameter, ProposalId, Weight};
use support::{Chain, DAY, HOUR, SECOND, code, put, set, text, validator};

fn status(chain: &Chain, id: &ProposalId) -> VoteStatus {
    query::vote_record(&chain.state, id).unwrap().expect("the vote is on record").status
}

#[test]
fn exactly_two_thirds_of_the_weight_is_not_enough() {
    // Total 9: 6 is exactly two thirds, 7 is more.
    let mut chain = Chain::new(&[2, 2, 2, 1, 1, 1]);
    let id = chain.open(20, text("move the office"));
    for n in 1..=3 {
        assert_eq!(chain.vote(n, id, true), Outcome::applied());
    }
    let record = query::vote_record(&chain.state, &id).unwrap().unwrap();
    assert_eq!(
        (record.status, record.tally.yes, record.tally.total),
        (VoteStatus::Open, Weight(6), Weight(9))
    );
    chain.vote(4, id, true);
    let record = query::vote_record(&chain.state, &id).unwrap().unwrap();
    assert_eq!(record.status, VoteStatus::Passed);
    let closed = record.closed.unwrap();
    assert_eq!((closed.height, closed.enactment), (chain.ledger.height(), Some(Enactment::Done)));
}

#[test]
fn weight_decides_and_not_the_number_of_voters() {
    let mut chain = Chain::new(&[3, 3, 3, 1, 1, 1, 1]);
    let id = chain.open(1, text("x"));
    for n in [4, 5, 6, 7] {
        chain.vote(n, id, true);
    }
    assert_eq!(status(&chain, &id), VoteStatus::Open, "four of seven voters have 4 of 13");
    chain.vote(1, id, true);
    chain.vote(2, id, true);
    assert_eq!(status(&chain, &id), VoteStatus::Passed, "10 of 13");
}

#[test]
fn a_vote_fails_as_soon_as_a_third_says_no() {
    // Total 9: 3 is exactly a third, so 6 are left, which is not more than two thirds.
    let mut chain = Chain::new(&[2, 2, 2, 1, 1, 1]);
    let id = chain.open(20, text("x"));
    chain.vote(1, id, false);
    assert_eq!(status(&chain, &id), VoteStatus::Open);
    chain.vote(4, id, false);
    assert_eq!(status(&chain, &id), VoteStatus::Failed);
    assert_eq!(code(&chain.vote(4, id, true)), "vote-closed");
    assert_eq!(query::vote_record(&chain.state, &id).unwrap().unwrap().closed.unwrap().enactment, None);
}

#[test]
fn a_later_vote_replaces_the_earlier_one() {
    let mut chain = Chain::new(&[1, 1, 1, 1]);
    let id = chain.open(20, text("x"));
    chain.vote(1, id, false);
    chain.vote(1, id, true);
    chain.vote(1, id, true);
    let tally = query::vote_record(&chain.state, &id).unwrap().unwrap().tally;
    assert_eq!((tally.yes, tally.no), (Weight(1), Weight(0)), "weight counts once, whatever is sent");
    let votes = query::votes(&chain.state, &id).unwrap();
    let vote_of = |n| query::vote_of(&chain.state, &id, &support::validator(n)).unwrap();
    assert!(votes.iter().all(|vote| (1..=9).any(|n| vote_of(n) == Some(*vote))));
    assert_eq!(vote_of(77), None);
    assert_eq!(votes.len(), 1);
    assert!(votes[0].approve && votes[0].validator == validator(1));
    assert_eq!(votes[0].height, chain.ledger.height());
}

#[test]
fn votes_of_strangers_and_on_unknown_proposals_are_rejected() {
    let mut chain = Chain::new(&[1, 1, 1, 1]);
    let id = chain.open(20, text("x"));
    assert_eq!(code(&chain.vote(20, id, true)), "not-a-validator");
    assert_eq!(code(&chain.vote(1, aegis_types::Hash([9; 32]), true)), "unknown-proposal");
    let (kv, _) = chain.submit(1, put("a", "1"));
    assert_eq!(code(&chain.vote(1, kv, true)), "unknown-proposal");
}

#[test]
fn a_vote_lapses_in_the_first_block_at_its_deadline() {
    let mut chain = Chain::with_parameters(&[1, 1, 1, 1], &[(Parameter::VotingPeriodMs, 60 * SECOND)]);
    let id = chain.open(20, text("x"));
    let deadline = chain.now + 60 * SECOND;
    chain.vote(1, id, true);
    chain.vote(2, id, true);
    chain.block_at(deadline - 1, Vec::new());
    assert_eq!(status(&chain, &id), VoteStatus::Open);
    let third = chain.proposal(3, aegis_types::ProposalBody::ProposalVote { proposal: id, approve: true });
    let applied = chain.block_at(deadline, vec![third]);
    assert_eq!(
        code(&applied.receipts[0].outcome),
        "vote-closed",
        "what is due comes before the block's proposals"
    );
    assert!(matches!(
        applied.events[..],
        [LedgerEvent::ProposalClosed { status: VoteStatus::Lapsed, kind: Kind::Text, enactment: None, .. }]
    ));
    assert!(applied.receipts[0].events.is_empty(), "the vote lapsed by itself");
    assert_eq!(status(&chain, &id), VoteStatus::Lapsed);
}

#[test]
fn the_events_of_a_vote_come_in_order() {
    let mut chain = Chain::new(&[1]);
    let proposal = chain.proposal(20, set(Parameter::VotingPeriodMs, 5 * SECOND));
    let id = proposal.id();
    let vote = chain.proposal(1, aegis_types::ProposalBody::ProposalVote { proposal: id, approve: true });
    let applied = chain.block(vec![proposal, vote]);
    let of_receipts: Vec<_> = applied.receipts.iter().map(|receipt| receipt.events.clone()).collect();
    assert_eq!(of_receipts, [0..1, 1..4], "each receipt names the events of its proposal");
    let events = applied.events;
    assert!(
        matches!(
            events[..],
            [
                LedgerEvent::VoteOpened { kind: Kind::ParamSet, .. },
                LedgerEvent::VoteCast { weight: Weight(1), approve: true, .. },
                LedgerEvent::ParameterSet { parameter: Parameter::VotingPeriodMs, value: 5_000, .. },
                LedgerEvent::ProposalClosed {
                    status: VoteStatus::Passed,
                    enactment: Some(Enactment::Done),
                    ..
                },
            ]
        ),
        "{events:#?}"
    );
}

#[test]
fn a_parameter_out_of_range_is_rejected_when_the_vote_is_opened() {
    let mut chain = Chain::new(&[1, 1, 1, 1]);
    let (_, outcome) = chain.submit(20, set(Parameter::Window, 33));
    assert_eq!(outcome, Outcome::rejected(RejectCode::InvalidParameter));
    let unknown =
        aegis_types::ProposalBody::ParamSet { name: "no_such_thing".to_owned(), value: "1".to_owned() };
    assert_eq!(code(&chain.submit(20, unknown).1), "invalid-parameter");
    assert_eq!(chain.state.count(b"v"), 0);
}

#[test]
fn a_parameter_of_the_ledger_holds_from_the_next_block_on() {
    let mut chain = Chain::new(&[1]);
    let change = chain.proposal(20, set(Parameter::VotingPeriodMs, 5 * SECOND));
    let yes = aegis_types::ProposalBody::ProposalVote { proposal: change.id(), approve: true };
    let yes = chain.proposal(1, yes);
    let same_block = chain.proposal(20, text("in the same block"));
    let receipts = chain.block(vec![change, yes, same_block]).receipts;
    assert_eq!(receipts[2].outcome, Outcome::Opened { deadline_ms: chain.now + HOUR });
    assert_eq!(query::parameters(&chain.state).unwrap().get(Parameter::VotingPeriodMs), 5 * SECOND);
    let (_, outcome) = chain.submit(20, text("in the next block"));
    assert_eq!(outcome, Outcome::Opened { deadline_ms: chain.now + 5 * SECOND });
}

#[test]
fn open_votes_are_bounded_in_all_and_per_account() {
    let mut chain = Chain::with_parameters(&[1, 1, 1, 1], &[(Parameter::OpenVotesMax, 20)]);
    let first = chain.open(20, text("x"));
    chain.open(20, text("y"));
    assert_eq!(code(&chain.submit(20, text("z")).1), "too-many-open-votes-of-account");
    for n in 21..30 {
        chain.open(n, text("x"));
        chain.open(n, text("y"));
    }
    assert_eq!(code(&chain.submit(30, text("x")).1), "too-many-open-votes");
    for n in 1..=3 {
        chain.vote(n, first, true);
    }
    chain.open(20, text("room again"));
}

#[test]
fn open_votes_are_listed_by_deadline_and_all_votes_by_opening() {
    let mut chain = Chain::new(&[1, 1, 1, 1]);
    let titles: Vec<ProposalId> =
        ["a", "b", "c", "d", "e"].iter().zip(20..).map(|(title, n)| chain.open(n, text(title))).collect();
    for n in 1..=2 {
        chain.vote(n, titles[2], false);
    }
    let page = query::open_votes(&chain.state, None, 3).unwrap();
    let ids: Vec<_> = page.items.iter().map(|vote| vote.id).collect();
    assert_eq!(ids, [titles[0], titles[1], titles[3]]);
    let rest = query::open_votes(&chain.state, page.next, 3).unwrap();
    assert_eq!(rest.items.iter().map(|vote| vote.id).collect::<Vec<_>>(), [titles[4]]);

    let all = query::VotedFilter::default();
    let page = query::voted_list(&chain.state, &all, None, 2).unwrap();
    assert_eq!(page.items.iter().map(|vote| vote.id).collect::<Vec<_>>(), [titles[4], titles[3]]);
    let rest = query::voted_list(&chain.state, &all, page.next, 10).unwrap();
    assert_eq!(rest.items.iter().map(|vote| vote.id).collect::<Vec<_>>(), [titles[2], titles[1], titles[0]]);
    assert_eq!(rest.next, None);

    let failed = query::VotedFilter { status: Some(VoteStatus::Failed), ..all };
    assert_eq!(query::voted_list(&chain.state, &failed, None, 9).unwrap().items[0].id, titles[2]);
    let of_account = query::VotedFilter { account: Some(support::keypair(21).account_id()), ..all };
    assert_eq!(query::voted_list(&chain.state, &of_account, None, 9).unwrap().items[0].id, titles[1]);
    let of_kind = query::VotedFilter { kind: Some(Kind::ParamSet), ..all };
    assert_eq!(query::voted_list(&chain.state, &of_kind, None, 9).unwrap().items, []);
}

#[test]
fn closed_votes_are_forgotten_after_thirty_days_with_all_that_belongs_to_them() {
    let mut chain = Chain::new(&[1, 1, 1, 1]);
    let before: usize =
        ["v", "b", "t", "d", "o", "n", "c"].map(|p| chain.state.count(p.as_bytes())).iter().sum();
    let passed = chain.pass(3, text("passed"));
    let failed = chain.open(20, text("failed"));
    chain.vote(1, failed, false);
    chain.vote(2, failed, false);
    let closed = chain.now;
    chain.block_at(closed + 29 * DAY, Vec::new());
    assert_eq!(status(&chain, &passed), VoteStatus::Passed);
    chain.block_at(closed + 30 * DAY + 1, Vec::new());
    assert_eq!(query::vote_record(&chain.state, &passed).unwrap(), None);
    assert_eq!(query::vote_record(&chain.state, &failed).unwrap(), None);
    let after: usize =
        ["v", "b", "t", "d", "o", "n", "c"].map(|p| chain.state.count(p.as_bytes())).iter().sum();
    assert_eq!(after, before);
}

#[test]
fn a_flood_of_votes_that_do_not_pass_is_bounded_and_leaves_passed_ones_alone() {
    const KEPT: usize = 10_000;
    let mut chain = Chain::with_parameters(&[1, 1, 1, 1], &[(Parameter::VotingPeriodMs, SECOND)]);
    let passed = chain.pass_in_one_block(text("kept"));
    for _ in 0..11 {
        let proposals: Vec<_> = (0..1_000_u32)
            .map(|n| chain.proposal(20 + u8::try_from(n / 100).unwrap(), text("flood")))
            .collect();
        let receipts = chain.block_at(chain.now + 2 * SECOND, proposals).receipts;
        assert!(receipts.iter().all(|receipt| matches!(receipt.outcome, Outcome::Opened { .. })));
    }
    chain.block(Vec::new());
    for _ in 0..16 {
        chain.block(Vec::new());
    }
    assert_eq!(chain.state.count(b"c\x00"), KEPT);
    assert_eq!(chain.state.count(b"v"), KEPT + 1);
    assert_eq!(status(&chain, &passed), VoteStatus::Passed);
}
