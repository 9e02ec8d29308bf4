//! The state at an older height, by undo: what is read and proved there is what a ledger that stopped there has.

mod support;

use aegis_ledger::{EarlierState, Ledger, LedgerError, StateReader, UndoLog, query};
use aegis_types::subtree::root_of_subtrees;
use aegis_types::{Hash, Height, KvRecord, Parameter, StateProof, Subtree};
use proptest::prelude::*;
use support::{Chain, MemoryState, cas, delete, put, set, text};

/// What a block does, in few numbers.
type Block = (Vec<(u8, u8, u8)>, bool);

fn blocks() -> impl Strategy<Value = Vec<Block>> {
    let steps = prop::collection::vec((0_u8..6, 0_u8..8, any::<u8>()), 0..10);
    prop::collection::vec((steps, prop::bool::weighted(0.15)), 1..12)
}

/// A chain and everything that its past heights had.
struct History {
    chain: Chain,
    undo: UndoLog,
    states: Vec<(MemoryState, Hash)>,
}

impl History {
    fn new() -> Self {
        let chain = Chain::new(&[3, 3, 2, 2]);
        let states = vec![(chain.state.clone(), chain.ledger.root())];
        Self { chain, undo: UndoLog::new(Height::ZERO, usize::MAX), states }
    }

    fn run(blocks: &[Block]) -> Self {
        let mut history = Self::new();
        for (steps, ends_epoch) in blocks {
            let chain = &mut history.chain;
            let proposals = steps.iter().map(|(kind, key, value)| {
                let (key, value) = (format!("key/{key}"), value.to_string());
                let body = match kind {
                    0 | 1 => put(&key, &value),
                    2 => delete(&key),
                    3 => cas(&key, u64::from(*kind), &value),
                    4 => text(&value),
                    _ => set(Parameter::Window, 16),
                };
                chain.proposal(20, body)
            });
            let proposals = proposals.collect();
            let closing = aegis_types::BlockKind::Closing;
            let kind = if *ends_epoch { closing } else { aegis_types::BlockKind::Normal };
            let next = history.apply(kind, proposals);
            if let Some(next_validators_hash) = next {
                history.apply(aegis_types::BlockKind::Handover { next_validators_hash }, Vec::new());
            }
        }
        history
    }

    fn apply(&mut self, kind: aegis_types::BlockKind, proposals: Vec<aegis_types::Proposal>) -> Option<Hash> {
        let chain = &mut self.chain;
        let block = chain.next_block(kind, chain.now + 1_000, proposals);
        let before = chain.state.clone();
        let applied = chain.apply(&block).expect("the block fits");
        self.undo.record(&before, applied.height, &applied.changes).unwrap();
        self.states.push((chain.state.clone(), applied.state_root));
        applied.next_epoch.map(|next| next.validators.hash())
    }
}

fn entries(state: &dyn StateReader) -> MemoryState {
    let (mut entries, mut from) = (MemoryState::default(), Vec::new());
    while let Some((key, value)) = state.next(&from).unwrap() {
        from = [key.as_slice(), &[0]].concat();
        entries.0.insert(key, value);
    }
    entries
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_state_by_undo_is_the_state_of_a_ledger_that_stopped_there(blocks in blocks()) {
        let history = History::run(&blocks);
        let ledger = &history.chain.ledger;
        for (height, (state, root)) in (0..).map(Height).zip(&history.states) {
            let since = history.undo.since(height).unwrap();
            let earlier = EarlierState::new(since, &history.chain.state);
            prop_assert_eq!(&entries(&earlier), state);
            prop_assert_eq!(&ledger.subtree_roots(0, &since).unwrap(), &[*root]);
            let stopped = Ledger::open(&history.chain.genesis, &earlier).unwrap();
            prop_assert_eq!((stopped.root(), stopped.height()), (*root, height));
            for key in (0..8).map(|key| format!("key/{key}")) {
                let record = state.get(&KvRecord::state_key(&key)).unwrap();
                let proof = ledger.prove(&KvRecord::state_key(&key), &since).unwrap();
                proof.verify_value(root, &KvRecord::state_key(&key), record.as_deref()).unwrap();
                prop_assert_eq!(query::kv(&earlier, &key).unwrap(), query::kv(state, &key).unwrap());
            }
        }
    }

    #[test]
    fn the_proof_by_undo_is_the_proof_of_a_ledger_that_stopped_there(blocks in blocks(), level in 0..=16_u32) {
        let history = History::run(&blocks);
        for (height, (state, root)) in (0..).map(Height).zip(&history.states).step_by(3) {
            let since = history.undo.since(height).unwrap();
            let stopped = Ledger::open(&history.chain.genesis, state).unwrap();
            let nothing_to_undo = UndoLog::new(height, 0);
            let nothing_to_undo = nothing_to_undo.since(height).unwrap();
            for key in [&b"kkey/1"[..], b"kkey/2", b"h", b"p", b"knever"] {
                let proof: StateProof = stopped.prove(key, &nothing_to_undo).unwrap();
                prop_assert_eq!(history.chain.ledger.prove(key, &since).unwrap(), proof);
            }
            let roots = history.chain.ledger.subtree_roots(level, &since).unwrap();
            prop_assert_eq!(&stopped.subtree_roots(level, &nothing_to_undo).unwrap(), &roots);
            prop_assert_eq!(root_of_subtrees(&roots).unwrap(), *root);
        }
    }
}

#[test]
fn a_level_below_the_buckets_does_not_exist() {
    let history = History::new();
    let since = history.undo.since(Height::ZERO).unwrap();
    let refused = history.chain.ledger.subtree_roots(Subtree::LEVEL_MAX + 1, &since);
    assert_eq!(refused, Err(LedgerError::NoSuchLevel { level: 17 }));
}
