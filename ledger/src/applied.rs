//! What applying a block yields.

use aegis_metrics::weights::Fallback;
use aegis_types::{
    AccountId, Epoch, Hash, Height, Kind, Parameter, Parameters, ProposalId, ValidatorId, ValidatorSet,
    Weight,
};

use crate::outcome::Receipt;
use crate::state::Change;
use crate::voted::{Enactment, OpenedAt, Tally, VoteStatus};

/// Everything that a block did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// The block's height.
    pub height: Height,
    /// What to write, all of it in one atomic step; keys ascending, each once.
    pub changes: Vec<Change>,
    /// One per proposal, in order of position.
    pub receipts: Vec<Receipt>,
    /// Root of the state after the block.
    pub state_root: Hash,
    /// The next epoch: present exactly when the block is a closing one.
    pub next_epoch: Option<NextEpoch>,
    /// What happened, in order: first what agreed time had made due, then what each proposal brought about, which its receipt
    /// names, then the epoch's end.
    pub events: Vec<LedgerEvent>,
}

/// What the end of an epoch hands to the next one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NextEpoch {
    /// Its validators.
    pub validators: ValidatorSet,
    /// The parameters in force when it begins.
    pub parameters: Parameters,
}

/// When a changed parameter takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TakesEffect {
    /// With the next block: parameters that only the ledger reads.
    NextBlock,
    /// With the next epoch: parameters that agreement itself reads.
    NextEpoch,
}

/// Something that happened to agreed state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LedgerEvent {
    /// A key was set or removed.
    KvChanged {
        /// The key.
        key: String,
        /// Its version after the change; a removal counts as one.
        version: u64,
        /// Its value; none when it was removed.
        value: Option<Vec<u8>>,
    },
    /// A vote began.
    VoteOpened {
        /// The proposal.
        proposal: ProposalId,
        /// Its kind.
        kind: Kind,
        /// Who opened it.
        account: AccountId,
        /// Agreed time, in milliseconds of the Unix epoch, at which it lapses.
        deadline_ms: u64,
    },
    /// A validator voted, or changed its vote.
    VoteCast {
        /// The proposal.
        proposal: ProposalId,
        /// The validator.
        validator: ValidatorId,
        /// Its weight.
        weight: Weight,
        /// Yes or no.
        approve: bool,
    },
    /// A vote ended.
    ProposalClosed {
        /// The proposal.
        proposal: ProposalId,
        /// Who opened it.
        account: AccountId,
        /// Its kind.
        kind: Kind,
        /// Where it was opened.
        opened: OpenedAt,
        /// How it ended.
        status: VoteStatus,
        /// The final weights.
        tally: Tally,
        /// What became of a passed one.
        enactment: Option<Enactment>,
    },
    /// A parameter was set by a vote.
    ParameterSet {
        /// The parameter.
        parameter: Parameter,
        /// Its new value.
        value: u64,
        /// When it takes effect.
        takes_effect: TakesEffect,
    },
    /// Evidence of equivocation went on record.
    EvidenceRecorded {
        /// The offender.
        validator: ValidatorId,
        /// The epoch of the offence.
        epoch: Epoch,
    },
    /// A validator's measurements of the epoch were agreed.
    ReportRecorded {
        /// Whose.
        validator: ValidatorId,
        /// Of which epoch.
        epoch: Epoch,
    },
    /// Proof that a validator reported two things went on record.
    ReportsContradicted {
        /// The validator.
        validator: ValidatorId,
        /// The epoch of the reports.
        epoch: Epoch,
    },
    /// The weight rule was applied to the agreed measurements.
    WeightsComputed {
        /// The epoch that the weights are for.
        epoch: Epoch,
        /// Why they are equal instead of the rule's.
        fallback: Option<Fallback>,
    },
    /// The next epoch has other validators or weights than this one.
    ValidatorsChanged {
        /// The next epoch's validators.
        validators: ValidatorSet,
    },
    /// An epoch began: its handover block was executed.
    EpochBegan {
        /// The epoch.
        epoch: Epoch,
    },
}
