//! The state root: determinism, rebuilding, and its pinned value.

mod support;

use aegis_ledger::{Ledger, LedgerError, StateError, StateReader};
use aegis_types::{Epoch, Parameter, Proposal, ProposalBody};
use proptest::prelude::*;
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

/// The proposal that a step makes on this chain. Deterministic, so two equal chains get equal ones.
fn proposal_of(chain: &mut Chain, opened: &[aegis_types::ProposalId], step: &Step) -> Proposal {
    let key = format!("key/{}", step.key);
    let voted = opened.get(usize::try_from(step.number).unwrap() % opened.len().max(1)).copied();
    let body = match step.kind {
        0 | 1 => put(&key, &step.number.to_string()),
        2 => delete(&key),
        3 => cas(&key, step.number / 8, "swapped"),
        4 => text(&key),
        5 => set(Parameter::ALL[usize::from(step.key)], step.number * 1_000),
        6 => add(step.account + step.key, step.number + 1),
        7 => remove(step.account + step.key),
        8 => equivocation(chain, step.account, Epoch(chain.ledger.epoch().0.saturating_sub(step.number % 3))),
        _ => {
            ProposalBody::ProposalVote { proposal: voted.unwrap_or_default(), approve: step.number % 5 != 0 }
        }
    };
    if step.number % 7 == 0 {
        envelope(step.account, body, &format!("shared {}", step.key), chain.now + HOUR)
    } else {
        chain.proposal(step.account, body)
    }
}

fn run(chain: &mut Chain, history: &[(u64, bool, Vec<Step>)], mut each: impl FnMut(&Chain)) {
    let mut opened = Vec::new();
    for (pause, ends_epoch, steps) in history {
        let proposals: Vec<Proposal> = steps.iter().map(|step| proposal_of(chain, &opened, step)).collect();
        opened.extend(proposals.iter().filter(|p| (4..=7).contains(&kind_number(p))).map(Proposal::id));
        if *ends_epoch {
            chain.end_epoch(proposals);
        } else {
            chain.block_at(chain.now + pause, proposals);
        }
        each(chain);
    }
}

fn kind_number(proposal: &Proposal) -> u8 {
    match &proposal.body {
        ProposalBody::Text { .. } => 4,
        ProposalBody::ParamSet { .. } => 5,
        ProposalBody::ValidatorAdd { .. } => 6,
        ProposalBody::ValidatorRemove { .. } => 7,
        _ => 0,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn the_incremental_root_is_the_one_that_a_scan_finds(history in prop::collection::vec(block_of_steps(), 1..30)) {
        let mut chain = Chain::new(&[5, 5, 5, 5, 4]);
        run(&mut chain, &history, |chain| {
            let reopened = chain.reopened();
            assert_eq!(reopened.root(), chain.ledger.root());
            assert_eq!(reopened.height(), chain.ledger.height());
            assert_eq!(reopened.validators(), chain.ledger.validators());
            assert_eq!(reopened.parameters(), chain.ledger.parameters());
        });
    }

    #[test]
    fn two_ledgers_that_apply_the_same_blocks_agree_also_after_a_restart(
        history in prop::collection::vec(block_of_steps(), 1..20),
    ) {
        let mut steady = Chain::new(&[5, 5, 5, 5, 4]);
        let mut restarting = steady.clone();
        let mut roots = Vec::new();
        run(&mut steady, &history, |chain| roots.push(chain.ledger.root()));
        let mut roots = roots.into_iter();
        let mut opened = Vec::new();
        for (pause, ends_epoch, steps) in &history {
            restarting.ledger = restarting.reopened();
            let proposals: Vec<Proposal> =
                steps.iter().map(|step| proposal_of(&mut restarting, &opened, step)).collect();
            opened.extend(proposals.iter().filter(|p| (4..=7).contains(&kind_number(p))).map(Proposal::id));
            if *ends_epoch {
                restarting.end_epoch(proposals);
            } else {
                restarting.block_at(restarting.now + pause, proposals);
            }
            prop_assert_eq!(Some(restarting.ledger.root()), roots.next());
        }
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
    assert_eq!(roots, ["genesis", "kv", "votes", "epoch"]);
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
        fn next(&self, _: &[u8]) -> Result<Option<(Vec<u8>, Vec<u8>)>, StateError> {
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
