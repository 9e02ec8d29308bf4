//! The state root: determinism, rebuilding, and its pinned value.

mod support;

use std::cell::Cell;

use aegis_ledger::{Applied, Entry, Ledger, LedgerError, LedgerEvent, StateError, StateReader, VoteStatus};
use aegis_types::proposal::Rule;
use aegis_types::{Epoch, Hash, Parameter, Proposal, ProposalBody, ProposalId};
use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};
use support::{Chain, DAY, HOUR, SECOND, add, cas, delete, envelope, equivocation, put, remove, set, text};

/// One step of a random history: enough for a proposal of any kind.
#[derive(Debug, Clone)]
struct Step {
    kind: u8,
    account: u8,
    key: u8,
    number: u64,
}

fn step() -> impl Strategy<Value = Step> {
    (0_u8..12, 1_u8..8, 0_u8..6, 0_u64..40).prop_map(|(kind, account, key, number)| Step {
        kind,
        account,
        key,
        number,
    })
}

fn block_of_steps() -> impl Strategy<Value = (u64, bool, Vec<Step>)> {
    let pause = prop_oneof![6 => 1..30 * SECOND, 1 => HOUR..3 * HOUR, 1 => DAY..20 * DAY];
    (pause, prop::bool::weighted(0.15), prop::collection::vec(step(), 0..12))
}

/// The proposals that a step makes on this chain. Deterministic, so two equal chains get equal ones.
fn proposals_of(chain: &mut Chain, opened: &[ProposalId], step: &Step) -> Vec<Proposal> {
    let key = format!("key/{}", step.key);
    let body = match step.kind {
        0 | 1 => put(&key, &step.number.to_string()),
        2 => delete(&key),
        3 => cas(&key, step.number / 8, "swapped"),
        4 => text(&key),
        5 => set(Parameter::ALL[usize::from(step.key)], step.number * 1_000),
        6 => add(step.account + step.key, step.number % 8 + 1),
        7 => remove(step.account + step.key),
        8 if step.number < 8 => {
            equivocation(chain, step.account, Epoch(chain.ledger.epoch().0.saturating_sub(step.number % 3)))
        }
        // Several validators vote on one of the last proposals, most often yes.
        _ => {
            let latest = opened.iter().rev().nth(usize::from(step.key % 3)).copied().unwrap_or_default();
            let vote =
                ProposalBody::ProposalVote { proposal: latest, approve: !step.number.is_multiple_of(6) };
            return (1..=step.account).map(|voter| chain.proposal(voter, vote.clone())).collect();
        }
    };
    if step.number.is_multiple_of(7) {
        vec![envelope(step.account, body, &format!("shared {}", step.key), chain.now + HOUR)]
    } else {
        vec![chain.proposal(step.account, body)]
    }
}

fn run(
    chain: &mut Chain,
    history: &[(u64, bool, Vec<Step>)],
    mut before_each: impl FnMut(&mut Chain),
) -> Seen {
    let (mut seen, mut opened) = (Seen::default(), Vec::new());
    for (pause, ends_epoch, steps) in history {
        before_each(chain);
        // A pause without proposals first, so that they are not all expired after it.
        seen.note(&chain.block_at(chain.now + pause, Vec::new()));
        let mut proposals = Vec::new();
        for step in steps {
            let made = proposals_of(chain, &opened, step);
            opened.extend(
                made.iter().filter(|proposal| proposal.kind().rule() == Rule::Voted).map(Proposal::id),
            );
            proposals.extend(made);
        }
        let applied = if *ends_epoch { chain.end_epoch(proposals) } else { chain.block(proposals) };
        seen.note(&applied);
    }
    seen
}

/// What happened in histories.
#[derive(Debug, Default)]
struct Seen {
    roots: Vec<Hash>,
    passed: usize,
    lapsed: usize,
    set_changes: usize,
}

impl Seen {
    fn note(&mut self, applied: &Applied) {
        self.roots.push(applied.state_root);
        for event in &applied.events {
            match event {
                LedgerEvent::ProposalClosed { status: VoteStatus::Passed, .. } => self.passed += 1,
                LedgerEvent::ProposalClosed { status: VoteStatus::Lapsed, .. } => self.lapsed += 1,
                LedgerEvent::ValidatorsChanged { .. } => self.set_changes += 1,
                _ => {}
            }
        }
    }
}

fn check_reopened(chain: &Chain) {
    let reopened = chain.reopened();
    assert_eq!(reopened.root(), chain.ledger.root());
    assert_eq!(reopened.height(), chain.ledger.height());
    assert_eq!(reopened.validators(), chain.ledger.validators());
    assert_eq!(reopened.parameters(), chain.ledger.parameters());
}

#[test]
fn the_incremental_root_is_the_one_that_a_scan_finds() {
    let (passed, lapsed, set_changes) = (Cell::new(0), Cell::new(0), Cell::new(0));
    let config = ProptestConfig { cases: 24, ..ProptestConfig::default() };
    // The same histories each time, so that what they must reach below is no matter of luck.
    TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha))
        .run(&prop::collection::vec(block_of_steps(), 1..30), |history| {
            let mut chain = Chain::new(&[5, 5, 5, 5, 4]);
            let seen = run(&mut chain, &history, |chain| check_reopened(chain));
            check_reopened(&chain);
            passed.set(passed.get() + seen.passed);
            lapsed.set(lapsed.get() + seen.lapsed);
            set_changes.set(set_changes.get() + seen.set_changes);
            Ok(())
        })
        .unwrap();
    // Random histories that never get anywhere would show nothing.
    assert!(
        passed.get() > 10 && lapsed.get() > 10 && set_changes.get() > 3,
        "{passed:?} {lapsed:?} {set_changes:?}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn two_ledgers_that_apply_the_same_blocks_agree_also_when_one_restarts_before_each(
        history in prop::collection::vec(block_of_steps(), 1..20),
    ) {
        let mut steady = Chain::new(&[5, 5, 5, 5, 4]);
        let mut restarting = steady.clone();
        let roots = run(&mut steady, &history, |_| {}).roots;
        let roots_of_restarting = run(&mut restarting, &history, |chain| chain.ledger = chain.reopened()).roots;
        prop_assert_eq!(roots, roots_of_restarting);
        prop_assert_eq!(steady.state, restarting.state);
    }
}

/// Pins keyspace, records, tree and rules at once. A change of this value is a change of the protocol.
#[test]
fn a_fixed_history_has_the_pinned_roots() {
    let mut chain = Chain::new(&[3, 3, 2, 2]);
    let mut roots = vec![chain.ledger.root().to_string()];
    chain.submit(20, put("color", "red"));
    chain.submit(20, cas("color", 1, "blue"));
    chain.submit(21, put("gone", "soon"));
    chain.submit(21, delete("gone"));
    roots.push(chain.ledger.root().to_string());
    chain.open(21, text("keep it blue"));
    chain.pass(3, set(Parameter::Window, 16));
    chain.pass(3, set(Parameter::VotingPeriodMs, DAY));
    chain.pass(3, add(5, 2));
    let evidence = equivocation(&chain, 4, Epoch(0));
    chain.submit(22, evidence);
    roots.push(chain.ledger.root().to_string());
    chain.end_epoch(Vec::new());
    chain.block_at(chain.now + 2 * DAY, Vec::new());
    roots.push(chain.ledger.root().to_string());
    assert_eq!(
        roots,
        [
            "f120290fd23bb216bf7554ae24b00ae2171a9f76cdeed8b26fe52310c9747290",
            "00f205e368a9194adcfca7f327d7933ddd7d145d4b44ee048d692eb6645b0dc8",
            "21de5ddb7a41dbbf6a97a06ec10256987c011e036a0e0b686a9d1b9516d197ad",
            "1fc80e173b8cf82581d7be2c16e43bc7bbe455cce5e41b4ffe7be7c5f67d28f4",
        ]
    );
}

#[test]
fn the_genesis_state_is_the_one_that_open_finds() {
    let chain = Chain::new(&[1, 1, 1, 1]);
    assert_eq!(chain.reopened().root(), chain.ledger.root());
    assert_ne!(Chain::new(&[2, 2, 2, 2]).ledger.root(), chain.ledger.root());
}

#[test]
fn a_state_of_another_network_is_refused() {
    let chain = Chain::new(&[1, 1, 1, 1]);
    let other = support::genesis(&[1, 1, 1], &[]);
    assert!(matches!(Ledger::open(&other, &chain.state), Err(LedgerError::OtherGenesis { .. })));
}

#[test]
fn an_empty_or_damaged_state_is_an_error_and_no_panic() {
    let mut chain = Chain::new(&[1, 1, 1, 1]);
    let empty = support::MemoryState::default();
    assert!(matches!(Ledger::open(&chain.genesis, &empty), Err(LedgerError::Damaged { .. })));
    chain.open(20, text("x"));
    chain.submit(20, put("a", "1"));
    let vote = chain.open(20, text("y"));
    for key in chain.state.0.keys().cloned().collect::<Vec<_>>() {
        let mut damaged = chain.clone();
        damaged.state.0.insert(key, vec![0xff; 9]);
        // Opening, voting and writing all meet some damaged record; each may fail, none may panic.
        let _ = Ledger::open(&damaged.genesis, &damaged.state);
        let proposals = vec![
            damaged.proposal(1, ProposalBody::ProposalVote { proposal: vote, approve: false }),
            damaged.proposal(2, ProposalBody::ProposalVote { proposal: vote, approve: false }),
            damaged.proposal(20, put("a", "2")),
        ];
        let block = damaged.next_block(aegis_types::BlockKind::Normal, damaged.now + 40 * DAY, proposals);
        let before = damaged.ledger.root();
        if damaged.apply(&block).is_err() {
            assert_eq!(damaged.ledger.root(), before);
        }
    }
}

#[test]
fn a_store_that_fails_leaves_the_ledger_as_it_is() {
    struct Failing;
    impl StateReader for Failing {
        fn get(&self, _: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
            Err(StateError("the disk is gone".to_owned()))
        }
        fn next(&self, _: &[u8]) -> Result<Option<Entry>, StateError> {
            Err(StateError("the disk is gone".to_owned()))
        }
    }
    let mut chain = Chain::new(&[1]);
    let proposal = chain.proposal(20, put("a", "1"));
    let block = chain.next_block(aegis_types::BlockKind::Normal, chain.now + 1, vec![proposal]);
    let before = chain.ledger.root();
    assert!(matches!(chain.ledger.apply(&Failing, &block), Err(LedgerError::State(_))));
    assert_eq!((chain.ledger.root(), chain.ledger.height().0), (before, 0));
    chain.apply(&block).expect("with the store back the same block is applied");
}
