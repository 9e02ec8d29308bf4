//! The replicated application that simulated nodes execute.

use std::collections::{BTreeMap, BTreeSet};

use aegis_consensus::NextEpoch;
use aegis_types::{
    AccountId, BlockKind, CommittedBlock, Epoch, Genesis, Hash, Height, Member, Parameters, ProposalBody,
    ProposalId, ValidatorId, ValidatorSet, Weight,
};

/// What became of a proposal of a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The proposal.
    pub id: ProposalId,
    /// Its account.
    pub account: AccountId,
    /// Its idempotency key.
    pub idempotency_key: String,
    /// Whether it took effect, as opposed to being a repetition or refused.
    pub took_effect: bool,
    /// Whether it opened a vote.
    pub opened_vote: bool,
}

/// The result of executing a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Executed {
    /// The block's height.
    pub height: Height,
    /// Root of the state after it.
    pub state_root: Hash,
    /// For a closing block: the next epoch.
    pub next_epoch: Option<NextEpoch>,
    /// What became of each proposal, in order.
    pub receipts: Vec<Receipt>,
}

/// A small application: proposals count once, and set changes take effect at the next boundary.
#[derive(Debug, Clone)]
pub struct Application {
    root: Hash,
    seen: BTreeSet<(AccountId, String)>,
    epoch: Epoch,
    members: BTreeMap<ValidatorId, Weight>,
    set: ValidatorSet,
    parameters: Parameters,
}

impl Application {
    /// The state of the genesis.
    pub fn genesis(genesis: &Genesis) -> Self {
        let members = genesis.validators.members().iter().map(|member| (member.validator, member.weight));
        Self {
            root: genesis.hash(),
            seen: BTreeSet::new(),
            epoch: Epoch::ZERO,
            members: members.collect(),
            set: genesis.validators.clone(),
            parameters: genesis.parameters.clone(),
        }
    }

    /// The root of the current state.
    pub fn root(&self) -> Hash {
        self.root
    }

    /// Executes a block.
    pub fn apply(&mut self, block: &CommittedBlock) -> Executed {
        let mut receipts = Vec::new();
        for proposal in block.batches.iter().flat_map(|batch| &batch.proposals) {
            let key = (proposal.account, proposal.idempotency_key.clone());
            let took_effect = self.seen.insert(key);
            if took_effect {
                match &proposal.body {
                    ProposalBody::ValidatorAdd { validator, weight } => {
                        self.change(|members| members.insert(*validator, *weight));
                    }
                    ProposalBody::ValidatorRemove { validator } => {
                        self.change(|members| members.remove(validator));
                    }
                    _ => {}
                }
                self.root = Hash::of("toy", &[self.root.0, proposal.id().0].concat());
            }
            receipts.push(Receipt {
                id: proposal.id(),
                account: proposal.account,
                idempotency_key: proposal.idempotency_key.clone(),
                took_effect,
                opened_vote: false,
            });
        }
        self.root = Hash::of("toy block", &[self.root.0, block.header.digest().0].concat());
        let next_epoch = (block.header.kind == BlockKind::Closing).then(|| {
            self.epoch = self.epoch.next();
            self.set = self.set_of(&self.members).expect("changes keep the set valid");
            NextEpoch { validators: self.set.clone(), parameters: self.parameters.clone() }
        });
        Executed { height: block.header.height, state_root: self.root, next_epoch, receipts }
    }

    fn change(&mut self, change: impl FnOnce(&mut BTreeMap<ValidatorId, Weight>) -> Option<Weight>) {
        let mut members = self.members.clone();
        change(&mut members);
        if self.set_of(&members).is_some() {
            self.members = members;
        }
    }

    fn set_of(&self, members: &BTreeMap<ValidatorId, Weight>) -> Option<ValidatorSet> {
        let members =
            members.iter().map(|(validator, weight)| Member { validator: *validator, weight: *weight });
        ValidatorSet::new(self.epoch, members.collect()).ok()
    }
}
