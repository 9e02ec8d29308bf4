//! A chain of one ledger, and a second one that is opened anew from the state before every block.
//!
//! - Both give the same root, receipts and changes: the root depends on the entries alone.
//! - A block that does not fit is refused and changes nothing.
//! - Changes are in order of key, each key once; every receipt names its own events.
//! - No proposal takes effect twice, whatever order, account and idempotency key it comes with.
//! - The validator sets are valid, and no more votes are open than may be.

use std::collections::{BTreeMap, BTreeSet};

use aegis_ledger::{
    Applied, Change, Entry, Ledger, LedgerError, LedgerEvent, Outcome, StateError, StateReader, query,
};
use aegis_types::{
    Batch, BlockKind, Certificate, CommittedBlock, Executed, Genesis, Hash, Header, Parameter, Proposal,
    ProposalId, ValidatorId, ValidatorSet, View, VoteContent, VoteKind,
};

/// The entries of agreed state.
#[derive(Debug, Clone, Default)]
pub struct Entries(BTreeMap<Vec<u8>, Vec<u8>>);

impl Entries {
    fn write(&mut self, changes: &[Change]) {
        for change in changes {
            match &change.value {
                Some(value) => self.0.insert(change.key.clone(), value.clone()),
                None => self.0.remove(&change.key),
            };
        }
    }
}

impl StateReader for Entries {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        Ok(self.0.get(key).cloned())
    }

    fn next(&self, from: &[u8]) -> Result<Option<Entry>, StateError> {
        Ok(self.0.range(from.to_vec()..).next().map(|(key, value)| (key.clone(), value.clone())))
    }
}

/// A chain.
#[derive(Debug)]
pub struct Chain {
    /// What it started from.
    pub genesis: Genesis,
    /// The ledger.
    pub ledger: Ledger,
    /// Its state.
    pub entries: Entries,
    /// The names of all events so far.
    pub reached: BTreeSet<&'static str>,
    took_effect: BTreeSet<ProposalId>,
}

impl Chain {
    /// A chain without blocks.
    ///
    /// # Panics
    /// When the genesis is refused.
    pub fn new(genesis: Genesis) -> Self {
        let (ledger, changes) = Ledger::genesis(&genesis).expect("a genesis is valid");
        let mut entries = Entries::default();
        entries.write(&changes);
        Self { genesis, ledger, entries, reached: BTreeSet::new(), took_effect: BTreeSet::new() }
    }

    /// The block that could come next, of some kind, with some proposals.
    pub fn next_block(&self, kind: BlockKind, timestamp_ms: u64, proposals: Vec<Proposal>) -> CommittedBlock {
        let author = ValidatorId([1; 32]);
        let batches: Vec<Batch> =
            if proposals.is_empty() { Vec::new() } else { vec![Batch { author, sequence: 0, proposals }] };
        let header = Header {
            epoch: self.ledger.epoch(),
            height: self.ledger.height().next(),
            timestamp_ms,
            parent: Hash::ZERO,
            proposer: author,
            batches: batches.iter().map(Batch::reference).collect(),
            executed: Executed::default(),
            validators_hash: self.ledger.validators().hash(),
            kind,
        };
        let content = VoteContent {
            kind: VoteKind::Commit,
            epoch: header.epoch,
            view: View::ZERO,
            height: header.height,
            digest: header.digest(),
        };
        CommittedBlock { header, certificate: Certificate { content, signatures: Vec::new() }, batches }
    }

    /// Executes a block in both ledgers.
    ///
    /// # Errors
    /// When it does not fit.
    ///
    /// # Panics
    /// When a rule is broken.
    pub fn apply(&mut self, block: &CommittedBlock) -> Result<Applied, LedgerError> {
        let mut reopened = Ledger::open(&self.genesis, &self.entries).expect("the state is whole");
        let before = (self.ledger.root(), self.ledger.height(), self.ledger.epoch());
        let limit =
            usize::try_from(self.ledger.parameters().get(Parameter::OpenVotesMax)).unwrap_or(usize::MAX);
        let may_be_open = self.open_votes().max(limit);
        assert_eq!(reopened.root(), before.0, "a state that is opened again has another root");
        let second = reopened.apply(&self.entries, block);
        let first = self.ledger.apply(&self.entries, block);
        assert_eq!(first, second, "two ledgers disagree");
        match &first {
            Ok(applied) => {
                self.check_applied(applied, block);
                assert!(self.open_votes() <= may_be_open, "more votes are open than may be");
            }
            Err(error) => {
                assert_eq!(before, (self.ledger.root(), self.ledger.height(), self.ledger.epoch()));
                let is_the_blocks_fault = matches!(
                    error,
                    LedgerError::WrongHeight { .. }
                        | LedgerError::WrongEpoch { .. }
                        | LedgerError::TimeStoodStill { .. }
                        | LedgerError::WrongKind { .. }
                );
                assert!(is_the_blocks_fault, "the ledger finds its own state damaged: {error}");
            }
        }
        first
    }

    fn check_applied(&mut self, applied: &Applied, block: &CommittedBlock) {
        assert_eq!(applied.height, block.header.height);
        assert!(applied.changes.windows(2).all(|pair| pair[0].key < pair[1].key), "changes out of order");
        self.entries.write(&applied.changes);
        assert_eq!(applied.state_root, self.ledger.root());
        self.reached.extend(applied.events.iter().map(name_of));
        let proposals: usize = block.batches.iter().map(|batch| batch.proposals.len()).sum();
        assert_eq!(applied.receipts.len(), proposals);
        let mut told = 0;
        for receipt in &applied.receipts {
            assert!(receipt.events.start >= told && receipt.events.end <= applied.events.len());
            told = receipt.events.end;
            match &receipt.outcome {
                Outcome::Applied { .. } | Outcome::Opened { .. } => {
                    assert!(self.took_effect.insert(receipt.id), "{} took effect twice", receipt.id);
                }
                Outcome::Duplicate { .. } => {
                    assert!(receipt.events.is_empty(), "a repetition has an event: {receipt:?}");
                }
                Outcome::Rejected { .. } => {}
            }
        }
        assert_eq!(applied.next_epoch.is_some(), block.header.kind == BlockKind::Closing);
        self.check_sets(applied);
    }

    fn check_sets(&self, applied: &Applied) {
        let next = applied.next_epoch.as_ref().map(|next| &next.validators);
        for set in [Some(self.ledger.validators()), next].into_iter().flatten() {
            let again = ValidatorSet::new(set.epoch(), set.members().to_vec());
            assert_eq!(again.as_ref(), Ok(set), "the set is not valid");
        }
    }

    fn open_votes(&self) -> usize {
        let page = query::open_votes(&self.entries, None, query::PAGE_MAX).expect("the state is whole");
        page.items.len()
    }

    /// Asks what a client or admission may ask.
    ///
    /// # Panics
    /// When the ledger finds its own state damaged.
    pub fn ask(&self, proposal: &Proposal, now_ms: u64, text: &str) {
        self.ledger.check(&self.entries, proposal, now_ms).expect("the state is whole");
        let page = query::kv_list(&self.entries, text, None, 3).expect("the state is whole");
        assert!(page.items.len() <= 3 && page.items.iter().all(|entry| entry.key.starts_with(text)));
        query::kv(&self.entries, text).expect("the state is whole");
        query::votes(&self.entries, &proposal.id()).expect("the state is whole");
        query::vote_record(&self.entries, &proposal.id()).expect("the state is whole");
        query::pending_parameters(&self.entries).expect("the state is whole");
        query::pending_validators(&self.entries).expect("the state is whole");
        query::evidence(&self.entries, None, 3).expect("the state is whole");
    }
}

fn name_of(event: &LedgerEvent) -> &'static str {
    match event {
        LedgerEvent::KvChanged { .. } => "KvChanged",
        LedgerEvent::VoteOpened { .. } => "VoteOpened",
        LedgerEvent::VoteCast { .. } => "VoteCast",
        LedgerEvent::ProposalClosed { .. } => "ProposalClosed",
        LedgerEvent::ParameterSet { .. } => "ParameterSet",
        LedgerEvent::EvidenceRecorded { .. } => "EvidenceRecorded",
        LedgerEvent::ReportRecorded { .. } => "ReportRecorded",
        LedgerEvent::ReportsContradicted { .. } => "ReportsContradicted",
        LedgerEvent::WeightsComputed { .. } => "WeightsComputed",
        LedgerEvent::ValidatorsChanged { .. } => "ValidatorsChanged",
        LedgerEvent::EpochBegan { .. } => "EpochBegan",
    }
}
