//! Voted proposals as readers see them.

use aegis_types::{AccountId, Epoch, Height, Kind, ProposalBody, ProposalId, ValidatorId, Weight};

use crate::outcome::RejectCode;

/// Where a vote stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum VoteStatus {
    /// Validators vote.
    Open,
    /// More than two thirds of the weight said yes.
    Passed,
    /// At least a third of the weight said no. Final, though a validator might have changed its vote.
    Failed,
    /// Neither had happened at the deadline.
    Lapsed,
}

impl VoteStatus {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Open, Self::Passed, Self::Failed, Self::Lapsed];

    /// The stable name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Lapsed => "lapsed",
        }
    }

    pub(crate) const fn number(self) -> u32 {
        match self {
            Self::Open => 0,
            Self::Passed => 1,
            Self::Failed => 2,
            Self::Lapsed => 3,
        }
    }

    pub(crate) fn from_number(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.number() == number)
    }
}

/// The weights of a vote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Weight of those who said yes.
    pub yes: Weight,
    /// Weight of those who said no.
    pub no: Weight,
    /// Weight of all validators.
    pub total: Weight,
    /// The epoch whose weights these are; the last one in which it was counted.
    pub epoch: Epoch,
}

/// Where in the chain a vote was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct OpenedAt {
    /// The block.
    pub height: Height,
    /// The proposal's position in it.
    pub position: u32,
}

/// Whether a passed proposal could be carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Enactment {
    /// It was.
    Done,
    /// It could not be.
    Refused {
        /// Why, for programs.
        code: RejectCode,
        /// Why, for people.
        reason: String,
    },
}

/// How a vote ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    /// The block that closed it.
    pub height: Height,
    /// That block's agreed time, in milliseconds of the Unix epoch.
    pub timestamp_ms: u64,
    /// What became of a passed one.
    pub enactment: Option<Enactment>,
}

/// A proposal on which validators vote or voted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VotedProposal {
    /// Its name.
    pub id: ProposalId,
    /// Who opened it.
    pub account: AccountId,
    /// What it asks for.
    pub body: ProposalBody,
    /// Where it was opened.
    pub opened: OpenedAt,
    /// When it was opened: agreed time in milliseconds of the Unix epoch.
    pub opened_ms: u64,
    /// When it lapses: agreed time in milliseconds of the Unix epoch.
    pub deadline_ms: u64,
    /// Where it stands.
    pub status: VoteStatus,
    /// The weights for and against it.
    pub tally: Tally,
    /// How it ended; none while it is open.
    pub closed: Option<Closed>,
}

impl VotedProposal {
    /// Its kind.
    pub const fn kind(&self) -> Kind {
        self.body.kind()
    }
}

/// A validator's vote on a proposal: its last one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CastVote {
    /// Who voted.
    pub validator: ValidatorId,
    /// Yes or no.
    pub approve: bool,
    /// The block that ordered it.
    pub height: Height,
    /// That block's agreed time, in milliseconds of the Unix epoch.
    pub timestamp_ms: u64,
}

/// What a vote, once passed, does to a validator at the epoch's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PendingChange {
    /// It joins, or gets another weight.
    Weight(Weight),
    /// It leaves.
    Removal,
    /// It leaves because it equivocated.
    RemovalOfOffender,
}

/// A change of the validator set that waits for the epoch's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PendingValidator {
    /// Whom it concerns.
    pub validator: ValidatorId,
    /// What happens.
    pub change: PendingChange,
    /// The voted or evidence proposal that brought it about.
    pub proposal: ProposalId,
}

/// Evidence on record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EvidenceOnRecord {
    /// Who equivocated.
    pub validator: ValidatorId,
    /// In which epoch.
    pub epoch: Epoch,
    /// The evidence proposal.
    pub proposal: ProposalId,
    /// The block that ordered it.
    pub height: Height,
}
