//! What became of a proposal.

use std::fmt;
use std::ops::Range;

use aegis_types::{AccountId, Hash, Height, Kind, ProposalId};

/// Why a proposal had no effect.
///
/// The state records the code and its number only, so the explanation ([`fmt::Display`]) may be reworded at any time
/// without changing a state root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RejectCode {
    /// Its expiry is not after the block's agreed time.
    Expired,
    /// Its expiry lies further ahead than a proposal may live.
    ExpiryTooFar,
    /// The key to delete does not exist.
    NotFound,
    /// The key has another version than the expected one.
    VersionMismatch {
        /// The version that it has; 0 when it does not exist.
        actual: u64,
    },
    /// The parameter is unknown or the value is outside its range.
    InvalidParameter,
    /// As many votes are open as may be.
    TooManyOpenVotes,
    /// The account has as many open votes as one account may have.
    TooManyOpenVotesOfAccount,
    /// The account is not a validator of the current epoch.
    NotAValidator,
    /// No voted proposal has this id, or it is forgotten.
    UnknownProposal,
    /// The vote is over.
    VoteClosed,
    /// The validator set would be invalid.
    InvalidValidatorSet,
    /// The validator to remove is neither in the set nor about to join it.
    NotAMember,
    /// The validator equivocated in this epoch or the one before, and leaves at the epoch's end.
    Offender,
    /// The evidence is not of the current or the previous epoch.
    EvidenceOutOfDate,
    /// The evidence proves nothing: a signature is wrong, the signer is no validator or the votes do not contradict.
    EvidenceInvalid,
    /// Evidence against this validator is already on record for the epoch.
    EvidenceKnown,
    /// The block has as much evidence as one block may check.
    EvidenceBusy,
    /// Weights are fixed: reports are not taken.
    NotMeasured,
    /// The heights on which to report are not drawn yet.
    ReportTooEarly,
    /// The report is of another epoch or account, malformed, or a signature in it is wrong.
    ReportInvalid,
    /// The validator has reported in this epoch.
    ReportKnown,
}

impl RejectCode {
    /// All codes; an `actual` version stands at 0.
    pub const ALL: [Self; 21] = [
        Self::Expired,
        Self::ExpiryTooFar,
        Self::NotFound,
        Self::VersionMismatch { actual: 0 },
        Self::InvalidParameter,
        Self::TooManyOpenVotes,
        Self::TooManyOpenVotesOfAccount,
        Self::NotAValidator,
        Self::UnknownProposal,
        Self::VoteClosed,
        Self::InvalidValidatorSet,
        Self::NotAMember,
        Self::Offender,
        Self::EvidenceOutOfDate,
        Self::EvidenceInvalid,
        Self::EvidenceKnown,
        Self::EvidenceBusy,
        Self::NotMeasured,
        Self::ReportTooEarly,
        Self::ReportInvalid,
        Self::ReportKnown,
    ];

    /// The stable name, for programs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::ExpiryTooFar => "expiry-too-far",
            Self::NotFound => "not-found",
            Self::VersionMismatch { .. } => "version-mismatch",
            Self::InvalidParameter => "invalid-parameter",
            Self::TooManyOpenVotes => "too-many-open-votes",
            Self::TooManyOpenVotesOfAccount => "too-many-open-votes-of-account",
            Self::NotAValidator => "not-a-validator",
            Self::UnknownProposal => "unknown-proposal",
            Self::VoteClosed => "vote-closed",
            Self::InvalidValidatorSet => "invalid-validator-set",
            Self::NotAMember => "not-a-member",
            Self::Offender => "offender",
            Self::EvidenceOutOfDate => "evidence-out-of-date",
            Self::EvidenceInvalid => "evidence-invalid",
            Self::EvidenceKnown => "evidence-known",
            Self::EvidenceBusy => "evidence-busy",
            Self::NotMeasured => "not-measured",
            Self::ReportTooEarly => "report-too-early",
            Self::ReportInvalid => "report-invalid",
            Self::ReportKnown => "report-known",
        }
    }

    /// Whether the rejection is remembered as the first result under the idempotency key.
    ///
    /// The others leave no trace, and the key may be used again: an expired envelope can never take effect, one that
    /// expires too late or reports too early may do so when its time has come, and busy ones may be tried again.
    pub const fn is_remembered(self) -> bool {
        !matches!(self, Self::Expired | Self::ExpiryTooFar | Self::EvidenceBusy | Self::ReportTooEarly)
    }

    /// The number in state records. Never reuse one.
    pub(crate) const fn number(self) -> u32 {
        match self {
            Self::Expired => 1,
            Self::ExpiryTooFar => 2,
            Self::NotFound => 3,
            Self::VersionMismatch { .. } => 4,
            Self::InvalidParameter => 5,
            Self::TooManyOpenVotes => 6,
            Self::TooManyOpenVotesOfAccount => 7,
            Self::NotAValidator => 8,
            Self::UnknownProposal => 9,
            Self::VoteClosed => 10,
            Self::InvalidValidatorSet => 11,
            Self::NotAMember => 12,
            Self::Offender => 13,
            Self::EvidenceOutOfDate => 14,
            Self::EvidenceInvalid => 15,
            Self::EvidenceKnown => 16,
            Self::EvidenceBusy => 17,
            Self::NotMeasured => 18,
            Self::ReportTooEarly => 19,
            Self::ReportInvalid => 20,
            Self::ReportKnown => 21,
        }
    }

    /// The code with a number, as a state record has it.
    pub(crate) fn from_number(number: u32, actual: u64) -> Option<Self> {
        let code = Self::ALL.into_iter().find(|code| code.number() == number)?;
        Some(match code {
            Self::VersionMismatch { .. } => Self::VersionMismatch { actual },
            other => other,
        })
    }
}

impl fmt::Display for RejectCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Expired => "the proposal expired before it was ordered; sign it again with a later expiry",
            Self::ExpiryTooFar => {
                "the expiry lies too far ahead; sign it again to expire within the parameter proposal_lifetime_max_ms"
            }
            Self::NotFound => "the key does not exist",
            Self::VersionMismatch { actual } => {
                return write!(
                    f,
                    "the key has version {actual}, not the expected one; read it again and use its version (0: it does not exist)"
                );
            }
            Self::InvalidParameter => {
                "the parameter is unknown or the value is not a whole number in its range; the parameters and their ranges are listed in the manual"
            }
            Self::TooManyOpenVotes => {
                "as many votes are open as the parameter open_votes_max allows; submit it again with a new idempotency key when some have closed"
            }
            Self::TooManyOpenVotesOfAccount => {
                "a tenth of all votes that may be open are this account's; submit it again with a new idempotency key when some have closed"
            }
            Self::NotAValidator => "only validators of the current epoch vote; use the key of a validator",
            Self::UnknownProposal => "there is no voted proposal with this id; check the id",
            Self::VoteClosed => "the vote on this proposal is over",
            Self::InvalidValidatorSet => {
                "the validator set would be invalid: empty, too large, or with one member above a third of the weight; choose another weight"
            }
            Self::NotAMember => "the validator is neither in the set nor about to join it; check the key",
            Self::Offender => {
                "the validator equivocated and leaves at the epoch's end; propose it again in the next epoch"
            }
            Self::EvidenceOutOfDate => "the evidence is neither of the current nor of the previous epoch",
            Self::EvidenceInvalid => {
                "the evidence proves nothing: it needs two validly signed votes of one validator that contradict each other"
            }
            Self::EvidenceKnown => "evidence against this validator is already on record for the epoch",
            Self::EvidenceBusy => "the block checked as much evidence as one block may; submit it again",
            Self::NotMeasured => {
                "weights are fixed in this epoch, so nothing is reported; set the parameter weights_mode to `measured` first"
            }
            Self::ReportTooEarly => {
                "the heights on which to report are drawn when two thirds of the epoch have passed; submit it then"
            }
            Self::ReportInvalid => {
                "the report must be of the current epoch, signed by the validator that submits it, and speak of sampled heights with the Commits of a quorum"
            }
            Self::ReportKnown => "the validator's report of this epoch is on record already; report again in the next",
        })
    }
}

/// What became of a proposal in the block that ordered it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It took effect.
    Applied {
        /// The version that a key got; none for kinds other than `kv.put` and `kv.cas`.
        version: Option<u64>,
    },
    /// It opened a vote.
    Opened {
        /// Agreed time, in milliseconds of the Unix epoch, at which the vote ends.
        deadline_ms: u64,
    },
    /// It had no effect.
    Rejected {
        /// Why, for programs.
        code: RejectCode,
        /// Why, for people.
        reason: String,
    },
    /// Its account had used the idempotency key before. It had no effect, whatever it asked for.
    Duplicate {
        /// What the key yielded first. Never a duplicate itself.
        first: Box<FirstResult>,
    },
}

impl Outcome {
    /// It took effect and set no key.
    pub const fn applied() -> Self {
        Self::Applied { version: None }
    }

    /// It set a key, which got this version.
    pub const fn applied_at(version: u64) -> Self {
        Self::Applied { version: Some(version) }
    }

    /// It had no effect; the reason is the code's explanation.
    pub fn rejected(code: RejectCode) -> Self {
        Self::Rejected { code, reason: code.to_string() }
    }
}

/// What an account's idempotency key yielded first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FirstResult {
    /// The proposal that was first.
    pub id: ProposalId,
    /// The block that ordered it.
    pub height: Height,
    /// Its position in the block.
    pub position: u32,
    /// What became of it.
    pub outcome: Outcome,
    /// What was asked for: [`Proposal::request_hash`](aegis_types::Proposal::request_hash).
    pub request: Hash,
}

/// What became of one proposal of a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The proposal.
    pub id: ProposalId,
    /// Who asked.
    pub account: AccountId,
    /// For what kind of thing.
    pub kind: Kind,
    /// Under which key.
    pub idempotency_key: String,
    /// Position over the whole block, from 0: batches in the header's order, proposals in their batch's.
    pub position: u32,
    /// What became of it.
    pub outcome: Outcome,
    /// What was asked for: [`Proposal::request_hash`](aegis_types::Proposal::request_hash).
    pub request: Hash,
    /// Which of the block's events it brought about, as places in [`Applied::events`](crate::Applied::events).
    pub events: Range<usize>,
}

/// Whether a proposal may go into a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admission {
    /// It may: nothing known speaks against it.
    Fresh,
    /// It was submitted before: this is what came of it.
    Duplicate(FirstResult),
    /// Its account used the idempotency key before, for something else.
    Conflict,
    /// It would be rejected.
    Refused {
        /// Why, for programs.
        code: RejectCode,
        /// Why, for people; often in more detail than the code's explanation.
        reason: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_code_has_a_name_and_a_number_of_its_own_and_is_found_by_it() {
        let names: BTreeSet<_> = RejectCode::ALL.map(RejectCode::name).into();
        assert_eq!(names.len(), RejectCode::ALL.len());
        for (index, code) in RejectCode::ALL.into_iter().enumerate() {
            assert_eq!(code.number() as usize, index + 1, "numbers are part of the state's format");
            assert_eq!(RejectCode::from_number(code.number(), 0), Some(code));
        }
        assert_eq!(RejectCode::from_number(4, 9), Some(RejectCode::VersionMismatch { actual: 9 }));
        assert_eq!(RejectCode::from_number(22, 0), None);
    }
}
